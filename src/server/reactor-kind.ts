// What a thread with a reactor is, for the supervisor: what it is given at its start, and what is cleaned up after it. The
// models differ in how many there are and where each gets its connections.

import { extname } from "node:path";
import type { ResourceLimits } from "node:worker_threads";
import { type ServingDriver, sharesDescriptors } from "../driver/choices.ts";
import type { ListenTarget } from "../driver/driver.ts";
import {
  cleanUpAfterThread,
  NOTES_AHEAD,
  notesLength,
  takeResting,
} from "../driver/thread-notes.ts";
import type { Limits } from "../limits.ts";
import {
  CLOSED,
  CONNECTIONS,
  countersOf,
  DEPARTED,
  INPUT_BYTES,
  MESSAGES,
  OUTPUT_BYTES,
  SUBSCRIPTIONS,
} from "../reactor/counters.ts";
import { makePulse, readPulse } from "../reactor/pulse.ts";
import { formatAddress } from "../sys/address.ts";
import { remoteAddress } from "../sys/socket-calls.ts";
import { threadSchedule } from "../sys/thread-time.ts";
import type { Balancing } from "./balancing.ts";
import type { ComputeThreads } from "./compute-threads.ts";
import type { MailboxSeat } from "./mailbox.ts";
import { Mailboxes } from "./mailboxes.ts";
import type { ModelPlan } from "./models/model.ts";
import { isMoved, type Moves } from "./moves.ts";
import type { Orphans } from "./orphans.ts";
import { slotsFor } from "./reactor-thread.ts";
import type { Leavings, ThreadKind } from "./supervisor.ts";
import { MailToThreads, type ServerMail } from "./thread-mail.ts";
import type { Beat } from "./watchdog.ts";
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
  /** Those that it shares with other threads of the server, when it does; they are then not its own to close. */
  readonly mailboxes?: Mailboxes | undefined;
  /** How the threads hand connections to each other, when they do. */
  readonly balancing?: Balancing | undefined;
  /** Who computes for the threads, when somebody does. */
  readonly compute?: ComputeThreads | undefined;
  /** What a thread has to say to its model. */
  readonly heard?: (seat: number, message: unknown) => void;
  /** A thread is gone, and what it had is cleaned up; another one is about to take its place. */
  readonly died?: () => void;
  /** How connections move between them, when they do. */
  readonly moves?: Moves | undefined;
  /** Who finds a thread for connections whose own has died, when somebody does. */
  readonly orphans?: Orphans | undefined;
  /** Bounds of its heap, where they are not those of any reactor's. */
  readonly resourceLimits?: ResourceLimits;
}

/**
 * What V8 takes by itself for young objects stays resident once many connections have been opened: 15,000 idle sessions of SWP/1
 * weigh 4.9 KiB each; with 24 MiB 2.7 to 3.0.
 */
const RESOURCE_LIMITS: ResourceLimits = { maxYoungGenerationSizeMb: 24 };

export class ReactorKind implements ThreadKind {
  readonly entry = workerEntry();
  readonly resourceLimits: ResourceLimits;
  /** What the driver of each thread holds of the process. */
  readonly notes: readonly Int32Array<SharedArrayBuffer>[];
  /** How the server reaches its threads. */
  readonly mail: ServerMail;
  /** What each thread is doing. */
  readonly #pulses: readonly Int32Array<SharedArrayBuffer>[];
  /** Which connections of each thread are at rest, where another one may adopt them. */
  readonly #rests: readonly Int32Array<SharedArrayBuffer>[];
  readonly #options: ReactorKindOptions;
  readonly #mailboxes: Mailboxes;
  readonly #boxes: (MailboxSeat | undefined)[] = [];

  constructor(options: ReactorKindOptions) {
    this.#options = options;
    this.resourceLimits = options.resourceLimits ?? RESOURCE_LIMITS;
    const { seats, driver } = options;
    this.#mailboxes =
      options.mailboxes ?? new Mailboxes(seats, options.limits, sharesDescriptors(driver));
    this.mail = new MailToThreads(this.#mailboxes);
    const slots = slotsFor(options.limits.connections);
    const entries = notesLength(slots);
    this.notes = Array.from({ length: options.seats }, () =>
      new Int32Array(new SharedArrayBuffer(entries * 4)).fill(-1),
    );
    this.#rests = Array.from(
      { length: options.orphans === undefined ? 0 : seats },
      () => new Int32Array(new SharedArrayBuffer(slots * 4)),
    );
    this.#pulses = Array.from({ length: options.seats }, makePulse);
  }

