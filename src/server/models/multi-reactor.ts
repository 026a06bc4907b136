// multi-reactor: N reactors, each in a thread of its own, all accepting from one listening descriptor: nginx's shape, in
// threads. The calling thread only looks after them, by a supervisor.
//
// A thread that ends by itself (its handler threw where nobody could catch it, it ran out of heap, somebody called
// process.exit in it) costs its own connections and nothing else: what it left open is closed from here, by the table
// that its driver kept in shared memory, and another thread takes its place.

import { extname } from "node:path";
import { deferred } from "../../deferred.ts";
import { sharesDescriptors } from "../../driver/choose-driver.ts";
import type { ListenTarget } from "../../driver/driver.ts";
import { cleanUpAfterThread, notesLength } from "../../driver/thread-notes.ts";
import { type Limits, shareOf } from "../../limits.ts";
import {
  CLOSED,
  CONNECTIONS,
  countersOf,
  INPUT_BYTES,
  OUTPUT_BYTES,
} from "../../reactor/counters.ts";
import type { Address } from "../../sys/address.ts";
import {
  claimAddress,
  listenAddress,
  openSharedListener,
  ownTarget,
  type SharedListener,
} from "../listener.ts";
import { slotsFor } from "../reactor-thread.ts";
import { Supervisor, type ThreadKind } from "../supervisor.ts";
import type { ReactorStart } from "../worker-messages.ts";
import type { ModelPlan, RunningModel } from "./model.ts";

export async function startMultiReactor(plan: ModelPlan): Promise<RunningModel> {
  const model = new MultiReactor(plan);
  await model.start();
  return model;
}

class MultiReactor implements RunningModel, ThreadKind {
  address: Address = { family: "unix", path: "" };
  readonly ended: Promise<void>;
  readonly entry = workerEntry();
  readonly #plan: ModelPlan;
  readonly #limits: Limits;
  /** What the driver of each thread holds of the process. */
  readonly #notes: readonly Int32Array<SharedArrayBuffer>[];
  readonly #threads: Supervisor<Address>;
  readonly #end = deferred<void>();
  #listener: SharedListener | undefined;
  #wanted: Address | undefined;

  constructor(plan: ModelPlan) {
    const { threads, onError } = plan.options;
    this.#plan = plan;
    this.#limits = shareOf(plan.options.limits, threads);
    this.ended = this.#end.promise;
    const entries = notesLength(slotsFor(this.#limits.connections));
    this.#notes = Array.from({ length: threads }, () =>
      new Int32Array(new SharedArrayBuffer(entries * 4)).fill(-1),
    );
    this.#threads = new Supervisor({
      kind: this,
      seats: threads,
      onError,
      gaveUp: (error) => {
        this.#listener?.close();
        this.#end.reject(error);
      },
    });
  }

  async start(): Promise<void> {
    const { options, driver } = this.#plan;
    this.#wanted = await listenAddress(options);
    const shares = sharesDescriptors(driver.driver) && !options.reusePort;
    if (shares) this.#listener = openSharedListener(this.#wanted, options);
    else if (!options.reusePort) await claimAddress(this.#wanted);
    try {
      // The first one decides the port, where the system chooses and each has a socket of its own.
      this.address = await this.#threads.start(0);
      this.#wanted = this.address;
      if (this.#listener !== undefined) this.address = this.#listener.address;
      const others = Array.from({ length: options.threads - 1 }, (_, n) => n + 1);
      await Promise.all(others.map((seat) => this.#threads.start(seat)));
    } catch (error) {
      await this.#threads.abandon();
      this.#listener?.close();
      throw error;
    }
  }

  async close(drainMs: number): Promise<boolean> {
    const clean = await this.#threads.close(drainMs);
    this.#listener?.close();
    this.#end.resolve();
    return clean;
  }

  // What a thread is, for the supervisor.

  name(seat: number): string {
    return `sluice reactor ${seat}`;
  }

  startData(seat: number): ReactorStart {
    const { handlers, counters, driver, options } = this.#plan;
    if (!("module" in handlers)) throw new Error("multi-reactor needs a handler module");
    return {
      module: handlers.module.href,
      driver: driver.driver,
      target: this.#target(),
      limits: this.#limits,
      overflow: options.overflow,
      counters: countersOf(counters, seat),
      notes: this.#notesOf(seat),
    };
  }

  left(seat: number): void {
    cleanUpAfterThread(this.#notesOf(seat));
    countAsClosed(countersOf(this.#plan.counters, seat));
  }

  #notesOf(seat: number): Int32Array {
    const notes = this.#notes[seat];
    if (notes === undefined) throw new RangeError(`there is no seat ${seat}`);
    return notes;
  }

  #target(): ListenTarget {
    const { options } = this.#plan;
    const shared = options.threads > 1;
    if (this.#listener !== undefined) return { descriptor: this.#listener.descriptor, shared };
    if (this.#wanted === undefined) throw new Error("no address");
    // A driver that cannot share a descriptor can share a port.
    const reusePort = options.reusePort || shared;
    return ownTarget(this.#wanted, { ...options, socket: { ...options.socket, reusePort } });
  }
}

/** What the thread had open and kept is gone with it; the next thread on its seat goes on counting from there. */
function countAsClosed(counters: Float64Array): void {
  counters[CLOSED] = (counters[CLOSED] as number) + (counters[CONNECTIONS] as number);
  counters[CONNECTIONS] = 0;
  counters[OUTPUT_BYTES] = 0;
  counters[INPUT_BYTES] = 0;
}

/** The worker's file beside this one: .ts while developing, .js as published. */
function workerEntry(): URL {
  return new URL(`../worker-thread${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
}
