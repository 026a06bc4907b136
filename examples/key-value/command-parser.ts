// RESP2 commands, parsed in place.
//
//   * 2 \r\n  $ 3 \r\n G E T \r\n  $ 1 \r\n k \r\n      an array of bulk strings: what clients send
//   G E T  k \r\n                                       an inline command: anything that doesn't begin with `*`
//
// A parser stops where the bytes end and goes on there when it's given more: it reads nothing twice but the header of
// an unfinished argument (13 bytes at most), so it takes linear time however the bytes are cut.
// Invariant: `start <= position <= end`, and every argument noted in `request` lies before `position`.

import { splitWords } from "./inline-command.ts";
import { Request } from "./request.ts";

export interface RespLimits {
  /** Bytes of one command, headers included. */
  readonly maximumBytes: number;
  /** Arguments of one command, its name included. */
  readonly maximumArguments: number;
}

/** As in Redis. */
const LONGEST_INLINE = 65_536;

const CR = 0x0d;
const LF = 0x0a;
const STAR = 0x2a;
const DOLLAR = 0x24;
const ZERO = 0x30;

/** What `#expected` is before the number of arguments is known. */
const UNKNOWN = -1;
const INLINE = -2;

/** What `readLength` gives besides a length. */
const MORE = -1;
const MALFORMED = -2;
const MOST_DIGITS = 10;

export class CommandParser {
  readonly request = new Request();
  /** Where the command begins in `request.bytes`. */
  start = 0;
  /** How far it has been read; behind the command when it is whole. */
  position = 0;
  /** After `read` has said false: it can say something else only when there are bytes up to here. */
  needed = 0;
  #expected = UNKNOWN;
  readonly #limits: RespLimits;

  constructor(limits: RespLimits) {
    this.#limits = limits;
  }

  /** A command begins at `bytes[at]`. */
  begin(bytes: Buffer, at: number): void {
    this.request.begin(bytes);
    this.start = at;
    this.position = at;
    this.#expected = UNKNOWN;
  }

  /** Reads on up to `end`. True: the request is whole, or has an error, or is empty (a blank line, `*0`). */
  read(bytes: Buffer, end: number): boolean {
    if (this.#expected >= 0) return this.#readArguments(bytes, end);
    if (this.#expected === INLINE) return this.#readInline(bytes, end);
    if (this.position >= end) return this.#needs(this.position + 1);
    if (bytes[this.position] === STAR) return this.#readCount(bytes, end);
    this.#expected = INLINE;
    return this.#readInline(bytes, end);
  }

  /** A parser that is as far as this one, over a copy of what it has read: `into` begins with the command. */
  continued(into: Buffer): CommandParser {
    const other = new CommandParser(this.#limits);
    other.begin(into, 0);
    for (let index = 0; index < this.request.count; index++) {
      other.request.add(
        this.request.start(index) - this.start,
        this.request.end(index) - this.start,
      );
    }
    other.position = this.position - this.start;
    other.needed = this.needed - this.start;
    other.#expected = this.#expected;
    return other;
  }

  #readCount(bytes: Buffer, end: number): boolean {
    const count = readLength(bytes, this.position + 1, end);
    if (count === MORE) return this.#needs(end + 1);
    if (count === MALFORMED || count > this.#limits.maximumArguments) {
      return this.#fail("invalid multibulk length");
    }
    this.#expected = count;
    this.position += headerLength(count);
    return this.#readArguments(bytes, end);
  }

  #readArguments(bytes: Buffer, end: number): boolean {
    const { request } = this;
    const expected = this.#expected;
    const lastAllowed = this.start + this.#limits.maximumBytes;
    let at = this.position;
    for (let index = request.count; index < expected; index++) {
      this.position = at;
      if (at >= end) return this.#needs(end + 1);
      if (bytes[at] !== DOLLAR) {
        return this.#fail(`expected '$', got '${String.fromCharCode(bytes[at] as number)}'`);
      }
      const length = readLength(bytes, at + 1, end);
      if (length === MORE) return this.#needs(end + 1);
      const first = at + headerLength(length);
      const last = first + length;
      // Refused by what is announced, before a byte of it has come.
      if (length === MALFORMED || last + 2 > lastAllowed) return this.#fail("invalid bulk length");
      if (last + 2 > end) return this.#needs(last + 2);
      if (bytes[last] !== CR || bytes[last + 1] !== LF) {
        return this.#fail("expected a line's end behind a bulk string");
      }
      request.add(first, last);
      at = last + 2;
    }
    this.position = at;
    return true;
  }

  #readInline(bytes: Buffer, end: number): boolean {
    let at = this.position;
    while (at < end && bytes[at] !== LF) at++;
    this.position = at;
    if (at - this.start > LONGEST_INLINE) return this.#fail("too big inline request");
    if (at >= end) return this.#needs(end + 1);
    const last = at > this.start && bytes[at - 1] === CR ? at - 1 : at;
    this.position = at + 1;
    if (splitWords(this.request, bytes, this.start, last)) return true;
    return this.#fail("unbalanced quotes in request");
  }

  #needs(end: number): false {
    this.needed = end;
    return false;
  }

  #fail(reason: string): true {
    this.request.count = 0;
    this.request.error = `Protocol error: ${reason}`;
    return true;
  }
}

/** The decimal number and its line's end at `at`. Only the canonical form, so that the value tells how long it was. */
function readLength(bytes: Buffer, at: number, end: number): number {
  let value = 0;
  for (let index = at; index < end; index++) {
    const byte = bytes[index] as number;
    if (byte === CR) {
      if (index === at) return MALFORMED;
      if (index + 1 >= end) return MORE;
      return bytes[index + 1] === LF ? value : MALFORMED;
    }
    const digit = byte - ZERO;
    if (digit < 0 || digit > 9 || index - at >= MOST_DIGITS) return MALFORMED;
    if (value === 0 && index > at) return MALFORMED;
    value = value * 10 + digit;
  }
  return MORE;
}

/** Of the sign, the digits and the line's end. */
function headerLength(value: number): number {
  if (value < 10) return 4;
  if (value < 100) return 5;
  let length = 6;
  for (let rest = value; rest >= 1000; rest /= 10) length++;
  return length;
}
