// A codec's way into a connection's send queue: the Output that `encode` is given, one for all connections of a reactor.

import type { Output } from "../codec/codec.ts";
import type { ReactorConnection } from "./connection.ts";
import type { SendQueue } from "./send-queue.ts";

export class ConnectionOutput implements Output {
  /** The arena had no room: what was written is incomplete. */
  full = false;
  readonly #sends: SendQueue;
  #connection: ReactorConnection<unknown, unknown, unknown> | undefined;

  constructor(sends: SendQueue) {
    this.#sends = sends;
  }

  /** What comes now is this connection's. */
  begin(connection: ReactorConnection<unknown, unknown, unknown>): void {
    this.#connection = connection;
    this.full = false;
  }

  bytes(data: Uint8Array): void {
    if (this.#connection !== undefined) this.full ||= !this.#sends.append(this.#connection, data);
  }

  text(data: string): void {
    if (this.#connection !== undefined)
      this.full ||= !this.#sends.appendText(this.#connection, data);
  }

  uint(value: number, byteLength: 1 | 2 | 3 | 4, littleEndian: boolean): void {
    if (this.#connection === undefined) return;
    this.full ||= !this.#sends.appendUint(this.#connection, value, byteLength, littleEndian);
  }
}
