// Looks after threads: each seat has one Worker, which is started, watched, replaced when it ends by itself, and closed in
// the end. It runs in the thread that started the server.
//
// What a thread does is the business of its kind (a reactor, a worker of a pool): the supervisor knows only the messages of
// worker-messages.ts, and hands on what a model and its threads have to say to each other.
//
// Invariant: a seat is told `left` once for each worker that was on it, after that has ended and before the next one
// starts: whatever the dead one noted in shared memory is cleaned up by nobody else.

import {
  MessageChannel,
  type MessagePort,
  type ResourceLimits,
  receiveMessageOnPort,
  type Transferable,
  Worker,
} from "node:worker_threads";
import { deferred } from "../deferred.ts";
import type { Limits } from "../limits.ts";
import { makeForegroundWorker } from "../reactor/compilation.ts";
import { Restarts } from "./restarts.ts";
import { Terminations } from "./terminations.ts";
import { ThreadBlockedError, ThreadEndedError, type ThreadEndReason } from "./thread-ended.ts";
import { type Beat, Watchdog } from "./watchdog.ts";
import { type FromWorker, receivedError, type ToWorker } from "./worker-messages.ts";

/** What a model's threads are. */
export interface ThreadKind {
  /** The worker's file: .ts while developing, .js as published. */
  readonly entry: URL;
  /** Further bounds of its memory; that of its heap is `limits.heapBytes`. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /** What the thread is called: `sluice reactor 0` in errors, and then `sluice-r0` in `top -H`. */
  name(seat: number): string;
  /** Given to the worker as its workerData, with `port` added. */
  startData(seat: number): object;
  /** The thread of a seat works. */
  began?(seat: number): void;
  /**
   * The thread of a seat is gone, however it ended: clean up what it left, and say how many connections that were. `replaced`:
   * another one takes its place.
   */
  left(seat: number, replaced: boolean): Leavings;
  /** How the thread gets on; one that cannot say so is not watched. */
  beat?(seat: number): Beat;
  /** What the thread has to say to its model. */
  heard?(seat: number, message: unknown): void;
}

/** Connections of a thread that is gone. */
export interface Leavings {
  /** They have ended with it. */
  readonly ended: number;
  /** They go on in other threads. */
  readonly adopted: number;
}

export interface SupervisorOptions {
  readonly kind: ThreadKind;
  /** Threads at the most. */
  readonly seats: number;
  readonly limits: Limits;
  readonly onError: (error: unknown) => void;
  /** The threads end too often: all have been terminated, and none is started any more. */
  readonly gaveUp: (error: Error) => void;
}

interface Seat<Ready> {
  readonly index: number;
  worker: Worker | undefined;
  port: MessagePort | undefined;
  /** Settles when the present worker works or has failed to. */
  ready: PromiseWithResolvers<Ready>;
  /** When its start began. */
  startedMs: number;
  /** When it began to work; undefined before. */
  readyMs: number | undefined;
  /** Why it is about to end, as far as that is known. */
  end:
    | { readonly reason: ThreadEndReason; readonly text: string; readonly cause?: unknown }
    | undefined;
  /** Set while the worker is asked to close. */
  closed: PromiseWithResolvers<boolean> | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** What a closing thread may take beyond its deadline. */
const GRACE_MS = 2000;
const MIB = 1024 * 1024;

export class Supervisor<Ready> {
  readonly #options: SupervisorOptions;
  readonly #seats: readonly Seat<Ready>[];
  readonly #restarts: Restarts;
  readonly #watchdog: Watchdog;
  readonly #terminations = new Terminations();
  #closing = false;

