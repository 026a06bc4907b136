// Who has been silent for too long: connections that send nothing, that do not say their first byte, or that take nothing
// of what is sent to them.
//
// Deadlines are never moved when bytes come (deadlines.ts): one that fires is looked at here, and set again if the
// connection has spoken since. Sends have no deadline each: while there are any, all are looked at some times per deadline.

import { slotOf } from "../driver/handle.ts";
import type { Limits } from "../limits.ts";
import type { Closing } from "./closing.ts";
import {
  BUSY,
  GONE,
  HAS_SPOKEN,
  LINGERING,
  type ReactorConnection,
  SENDING,
} from "./connection.ts";
import type { Deadlines } from "./deadlines.ts";
import type { SendQueue } from "./send-queue.ts";

/** Parts of the write deadline at which sends are looked at. */
const SWEEPS_PER_DEADLINE = 4;
const NEVER = Number.POSITIVE_INFINITY;

export class Silence<Message, Sent, State> {
  /** When sends are to be looked at, in ms of the driver's clock; Infinity while there are none. */
  sweepMs = NEVER;
  readonly #limits: Limits;
  readonly #deadlines: Deadlines;
  readonly #sends: SendQueue;
  readonly #closing: Closing<Message, Sent, State>;

  constructor(
    limits: Limits,
    deadlines: Deadlines,
    sends: SendQueue,
    closing: Closing<Message, Sent, State>,
  ) {
    this.#limits = limits;
    this.#deadlines = deadlines;
    this.#sends = sends;
    this.#closing = closing;
  }

  /** The first deadline of a connection that opens now. */
  begin(slot: number, now: number): void {
    this.#deadlines.set(slot, now + Math.min(this.#limits.firstByteMs, this.#limits.idleMs));
  }

  /** The deadline of a connection has fired: it ends, or there is a later one. */
  expired(connection: ReactorConnection<Message, Sent, State>, now: number): void {
    if ((connection.flags & GONE) !== 0) return;
    if ((connection.flags & LINGERING) !== 0) {
      return this.#closing.terminate(connection, connection.reason ?? "closed", undefined, false);
    }
    const slot = slotOf(connection.handle);
    const { firstByteMs, idleMs } = this.#limits;
    const silent = (connection.flags & HAS_SPOKEN) === 0;
    const active = Math.max(connection.activeMs, connection.sentMs);
    const due = Math.min(active + idleMs, silent ? connection.activeMs + firstByteMs : NEVER);
    if (now < due) return this.#deadlines.set(slot, due);
    if ((connection.flags & BUSY) !== 0) return this.#deadlines.set(slot, now + idleMs);
    this.#deadlines.set(slot, now + this.#limits.lingerMs);
    this.#closing.close(connection, silent && due < active + idleMs ? "first-byte" : "idle");
  }

  /** Sends were started: they will be looked at. */
  watchSends(now: number): void {
    if (this.sweepMs === NEVER) this.sweepMs = now + this.#sweepEveryMs;
  }

  /** Ends connections whose send makes no progress. */
  sweep(
    connections: readonly (ReactorConnection<Message, Sent, State> | undefined)[],
    now: number,
  ): void {
    const { writeMs } = this.#limits;
    this.sweepMs = this.#sends.sending === 0 ? NEVER : now + this.#sweepEveryMs;
    if (this.#sends.sending === 0) return;
    for (const connection of connections) {
      if (connection === undefined || (connection.flags & SENDING) === 0) continue;
      if (now - connection.sentMs >= writeMs) {
        this.#closing.terminate(connection, "write", undefined, true);
      }
    }
  }

  /** Whole ms, as the turn's time is: a sweep that is due at a fraction would keep the thread awake until the next ms. */
  get #sweepEveryMs(): number {
    return Math.ceil(this.#limits.writeMs / SWEEPS_PER_DEADLINE);
  }
}
