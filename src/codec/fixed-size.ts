// fixedSize(): every message has the same number of bytes, and nothing lies between two.

import type { Codec, Decoder, Input } from "./codec.ts";
import { type MessageBytes, sizeOf, takeBytes, writeBytes } from "./message-bytes.ts";
import { checkInteger, LARGEST_MESSAGE } from "./options.ts";
import { Unfinished } from "./unfinished.ts";

class FixedSizeDecoder implements Decoder<Buffer> {
  readonly #size: number;
  readonly #unfinished = new Unfinished();

  constructor(size: number) {
    this.#size = size;
  }

  get pending(): number {
    return this.#unfinished.length;
  }

  kept(): Buffer {
    return this.#unfinished.copy();
  }

  next(input: Input): Buffer | undefined {
    const missing = this.#size - this.#unfinished.length;
    if (input.end - input.offset < missing) {
      if (input.offset < input.end) this.#unfinished.keep(input, input.end, this.#size);
      return undefined;
    }
    if (missing === this.#size) return takeBytes(input, missing);
    this.#unfinished.keep(input, input.offset + missing, this.#size);
    return this.#unfinished.take(this.#size);
  }
}

/**
 * Messages are Buffers of exactly `size` bytes: records, samples, game states. Strings are sent as UTF-8 and measured
 * so. Decoding cannot fail; a stream that ends within a message is truncated.
 *
 * Encoding throws RangeError for a message of another size.
 * @param size in bytes, 1 to 1 GiB
 * @throws TypeError, RangeError for another size
 */
export function fixedSize(size: number): Codec<Buffer, MessageBytes> {
  checkInteger("fixedSize(): size (bytes)", size, 1, LARGEST_MESSAGE);
  return {
    name: `fixedSize(${size})`,
    decoder: () => new FixedSizeDecoder(size),
    encode(message, output) {
      const length = sizeOf(message);
      if (length !== size) {
        throw new RangeError(`a message must have exactly ${size} bytes, not ${length}`);
      }
      writeBytes(message, output);
    },
  };
}
