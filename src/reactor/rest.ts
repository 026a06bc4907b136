// Which connections of a reactor are at rest, told to whoever hands them on when its thread dies (thread-notes.ts): those
// between two messages, of which nothing is unread, unfinished or being handled, and nothing waits to be sent.
//
// A rest ends at once, before the first byte is written or the first step of closing taken; before bytes are received the
// driver ends it. It begins only where no handler of the connection can be running: after an event of the driver, and at the
// end of a turn for all that may have come to rest in between (`later`).
// Invariant: an entry is set only while nothing of its connection would be lost with the thread but its state.

import { slotOf } from "../driver/handle.ts";
import {
  ADOPTABLE,
  CLOSING,
  CONTINUING,
  DIRTY,
  DRAINING,
  DRIVER_PAUSED,
  GONE,
  LEAVING,
  OUTPUT_ENDING,
  PEER_ENDED,
  type ReactorConnection,
  SENDING,
  STOPPED,
} from "./connection.ts";

type Resting = ReactorConnection<unknown, unknown, unknown>;

const BUSY_BITS =
  STOPPED |
  DRIVER_PAUSED |
  CONTINUING |
  DIRTY |
  SENDING |
  OUTPUT_ENDING |
  PEER_ENDED |
  CLOSING |
  DRAINING |
  LEAVING |
  GONE;

export class Rest {
  readonly #entries: Int32Array;
  #candidates: Resting[] = [];

  /** Over an entry a slot, shared with whoever looks after this thread. */
  constructor(entries: Int32Array) {
    this.#entries = entries;
  }

  /** Something is about to be done for it. */
  end(connection: Resting): void {
    if ((connection.flags & (LEAVING | GONE)) !== 0) return;
    this.#entries[slotOf(connection.handle)] = 0;
  }

  /** It may have come to rest, and none of its handlers is running. */
  consider(connection: Resting): void {
    if ((connection.flags & (BUSY_BITS | ADOPTABLE)) !== ADOPTABLE) return;
    if (connection.pendingBytes > 0 || connection.keptBytes > 0) return;
    if (connection.unread !== undefined) return;
    this.#entries[slotOf(connection.handle)] = connection.id;
  }

  /** It may have come to rest when this turn is over. */
  later(connection: Resting): void {
    this.#candidates.push(connection);
  }

  /** The turn is over. */
  settle(): void {
    if (this.#candidates.length === 0) return;
    const candidates = this.#candidates;
    this.#candidates = [];
    for (const connection of candidates) this.consider(connection);
  }
}
