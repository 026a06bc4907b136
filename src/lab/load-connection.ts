// One connection of the generator: which messages are out, and since when.
//
// Its messages stand in a ring of pairs, when each was meant to leave and when it left; three free-running counters say
// up to where all are answered, sent and due. The ring grows as far as an open loop needs it and is as long as the depth
// in a closed one. An answer that overtakes others leaves a hole, which is closed once those before it are answered.
// What a replaced connection took with it is handed over again: `reached` remembers up to where messages have left once.
// Invariant: answered ≤ sent ≤ reached ≤ due ≤ answered + capacity, modulo 2³²; the oldest message that is out is no hole.

import type { Handle } from "../driver/driver.ts";

export const CLOSED = 0;
export const CONNECTING = 1;
export const OPEN = 2;

export class LoadConnection {
  readonly index: number;
  /** Says nothing after its first message. */
  readonly idle: boolean;
  state = CLOSED;
  handle: Handle = -1;
  /** A send is under way. */
  sending = false;
  /** Stands in the generator's list of those that have something to send. */
  listed = false;
  /** It is set up in place of one that the target has ended. */
  replaces = false;
  /** What the workload keeps of it. */
  session: unknown;
  /** When it was asked for: of a churning connection, when it was meant to be. */
  askedMs = 0;
  /** When its present send was started. */
  sendingSinceMs = 0;
  #times: Float64Array;
  #mask: number;
  #answered = 0;
  #sent = 0;
  #due = 0;
  /** Up to where messages have left once: those before it that leave again are no new ones. */
  #reached = 0;
  /** Up to where messages may not leave a third time. */
  #again = 0;
  /** Messages answered before an older one: their time of leaving is NaN. */
  #holes = 0;

  /** `depth` is the most messages that are usually out at a time. */
  constructor(index: number, idle: boolean, depth: number) {
    this.index = index;
    this.idle = idle;
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(depth, 1)));
    this.#times = new Float64Array(capacity * 2);
    this.#mask = capacity - 1;
  }

  /** Messages that are due and not handed over yet. */
  get unsent(): number {
    return (this.#due - this.#sent) | 0;
  }

  /** Messages handed over and not answered yet. */
  get inFlight(): number {
    return ((this.#sent - this.#answered) | 0) - this.#holes;
  }

  /** Messages due and not answered yet. */
  get outstanding(): number {
    return ((this.#due - this.#answered) | 0) - this.#holes;
  }

  /** `count` messages are due, and were meant to leave then. */
  schedule(intendedMs: number, count = 1): void {
    while (((this.#due - this.#answered) | 0) + count > this.#mask + 1) this.#grow();
    for (let n = 0; n < count; n++) {
      this.#times[((this.#due + n) & this.#mask) * 2] = intendedMs;
    }
    this.#due = (this.#due + count) | 0;
  }

  /** The next `count` messages leave now: how many of them do so for the first time. */
  left(count: number, nowMs: number): number {
    for (let n = 0; n < count; n++) {
      this.#times[((this.#sent + n) & this.#mask) * 2 + 1] = nowMs;
    }
    this.#sent = (this.#sent + count) | 0;
    const first = Math.max((this.#sent - this.#reached) | 0, 0);
    this.#reached = (this.#reached + first) | 0;
    return first;
  }

  /** When the oldest unanswered message left. */
  get oldestLeftMs(): number {
    return this.#times[(this.#answered & this.#mask) * 2 + 1] as number;
  }

  /** The ordinal of the oldest unanswered message. */
  get oldest(): number {
    return this.#answered;
  }

  /** The ordinal of the message after which `behind` others have left. */
  ordinalBehind(behind: number): number {
    return (this.#sent - 1 - behind) | 0;
  }

  /** Whether a message with this ordinal is out. */
  isOut(ordinal: number): boolean {
    const place = (ordinal - this.#answered) | 0;
    return place >= 0 && place < ((this.#sent - this.#answered) | 0) && !this.#isHole(ordinal);
  }

  /** When a message that is out was meant to leave. */
  intendedMs(ordinal: number): number {
    return this.#times[(ordinal & this.#mask) * 2] as number;
  }

  /** When it left. */
  leftMs(ordinal: number): number {
    return this.#times[(ordinal & this.#mask) * 2 + 1] as number;
  }

  /** A message that is out is answered. */
  answer(ordinal: number): void {
    if (ordinal !== this.#answered) {
      this.#times[(ordinal & this.#mask) * 2 + 1] = Number.NaN;
      this.#holes++;
      return;
    }
    this.#answered = (this.#answered + 1) | 0;
    while (this.#holes > 0 && this.#isHole(this.#answered)) {
      this.#answered = (this.#answered + 1) | 0;
      this.#holes--;
    }
  }

  /**
   * How many of the oldest `most` messages were meant to leave, and left, when the oldest did: mostly those of one send. 0 when
   * none is out.
   */
  oldestTogether(most: number): number {
    if (this.#holes > 0) return this.isOut(this.#answered) ? 1 : 0;
    const times = this.#times;
    const mask = this.#mask;
    const first = (this.#answered & mask) * 2;
    const out = Math.min(most, (this.#sent - this.#answered) | 0);
    let count = 0;
    for (; count < out; count++) {
      const at = ((this.#answered + count) & mask) * 2;
      if (times[at] !== times[first] || times[at + 1] !== times[first + 1]) break;
    }
    return count;
  }

  /** The oldest `count` messages are answered: no more than `oldestTogether` says. */
  answerOldest(count: number): void {
    if (this.#holes > 0) return this.answer(this.#answered);
    this.#answered = (this.#answered + count) | 0;
  }

  #isHole(ordinal: number): boolean {
    return this.#holes > 0 && Number.isNaN(this.leftMs(ordinal));
  }

  /** What was handed over and is not answered is to be handed over again: for workloads whose answers come in order. */
  takeBack(): void {
    this.#sent = this.#answered;
  }

  /** As `takeBack`, once a message: false, and nothing is done, when one that is out has been taken back so before. */
  takeBackOnce(): boolean {
    if (this.inFlight > 0) {
      if (((this.#again - this.#answered) | 0) > 0) return false;
      this.#again = this.#sent;
    }
    this.takeBack();
    return true;
  }

  /** Nothing is out any more. */
  forget(): void {
    this.#answered = this.#due;
    this.#sent = this.#due;
    this.#reached = this.#due;
    this.#again = this.#due;
    this.#holes = 0;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    const mask = this.#mask * 2 + 1;
    for (let n = this.#answered; n !== this.#due; n = (n + 1) | 0) {
      times[(n & mask) * 2] = this.#times[(n & this.#mask) * 2] as number;
      times[(n & mask) * 2 + 1] = this.#times[(n & this.#mask) * 2 + 1] as number;
    }
    this.#times = times;
    this.#mask = mask;
  }
}
