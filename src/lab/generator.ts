// One generator thread's world: its connections on one driver, what is sent on them, and every answer's time.
//
// It drives the driver contract directly: no reactor stands between, since nothing of what a server needs (send queues,
// limits, handlers) may cost time here. A turn: the pace lets messages become due, `flush` hands them to the driver, one
// send a connection, and `turn` brings the answers. Times are read once a turn, right after the kernel returned: an answer
// that waited for its turn in our own loop is not charged with that.
//
// Invariant: each connection is in one state, and whoever leaves OPEN has been counted, as closed by us or as an error.

import type { DriverChoice } from "../driver/choices.ts";
import { makeDriver } from "../driver/choose-driver.ts";
import type { Driver, DriverEvents, Handle } from "../driver/driver.ts";
import { slotOf } from "../driver/handle.ts";
import type { Address } from "../sys/address.ts";
import { errnoName } from "../sys/errno.ts";
import { type ErrorCounts, errnoDetail, ownErrorText } from "./error-counts.ts";
import { mayGoOn } from "./going-on.ts";
import { CLOSED, CONNECTING, LoadConnection, OPEN } from "./load-connection.ts";
import { overdue, unanswered } from "./overdue.ts";
import type { Pace, Paced } from "./pace.ts";
import {
  ANSWERS,
  BYTES_RECEIVED,
  BYTES_SENT,
  ERRORS,
  OPEN_CONNECTIONS,
  OUTSTANDING,
  REPLACED,
  type Recorder,
  SENT,
} from "./recorder.ts";
import type { ERROR_TEXTS } from "./result.ts";
import { AnswerError, type Workload } from "./workloads/workload.ts";

export interface GeneratorOptions {
  readonly address: Address;
  readonly driver: DriverChoice;
  readonly connections: number;
  readonly idle: number;
  /** Messages that are usually out on a connection. */
  readonly depth: number;
  readonly timeoutMs: number;
  readonly recorder: Recorder;
  readonly errors: ErrorCounts;
  readonly workload: Workload;
}

const NS_PER_MS = 1e6;
const MIB = 1024 * 1024;
/** Reads of the clock: after so many answers the next one is read, for drivers that read sockets within a turn. */
const ANSWERS_PER_READING = 64;
/** Churn has as many connections that are closing as are open. */
const SLOTS_PER_CONNECTION = 2;
const SPARE_SLOTS = 16;
/** More errors than this in one stage: it is worthless, and goes no further. */
const MOST_ERRORS = 10_000;

export class Generator implements DriverEvents, Paced {
  readonly driver: Driver;
  readonly recorder: Recorder;
  readonly connections: readonly LoadConnection[];
  readonly idle: readonly LoadConnection[];
  readonly errors: ErrorCounts;
  /** Who is told; undefined while connections are opened and while no stage runs. */
  pace: Pace | undefined;
  /** What is measured: see Pace.counts. */
  windowBeginMs = Number.POSITIVE_INFINITY;
  windowEndMs = Number.POSITIVE_INFINITY;
  /** Connections that are open. */
  openCount = 0;
  connecting = 0;
  /** Messages that are due and not answered, over all connections. */
  outstanding = 0;
  readonly #address: Address;
  readonly #timeoutMs: number;
  readonly #workload: Workload;
  readonly #all: readonly LoadConnection[];
  readonly #bySlot: (LoadConnection | undefined)[];
  readonly #ready: LoadConnection[];
  #readyCount = 0;
  #clockMs = 0;
  #clockLeft = 0;

  /** @throws SystemError when the host refuses the driver */
  constructor(options: GeneratorOptions) {
    const { connections, idle, depth, workload } = options;
    const all = connections + idle;
    const slots = all * SLOTS_PER_CONNECTION + SPARE_SLOTS;
    this.#address = options.address;
    this.#timeoutMs = options.timeoutMs;
    this.#workload = workload;
    this.recorder = options.recorder;
    this.errors = options.errors;
    this.driver = makeDriver(options.driver, {
      events: this,
      slots,
      outputBytes: Math.ceil(workload.outputBytes / MIB) * MIB,
    });
    workload.attach(this.driver.output);
    const make = (from: number, count: number, silent: boolean) =>
      Array.from({ length: count }, (_, n) => new LoadConnection(from + n, silent, depth));
    this.connections = make(0, connections, false);
    this.idle = make(connections, idle, true);
    this.#all = [...this.connections, ...this.idle];
    this.#bySlot = new Array(slots).fill(undefined);
    this.#ready = new Array(all);
  }

  get hopeless(): boolean {
    return this.errors.total >= MOST_ERRORS;
  }

