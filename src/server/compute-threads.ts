// The compute pool of `hybrid`, as the server sees it: starts its threads and has each pair of a reactor and a compute thread
// introduced to each other. What they then say to each other does not pass through here.

import { extname } from "node:path";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { deferred } from "../deferred.ts";
import { threadSchedule } from "../sys/thread-time.ts";
import {
  COMPUTE_BEAT,
  COMPUTE_STEPS,
  COMPUTE_THREAD,
  type ComputePort,
  type ComputeSeat,
  type ComputeStart,
  type Computes,
  READY_FOR_PORTS,
} from "./compute-messages.ts";
import type { ModelPlan } from "./models/model.ts";
import { type Leavings, Supervisor, type ThreadKind } from "./supervisor.ts";
import type { Beat } from "./watchdog.ts";

/** Says something to a thread, with the ports that go to it. */
export type Say = (message: unknown, transfer: readonly MessagePort[]) => void;

export class ComputeThreads implements ThreadKind {
  readonly entry = new URL(
    `compute-thread${extname(new URL(import.meta.url).pathname)}`,
    import.meta.url,
  );
  /** Rejects when the pool could not go on by itself. */
  readonly ended: Promise<void>;
  readonly #plan: ModelPlan;
  readonly #threads: Supervisor<Computes>;
  readonly #loads: Int32Array<SharedArrayBuffer>;
  readonly #cancelled: readonly Int32Array<SharedArrayBuffer>[];
  readonly #beats: readonly Int32Array<SharedArrayBuffer>[];
  /** Those that are ready for ports. */
  readonly #reactors = new Map<number, Say>();
  readonly #ready = new Set<number>();
  readonly #end = deferred<void>();

  constructor(plan: ModelPlan) {
    const { threads, computeThreads, limits, onError } = plan.options;
    this.#plan = plan;
    this.ended = this.#end.promise;
    this.#loads = shared(threads * computeThreads);
    this.#cancelled = Array.from({ length: threads }, () => shared(limits.computeQueue));
    this.#beats = Array.from({ length: computeThreads }, () => shared(COMPUTE_BEAT));
    this.#threads = new Supervisor({
      kind: this,
      seats: computeThreads,
      // What is heavy may take long.
      limits: { ...limits, blockedMs: limits.computeMs },
      onError,
      gaveUp: (error) => this.#end.reject(error),
    });
  }

  /**
   * The first one tells whether there is anything to compute: without it the pool ends, and has no threads.
   * @throws what keeps a thread from starting, an OptionError where threads were asked for that would have nothing to do
   */
  async start(): Promise<void> {
    const { computeThreads } = this.#plan.options;
    try {
      if (!(await this.#threads.start(0))) return void (await this.#threads.close(0));
      const others = Array.from({ length: computeThreads - 1 }, (_, n) => n + 1);
      await Promise.all(others.map((seat) => this.#threads.start(seat)));
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#threads.close(0);
    this.#end.resolve();
  }

  abandon(): Promise<void> {
    return this.#threads.abandon();
  }

  // The reactors' side.

  seatFor(reactor: number): ComputeSeat {
    const { computeThreads, limits } = this.#plan.options;
    return {
      loads: this.#loads,
      reactor,
      threads: computeThreads,
      cancelled: this.#cancelledOf(reactor),
      queue: limits.computeQueue,
    };
  }

  /** A reactor can take ports. */
  reactorReady(reactor: number, say: Say): void {
    this.#reactors.set(reactor, say);
    for (const thread of this.#ready) this.#introduce(reactor, say, thread);
  }

  /** A reactor has ended: nobody waits for what it wanted computed. */
  reactorLeft(reactor: number): void {
    this.#reactors.delete(reactor);
    this.#cancelledOf(reactor).fill(1);
    const { computeThreads } = this.#plan.options;
    for (let n = 0; n < computeThreads; n++) {
      Atomics.store(this.#loads, reactor * computeThreads + n, 0);
    }
  }

  // What a compute thread is, for its supervisor.

  name(seat: number): string {
    return `sluice compute ${seat}`;
  }

  startData(seat: number): ComputeStart {
    const { handlers, options } = this.#plan;
    if (!("module" in handlers)) throw new Error("threads need a handler module");
    const wanted = options.computeThreadsChosen;
    return { module: handlers.module.href, beat: this.#beatOf(seat), wanted };
  }

  /** Between tasks its event loop comes to rest, which counts too. */
  beat(seat: number): Beat {
    const words = this.#beatOf(seat);
    return {
      progress: words[COMPUTE_STEPS] as number,
      waits: false,
      doing: () => "compute",
      schedule: () => threadSchedule(words[COMPUTE_THREAD] as number),
    };
  }

  left(seat: number): Leavings {
    this.#ready.delete(seat);
    return { ended: 0, adopted: 0 };
  }

  heard(seat: number, message: unknown): void {
    if (message !== READY_FOR_PORTS) return;
    this.#ready.add(seat);
    for (const [reactor, say] of this.#reactors) this.#introduce(reactor, say, seat);
  }

  #introduce(reactor: number, say: Say, thread: number): void {
    const { port1, port2 } = new MessageChannel();
    const kind = "compute port";
    say({ kind, peer: thread, port: port1 } satisfies ComputePort, [port1]);
    const cancelled = this.#cancelledOf(reactor);
    const toThread: ComputePort = { kind, peer: reactor, port: port2, cancelled };
    this.#threads.say(thread, toThread, [port2]);
  }

  #beatOf(seat: number): Int32Array<SharedArrayBuffer> {
    const beat = this.#beats[seat];
    if (beat === undefined) throw new RangeError(`there is no seat ${seat}`);
    return beat;
  }

  #cancelledOf(reactor: number): Int32Array<SharedArrayBuffer> {
    const cancelled = this.#cancelled[reactor];
    if (cancelled === undefined) throw new RangeError(`there is no reactor ${reactor}`);
    return cancelled;
  }
}

function shared(length: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(length * 4));
}
