// lengthPrefix(): before each message its length, in a header of 1, 2 or 4 bytes or a varint.
//
//   ┌────────┬──────────────┐   u8, u16, u32: unsigned, big-endian unless littleEndian
//   │ length │ body         │   varint: unsigned LEB128, 7 bits a byte, lowest first, a set top bit says "more follows"
//   └────────┴──────────────┘   includesHeader: length counts the header too
//
// The twist: the length is the peer's word. It is checked against the maximum when the header is whole, and memory
// still only follows the bytes that really come. A header is read byte by byte into two numbers: it may be cut
// anywhere, and needs no memory and no second path.

import { type Codec, DecodeError, type Decoder, type Input, type Output } from "./codec.ts";
import { type MessageBytes, sizeOf, takeBytes, writeBytes } from "./message-bytes.ts";
import { checkBoolean, checkChoice, checkInteger, checkNames, LARGEST_MESSAGE } from "./options.ts";
import { Unfinished } from "./unfinished.ts";

const LARGEST_LENGTH = 0xffff_ffff;
const LONGEST_VARINT = 5;
const WIDTHS = { u8: 1, u16: 2, u32: 4, varint: 0 } as const;
const UNKNOWN = -1;

export interface LengthPrefixOptions {
  /** How the length is written. */
  readonly header: "u8" | "u16" | "u32" | "varint";
  /** The lowest byte first; for u16 and u32 only. False by default: network byte order. */
  readonly littleEndian?: boolean;
  /** Whether the length counts the header's own bytes. False by default. */
  readonly includesHeader?: boolean;
  /**
   * The longest body that is received, in bytes: 1 to 1 GiB; 1 MiB by default. What is sent is limited only by what
   * the header can say.
   */
  readonly maximumBytes?: number;
}

interface Layout {
  /** Bytes of the header; 0 for a varint. */
  readonly width: 1 | 2 | 4 | 0;
  readonly littleEndian: boolean;
  readonly includesHeader: boolean;
  readonly maximum: number;
}

class LengthPrefixDecoder implements Decoder<Buffer> {
  readonly #layout: Layout;
  readonly #unfinished = new Unfinished();
  /** Bytes of the header that have come, and what they say so far. */
  #headerBytes = 0;
  #length = 0;
  /** Bytes of the body, once the header is whole. */
  #body = UNKNOWN;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  get pending(): number {
    return this.#headerBytes + this.#unfinished.length;
  }

  kept(): Buffer {
    return Buffer.concat([this.#header(), this.#unfinished.copy()]);
  }

  next(input: Input): Buffer | undefined {
    if (this.#body === UNKNOWN && !this.#readHeader(input)) return undefined;
    const body = this.#body;
    const kept = this.#unfinished.length;
    const missing = body - kept;
    if (input.end - input.offset < missing) {
      if (input.offset < input.end) this.#unfinished.keep(input, input.end, body);
      return undefined;
    }
    this.#headerBytes = 0;
    this.#length = 0;
    this.#body = UNKNOWN;
    if (kept === 0) return takeBytes(input, body);
    this.#unfinished.keep(input, input.offset + missing, body);
    return this.#unfinished.take(body);
  }

  /** True when the header is whole; then `#body` is known and allowed. */
  #readHeader(input: Input): boolean {
    const { width } = this.#layout;
    while (input.offset < input.end) {
      const byte = input.bytes[input.offset++];
      const whole = width === 0 ? this.#addToVarint(byte) : this.#addToFixed(byte);
      if (!whole) continue;
      this.#body = this.#checkedBody();
      return true;
    }
    return false;
  }

  #addToFixed(byte: number): boolean {
    const { width, littleEndian } = this.#layout;
    // Only the place is shifted, at most by 24: a shifted byte could turn negative, and `**` costs 10 ns.
    if (littleEndian) this.#length += byte * (1 << (8 * this.#headerBytes));
    else this.#length = this.#length * 256 + byte;
    this.#headerBytes += 1;
    return this.#headerBytes === width;
  }

  #addToVarint(byte: number): boolean {
    this.#length += (byte & 0x7f) * (1 << (7 * this.#headerBytes));
    this.#headerBytes += 1;
    if (byte === 0 && this.#headerBytes > 1) {
      throw new DecodeError(
        "EBADMSG",
        "a length (varint) is padded: it must be as short as it can",
      );
    }
    if (this.#length > LARGEST_LENGTH || (this.#headerBytes === LONGEST_VARINT && byte > 0x7f)) {
      throw new DecodeError("EBADMSG", "a length (varint) is longer than 32 bits");
    }
    return byte <= 0x7f;
  }

  /** What has come of the header, from the number that it says. */
  #header(): Buffer {
    const { width, littleEndian } = this.#layout;
    const header = Buffer.alloc(this.#headerBytes);
    let rest = this.#length;
    for (let n = 0; n < header.length; n++) {
      const radix = width === 0 ? 0x80 : 0x100;
      // Of a varint all bytes but the last say that another one follows, and so does the last if the header is not whole.
      const follows = width === 0 && (n + 1 < header.length || this.#body === UNKNOWN) ? 0x80 : 0;
      header[width === 0 || littleEndian ? n : header.length - 1 - n] = (rest % radix) + follows;
      rest = Math.floor(rest / radix);
    }
    return header;
  }

  #checkedBody(): number {
    const { includesHeader, maximum } = this.#layout;
    const body = this.#length - (includesHeader ? this.#headerBytes : 0);
    if (body < 0) {
      const headerBytes = this.#headerBytes;
      throw new DecodeError(
        "EBADMSG",
        `a length of ${this.#length} is less than its header's ${headerBytes} bytes`,
      );
    }
    if (body <= maximum) return body;
    throw new DecodeError("EMSGSIZE", `a message of ${body} bytes is longer than ${maximum}`);
  }
}

