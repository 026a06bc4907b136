// The blocking threads of a server that were started together, and the queue in shared memory that they take their connections
// from. A server has one generation, and for a while two, when it is reloaded.

import { availableParallelism } from "node:os";
import { BLOCKING } from "../driver/choices.ts";
import { DescriptorQueue } from "../driver/descriptor-queue.ts";
import { NOTES_AHEAD } from "../driver/thread-notes.ts";
import { shareOf } from "../limits.ts";
import { CONNECTIONS, countersOf } from "../reactor/counters.ts";
import type { Address } from "../sys/address.ts";
import type { Threads } from "./generations.ts";
import type { Mailboxes } from "./mailboxes.ts";
import type { ModelPlan } from "./models/model.ts";
import { ReactorKind } from "./reactor-kind.ts";
import { Supervisor } from "./supervisor.ts";
import type { ServerMail } from "./thread-mail.ts";
import { Turnstile } from "./turnstile.ts";
import { LOADED } from "./worker-messages.ts";

export interface BlockingGenerationOptions {
  /** With counters that are this generation's. */
  readonly plan: ModelPlan;
  readonly mailboxes: Mailboxes;
  /** Connections that may wait for a thread. */
  readonly queued: number;
  /** See SupervisorOptions. */
  readonly gaveUp: (error: Error) => void;
}

/** A thread of this kind keeps little, and there are many: a small young generation (see decision 0011). */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 1 } as const;

export class BlockingGeneration implements Threads {
  readonly queue: DescriptorQueue;
  /** Threads at the most. */
  readonly seats: number;
  /** Threads that were started so far, or wait for their turn to start; each stays, for the next connection. */
  started = 0;
  readonly #turnstile = new Turnstile(availableParallelism());
  /** Seats whose threads are loading their code. */
  readonly #loading = new Set<number>();
  readonly #plan: ModelPlan;
  readonly #kind: ReactorKind;
  readonly #threads: Supervisor<Address>;

  constructor({ plan, mailboxes, queued, gaveUp }: BlockingGenerationOptions) {
    const { limits, threads, onError } = plan.options;
    this.#plan = plan;
    this.seats = threads;
    this.queue = DescriptorQueue.allocate(queued);
    this.#kind = new ReactorKind({
      plan,
      seats: threads,
      driver: BLOCKING,
      limits: { ...shareOf(limits, threads), connections: 1 },
      mailboxes,
      target: () => ({ queue: this.queue.table }),
      heard: (seat, message) => {
        if (message === LOADED) this.#loaded(seat);
      },
      resourceLimits: RESOURCE_LIMITS,
    });
    this.#threads = new Supervisor({ kind: this.#kind, seats: threads, limits, onError, gaveUp });
  }

  get mail(): ServerMail {
    return this.#kind.mail;
  }

  /** Starts so many threads. @throws what keeps them from starting */
  async open(threads: number): Promise<void> {
    await Promise.all(Array.from({ length: threads }, () => this.startThread()));
  }

  /**
   * One more thread; there must be a free seat. Resolves once it works. As many load their code at a time as there are processors:
   * all at once they would take those away, for as long as they start, from the threads that serve, and from each other.
   */
  async startThread(): Promise<Address> {
    const seat = this.started++;
    await this.#turnstile.enter();
    this.#loading.add(seat);
    try {
      return await this.#threads.start(seat);
    } finally {
      this.#loaded(seat);
    }
  }

  /** Told when it has loaded its code, and again when its start is over, however. */
  #loaded(seat: number): void {
    if (this.#loading.delete(seat)) this.#turnstile.leave();
  }

  /** Threads that serve a connection. */
  get busy(): number {
    let count = 0;
    for (let seat = 0; seat < this.started; seat++) {
      count += countersOf(this.#plan.counters, seat)[CONNECTIONS] as number;
    }
    return count;
  }

  /** Descriptors of the connections that its threads serve. */
  *served(): Iterable<number> {
    for (const notes of this.#kind.notes) {
      for (let at = NOTES_AHEAD; at < notes.length; at++) {
        const descriptor = Atomics.load(notes, at);
        if (descriptor >= 0) yield descriptor;
      }
    }
  }

  /** As Supervisor.close. Nobody may put anything into its queue any more. */
  async close(drainMs: number, graceMs: number): Promise<boolean> {
    const clean = await this.#threads.close(drainMs, graceMs);
    this.#plan.ledger.retire(this.#plan.counters);
    return clean;
  }

  /** Ends without draining. */
  async abandon(): Promise<void> {
    await this.#threads.abandon();
    this.#plan.ledger.retire(this.#plan.counters);
  }
}