  constructor(options: SupervisorOptions) {
    const { seats, limits } = options;
    this.#options = options;
    this.#restarts = new Restarts(seats, limits.restarts);
    this.#watchdog = new Watchdog({
      blockedMs: limits.blockedMs,
      warn: (seat, blockedMs, what) => this.#warn(seat, blockedMs, what),
      end: (seat, blockedMs, what) => {
        const text = `was ended, blocked for ${seconds(blockedMs)} by ${what}`;
        void this.#finish(this.#seat(seat), { reason: "blocked", text });
      },
    });
    this.#seats = Array.from({ length: seats }, (_, index) => ({
      index,
      worker: undefined,
      port: undefined,
      ready: deferred<Ready>(),
      startedMs: 0,
      readyMs: undefined,
      end: undefined,
      closed: undefined,
      timer: undefined,
    }));
  }

  /** Puts a worker on a free seat; resolves once it works. @throws what its start failed with, Error when all are being ended */
  async start(index: number): Promise<Ready> {
    if (this.#closing) throw new Error("no thread is started any more: all are being ended");
    return this.#occupy(this.#seat(index));
  }

  /** Whether the thread of a seat works: it has started, and has not ended. */
  works(index: number): boolean {
    const { worker, readyMs } = this.#seat(index);
    return worker !== undefined && readyMs !== undefined;
  }

  /** Says something of the model's to the thread of a seat; false when there is none at the moment. */
  say(index: number, message: unknown, transfer: readonly Transferable[] = []): boolean {
    const { port } = this.#seat(index);
    if (port === undefined) return false;
    port.postMessage({ kind: "model", message } satisfies ToWorker, [...transfer]);
    return true;
  }

  /**
   * Asks every thread to finish and ends it; true when all had finished in time. With `graceMs` they first go on for so long
   * with what they have. None is replaced from here on. A second call hastens the first.
   */
  async close(drainMs: number, graceMs = 0): Promise<boolean> {
    this.#closing = true;
    const ends = this.#seats.map((seat) => this.#closeSeat(seat, drainMs, graceMs));
    const answers = await Promise.all(ends);
    return answers.every((clean) => clean);
  }

  /** Terminates every thread. */
  async abandon(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#seats.map((seat) => this.#finish(seat)));
  }

  #seat(index: number): Seat<Ready> {
    const seat = this.#seats[index];
    if (seat === undefined) throw new RangeError(`there is no seat ${index}`);
    return seat;
  }

  #occupy(seat: Seat<Ready>): Promise<Ready> {
    const { kind, limits } = this.#options;
    const { port1, port2 } = new MessageChannel();
    const options = {
      name: nameForTop(kind.name(seat.index)),
      workerData: { ...kind.startData(seat.index), port: port2 },
      transferList: [port2],
      resourceLimits: {
        ...kind.resourceLimits,
        maxOldGenerationSizeMb: Math.ceil(limits.heapBytes / MIB),
      },
    };
    const worker = makeForegroundWorker(() => new Worker(kind.entry, options));
    seat.worker = worker;
    seat.port = port1;
    seat.ready = deferred<Ready>();
    seat.startedMs = performance.now();
    seat.readyMs = undefined;
    seat.end = undefined;
    seat.timer = setTimeout(() => this.#late(seat), limits.startMs).unref();
    port1.on("message", (message: FromWorker<Ready>) => this.#heard(seat, worker, message));
    worker.on("error", (error) => {
      seat.end ??= endOf(error, limits);
    });
    worker.on("exit", (code) => this.#left(seat, worker, code));
    return seat.ready.promise;
  }

  #heard(seat: Seat<Ready>, worker: Worker, message: FromWorker<Ready>): void {
    const { kind, onError } = this.#options;
    if (message.kind === "ready") this.#ready(seat, worker, message.ready);
    else if (message.kind === "failed") this.#failed(seat, receivedError(message.error));
    else if (message.kind === "error") onError(message.error);
    else if (message.kind === "closed") seat.closed?.resolve(message.clean);
    else kind.heard?.(seat.index, message.message);
  }

  #ready(seat: Seat<Ready>, worker: Worker, ready: Ready): void {
    const { kind } = this.#options;
    clearTimeout(seat.timer);
    seat.readyMs = performance.now();
    if (kind.beat !== undefined) {
      this.#watchdog.watch(seat.index, worker, kind.beat.bind(kind, seat.index));
    }
    seat.ready.resolve(ready);
    kind.began?.(seat.index);
  }

  #late(seat: Seat<Ready>): void {
    const { kind, limits } = this.#options;
    const within = seconds(limits.startMs);
    this.#failed(seat, new Error(`${kind.name(seat.index)} has not started within ${within}`));
  }

  #failed(seat: Seat<Ready>, error: Error): void {
    const text = `could not start: ${error.message}`;
    seat.ready.reject(error);
    void this.#finish(seat, { reason: "start", text, cause: error });
  }

  #warn(index: number, blockedMs: number, what: string): void {
    const { kind, limits, onError } = this.#options;
    const text = `${kind.name(index)} has been blocked for ${seconds(blockedMs)} by ${what}`;
    const then = `after ${seconds(limits.blockedMs)} it is ended`;
    onError(new ThreadBlockedError(index, blockedMs, `${text}; ${then}`));
  }

  #left(seat: Seat<Ready>, worker: Worker, code: number): void {
    if (seat.worker !== worker) return;
    this.#hearOut(seat, worker);
    const { kind, onError } = this.#options;
    const { reason, text, cause } = seat.end ?? {
      reason: "exit",
      text: `ended by itself with code ${code}`,
      cause: undefined,
    };
    this.#watchdog.leave(seat.index);
    clearTimeout(seat.timer);
    seat.worker = undefined;
    seat.port?.close();
    seat.port = undefined;
    const left = kind.left(seat.index, !this.#closing);
    const many = left.ended === 1 ? "1 connection" : `${left.ended} connections`;
    const others = left.adopted === 0 ? "" : `, ${left.adopted} go on in other threads`;
    const told = `${kind.name(seat.index)} ${text}; ${many} ended with it${others}`;
    const error = new ThreadEndedError(seat.index, reason, left, told, cause);
    seat.ready.reject(error);
    seat.closed?.resolve(false);
    if (this.#closing) return;
    onError(error);
    this.#replace(seat);
  }

  /** What a thread has said before its end, and nobody has listened to yet. */
  #hearOut(seat: Seat<Ready>, worker: Worker): void {
    const { port } = seat;
    if (port === undefined) return;
    for (let last = receiveMessageOnPort(port); last; last = receiveMessageOnPort(port)) {
      this.#heard(seat, worker, last.message);
    }
  }

  #replace(seat: Seat<Ready>): void {
    const now = performance.now();
    const worked = ({ readyMs }: Seat<Ready>) => (readyMs === undefined ? 0 : now - readyMs);
    const others = this.#seats.filter(({ worker }) => worker !== undefined);
    const othersMs = Math.max(0, ...others.map(worked));
    const livedMs = now - seat.startedMs;
    const wait = this.#restarts.ended(seat.index, livedMs, worked(seat), othersMs);
    if (wait === undefined) return void this.#giveUp();
    seat.timer = setTimeout(() => {
      // Whether it can start is told when it has ended.
      if (!this.#closing) this.#occupy(seat).catch(() => undefined);
    }, wait);
  }

  async #giveUp(): Promise<void> {
    const { limits, gaveUp } = this.#options;
    await this.abandon();
    gaveUp(new Error(`${limits.restarts} threads in a row ended within a second: giving up`));
  }

  async #closeSeat(seat: Seat<Ready>, drainMs: number, graceMs: number): Promise<boolean> {
    const { worker, port } = seat;
    clearTimeout(seat.timer);
    if (worker === undefined || port === undefined) return true;
    seat.closed ??= deferred<boolean>();
    const { promise, resolve } = seat.closed;
    port.postMessage({ kind: "close", drainMs, graceMs } satisfies ToWorker);
    const late = setTimeout(resolve, graceMs + drainMs + GRACE_MS, false);
    const clean = await promise;
    clearTimeout(late);
    await this.#finish(seat);
    return clean;
  }

  /** Terminates the thread of a seat. One that is in a native call cannot be: it must not hold up the others' end. */
  async #finish(seat: Seat<Ready>, end?: Seat<Ready>["end"]): Promise<void> {
    const { worker } = seat;
    if (worker === undefined) return;
    seat.end ??= end;
    if (await this.#terminations.terminate(worker)) return;
    worker.unref();
    const name = this.#options.kind.name(seat.index);
    this.#options.onError(new Error(`${name} cannot be ended while it is in a native call`));
  }
}

/** `sluice-r0` for `sluice reactor 0`: of the names of its threads the kernel keeps 15 bytes. */
function nameForTop(name: string): string {
  return name.replace(/^sluice (\w)\w* (?=\d+$)/, "sluice-$1");
}

function endOf(error: unknown, limits: Limits): Seat<unknown>["end"] {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ERR_WORKER_OUT_OF_MEMORY") {
    const mebibytes = Math.ceil(limits.heapBytes / MIB);
    return {
      reason: "heap",
      text: `ended by itself: its heap reached ${mebibytes} MiB`,
      cause: error,
    };
  }
  const what = error instanceof Error ? error.message : String(error);
  return { reason: "error", text: `ended by itself: ${what}`, cause: error };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
