// From bytes to messages to the handler, for one reactor: in order, one at a time, and only as fast as the handler.
//
// The fast path: bytes lie in the driver's buffer, the codec takes message after message out of them, the handler returns
// at once. As soon as the connection is stopped (a promise is pending, it was paused, too much waits to be sent), what is
// left is copied into the connection's own unread input; reading from the kernel pauses only when that grows, so
// a quick async handler costs the driver nothing.

import type { Input } from "../codec/codec.ts";
import { DecodeError } from "../codec/codec.ts";
import type { Driver } from "../driver/driver.ts";
import { slotOf } from "../driver/handle.ts";
import { isHeavy } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import type { Closing } from "./closing.ts";
import {
  BUSY,
  CLOSING,
  CONTINUING,
  DRAINING,
  DRIVER_PAUSED,
  END_HANDLED,
  GONE,
  HELD,
  MOVING,
  PAUSED,
  PEER_ENDED,
  type ReactorConnection,
  STOPPED,
} from "./connection.ts";
import { INPUT_BYTES, MESSAGES } from "./counters.ts";
import { IN_ENDED, IN_MESSAGE, type Pulse } from "./pulse.ts";
import type { Rest } from "./rest.ts";
import { UnreadInput } from "./unread-input.ts";

/** What is overwritten after the call when borrowed bytes are debugged. */
const POISON = 0xdb;