  /** Asks for a connection; the pace hears of it. */
  connect(connection: LoadConnection, nowMs: number): void {
    connection.askedMs = nowMs;
    const handle = this.driver.connect(this.#address, { noDelay: true });
    if (handle < 0) {
      this.report(errnoName(handle), errnoDetail(handle));
      this.#forget(connection);
      this.pace?.failed(connection, nowMs);
      return;
    }
    connection.handle = handle;
    connection.state = CONNECTING;
    this.connecting++;
    this.#bySlot[slotOf(handle)] = connection;
  }

  /** `count` messages of this connection are due; they leave with the next `flush`. */
  want(connection: LoadConnection, intendedMs: number, count = 1): void {
    connection.schedule(intendedMs, count);
    this.outstanding += count;
    if (!connection.listed) this.#list(connection);
  }

  /** Hands everything that is due to the driver. */
  flush(nowMs: number): void {
    const count = this.#readyCount;
    this.#readyCount = 0;
    for (let n = 0; n < count; n++) {
      const connection = this.#ready[n] as LoadConnection;
      connection.listed = false;
      if (connection.state === OPEN && !connection.sending) this.#send(connection, nowMs);
    }
    this.recorder.counters[OUTSTANDING] = this.outstanding;
  }

  /** A turn of the driver. */
  turn(timeoutMs: number): void {
    this.#clockLeft = 0;
    this.driver.turn(timeoutMs);
  }

  /** Ends a connection in an orderly way. */
  close(connection: LoadConnection): void {
    this.#leave(connection);
  }

  /** Fails whoever has waited longer than the time-out. */
  sweep(nowMs: number): void {
    for (const connection of this.#all) {
      const late = overdue(connection, nowMs, this.#timeoutMs);
      if (late !== undefined) this.fail(connection, late.code, late.detail);
    }
  }

  /** Ends a connection for a reason of ours. */
  fail(connection: LoadConnection, code: keyof typeof ERROR_TEXTS, detail: string): void {
    this.#failed(connection, code, ownErrorText(code, detail), performance.now());
  }

  /** Errors that end no connection. */
  report(code: string, text: string, times = 1): void {
    this.errors.count(code, text, times);
    this.recorder.add(ERRORS, times);
  }

  listening(): void {
    throw new Error("a generator does not listen");
  }

  accepted(): void {
    throw new Error("a generator does not accept");
  }

  detached(): void {
    throw new Error("a generator gives nothing away");
  }

  connected(handle: Handle, result: number): void {
    const slot = slotOf(handle);
    const connection = this.#bySlot[slot];
    if (connection === undefined || connection.handle !== handle) return;
    const nowMs = this.#now();
    this.connecting--;
    if (result < 0) {
      this.#bySlot[slot] = undefined;
      connection.state = CLOSED;
      this.report(errnoName(result), errnoDetail(result));
      this.#forget(connection);
      this.pace?.failed(connection, nowMs);
      return;
    }
    connection.state = OPEN;
    this.openCount++;
    this.recorder.counters[OPEN_CONNECTIONS] = this.openCount;
    this.recorder.connect.record((nowMs - connection.askedMs) * NS_PER_MS);
    connection.session = this.#workload.session(connection.index);
    this.driver.resume(handle);
    if (!connection.replaces) return this.pace?.opened(connection, nowMs);
    connection.replaces = false;
    if (connection.unsent > 0) this.#listLate(connection);
  }

  received(handle: Handle, result: number, offset: number): void {
    const connection = this.#bySlot[slotOf(handle)];
    if (connection === undefined || connection.handle !== handle) return;
    const nowMs = this.#now();
    if (result <= 0) return this.#ended(connection, result, nowMs);
    if (this.#inWindow(nowMs)) this.recorder.add(BYTES_RECEIVED, result);
    let count = 0;
    try {
      count = this.#workload.received(connection.session, this.driver.input, offset, result);
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error;
      this.#failed(connection, error.code, error.message, nowMs);
      return;
    }
    if (count > connection.inFlight || (count === 0 && connection.inFlight === 0)) {
      const detail = `${result} bytes while ${connection.inFlight} answers were due`;
      return this.fail(connection, "UNEXPECTED_BYTES", detail);
    }
    if (count > 0) this.#answered(connection, count, nowMs);
    const over = this.#workload.isLast?.(connection.session) === true;
    if (!over || connection.state !== OPEN) return;
    connection.takeBack();
    this.#replace(connection, nowMs);
  }

  sent(handle: Handle, result: number): void {
    const connection = this.#bySlot[slotOf(handle)];
    if (connection === undefined || connection.handle !== handle) return;
    connection.sending = false;
    if (result < 0) {
      this.#ended(connection, result, this.#now());
    } else if (connection.unsent > 0) {
      this.#listLate(connection);
    }
  }

  closed(): void {
    // Whoever closes has taken the connection out of the table: nothing is left to do.
  }

  #list(connection: LoadConnection): void {
    connection.listed = true;
    this.#ready[this.#readyCount++] = connection;
  }

  /** In an event that may come before the turn's wait. */
  #listLate(connection: LoadConnection): void {
    if (connection.listed) return;
    this.#list(connection);
    this.driver.wake();
  }

  #send(connection: LoadConnection, nowMs: number): void {
    const { unsent } = connection;
    if (unsent === 0) return;
    const workload = this.#workload;
    const taken = workload.compose(connection.session, unsent);
    if (taken === 0) return;
    const { offset, length } = workload.batch;
    const first = connection.left(taken, nowMs);
    connection.sending = true;
    connection.sendingSinceMs = nowMs;
    if (this.#inWindow(nowMs)) {
      this.recorder.add(SENT, first);
      this.recorder.add(BYTES_SENT, length);
    }
    const refused = this.driver.send(connection.handle, offset, length);
    if (refused < 0) this.#ended(connection, refused, nowMs);
  }

