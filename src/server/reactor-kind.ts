// What a thread with a reactor is, for the supervisor: what it is given at its start, and what is cleaned up after it. The
// models differ in how many there are and where each gets its connections.

import { extname } from "node:path";
import type { ResourceLimits } from "node:worker_threads";
import { type ServingDriver, sharesDescriptors } from "../driver/choose-driver.ts";
import type { ListenTarget } from "../driver/driver.ts";
import { cleanUpAfterThread, notesLength } from "../driver/thread-notes.ts";
import type { Limits } from "../limits.ts";
import {
  CLOSED,
  CONNECTIONS,
  countersOf,
  INPUT_BYTES,
  OUTPUT_BYTES,
  SUBSCRIPTIONS,
} from "../reactor/counters.ts";
import type { Balancing } from "./balancing.ts";
import type { MailboxSeat } from "./mailbox.ts";
import { Mailboxes } from "./mailboxes.ts";
import type { ModelPlan } from "./models/model.ts";
import { slotsFor } from "./reactor-thread.ts";
import type { ThreadKind } from "./supervisor.ts";
import { MailToThreads, type ServerMail } from "./thread-mail.ts";
import type { ReactorStart } from "./worker-messages.ts";

export interface ReactorKindOptions {
  readonly plan: ModelPlan;
  /** Threads at the most. */
  readonly seats: number;
  readonly driver: ServingDriver;
  /** The share of one. */
  readonly limits: Limits;
  /** Where a thread that starts now gets its connections. */
  readonly target: () => ListenTarget;
  /** How the threads hand connections to each other, when they do. */
  readonly balancing?: Balancing | undefined;
  /** Bounds of its heap. */
  readonly resourceLimits?: ResourceLimits;
}

export class ReactorKind implements ThreadKind {
  readonly entry = workerEntry();
  readonly resourceLimits: ResourceLimits | undefined;
  /** What the driver of each thread holds of the process. */
  readonly notes: readonly Int32Array<SharedArrayBuffer>[];
  /** How the server reaches its threads. */
  readonly mail: ServerMail;
  readonly #options: ReactorKindOptions;
  readonly #mailboxes: Mailboxes;
  readonly #boxes: (MailboxSeat | undefined)[] = [];

  constructor(options: ReactorKindOptions) {
    this.#options = options;
    this.resourceLimits = options.resourceLimits;
    const { seats, driver } = options;
    this.#mailboxes = new Mailboxes(seats, options.limits, sharesDescriptors(driver));
    this.mail = new MailToThreads(this.#mailboxes);
    const entries = notesLength(slotsFor(options.limits.connections));
    this.notes = Array.from({ length: options.seats }, () =>
      new Int32Array(new SharedArrayBuffer(entries * 4)).fill(-1),
    );
  }

  name(seat: number): string {
    return `sluice reactor ${seat}`;
  }

  startData(seat: number): ReactorStart {
    const { plan, driver, limits, target, balancing } = this.#options;
    const { handlers, counters, options } = plan;
    if (!("module" in handlers)) throw new Error("threads need a handler module");
    const mailbox = this.#mailboxes.open();
    this.#boxes[seat] = mailbox;
    return {
      module: handlers.module.href,
      driver,
      target: target(),
      limits,
      overflow: options.overflow,
      slowSubscriber: options.slowSubscriber,
      place: { thread: seat, threads: options.threads, mailbox },
      counters: countersOf(counters, seat),
      notes: this.#notesOf(seat),
      ...(balancing && { placement: balancing.seatFor(seat, mailbox.wakeDescriptor) }),
    };
  }

  left(seat: number): void {
    cleanUpAfterThread(this.#notesOf(seat));
    countAsClosed(countersOf(this.#options.plan.counters, seat));
    this.#options.balancing?.left(seat);
    const mailbox = this.#boxes[seat];
    if (mailbox !== undefined) this.#mailboxes.vacate(mailbox);
    this.#boxes[seat] = undefined;
  }

  /** Once all threads have ended. */
  close(): void {
    this.#mailboxes.close();
  }

  #notesOf(seat: number): Int32Array {
    const notes = this.notes[seat];
    if (notes === undefined) throw new RangeError(`there is no seat ${seat}`);
    return notes;
  }
}

/** What the thread had open and kept is gone with it; the next thread on its seat goes on counting from there. */
function countAsClosed(counters: Float64Array): void {
  counters[CLOSED] = (counters[CLOSED] as number) + (counters[CONNECTIONS] as number);
  counters[CONNECTIONS] = 0;
  counters[OUTPUT_BYTES] = 0;
  counters[INPUT_BYTES] = 0;
  counters[SUBSCRIPTIONS] = 0;
}

/** The worker's file beside this one: .ts while developing, .js as published. */
function workerEntry(): URL {
  return new URL(`worker-thread${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
}
