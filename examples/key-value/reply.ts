// Replies: what a command answers, and how RESP2 writes it.
//
//   + status \r\n     - error \r\n     : integer \r\n     $ length \r\n bytes \r\n     $-1 \r\n (nothing)     * count \r\n …
//
// The twist: the replies that are given a million times a second don't go through here. They are whole byte strings
// made once, and values are kept as the very bytes that answer a GET, so that an answer is one `connection.write`.

import type { Output } from "../../src/index.ts";

/** `string` is sent as UTF-8. Errors begin with a code: `ERR`, `NOPROTO`. */
export type Reply = null | number | bigint | string | Uint8Array | Failure | readonly Reply[];

/** An error for the client. One character a byte, since it may quote what the client sent. */
export class Failure {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export const OK = Buffer.from("+OK\r\n");
export const PONG = Buffer.from("+PONG\r\n");
export const NOTHING = Buffer.from("$-1\r\n");

/** Below this a loop is cheaper than the call that copies. */
const LOOP = 24;

/** @throws RangeError for a number that is no integer; nothing has been written then */
export function writeReply(reply: Reply, output: Output): void {
  check(reply);
  write(reply, output);
}

function check(reply: Reply): void {
  if (typeof reply === "number" && !Number.isSafeInteger(reply)) {
    throw new RangeError(`RESP2 carries integers, not ${reply}`);
  }
  if (isArray(reply)) for (const one of reply) check(one);
}

function write(reply: Reply, output: Output): void {
  if (reply === null) output.bytes(NOTHING);
  else if (typeof reply === "number" || typeof reply === "bigint") output.text(`:${reply}\r\n`);
  else if (typeof reply === "string") {
    output.text(`$${Buffer.byteLength(reply)}\r\n${reply}\r\n`);
  } else if (reply instanceof Failure) {
    // A line's end within would end the reply.
    const line = reply.text.replace(/[\r\n]/g, " ");
    output.bytes(Buffer.from(`-${line}\r\n`, "latin1"));
  } else if (isArray(reply)) {
    output.text(`*${reply.length}\r\n`);
    for (const one of reply) write(one, output);
  } else {
    output.text(`$${reply.length}\r\n`);
    output.bytes(reply);
    output.text("\r\n");
  }
}

function isArray(reply: Reply): reply is readonly Reply[] {
  return Array.isArray(reply);
}

/** `bytes[start, end)` as a bulk string, whole: its header, a copy, its end. */
export function bulk(bytes: Buffer, start: number, end: number): Buffer {
  const target = Buffer.allocUnsafe(bulkLength(end - start));
  writeBulk(bytes, start, end, target, 0);
  return target;
}

/** How long a bulk string of so many bytes is. */
export function bulkLength(length: number): number {
  return 1 + digitCount(length) + 2 + length + 2;
}

/** Writes `source[start, end)` as a bulk string to `target` at `at`. */
export function writeBulk(
  source: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
): void {
  const length = end - start;
  const digits = digitCount(length);
  const body = at + digits + 3;
  target[at] = 0x24;
  let rest = length;
  for (let place = at + digits; place > at; place--) {
    const tenth = Math.floor(rest / 10);
    target[place] = 0x30 + (rest - 10 * tenth);
    rest = tenth;
  }
  target[body - 2] = 0x0d;
  target[body - 1] = 0x0a;
  copyBytes(source, start, end, target, body);
  target[body + length] = 0x0d;
  target[body + length + 1] = 0x0a;
}

/** Where the bytes of a bulk string begin; they end two before its end. */
export function bodyStart(bulkString: Buffer): number {
  // The shortest header is "$3\r\n".
  let at = 3;
  while (bulkString[at] !== 0x0a) at++;
  return at + 1;
}

export function copyBytes(
  source: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
): void {
  if (end - start > LOOP) {
    source.copy(target, at, start, end);
    return;
  }
  const shift = at - start;
  for (let index = start; index < end; index++) target[index + shift] = source[index] as number;
}

function digitCount(value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest /= 10) digits++;
  return digits;
}