  name(seat: number): string {
    return `sluice reactor ${seat}`;
  }

  startData(seat: number): ReactorStart {
    const { plan, driver, limits, target, balancing, compute } = this.#options;
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
      rests: this.#rests[seat],
      ids: plan.ledger.ids,
      pulse: this.#pulseOf(seat),
      core: options.cores[seat % options.cores.length],
      ...(compute && { compute: compute.seatFor(seat) }),
      ...(balancing && { placement: balancing.seatFor(seat, mailbox.wakeDescriptor) }),
    };
  }

  beat(seat: number): Beat {
    const { turns, waits, doing, connection, slot, thread } = readPulse(this.#pulseOf(seat));
    // Many messages can be handled in one turn.
    const counters = countersOf(this.#options.plan.counters, seat);
    const progress = turns + (counters[MESSAGES] as number);
    const what = () =>
      connection === undefined ? doing : `${doing} of ${this.#connection(seat, connection, slot)}`;
    return { progress, waits, doing: what, schedule: () => threadSchedule(thread) };
  }

  heard(seat: number, message: unknown): void {
    if (isMoved(message)) this.#options.moves?.heard(seat, message);
    else this.#options.heard?.(seat, message);
  }

  began(seat: number): void {
    this.#options.orphans?.began(seat);
  }

  left(seat: number, replaced: boolean): Leavings {
    const notes = this.#notesOf(seat);
    const rests = this.#rests[seat];
    this.#options.moves?.left(seat, notes);
    this.#options.balancing?.left(seat, notes);
    const orphans = rests === undefined || !replaced ? [] : takeResting(notes, rests);
    cleanUpAfterThread(notes);
    this.#options.compute?.reactorLeft(seat);
    const mailbox = this.#boxes[seat];
    if (mailbox !== undefined) this.#mailboxes.vacate(mailbox);
    this.#boxes[seat] = undefined;
    const ended = countAsClosed(countersOf(this.#options.plan.counters, seat), orphans.length);
    this.#options.orphans?.adopt(seat, orphans);
    if (replaced) this.#options.died?.();
    return { ended, adopted: orphans.length };
  }

  /** Once all threads have ended. */
  close(): void {
    if (this.#options.mailboxes === undefined) this.#mailboxes.close();
  }

  #connection(seat: number, id: number, slot: number): string {
    const descriptor = this.#notesOf(seat)[NOTES_AHEAD + slot] ?? -1;
    const address = descriptor < 0 ? descriptor : remoteAddress(descriptor);
    return typeof address === "number"
      ? `connection ${id}`
      : `connection ${id} (${formatAddress(address)})`;
  }

  #pulseOf(seat: number): Int32Array {
    const pulse = this.#pulses[seat];
    if (pulse === undefined) throw new RangeError(`there is no seat ${seat}`);
    return pulse;
  }

  #notesOf(seat: number): Int32Array {
    const notes = this.notes[seat];
    if (notes === undefined) throw new RangeError(`there is no seat ${seat}`);
    return notes;
  }
}

/**
 * What the thread had open and kept is gone with it, but for some connections; the next thread on its seat goes on counting
 * from there. How many connections have ended with it.
 */
function countAsClosed(counters: Float64Array, departed: number): number {
  const ended = (counters[CONNECTIONS] as number) - departed;
  counters[CLOSED] = (counters[CLOSED] as number) + ended;
  counters[DEPARTED] = (counters[DEPARTED] as number) + departed;
  counters[CONNECTIONS] = 0;
  counters[OUTPUT_BYTES] = 0;
  counters[INPUT_BYTES] = 0;
  counters[SUBSCRIPTIONS] = 0;
  return ended;
}

/** The worker's file beside this one: .ts while developing, .js as published. */
function workerEntry(): URL {
  return new URL(`worker-thread${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
}
