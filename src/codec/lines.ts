// lines(): text, one message a line. A line ends with LF or CRLF; a CR anywhere else is content.
//
// The twist is the CR: as the last byte of what has come, it may be half of an ending or content, so a line of the
// maximum may keep one byte more while that is open. The search is native and bounded (24 ns for 64 bytes; a loop
// 47), and a line that lies whole in the chunk becomes a string straight from there.

import { constants, isUtf8 } from "node:buffer";
import { find, latin1, utf8 } from "./buffer-calls.ts";
import { type Codec, DecodeError, type Decoder, type Input, type Output } from "./codec.ts";
import { checkBoolean, checkChoice, checkInteger, checkNames } from "./options.ts";
import { Unfinished } from "./unfinished.ts";

const LF = 10;
const CR = 13;

export interface LinesOptions {
  /**
   * The longest line that is received, in bytes without its ending: 1 to 536,870,888 (the longest string of V8);
   * 65,536 by default. What is sent is not limited by it.
   */
  readonly maximumBytes?: number;
  /** `"utf8"` by default. `"latin1"` maps each byte to one character, and sends U+0000 to U+00FF only. */
  readonly encoding?: "utf8" | "latin1";
  /** True: a line that is not UTF-8 breaks the stream. False, the default: U+FFFD stands for what is invalid. */
  readonly fatal?: boolean;
}

type ReadText = (bytes: Buffer, start: number, end: number) => string;

class LinesDecoder implements Decoder<string> {
  readonly #maximum: number;
  readonly #text: ReadText;
  readonly #unfinished = new Unfinished();

  constructor(maximum: number, text: ReadText) {
    this.#maximum = maximum;
    this.#text = text;
  }

  get pending(): number {
    return this.#unfinished.length;
  }

  kept(): Buffer {
    return this.#unfinished.copy();
  }

  next(input: Input): string | undefined {
    const { bytes, offset, end } = input;
    if (offset === end) return undefined;
    const newline = find(bytes, LF, offset, end);
    if (newline < 0) return this.#keep(input);
    if (this.#unfinished.length > 0) return this.#complete(input, newline);
    const contentEnd = newline > offset && bytes[newline - 1] === CR ? newline - 1 : newline;
    if (contentEnd - offset > this.#maximum) throw this.#tooLong();
    input.offset = newline + 1;
    return this.#text(bytes, offset, contentEnd);
  }

  /** No end of line in this chunk. */
  #keep(input: Input): undefined {
    const { bytes, offset, end } = input;
    const length = this.#unfinished.length + end - offset;
    const content = bytes[end - 1] === CR ? length - 1 : length;
    if (content > this.#maximum) throw this.#tooLong();
    this.#unfinished.keep(input, end, this.#maximum + 1);
    return undefined;
  }

  /** The end of a line that began in an earlier chunk. */
  #complete(input: Input, newline: number): string {
    const { bytes, offset } = input;
    const length = this.#unfinished.length + newline - offset;
    const last = newline > offset ? bytes[newline - 1] : this.#unfinished.last();
    const content = last === CR ? length - 1 : length;
    if (content > this.#maximum) throw this.#tooLong();
    this.#unfinished.keep(input, newline, this.#maximum + 1);
    input.offset = newline + 1;
    return this.#text(this.#unfinished.take(length), 0, content);
  }

  #tooLong(): DecodeError {
    return new DecodeError("EMSGSIZE", `a line is longer than ${this.#maximum} bytes`);
  }
}

/**
 * Messages are strings without their line ending, also empty ones. Sends a line and LF.
 *
 * Decoding fails with `EMSGSIZE` as soon as more bytes than the maximum have come without an end, and with `EBADMSG`
 * for a line that is not UTF-8 if `fatal` is set. Encoding throws RangeError for what would not arrive as it is: a
 * line that contains LF or ends with CR, or a character that latin1 lacks.
 * @throws TypeError, RangeError for bad options
 */
export function lines(options: LinesOptions = {}): Codec<string> {
  checkNames("lines()", options, ["maximumBytes", "encoding", "fatal"]);
  const { maximumBytes = 65_536, encoding = "utf8", fatal = false } = options;
  checkInteger("lines(): maximumBytes", maximumBytes, 1, constants.MAX_STRING_LENGTH);
  checkChoice("lines(): encoding", encoding, ["utf8", "latin1"]);
  checkBoolean("lines(): fatal", fatal);
  if (fatal && encoding === "latin1") {
    throw new TypeError("lines(): every byte is valid latin1: leave out fatal, or use utf8");
  }
  const text = encoding === "latin1" ? latin1 : fatal ? utf8OrFail : utf8;
  return {
    name: "lines",
    decoder: () => new LinesDecoder(maximumBytes, text),
    encode: encoding === "latin1" ? encodeLatin1 : encodeUtf8,
  };
}

function utf8OrFail(bytes: Buffer, start: number, end: number): string {
  if (isUtf8(bytes.subarray(start, end))) return utf8(bytes, start, end);
  throw new DecodeError("EBADMSG", "a line is not valid UTF-8");
}

function encodeUtf8(line: string, output: Output): void {
  checkLine(line);
  output.text(line);
  output.uint(LF, 1, false);
}

function encodeLatin1(line: string, output: Output): void {
  checkLine(line);
  const bytes = Buffer.from(line, "latin1");
  if (latin1(bytes, 0, bytes.length) !== line) {
    throw new RangeError("a line has a character that latin1 lacks: send utf8 or leave it out");
  }
  output.bytes(bytes);
  output.uint(LF, 1, false);
}

function checkLine(line: string): void {
  if (typeof line !== "string") throw new TypeError(`a line must be a string, not ${typeof line}`);
  if (line.includes("\n")) throw new RangeError("a line must not contain a newline: send two");
  if (line.endsWith("\r")) {
    throw new RangeError("a line must not end with a carriage return: the end is added here");
  }
}
