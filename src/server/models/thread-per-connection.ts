// thread-per-connection: a thread with blocking calls for each connection. A thread is started when none is free, and is kept
// for the next connection when its own has closed: starting one costs more than most connections do (decision 0011).
//
// The lesson: it is the simplest model, and it dies of its threads. Each is an isolate with a heap and a stack of its own, so
// there is a cap, and a clear refusal above it.

import type { BlockingGeneration } from "../blocking-generation.ts";
import { BlockingThreads } from "../blocking-threads.ts";
import type { ModelPlan, RunningModel } from "./model.ts";

/** How often those that were placed and not taken are looked at, in ms. */
const CHECK_MS = 20;

export async function startThreadPerConnection(plan: ModelPlan): Promise<RunningModel> {
  const model = new ThreadPerConnection(plan);
  await model.threads.open(1);
  return model;
}

class ThreadPerConnection implements RunningModel {
  readonly threads: BlockingThreads;
  readonly ended: Promise<void>;
  #check: NodeJS.Timeout | undefined;

  constructor(plan: ModelPlan) {
    const { threads } = plan.options;
    this.threads = new BlockingThreads(plan, {
      queued: threads,
      place: (threads, descriptor) => this.#place(threads, descriptor),
      full:
        `all ${threads} threads serve a connection: more are refused. ` +
        "Raise threads, or use a model that does not need a thread for each (multi-reactor)",
    });
    this.ended = this.threads.ended;
  }

  get address() {
    return this.threads.address;
  }

  get mail() {
    return this.threads.mail;
  }

  reload(graceMs: number, drainMs: number): Promise<void> {
    return this.threads.reload(graceMs, drainMs);
  }

  close(drainMs: number): Promise<boolean> {
    clearTimeout(this.#check);
    return this.threads.close(drainMs);
  }

  #place(threads: BlockingGeneration, descriptor: number): boolean {
    if (!this.#makeRoomFor(threads, threads.queue.length + 1)) return false;
    const placed = threads.queue.put(descriptor);
    this.#check ??= setTimeout(() => this.#checkPlaced(), CHECK_MS);
    return placed;
  }

  /** Makes sure that so many threads are free, if there may be more. */
  #makeRoomFor(threads: BlockingGeneration, connections: number): boolean {
    if (threads.started - threads.busy >= connections) return true;
    if (threads.started === threads.seats) return false;
    // The supervisor tells when one cannot start; while the server ends, none has to.
    threads.startThread().catch(() => undefined);
    return true;
  }

  /**
   * A thread counts as free from when it has taken a connection until that is open: two may have been given the same one. Who
   * still waits then gets a thread of its own, or is refused.
   */
  #checkPlaced(): void {
    this.#check = undefined;
    const { present } = this.threads;
    const waiting = present.queue.length;
    if (waiting === 0) return;
    if (!this.#makeRoomFor(present, waiting)) {
      const last = present.queue.take();
      if (last >= 0) this.threads.refuse(last);
    }
    this.#check = setTimeout(() => this.#checkPlaced(), CHECK_MS);
  }
}
