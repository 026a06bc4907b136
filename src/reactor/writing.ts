// What a handler writes, on its way into the send queue: the hard bound, what happens at it, and the two water marks.

import { sizeOf } from "../codec/message-bytes.ts";
import type { Driver } from "../driver/driver.ts";
import type { Limits } from "../limits.ts";
import type { Closing } from "./closing.ts";
import { GONE, HELD, OUTPUT_ENDING, type ReactorConnection } from "./connection.ts";
import { ConnectionOutput } from "./connection-output.ts";
import type { SendQueue } from "./send-queue.ts";

/** What happens to a write above the hard bound: the connection is reset, or the write is discarded (false). */
export type OverflowPolicy = "close" | "discard";

export class Writing<Message, Sent, State> {
  readonly #driver: Driver;
  readonly #limits: Limits;
  readonly #overflow: OverflowPolicy;
  readonly #sends: SendQueue;
  readonly #closing: Closing<Message, Sent, State>;
  readonly #output: ConnectionOutput;

  constructor(
    driver: Driver,
    limits: Limits,
    overflow: OverflowPolicy,
    sends: SendQueue,
    closing: Closing<Message, Sent, State>,
  ) {
    this.#driver = driver;
    this.#limits = limits;
    this.#overflow = overflow;
    this.#sends = sends;
    this.#closing = closing;
    this.#output = new ConnectionOutput(sends);
  }

  /** @throws TypeError for what is neither bytes nor a string */
  write(connection: ReactorConnection<Message, Sent, State>, data: Uint8Array | string): boolean {
    if ((connection.flags & (OUTPUT_ENDING | GONE)) !== 0) return false;
    const length = sizeOf(data);
    if (connection.pendingBytes + length > this.#limits.connectionOutputBytes) {
      return this.#overflowed(connection);
    }
    const appended =
      typeof data === "string"
        ? this.#sends.appendText(connection, data)
        : this.#sends.append(connection, data);
    return appended ? this.#belowHighWater(connection) : this.#outOfMemory(connection);
  }

  send(connection: ReactorConnection<Message, Sent, State>, message: Sent): boolean {
    if ((connection.flags & (OUTPUT_ENDING | GONE)) !== 0) return false;
    if (connection.pendingBytes >= this.#limits.connectionOutputBytes) {
      return this.#overflowed(connection);
    }
    this.#output.begin(connection);
    connection.table.codec.encode(message, this.#output);
    return this.#output.full ? this.#outOfMemory(connection) : this.#belowHighWater(connection);
  }

  /** What waits to be sent is below the low-water mark. True: its input was held back, and is not any more. */
  drained(connection: ReactorConnection<Message, Sent, State>): boolean {
    if (connection.waiting !== undefined) this.tellWaiting(connection);
    if ((connection.flags & HELD) === 0) return false;
    connection.flags &= ~HELD;
    return true;
  }

  /** Its promises of `drained` are kept: there is room, or nothing will be sent any more. */
  tellWaiting(connection: ReactorConnection<Message, Sent, State>): void {
    const { waiting } = connection;
    if (waiting === undefined) return;
    connection.waiting = undefined;
    for (const resolve of waiting) resolve();
    this.#driver.wake();
  }

  #belowHighWater(connection: ReactorConnection<Message, Sent, State>): boolean {
    if (connection.pendingBytes <= this.#limits.highWaterBytes) return true;
    connection.flags |= HELD;
    return false;
  }

  #overflowed(connection: ReactorConnection<Message, Sent, State>): boolean {
    if (this.#overflow === "close")
      this.#closing.terminate(connection, "overflow", undefined, true);
    return false;
  }

  #outOfMemory(connection: ReactorConnection<Message, Sent, State>): boolean {
    this.#closing.terminate(connection, "memory", undefined, true);
    return false;
  }
}
