// TLVs: optional things, each with a key, so that one side can say what the other has not heard of.
//
//   u16 key     bit 15: critical, whoever does not know it must refuse
//   u16 length
//       value
//
// A record is encoded from a list and decoded into one, in the order of the wire: this is the handshake's and the
// metadata's, not the hot path.

import { Buffer } from "node:buffer";
import { CRITICAL } from "./codes.ts";
import { protocolError } from "./wire-error.ts";

export interface Tlv {
  /** Without the critical bit. */
  readonly key: number;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

const TLV_HEADER = 4;
const LARGEST_VALUE = 0xffff;
const NONE: readonly Tlv[] = Object.freeze([]);

export function tlvBytes(list: readonly Tlv[]): number {
  let length = 0;
  for (const { value } of list) length += TLV_HEADER + value.length;
  return length;
}

/** Writes the list at `at`; where it ends. @throws RangeError for a key or value that does not fit */
export function writeTlvs(bytes: Buffer, at: number, list: readonly Tlv[]): number {
  let end = at;
  for (const { key, critical, value } of list) {
    if (key < 0 || key >= CRITICAL || value.length > LARGEST_VALUE) {
      throw new RangeError(
        `a TLV of key ${key} and ${value.length} bytes: at most 32767 and 65535`,
      );
    }
    bytes.writeUInt16LE(critical === true ? key | CRITICAL : key, end);
    bytes.writeUInt16LE(value.length, end + 2);
    bytes.set(value, end + TLV_HEADER);
    end += TLV_HEADER + value.length;
  }
  return end;
}

/**
 * The list in `[offset, end)`; the values are copies. Keys that are not `known` are skipped, unless they are critical.
 * @throws WireError PROTOCOL for a length past the end, a key that stands twice, an unknown critical one
 */
export function readTlvs(
  bytes: Buffer,
  offset: number,
  end: number,
  known: (key: number) => boolean,
): readonly Tlv[] {
  if (offset === end) return NONE;
  const list: Tlv[] = [];
  let at = offset;
  while (at < end) {
    if (end - at < TLV_HEADER) throw protocolError("a TLV is cut off");
    const word = bytes.readUInt16LE(at);
    const length = bytes.readUInt16LE(at + 2);
    at += TLV_HEADER;
    if (length > end - at) throw protocolError("a TLV is longer than what holds it");
    const key = word & ~CRITICAL;
    const critical = word >= CRITICAL;
    if (known(key)) {
      if (list.some((one) => one.key === key)) throw protocolError(`TLV ${key} stands twice`);
      list.push({ key, critical, value: Buffer.from(bytes.subarray(at, at + length)) });
    } else if (critical) {
      throw protocolError(`TLV ${key} is critical, and unknown here`);
    }
    at += length;
  }
  return list;
}

/** The value of a key, if it is there. */
export function tlv(list: readonly Tlv[], key: number): Uint8Array | undefined {
  return list.find((one) => one.key === key)?.value;
}

/** The value as a little-endian u32. @throws WireError PROTOCOL when it is not 4 bytes long */
export function tlvU32(list: readonly Tlv[], key: number): number | undefined {
  const value = tlv(list, key);
  if (value === undefined) return undefined;
  if (value.length !== 4) throw protocolError(`TLV ${key} has ${value.length} bytes, not 4`);
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
}

/** The value as text. @throws WireError PROTOCOL when it is not UTF-8 */
export function tlvText(list: readonly Tlv[], key: number): string | undefined {
  const value = tlv(list, key);
  return value === undefined ? undefined : strictText(value, "a TLV");
}

export function u32Tlv(key: number, value: number): Tlv {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return { key, value: bytes };
}

export function textTlv(key: number, text: string): Tlv {
  return { key, value: Buffer.from(text) };
}

/** @throws WireError PROTOCOL when it is not UTF-8 */
export function strictText(value: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    // The one thing that it throws for.
    throw protocolError(`${what} is not UTF-8`);
  }
}
