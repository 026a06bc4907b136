// What verbs have caused and the next turn delivers: no event comes from inside a verb.
//
// Two arrays take turns, so that what is caused while one is delivered waits for the turn after it. They are never shrunk, so
// that a turn allocates nothing. An event is three numbers: kind, handle, value.

import type { Handle } from "./driver.ts";

export const DEFERRED_LISTENING = 1;
export const DEFERRED_ACCEPTED = 2;
export const DEFERRED_CONNECTED = 3;
export const DEFERRED_SENT = 4;
export const DEFERRED_CLOSED = 5;
export const DEFERRED_DETACHED = 6;

export class DeferredEvents {
  #waiting: number[] = [];
  #delivering: number[] = [];
  /** Numbers in use of `#waiting`. */
  #end = 0;

  push(kind: number, handle: Handle, value: number): void {
    const at = this.#end;
    this.#waiting[at] = kind;
    this.#waiting[at + 1] = handle;
    this.#waiting[at + 2] = value;
    this.#end = at + 3;
  }

  get length(): number {
    return this.#end / 3;
  }

  /** Hands each over that waits now; how many there were. */
  deliver(to: (kind: number, handle: Handle, value: number) => void): number {
    const events = this.#waiting;
    const end = this.#end;
    if (end === 0) return 0;
    this.#waiting = this.#delivering;
    this.#delivering = events;
    this.#end = 0;
    for (let at = 0; at < end; at += 3) {
      to(events[at] as number, events[at + 1] as number, events[at + 2] as number);
    }
    return end / 3;
  }
}
