// Messages in pieces: a frame with MORE, continued by DATA frames, until one without MORE.
//
// What is kept is the payload of the first frame with all others behind it: when the last has come, that is the payload
// of one whole frame, and is handled as if it had come so. Bytes count against a budget of the connection, and the largest
// message is checked before each piece is kept. Since pieces are copied, the peer's window is given back at once: several
// half messages can never fill it with none complete.

import type { Input } from "../codec/codec.ts";
import { Unfinished } from "../codec/unfinished.ts";

/** What one connection may hold of messages that are in pieces or not read yet, in bytes. */
export class HeldBytes {
  readonly most: number;
  used = 0;

  constructor(most: number) {
    this.most = most;
  }

  /** False: there is no room; nothing was taken. */
  take(bytes: number): boolean {
    if (this.used + bytes > this.most) return false;
    this.used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.used -= bytes;
  }
}

export class MessagePart {
  /** Type and flags of the first frame. */
  readonly type: number;
  readonly flags: number;
  readonly #bytes = new Unfinished();
  readonly #held: HeldBytes;
  /** The longest that the whole may become. */
  readonly #most: number;

  /** `head` bytes of the first frame are not the message's. */
  constructor(type: number, flags: number, head: number, mostBytes: number, held: HeldBytes) {
    this.type = type;
    this.flags = flags;
    this.#most = head + mostBytes;
    this.#held = held;
  }

  /** Undefined: kept. Otherwise why not: the message is too large, or too much is held. */
  add(bytes: Buffer, offset: number, length: number): "too-large" | "too-much" | undefined {
    if (this.#bytes.length + length > this.#most) return "too-large";
    if (!this.#held.take(length)) return "too-much";
    const input: Input = { bytes, offset, end: offset + length, borrow: true };
    this.#bytes.keep(input, offset + length, this.#most);
    return undefined;
  }

  /** The whole; nothing is held any more. */
  take(): Buffer {
    this.#held.give(this.#bytes.length);
    return this.#bytes.take(this.#bytes.length);
  }

  /** Gives up what has come. */
  drop(): void {
    this.take();
  }
}
