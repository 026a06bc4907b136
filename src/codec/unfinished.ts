// The bytes of a message whose end has not come yet: the one place where decoders keep input between two chunks.
//
// Memory follows the bytes received, never a length that was announced: a peer that announces 4 GiB and sends 10 bytes
// costs 64. It grows by doubling, so that a message which comes byte by byte is copied twice at most; it goes with the
// message, so that an idle connection keeps none. It is never a piece of Node's shared pool: there a peer that stops
// after one byte would hold the 64 KiB around it, and the memory limits would not see it.
//
// Invariant: length ≤ capacity ≤ max(2 × length, SMALLEST).

import type { Input } from "./codec.ts";

const NOTHING = Buffer.alloc(0);
const SMALLEST = 64;

export class Unfinished {
  #bytes: Buffer = NOTHING;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /**
   * Copies the input up to `end`, and moves its offset there. `most` is as long as this message can become: memory
   * never grows beyond it.
   */
  keep(input: Input, end: number, most: number): void {
    const length = this.#length + end - input.offset;
    if (length > this.#bytes.length) this.#grow(length, most);
    input.bytes.copy(this.#bytes, this.#length, input.offset, end);
    this.#length = length;
    input.offset = end;
  }

  /** Hands over the first `length` bytes, the caller's from now on, and keeps nothing. */
  take(length: number): Buffer {
    const bytes = this.#bytes;
    this.#bytes = NOTHING;
    this.#length = 0;
    return length === bytes.length ? bytes : bytes.subarray(0, length);
  }

  /** A byte that is kept: `index` is below `length`. */
  at(index: number): number {
    return this.#bytes[index] as number;
  }

  /** A copy of all bytes kept. */
  copy(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  /** The last byte kept; there must be one. */
  last(): number {
    return this.#bytes[this.#length - 1];
  }

  /** Copies the last `count` bytes to the start of `target`. */
  copyEnd(target: Buffer, count: number): void {
    this.#bytes.copy(target, 0, this.#length - count, this.#length);
  }

  #grow(length: number, most: number): void {
    const doubled = Math.max(2 * this.#bytes.length, length, SMALLEST);
    const grown = Buffer.allocUnsafeSlow(Math.max(length, Math.min(doubled, most)));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
