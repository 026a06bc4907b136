// What was handled of a client's stream: each message is what the client sent at that place, and at an end there is nothing left.

import type { Buffer } from "node:buffer";
import type { Client } from "./client.ts";
import type { Wire } from "./wire.ts";

interface Setting {
  readonly wire: Wire;
  /** Nothing in this run breaks connections. */
  readonly lossless: boolean;
}

export class HandledStream {
  messages = 0;
  /** Bytes of the client's stream that these were made of. */
  length = 0;
  readonly #setting: Setting;
  readonly #client: Client | undefined;
  readonly #breach: (what: string) => void;

  constructor(setting: Setting, client: Client | undefined, breach: (what: string) => void) {
    this.#setting = setting;
    this.#client = client;
    this.#breach = breach;
  }

  /** Before the next message is handled; its bytes, without frame. */
  take(content: Buffer): void {
    const { wire } = this.#setting;
    const client = this.#client;
    if (client === undefined) return;
    const at = this.length;
    const expected = wire.framed
      ? client.contents[this.messages]
      : client.stream.subarray(at, at + content.length);
    if (expected === undefined || !expected.equals(content)) {
      this.#breach(`message ${this.messages} is not what the client sent there`);
    }
    this.messages++;
    this.length += wire.framed ? wire.frame(content).length : content.length;
    if (this.length > client.writtenLength) this.#breach("more handled than sent");
  }

  /** At the end, all that the client has said is handled, unless it was cut short or is not to be understood. */
  checkAll(): void {
    const client = this.#client;
    if (client === undefined || this.isBroken || client.writtenLength > client.wholeLength) return;
    const { writtenLength } = client;
    if (this.length !== writtenLength) {
      this.#breach(`the end after ${this.length} of ${writtenLength} bytes`);
    }
  }

  /** The stream may have been cut anywhere. */
  get isBroken(): boolean {
    const client = this.#client;
    if (!this.#setting.lossless || client === undefined || client.hasLeft) return true;
    return client.plan.kind === "resetting" || client.plan.kind === "leaving";
  }

  /** What the client said can be what the codec refuses, or is cut inside a message. */
  get isMalformed(): boolean {
    const client = this.#client;
    if (!this.#setting.wire.framed || client === undefined) return false;
    if (client.writtenLength > client.wholeLength) return true;
    return this.isBroken || (client.hasEnded && !client.isComplete);
  }
}
