// One connection of the generator: which messages are out, and since when.
//
// Its messages stand in a ring of pairs, when each was meant to leave and when it left; three free-running counters say
// which are answered, sent and due. The ring grows as far as an open loop needs it and is as long as the depth in a
// closed one.
// Invariant: answered ≤ sent ≤ due ≤ answered + capacity, modulo 2³².

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
    return (this.#sent - this.#answered) | 0;
  }

  /** Messages due and not answered yet. */
  get outstanding(): number {
    return (this.#due - this.#answered) | 0;
  }

  /** A message is due, and was meant to leave then. */
  schedule(intendedMs: number): void {
    if (((this.#due - this.#answered) | 0) > this.#mask) this.#grow();
    this.#times[(this.#due & this.#mask) * 2] = intendedMs;
    this.#due = (this.#due + 1) | 0;
  }

  /** The next `count` messages leave now. */
  left(count: number, nowMs: number): void {
    for (let n = 0; n < count; n++) {
      this.#times[((this.#sent + n) & this.#mask) * 2 + 1] = nowMs;
    }
    this.#sent = (this.#sent + count) | 0;
  }

  /** When the oldest unanswered message was meant to leave. */
  get oldestIntendedMs(): number {
    return this.#times[(this.#answered & this.#mask) * 2] as number;
  }

  /** When the oldest unanswered message left. */
  get oldestLeftMs(): number {
    return this.#times[(this.#answered & this.#mask) * 2 + 1] as number;
  }

  /** The oldest unanswered message is answered. */
  answer(): void {
    this.#answered = (this.#answered + 1) | 0;
  }

  /** Nothing is out any more. */
  forget(): void {
    this.#answered = this.#due;
    this.#sent = this.#due;
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