/**
 * Messages are Buffers without the header, also empty ones. Sends header and body; strings as UTF-8.
 *
 * Decoding fails with `EMSGSIZE` when a header announces more than the maximum, before any memory is taken, and with
 * `EBADMSG` for a length that is less than the header it includes, and for a varint of more than 32 bits or longer
 * than it need be. Encoding throws RangeError for a body that the header cannot announce.
 * @throws TypeError, RangeError for bad options
 */
export function lengthPrefix(options: LengthPrefixOptions): Codec<Buffer, MessageBytes> {
  const layout = checkedLayout(options);
  const { width, littleEndian, includesHeader } = layout;
  const largest = width === 0 ? LARGEST_LENGTH : 256 ** width - 1;
  return {
    name: `lengthPrefix(${options.header})`,
    decoder: () => new LengthPrefixDecoder(layout),
    encode(message, output) {
      const body = sizeOf(message);
      const header = width === 0 ? varintWidth(body, includesHeader) : width;
      const length = includesHeader ? body + header : body;
      if (length > largest) {
        throw new RangeError(
          `a message of ${body} bytes is too long for a header of ${options.header}`,
        );
      }
      if (width === 0) writeVarint(length, output);
      else output.uint(length, width, littleEndian);
      writeBytes(message, output);
    },
  };
}

function checkedLayout(options: LengthPrefixOptions): Layout {
  const names = ["header", "littleEndian", "includesHeader", "maximumBytes"];
  checkNames("lengthPrefix()", options, names);
  const {
    header,
    littleEndian = false,
    includesHeader = false,
    maximumBytes = 1_048_576,
  } = options;
  checkChoice("lengthPrefix(): header", header, Object.keys(WIDTHS));
  checkBoolean("lengthPrefix(): littleEndian", littleEndian);
  checkBoolean("lengthPrefix(): includesHeader", includesHeader);
  checkInteger("lengthPrefix(): maximumBytes", maximumBytes, 1, LARGEST_MESSAGE);
  if (littleEndian && header !== "u16" && header !== "u32") {
    throw new TypeError(`lengthPrefix(): ${header} has no byte order: leave out littleEndian`);
  }
  return { width: WIDTHS[header], littleEndian, includesHeader, maximum: maximumBytes };
}

/** The bytes of the varint in front of a body; those it takes itself may make it longer. */
function varintWidth(body: number, includesItself: boolean): number {
  let width = 1;
  while ((includesItself ? body + width : body) >= 128 ** width) width += 1;
  return width;
}

function writeVarint(value: number, output: Output): void {
  let rest = value;
  while (rest > 0x7f) {
    output.uint((rest % 128) + 128, 1, false);
    rest = Math.floor(rest / 128);
  }
  output.uint(rest, 1, false);
}
