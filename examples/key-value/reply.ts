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

/** Up to this length V8 keeps a byte array among its own objects, and nothing is allocated beside it. */
const SMALL = 64;
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
export function bulk(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  let digits = 1;
  for (let rest = length; rest >= 10; rest /= 10) digits++;
  const size = 1 + digits + 2 + length + 2;
  const target = size <= SMALL ? new Uint8Array(size) : Buffer.allocUnsafeSlow(size);
  target[0] = 0x24;
  let rest = length;
  for (let at = digits; at >= 1; at--) {
    target[at] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  target[digits + 1] = 0x0d;
  target[digits + 2] = 0x0a;
  target[size - 2] = 0x0d;
  target[size - 1] = 0x0a;
  copyBytes(bytes, start, end, target, digits + 3);
  return target;
}

/** Writes other bytes into a bulk string; false when they are of another length. */
export function overwriteBulk(
  target: Uint8Array,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const first = bodyStart(target);
  if (target.length - 2 - first !== end - start) return false;
  copyBytes(bytes, start, end, target, first);
  return true;
}

/** Where the bytes of a bulk string begin; they end two before its end. */
export function bodyStart(bulkString: Uint8Array): number {
  // "$3\r\n" is the shortest header; its line feed is at 3.
  let at = 3;
  while (bulkString[at] !== 0x0a) at++;
  return at + 1;
}

function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  if (end - start > LOOP) {
    target.set(source.subarray(start, end), at);
    return;
  }
  for (let index = start; index < end; index++)
    target[at + index - start] = source[index] as number;
}
