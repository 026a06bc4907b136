// Threads that block in their calls, each for one connection at a time: what thread-pool and thread-per-connection are made
// of. The door accepts and puts connections into a queue in shared memory; a thread without one sleeps on that queue
// (Atomics.wait), takes the next, and serves it until it closes.
//
// Invariant: a connection is the door's, the queue's, or that of the one thread which took it out; each of the three
// closes what it has when the server ends.

import { deferred } from "../deferred.ts";
import { BLOCKING } from "../driver/choose-driver.ts";
import { DescriptorQueue } from "../driver/descriptor-queue.ts";
import { NOTES_AHEAD } from "../driver/thread-notes.ts";
import { type Limits, shareOf } from "../limits.ts";
import { countableAddress } from "../reactor/acceptor.ts";
import { CONNECTIONS, countersOf } from "../reactor/counters.ts";
import type { Address } from "../sys/address.ts";
import { remoteAddress } from "../sys/socket-calls.ts";
import { Door } from "./door.ts";
import { listenAddress, openSharedListener, type SharedListener } from "./listener.ts";
import type { ModelPlan, RunningModel } from "./models/model.ts";
import { ReactorKind } from "./reactor-kind.ts";
import { Supervisor } from "./supervisor.ts";
import type { ServerMail } from "./thread-mail.ts";

export interface BlockingThreadsOptions {
  /** Connections that may wait for a thread. */
  readonly queued: number;
  /** Finds a connection a place among the threads and the queue; false: there is none. */
  readonly place: (threads: BlockingThreads, descriptor: number) => boolean;
  /** What to say when there is no place. */
  readonly full: string;
}

/** A thread of this kind keeps little, and there are many: a small young generation (see decision 0011). */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 1 } as const;

export class BlockingThreads implements RunningModel {
  address: Address = { family: "unix", path: "" };
  readonly ended: Promise<void>;
  readonly queue: DescriptorQueue;
  /** Threads at the most. */
  readonly seats: number;
  /** Threads that were started so far; each stays, for the next connection. */
  started = 0;
  readonly #plan: ModelPlan;
  readonly #options: BlockingThreadsOptions;
  readonly #limits: Limits;
  readonly #kind: ReactorKind;
  readonly #threads: Supervisor<Address>;
  readonly #end = deferred<void>();
  #listener: SharedListener | undefined;
  #door: Door | undefined;

  constructor(plan: ModelPlan, options: BlockingThreadsOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#limits = plan.options.limits;
    this.seats = plan.options.threads;
    this.ended = this.#end.promise;
    this.queue = DescriptorQueue.allocate(options.queued);
    this.#kind = new ReactorKind({
      plan,
      seats: this.seats,
      driver: BLOCKING,
      limits: { ...shareOf(this.#limits, this.seats), connections: 1 },
      target: () => ({ queue: this.queue.table }),
      resourceLimits: RESOURCE_LIMITS,
    });
    this.#threads = new Supervisor({
      kind: this.#kind,
      seats: this.seats,
      limits: this.#limits,
      onError: plan.options.onError,
      gaveUp: (error) => {
        this.#shut();
        this.#kind.close();
        this.#end.reject(error);
      },
    });
  }

  get mail(): ServerMail {
    return this.#kind.mail;
  }

  /** Starts so many threads, then accepts. @throws what keeps them from starting */
  async open(threads: number): Promise<void> {
    const { options, counters } = this.#plan;
    const { limits, onError } = options;
    this.#listener = openSharedListener(await listenAddress(options), options);
    this.address = this.#listener.address;
    try {
      await Promise.all(Array.from({ length: threads }, () => this.startThread()));
      this.#door = new Door({
        listener: this.#listener,
        limits,
        counters: countersOf(counters, options.threads),
        place: (descriptor) =>
          this.#hasRoomFor(descriptor) && this.#options.place(this, descriptor),
        full: this.#options.full,
        onError,
      });
    } catch (error) {
      await this.#threads.abandon();
      this.#kind.close();
      this.#listener.close();
      throw error;
    }
  }

  async close(drainMs: number): Promise<boolean> {
    this.#shut();
    const clean = await this.#threads.close(drainMs);
    this.#kind.close();
    this.#end.resolve();
    return clean;
  }

  /** One more thread; there must be a free seat. Resolves once it works. */
  startThread(): Promise<Address> {
    return this.#threads.start(this.started++);
  }

  /** Threads that serve a connection. */
  get busy(): number {
    let count = 0;
    for (let seat = 0; seat < this.started; seat++) {
      count += countersOf(this.#plan.counters, seat)[CONNECTIONS] as number;
    }
    return count;
  }

  /** Resets a connection that was placed and has lost its place. */
  refuse(descriptor: number): void {
    this.#door?.refuse(descriptor);
  }

  /** Nobody comes in any more, and who still waits for a thread is refused. */
  #shut(): void {
    this.#door?.close();
    for (let next = this.queue.take(); next >= 0; next = this.queue.take()) this.refuse(next);
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
    for (const notes of this.#kind.notes) {
      for (let at = NOTES_AHEAD; at < notes.length; at++) {
        const served = Atomics.load(notes, at);
        if (served >= 0 && hostOf(served) === host) count++;
      }
    }
    return count < this.#limits.connectionsPerAddress;
  }
}

/** The peer's address if it is one that counts. */
function hostOf(descriptor: number): string | undefined {
  return countableAddress(remoteAddress(descriptor));
}