  #answered(connection: LoadConnection, count: number, nowMs: number): void {
    const { behind } = this.#workload;
    let answered = 0;
    while (answered < count) {
      const together =
        behind === undefined
          ? this.#answerOldest(connection, count - answered, nowMs)
          : this.#answerOne(connection, behind[answered] as number, nowMs);
      if (together === 0) {
        return this.fail(connection, "UNEXPECTED_BYTES", "an answer to what was not asked");
      }
      answered += together;
    }
    this.recorder.add(ANSWERS, count);
    // A workload may have waited for these answers.
    if (connection.unsent > 0 && !connection.listed) this.#list(connection);
    this.pace?.answered(connection, count, nowMs);
  }

  /** Answers come in order: how many of the next `most` are done with, those of one send together; 0 when none is out. */
  #answerOldest(connection: LoadConnection, most: number, nowMs: number): number {
    const together = connection.oldestTogether(most);
    if (together === 0) return 0;
    const ordinal = connection.oldest;
    this.#record(connection.intendedMs(ordinal), connection.leftMs(ordinal), nowMs, together);
    connection.answerOldest(together);
    return together;
  }

  /** An answer may overtake others; 0 when it is to nothing that is out. */
  #answerOne(connection: LoadConnection, behind: number, nowMs: number): 0 | 1 {
    const ordinal = connection.ordinalBehind(behind);
    if (!connection.isOut(ordinal)) return 0;
    this.#record(connection.intendedMs(ordinal), connection.leftMs(ordinal), nowMs, 1);
    connection.answer(ordinal);
    return 1;
  }

  /** `count` answers to messages that were meant to leave, and left, at the same times. */
  #record(intendedMs: number, leftMs: number, nowMs: number, count: number): void {
    const { recorder, pace } = this;
    this.outstanding -= count;
    if (!this.#inWindow(pace?.counts === "intended" ? intendedMs : nowMs)) return;
    recorder.answered(pace?.from ?? "left", intendedMs, leftMs, nowMs, count);
  }

  /** By the target: `result` is 0 or a negative errno. */
  #ended(connection: LoadConnection, result: number, nowMs: number): void {
    const between = this.#workload.endsBetween?.(connection.session) === true;
    if (between && mayGoOn(connection, result)) return this.#replace(connection, nowMs);
    const detail = connection.outstanding === 0 ? "" : unanswered(connection);
    if (result < 0) {
      this.#failed(connection, errnoName(result), errnoDetail(result, detail), nowMs);
    } else {
      this.#failed(connection, "END_OF_STREAM", ownErrorText("END_OF_STREAM", detail), nowMs);
    }
  }

  #failed(connection: LoadConnection, code: string, text: string, nowMs: number): void {
    if (connection.state === CLOSED) return;
    this.#leave(connection);
    this.report(code, text);
    this.pace?.failed(connection, nowMs);
  }

  /** The target ends this connection in order: what is due, or taken back, goes over another one. */
  #replace(connection: LoadConnection, nowMs: number): void {
    this.#hangUp(connection);
    connection.replaces = true;
    if (this.#inWindow(nowMs)) this.recorder.add(REPLACED, 1);
    this.connect(connection, nowMs);
  }

  #leave(connection: LoadConnection): void {
    if (connection.state === CLOSED) return;
    this.#hangUp(connection);
    this.#forget(connection);
  }

  /** Nothing of what is due or out will be answered. */
  #forget(connection: LoadConnection): void {
    this.outstanding -= connection.outstanding;
    connection.forget();
    connection.replaces = false;
  }

  /** Whatever happens to the handle from here on is nobody's concern. */
  #hangUp(connection: LoadConnection): void {
    if (connection.state === OPEN) this.openCount--;
    else this.connecting--;
    this.recorder.counters[OPEN_CONNECTIONS] = this.openCount;
    connection.state = CLOSED;
    connection.sending = false;
    this.#bySlot[slotOf(connection.handle)] = undefined;
    this.driver.close(connection.handle, false);
  }

  #inWindow(atMs: number): boolean {
    return atMs >= this.windowBeginMs && atMs < this.windowEndMs;
  }

  /** The time at which what is delivered now had come. */
  #now(): number {
    if (this.#clockLeft === 0) {
      this.#clockLeft = ANSWERS_PER_READING;
      this.#clockMs = performance.now();
    }
    this.#clockLeft--;
    return this.#clockMs;
  }
}
