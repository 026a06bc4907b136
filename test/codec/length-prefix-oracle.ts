// What lengthPrefix() should do, slow and obvious: whole streams, arrays of numbers, BigInt; and an encoder that owes
// nothing to the one under test.

import type { LengthPrefixOptions } from "../../src/codec/length-prefix.ts";
import { bytes, type Outcome } from "./streams.ts";

const WIDTHS = { u8: 1, u16: 2, u32: 4, varint: 0 };

interface Header {
  readonly width: number;
  readonly value: bigint;
}

function readFixed(rest: number[], width: number, littleEndian: boolean): Header | undefined {
  if (rest.length < width) return undefined;
  const digits = rest.slice(0, width);
  if (littleEndian) digits.reverse();
  return { width, value: BigInt(`0x${Buffer.from(digits).toString("hex")}`) };
}

function readVarint(rest: number[]): Header | undefined | "EBADMSG" {
  let value = 0n;
  for (const [index, byte] of rest.entries()) {
    value |= BigInt(byte & 127) << BigInt(7 * index);
    if (index > 0 && byte === 0) return "EBADMSG";
    if (value >= 1n << 32n || (index === 4 && byte >= 128)) return "EBADMSG";
    if (byte < 128) return { width: index + 1, value };
  }
  return undefined;
}

/** What becomes of a stream. */
export function oracle(options: LengthPrefixOptions) {
  const { header, littleEndian = false, includesHeader = false, maximumBytes = 2 ** 20 } = options;
  const width = WIDTHS[header];
  return (stream: Uint8Array): Outcome => {
    const messages: string[] = [];
    let rest = [...stream];
    for (;;) {
      const read = width === 0 ? readVarint(rest) : readFixed(rest, width, littleEndian);
      if (read === "EBADMSG") return { messages, error: "EBADMSG", pending: 0 };
      if (read === undefined) break;
      const body = Number(read.value) - (includesHeader ? read.width : 0);
      if (body < 0) return { messages, error: "EBADMSG", pending: 0 };
      if (body > maximumBytes) return { messages, error: "EMSGSIZE", pending: 0 };
      if (rest.length < read.width + body) break;
      const end = read.width + body;
      messages.push(Buffer.from(rest.slice(read.width, end)).toString("latin1"));
      rest = rest.slice(end);
    }
    return { messages, error: undefined, pending: rest.length };
  };
}

/** A message on the wire. */
export function framed(options: LengthPrefixOptions, body: string): Buffer {
  const { header, littleEndian = false, includesHeader = false } = options;
  const width = WIDTHS[header];
  if (width > 0) {
    const head = Buffer.alloc(width);
    const value = body.length + (includesHeader ? width : 0);
    if (littleEndian) head.writeUIntLE(value, 0, width);
    else head.writeUIntBE(value, 0, width);
    return Buffer.concat([head, bytes(body)]);
  }
  for (let own = 1; ; own++) {
    const digits: number[] = [];
    let rest = body.length + (includesHeader ? own : 0);
    for (; digits.length === 0 || rest > 0; rest = Math.floor(rest / 128)) digits.push(rest % 128);
    if (includesHeader && digits.length !== own) continue;
    const head = digits.map((digit, index) => digit + (index < digits.length - 1 ? 128 : 0));
    return Buffer.concat([Buffer.from(head), bytes(body)]);
  }
}