export class Incoming<Message, Sent, State> {
  readonly #driver: Driver;
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  readonly #closing: Closing<Message, Sent, State>;
  readonly #input: {
    bytes: Buffer;
    offset: number;
    end: number;
    borrow: boolean;
    keepable: boolean;
    kept: boolean;
  };
  readonly #poison: boolean;
  readonly #pulse: Pulse;
  readonly #rest: Rest | undefined;
  #continuing: ReactorConnection<Message, Sent, State>[] = [];
  /** Called when a connection that is to move has no handler running any more. */
  boundary: ((connection: ReactorConnection<Message, Sent, State>) => void) | undefined;

  constructor(
    driver: Driver,
    limits: Limits,
    counters: Float64Array,
    closing: Closing<Message, Sent, State>,
    poison: boolean,
    pulse: Pulse,
    rest: Rest | undefined,
  ) {
    this.#driver = driver;
    this.#limits = limits;
    this.#counters = counters;
    this.#closing = closing;
    this.#poison = poison;
    this.#pulse = pulse;
    this.#rest = rest;
    this.#input = {
      bytes: driver.input,
      offset: 0,
      end: 0,
      borrow: false,
      keepable: false,
      kept: false,
    };
  }

  /** Bytes `[start, end)` of the driver's input are this connection's. */
  received(connection: ReactorConnection<Message, Sent, State>, start: number, end: number): void {
    if ((connection.flags & CLOSING) !== 0) return;
    if ((connection.flags & STOPPED) !== 0 || connection.unread !== undefined) {
      return this.#keep(connection, start, end);
    }
    const input = this.#input;
    input.bytes = this.#driver.input;
    input.keepable = this.#driver.inputKeepable;
    input.kept = false;
    input.borrow = connection.table.borrow;
    input.offset = start;
    input.end = end;
    this.#handle(connection, input);
    if (input.kept) this.#driver.inputKept = true;
    if (connection.decoder.pending !== connection.keptBytes) this.#countKept(connection, 0);
    const rest = input.offset;
    if (rest < end && (connection.flags & CLOSING) === 0) this.#keep(connection, rest, end);
    if (this.#poison && !input.kept) input.bytes.fill(POISON, start, end);
  }

  /** The peer's stream has ended: handled at once, or after what is still unread. */
  peerEnded(connection: ReactorConnection<Message, Sent, State>): void {
    connection.flags |= PEER_ENDED;
    if ((connection.flags & CLOSING) !== 0) return this.#closing.peerEnded(connection);
    if ((connection.flags & STOPPED) === 0 && connection.unread === undefined) {
      this.#handleEnd(connection);
    }
  }

  /** Takes no more from the kernel until the connection goes on; a peer that never stops sending must not keep it busy. */
  stopReading(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & (DRIVER_PAUSED | GONE)) !== 0) return;
    connection.flags |= DRIVER_PAUSED;
    this.#driver.pause(connection.handle);
  }

  /** A reason to be stopped is gone: the connection goes on before the next turn waits. */
  goOn(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & (STOPPED | CONTINUING | GONE)) !== 0) return;
    const nothing = connection.unread === undefined;
    if (nothing && (connection.flags & (DRIVER_PAUSED | PEER_ENDED | DRAINING)) === 0) {
      return this.#rest?.later(connection);
    }
    connection.flags |= CONTINUING;
    this.#continuing.push(connection);
    this.#driver.wake();
  }

  /** Connections that can go on do so. True when there were any. */
  runContinuing(): boolean {
    const list = this.#continuing;
    if (list.length === 0) return false;
    this.#continuing = [];
    for (const connection of list) {
      connection.flags &= ~CONTINUING;
      if ((connection.flags & (CLOSING | GONE | STOPPED)) === 0) this.#continue(connection);
      this.#rest?.later(connection);
    }
    return true;
  }

  /** Runs a handler on behalf of a connection; a promise makes it busy. */
  run(connection: ReactorConnection<Message, Sent, State>, returned: void | Promise<void>): void {
    if (returned === undefined || returned === null) return;
    if (typeof returned.then !== "function") return assertLight(returned);
    connection.flags |= BUSY;
    returned.then(
      () => this.#settled(connection),
      (error: unknown) => {
        this.#closing.handlerFailed(connection, error);
        this.#settled(connection);
      },
    );
  }

  #handle(connection: ReactorConnection<Message, Sent, State>, input: Input): void {
    const { decoder, table } = connection;
    const before = this.#pulse.enter(IN_MESSAGE, connection.id, slotOf(connection.handle));
    try {
      for (;;) {
        const message = decoder.next(input);
        if (message === undefined) break;
        this.#counters[MESSAGES] = (this.#counters[MESSAGES] as number) + 1;
        const returned = table.handlers.message(connection, message);
        if (returned !== undefined) this.run(connection, returned);
        if ((connection.flags & (STOPPED | CLOSING)) !== 0) break;
      }
    } catch (error) {
      if (error instanceof DecodeError) this.#closing.close(connection, "protocol", error);
      else this.#closing.handlerFailed(connection, error);
    }
    this.#pulse.leave(before);
  }

  #keep(connection: ReactorConnection<Message, Sent, State>, start: number, end: number): void {
    connection.unread ??= new UnreadInput(connection.table.borrow);
    connection.unread.append(this.#driver.input, start, end);
    this.#countInput(connection, end - start);
    const full = connection.unread.length >= this.#limits.connectionInputBytes;
    if (full || (connection.flags & (PAUSED | HELD)) !== 0) this.stopReading(connection);
  }

  #continue(connection: ReactorConnection<Message, Sent, State>): void {
    const { unread } = connection;
    if (unread !== undefined) {
      const before = unread.length;
      this.#handle(connection, unread);
      this.#countKept(connection, before - unread.length);
      if (unread.length === 0) connection.unread = undefined;
    }
    if ((connection.flags & (STOPPED | CLOSING)) !== 0 || connection.unread !== undefined) return;
    if ((connection.flags & PEER_ENDED) !== 0) this.#handleEnd(connection);
    if ((connection.flags & DRAINING) !== 0) return this.#closeIfIdle(connection);
    if ((connection.flags & (DRIVER_PAUSED | PEER_ENDED)) !== DRIVER_PAUSED) return;
    connection.flags &= ~DRIVER_PAUSED;
    this.#driver.resume(connection.handle);
  }

  #handleEnd(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & END_HANDLED) !== 0) return this.#closing.endIfBothEnded(connection);
    connection.flags |= END_HANDLED;
    if (connection.decoder.pending > 0) {
      const error = new DecodeError("EBADMSG", "the stream ended inside a message");
      return this.#closing.close(connection, "protocol", error);
    }
    const { handlers } = connection.table;
    if (handlers.ended === undefined) return this.#closing.peerEnded(connection);
    const before = this.#pulse.enter(IN_ENDED, connection.id, slotOf(connection.handle));
    try {
      this.run(connection, handlers.ended(connection));
    } catch (error) {
      this.#closing.handlerFailed(connection, error);
    }
    this.#pulse.leave(before);
    this.#closing.endIfBothEnded(connection);
  }

  /** The server is closing, and this connection has nothing left to do, unless a handler has just begun. */
  #closeIfIdle(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & STOPPED) === 0) this.#closing.close(connection, "shutdown");
  }

  #settled(connection: ReactorConnection<Message, Sent, State>): void {
    connection.flags &= ~BUSY;
    if ((connection.flags & MOVING) !== 0) this.boundary?.(connection);
    else this.goOn(connection);
  }

  /** What the connection's decoder and unread input hold counts against the memory of all. */
  #countInput(connection: ReactorConnection<Message, Sent, State>, change: number): void {
    const total = (this.#counters[INPUT_BYTES] as number) + change;
    this.#counters[INPUT_BYTES] = total;
    if (change > 0 && total > this.#limits.inputBytes) {
      this.#closing.terminate(connection, "memory", undefined, true);
    }
  }

  /** After its decoder has run, over `read` bytes of unread input: bytes that only moved must not count twice. */
  #countKept(connection: ReactorConnection<Message, Sent, State>, read: number): void {
    const kept = connection.decoder.pending;
    const change = kept - connection.keptBytes - read;
    connection.keptBytes = kept;
    this.#countInput(connection, change);
  }

  /** What a connection from another reactor has brought along, to be handled when it goes on. */
  restore(connection: ReactorConnection<Message, Sent, State>, bytes: Uint8Array): void {
    connection.unread = new UnreadInput(connection.table.borrow);
    connection.unread.append(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
      0,
      bytes.length,
    );
    this.#countInput(connection, bytes.length);
  }

  /** A connection that has ended gives back what it held. */
  release(connection: ReactorConnection<Message, Sent, State>): void {
    const held = connection.keptBytes + (connection.unread?.length ?? 0);
    connection.keptBytes = 0;
    connection.unread = undefined;
    this.#countInput(connection, -held);
  }
}

/** @throws Error for what only a table with `compute` can return */
function assertLight(returned: unknown): void {
  if (isHeavy(returned)) throw new Error("heavy() was returned by handlers that have no compute");
}
