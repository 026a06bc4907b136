// How a connection ends: a ladder, so that the last answer arrives, and exactly one `closed` at the bottom.
//
//   close           no more messages; what is queued is sent first
//   endStream       the queue is empty: shut down our side, the peer reads the end
//   linger          read on and drop, until the peer ends too or the deadline: closing a socket with unread input would
//                   destroy the answer in flight
//   terminate       the driver closes; everything that went wrong on the way enters here
//   closed          the driver is done: the reactor frees the slot and tells the handler
//
// The first reason wins, unless something was still to be sent when it failed: then that failure is the reason.

import type { Driver } from "../driver/driver.ts";
import { slotOf } from "../driver/handle.ts";
import type { CloseReason } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import {
  BUSY,
  CLOSING,
  DRIVER_PAUSED,
  END_HANDLED,
  GONE,
  LEAVING,
  LINGERING,
  OUTPUT_ENDED,
  OUTPUT_ENDING,
  PEER_ENDED,
  RESETTING,
  type ReactorConnection,
} from "./connection.ts";
import { HANDLER_ERRORS } from "./counters.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Rest } from "./rest.ts";

export class Closing<Message, Sent, State> {
  readonly #driver: Driver;
  readonly #limits: Limits;
  readonly #deadlines: Deadlines;
  readonly #counters: Float64Array;
  readonly #rest: Rest | undefined;

  constructor(
    driver: Driver,
    limits: Limits,
    deadlines: Deadlines,
    counters: Float64Array,
    rest: Rest | undefined,
  ) {
    this.#driver = driver;
    this.#limits = limits;
    this.#deadlines = deadlines;
    this.#counters = counters;
    this.#rest = rest;
  }

  /** Half-close: nothing more is written, the peer may go on. */
  endOutput(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & (OUTPUT_ENDING | GONE)) !== 0) return;
    this.#rest?.end(connection);
    connection.flags |= OUTPUT_ENDING;
    this.flushed(connection);
  }

  close(
    connection: ReactorConnection<Message, Sent, State>,
    reason: CloseReason,
    error?: Error,
  ): void {
    if ((connection.flags & (CLOSING | GONE)) !== 0) return;
    this.#rest?.end(connection);
    connection.reason = reason;
    connection.error = error;
    connection.flags |= CLOSING | OUTPUT_ENDING;
    this.flushed(connection);
  }

  /** Whenever a send queue may have become empty: the next rung, if it is time. */
  flushed(connection: ReactorConnection<Message, Sent, State>): void {
    if (
      connection.pendingBytes > 0 ||
      (connection.flags & (OUTPUT_ENDING | GONE | LEAVING)) !== OUTPUT_ENDING
    ) {
      return;
    }
    if ((connection.flags & CLOSING) === 0) this.#endStream(connection);
    else if ((connection.flags & PEER_ENDED) !== 0) this.#finish(connection);
    else this.#linger(connection);
  }

  /** The peer has ended and everything it sent is handled. */
  peerEnded(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & CLOSING) !== 0) return this.flushed(connection);
    this.close(connection, (connection.flags & OUTPUT_ENDING) === 0 ? "peer-ended" : "closed");
  }

  /** After the `ended` handler: when our side had ended before, that was all. */
  endIfBothEnded(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & (OUTPUT_ENDED | BUSY)) === OUTPUT_ENDED)
      this.close(connection, "closed");
  }

  handlerFailed(connection: ReactorConnection<Message, Sent, State>, thrown: unknown): void {
    this.#counters[HANDLER_ERRORS] = (this.#counters[HANDLER_ERRORS] as number) + 1;
    connection.table.report(thrown);
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    this.close(connection, "handler", error);
  }

  /** The last rung, or a fall past all others. */
  terminate(
    connection: ReactorConnection<Message, Sent, State>,
    reason: CloseReason,
    error: Error | undefined,
    reset: boolean,
  ): void {
    if ((connection.flags & GONE) !== 0) return;
    this.#rest?.end(connection);
    if (connection.reason === undefined || connection.pendingBytes > 0) {
      connection.reason = reason;
      connection.error = error;
    }
    connection.flags |= GONE | CLOSING | OUTPUT_ENDING;
    this.#deadlines.clear(slotOf(connection.handle));
    if ((connection.flags & LEAVING) === 0) this.#driver.close(connection.handle, reset);
    else if (reset) connection.flags |= RESETTING;
  }

  /** It was about to move to another reactor, and stays: what it was told meanwhile is done now. */
  returned(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & GONE) === 0) return this.flushed(connection);
    this.#driver.close(connection.handle, (connection.flags & RESETTING) !== 0);
  }

  #finish(connection: ReactorConnection<Message, Sent, State>): void {
    this.terminate(connection, connection.reason ?? "closed", connection.error, false);
  }

  #endStream(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & OUTPUT_ENDED) !== 0) return;
    connection.flags |= OUTPUT_ENDED;
    // A connection that the peer has reset cannot be shut down; its error is on the way as an event.
    this.#driver.shutdown(connection.handle);
    if ((connection.flags & END_HANDLED) !== 0) this.peerEnded(connection);
  }

  #linger(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & LINGERING) !== 0) return;
    connection.flags |= LINGERING;
    this.#endStream(connection);
    this.#deadlines.set(slotOf(connection.handle), this.#driver.now() + this.#limits.lingerMs);
    // Where the thread is not ours, it may be asleep until a later deadline.
    if (!this.#driver.capabilities.waits) this.#driver.wake();
    if ((connection.flags & DRIVER_PAUSED) === 0) return;
    connection.flags &= ~DRIVER_PAUSED;
    this.#driver.resume(connection.handle);
  }
}
