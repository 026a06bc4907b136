// Threads that block in their calls, each for one connection at a time: what thread-pool and thread-per-connection are made
// of. The door accepts and puts connections into a queue in shared memory; a thread without one sleeps on that queue
// (Atomics.wait), takes the next, and serves it until it closes.
//
// A reload starts a second generation of threads beside the first. When they work the door gives all to them, with those that
// still wait for a thread of the old ones, which then end.
//
// Invariant: a connection is the door's, the queue's, or that of the one thread which took it out; each of the three
// closes what it has when the server ends.

import { deferred } from "../deferred.ts";
import { countableAddress } from "../reactor/acceptor.ts";
import { countersOf } from "../reactor/counters.ts";
import type { Address } from "../sys/address.ts";
import { remoteAddress } from "../sys/socket-calls.ts";
import { BlockingGeneration } from "./blocking-generation.ts";
import { Door } from "./door.ts";
import { GENERATIONS, Generations } from "./generations.ts";
import { listenAddress, openSharedListener, type SharedListener } from "./listener.ts";
import { Mailboxes } from "./mailboxes.ts";
import type { ModelPlan, RunningModel } from "./models/model.ts";
import type { ServerMail } from "./thread-mail.ts";

export interface BlockingThreadsOptions {
  /** Connections that may wait for a thread. */
  readonly queued: number;
  /** Finds a connection a place among the threads and the queue; false: there is none. */
  readonly place: (threads: BlockingGeneration, descriptor: number) => boolean;
  /** What to say when there is no place. */
  readonly full: string;
}

export class BlockingThreads implements RunningModel {
  address: Address = { family: "unix", path: "" };
  readonly ended: Promise<void>;
  readonly #plan: ModelPlan;
  readonly #options: BlockingThreadsOptions;
  readonly #mailboxes: Mailboxes;
  readonly #end = deferred<void>();
  readonly #generations: Generations<BlockingGeneration>;
  #listener: SharedListener | undefined;
  #door: Door | undefined;

  constructor(plan: ModelPlan, options: BlockingThreadsOptions) {
    const { threads, limits } = plan.options;
    this.#plan = plan;
    this.#options = options;
    this.ended = this.#end.promise;
    this.#mailboxes = new Mailboxes(threads * GENERATIONS, limits, true);
    this.#generations = new Generations(this.#generation(plan));
  }

  get mail(): ServerMail {
    return this.present.mail;
  }

  /** Those that take what comes in now. */
  get present(): BlockingGeneration {
    return this.#generations.present;
  }

  /** Starts so many threads, then accepts. @throws what keeps them from starting */
  async open(threads: number): Promise<void> {
    const { options, ledger } = this.#plan;
    const { limits, onError } = options;
    this.#listener = openSharedListener(await listenAddress(options), options);
    this.address = this.#listener.address;
    try {
      await this.present.open(threads);
      this.#door = new Door({
        listener: this.#listener,
        limits,
        // Its own: the door outlives every generation.
        counters: countersOf(ledger.open(), options.threads),
        place: (descriptor) =>
          this.#hasRoomFor(descriptor) && this.#options.place(this.present, descriptor),
        full: this.#options.full,
        onError,
      });
    } catch (error) {
      await this.present.abandon();
      this.#mailboxes.close();
      this.#listener.close();
      throw error;
    }
  }

  reload(graceMs: number, drainMs: number): Promise<void> {
    const succession = {
      make: () => this.#generation({ ...this.#plan, counters: this.#plan.ledger.open() }),
      // As many as have been of use so far.
      start: (coming: BlockingGeneration, present: BlockingGeneration) =>
        coming.open(present.started),
      retire: async (past: BlockingGeneration, coming: BlockingGeneration) => {
        for (let next = past.queue.take(); next >= 0; next = past.queue.take()) {
          if (!this.#options.place(coming, next)) this.refuse(next);
        }
        return { ended: past.close(drainMs, Math.max(graceMs, 1)) };
      },
    };
    return this.#generations.replace(succession, drainMs);
  }

  async close(drainMs: number): Promise<boolean> {
    this.#shut();
    const clean = await this.#generations.close(drainMs);
    this.#mailboxes.close();
    this.#end.resolve();
    return clean;
  }

  /** Resets a connection that was placed and has lost its place. */
  refuse(descriptor: number): void {
    this.#door?.refuse(descriptor);
  }

  #generation(plan: ModelPlan): BlockingGeneration {
    return new BlockingGeneration({
      plan,
      mailboxes: this.#mailboxes,
      queued: this.#options.queued,
      gaveUp: (error) => void this.#giveUp(error),
    });
  }

  async #giveUp(error: Error): Promise<void> {
    this.#shut();
    await this.#generations.abandon();
    this.#mailboxes.close();
    this.#end.reject(error);
  }

  /** Nobody comes in any more, and who still waits for a thread is refused. */
  #shut(): void {
    this.#door?.close();
    const { queue } = this.present;
    for (let next = queue.take(); next >= 0; next = queue.take()) this.refuse(next);
    this.#door = undefined;
    this.#listener?.close();
    this.#listener = undefined;
  }

  /**
   * No thread sees more than one connection, so those of one address are counted here, by the descriptors that the threads
   * have noted. Those in the queue do not count yet.
   */
  #hasRoomFor(descriptor: number): boolean {
    const host = hostOf(descriptor);
    if (host === undefined) return true;
    let count = 0;
    for (const generation of this.#generations.all) {
      for (const served of generation.served()) if (hostOf(served) === host) count++;
    }
    return count < this.#plan.options.limits.connectionsPerAddress;
  }
}

/** The peer's address if it is one that counts. */
function hostOf(descriptor: number): string | undefined {
  return countableAddress(remoteAddress(descriptor));
}
