// Open loop: messages leave at a fixed rate whatever the target does, as those of independent users would. Their times count
// from when they were *meant* to leave, so a target that stalls is charged for everybody who would have come meanwhile
// (what closed loops leave out is called coordinated omission).
//
// The k-th message is due at start + k / rate, or with Poisson arrivals after exponential gaps of that mean; connections
// take turns. Before a message is due the thread does not sleep but spins: a wake-up is late by what we want to measure.

import type { Random } from "../driver/random.ts";
import { type LoadConnection, OPEN } from "./load-connection.ts";
import type { Pace, Paced } from "./pace.ts";
import { DUE } from "./recorder.ts";

export type Arrivals = "even" | "poisson";

/** The last part of a gap is spun. */
const SPIN_MS = 0.3;
/** Most messages that become due at once: answers are looked at in between. */
const MOST_AT_ONCE = 4096;
/** More messages than this unanswered: the target is far behind, and it would only be memory that is measured. */
const MOST_OUTSTANDING = 2_000_000;
const NS_PER_MS = 1e6;

export interface OpenLoopOptions {
  /** Messages/s. */
  readonly rate: number;
  /** Shifts the first message by a part of a gap, 0 to 1: several threads take turns. */
  readonly phase: number;
  /** When the schedule begins, on this thread's clock. A thread that comes later is late, and says so. */
  readonly startMs: number;
  /** Gaps are drawn from it; undefined: even ones. */
  readonly random: Random | undefined;
}

export class OpenLoop implements Pace {
  readonly counts = "intended";
  readonly from = "intended";
  readonly #generator: Paced;
  readonly #gapMs: number;
  readonly #random: Random | undefined;
  readonly #startMs: number;
  #count = 0;
  #dueMs: number;
  #turn = 0;
  #stopped = false;

  constructor(generator: Paced, { rate, phase, startMs, random }: OpenLoopOptions) {
    this.#generator = generator;
    this.#gapMs = 1000 / rate;
    this.#count = phase;
    this.#startMs = startMs;
    this.#dueMs = startMs + phase * this.#gapMs;
    this.#random = random;
  }

  step(nowMs: number): number {
    if (this.#stopped) return Number.POSITIVE_INFINITY;
    const anybody = this.#release(nowMs, MOST_AT_ONCE);
    this.#checkOverrun();
    if (!anybody) return Number.POSITIVE_INFINITY;
    return Math.max(this.#dueMs - nowMs - SPIN_MS, 0);
  }

  answered(): void {
    // Nothing waits for answers.
  }

  opened(): void {
    // It takes its turn from here on.
  }

  failed(): void {
    // The others take over what would have been its share.
  }

  stop(nowMs: number): void {
    // Those that are due leave, late or not: a message that never left would be missing in the figures.
    this.#release(nowMs, Number.POSITIVE_INFINITY);
    this.#stopped = true;
  }

  /** False when there is nobody who could take what is due. */
  #release(nowMs: number, most: number): boolean {
    const { recorder, windowBeginMs, windowEndMs } = this.#generator;
    for (let n = 0; n < most && this.#dueMs <= nowMs; n++) {
      const connection = this.#next();
      if (connection === undefined) return false;
      if (this.#dueMs >= windowBeginMs && this.#dueMs < windowEndMs) {
        recorder.lateness.record((nowMs - this.#dueMs) * NS_PER_MS);
        recorder.add(DUE, 1);
      }
      this.#generator.want(connection, this.#dueMs);
      this.#advance();
    }
    return true;
  }

  #advance(): void {
    this.#count++;
    if (this.#random === undefined) this.#dueMs = this.#startMs + this.#count * this.#gapMs;
    else this.#dueMs += -Math.log(1 - this.#random.fraction()) * this.#gapMs;
  }

  /** The next connection in turn that is open, or takes the place of one that was. */
  #next(): LoadConnection | undefined {
    const { connections } = this.#generator;
    for (let tried = 0; tried < connections.length; tried++) {
      const connection = connections[this.#turn] as LoadConnection;
      this.#turn = this.#turn + 1 === connections.length ? 0 : this.#turn + 1;
      if (connection.state === OPEN || connection.replaces) return connection;
    }
    return undefined;
  }

  #checkOverrun(): void {
    if (this.#generator.outstanding <= MOST_OUTSTANDING) return;
    for (const connection of this.#generator.connections) {
      if (connection.state !== OPEN) continue;
      this.#generator.fail(connection, "OVERRUN", `${this.#generator.outstanding} in one thread`);
    }
  }
}
