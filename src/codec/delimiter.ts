// delimiter(): binary messages with a given byte sequence after each.
//
// The twist is a delimiter that is cut by the end of a chunk: with "aab" a chunk may end in "aaa", of which the last
// two belong to the delimiter if a "b" comes. So the last bytes kept and the first of the next chunk, less than one
// delimiter of each, are laid side by side and searched first; the chunk itself is searched where it lies.
// Invariant: what is kept contains no whole delimiter. Per chunk at most 3 × 64 bytes are looked at twice.

import { find } from "./buffer-calls.ts";
import { type Codec, DecodeError, type Decoder, type Input } from "./codec.ts";
import { asBuffer, type MessageBytes, takeBytes } from "./message-bytes.ts";
import { checkInteger, checkNames, LARGEST_MESSAGE } from "./options.ts";
import { Unfinished } from "./unfinished.ts";

const LONGEST_DELIMITER = 64;

export interface DelimiterOptions {
  /**
   * The longest message that is received, in bytes without the delimiter: 1 to 1 GiB; 65,536 by default. What is
   * sent is not limited by it.
   */
  readonly maximumBytes?: number;
}

/** What all decoders of one codec share. */
interface Settings {
  readonly maximum: number;
  readonly width: number;
  /** The delimiter; as a number if it is one byte, which is found three times faster. */
  readonly delimiter: number | Buffer;
  /** Where the bytes on both sides of a cut are laid side by side; nothing stays in it between two calls. */
  readonly seam: Buffer;
}

class DelimiterDecoder implements Decoder<Buffer> {
  readonly #settings: Settings;
  readonly #unfinished = new Unfinished();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  get pending(): number {
    return this.#unfinished.length;
  }

  kept(): Buffer {
    return this.#unfinished.copy();
  }

  next(input: Input): Buffer | undefined {
    const { offset, end } = input;
    if (offset === end) return undefined;
    const { maximum, width } = this.#settings;
    const most = maximum + width - 1;
    const kept = this.#unfinished.length;
    const length = this.#messageLength(input);
    if (length < 0) {
      if (kept + end - offset > most) throw this.#tooLong();
      this.#unfinished.keep(input, end, most);
      return undefined;
    }
    if (length > maximum) throw this.#tooLong();
    const message = this.#take(input, length, most);
    input.offset = offset + length + width - kept;
    return message;
  }

  /** From the message's first byte, kept or not, to the delimiter; -1 if that has not come. */
  #messageLength(input: Input): number {
    const { bytes, offset, end } = input;
    const { width, delimiter, seam } = this.#settings;
    const kept = this.#unfinished.length;
    const before = Math.min(width - 1, kept);
    if (before > 0) {
      const behind = Math.min(width - 1, end - offset);
      this.#unfinished.copyEnd(seam, before);
      bytes.copy(seam, before, offset, offset + behind);
      const found = find(seam, delimiter, 0, before + behind);
      if (found >= 0) return kept - before + found;
    }
    const found = find(bytes, delimiter, offset, end);
    return found < 0 ? -1 : kept + found - offset;
  }

  /** A message may end within what is kept, if its delimiter was cut. */
  #take(input: Input, length: number, most: number): Buffer {
    const missing = length - this.#unfinished.length;
    if (missing === length) return takeBytes(input, length);
    if (missing > 0) this.#unfinished.keep(input, input.offset + missing, most);
    return this.#unfinished.take(length);
  }

  #tooLong(): DecodeError {
    return new DecodeError("EMSGSIZE", `a message is longer than ${this.#settings.maximum} bytes`);
  }
}

/**
 * Messages are Buffers, also empty ones, without the delimiter (1 to 64 bytes; a string means its UTF-8). The first
 * place where the delimiter fits ends the message. Sends a message and the delimiter; strings as UTF-8.
 *
 * Decoding fails with `EMSGSIZE` when a message is longer than the maximum: at the latest when as many bytes more
 * have come as the delimiter has. Encoding throws RangeError for a message in which the delimiter would be found too
 * early.
 * @throws TypeError, RangeError for a bad delimiter or bad options
 */
export function delimiter(
  sequence: MessageBytes,
  options: DelimiterOptions = {},
): Codec<Buffer, MessageBytes> {
  checkNames("delimiter()", options, ["maximumBytes"]);
  const { maximumBytes = 65_536 } = options;
  checkInteger("delimiter(): maximumBytes", maximumBytes, 1, LARGEST_MESSAGE);
  const ending = Buffer.from(asBuffer(sequence));
  const width = ending.length;
  checkInteger("delimiter(): length of the delimiter (bytes)", width, 1, LONGEST_DELIMITER);
  const settings: Settings = {
    maximum: maximumBytes,
    width,
    delimiter: width === 1 ? ending[0] : ending,
    seam: Buffer.alloc(2 * width),
  };
  const overlaps = overlapsItself(ending);
  return {
    name: `delimiter(${JSON.stringify(ending.toString("latin1"))})`,
    decoder: () => new DelimiterDecoder(settings),
    encode(message, output) {
      const bytes = asBuffer(message);
      checkUndelimited(bytes, ending, overlaps);
      output.bytes(bytes);
      output.bytes(ending);
    },
  };
}

/** Whether a copy of the sequence can begin within another: its end is also its beginning, as in "aba". */
function overlapsItself(sequence: Buffer): boolean {
  for (let length = 1; length < sequence.length; length++) {
    const beginning = sequence.subarray(0, length);
    if (beginning.equals(sequence.subarray(sequence.length - length))) return true;
  }
  return false;
}

function checkUndelimited(message: Buffer, ending: Buffer, overlaps: boolean): void {
  // Across the end: "ab" and the delimiter "aba" make "ababa", which begins with "aba".
  const tail = message.subarray(Math.max(0, message.length - ending.length + 1));
  const early = overlaps && Buffer.concat([tail, ending]).indexOf(ending) < tail.length;
  if (early || message.includes(ending)) {
    throw new RangeError(
      "the delimiter would be found before the message's end: choose a longer one",
    );
  }
}
