// HELLO as a tester says it: with who it is, and with what it asks for beside that. Also put into bytes that were written for
// servers that let strangers in.

import { Buffer } from "node:buffer";
import {
  AUTH_METHOD,
  FIRST_IGNORABLE,
  FRAME,
  HELLO_KEY,
  PREFACE,
  VERSION,
} from "../protocol/codes.ts";
import { encodeHello } from "../protocol/connection-frames.ts";
import { HEADER_BYTES } from "../protocol/frame-reader.ts";
import { FrameWriter } from "../protocol/frame-writer.ts";
import { type Tlv, tlvBytes, writeTlvs } from "../protocol/tlv.ts";

const PREFACE_BYTES = Buffer.from(PREFACE);
/** Of HELLO's payload, before its TLVs. */
const HELLO_FIXED = 4;

/** The preface and HELLO, with a token where there is one. */
export function prefaceAndHello(token: string | undefined, tlvs: readonly Tlv[] = []): Buffer {
  const writer = new FrameWriter();
  const all = [...credential(token), ...tlvs];
  encodeHello(writer, { versionMin: VERSION, versionMax: VERSION, tlvs: all });
  return Buffer.concat([PREFACE_BYTES, writer.bytes.subarray(0, writer.end)]);
}

/** The same bytes, with the token in the HELLO that follows the preface and frames to be skipped; as they are where none does. */
export function introduced(bytes: Buffer, token: string | undefined): Buffer {
  const hello = helloAt(bytes);
  if (token === undefined || hello === undefined) return bytes;
  const length = bytes.readUIntLE(hello, 3);
  const end = hello + HEADER_BYTES + length;
  if (hasCredential(bytes.subarray(hello + HEADER_BYTES + HELLO_FIXED, end))) return bytes;
  const tlvs = credential(token);
  const own = Buffer.alloc(tlvBytes(tlvs));
  writeTlvs(own, 0, tlvs);
  const before = Buffer.from(bytes.subarray(0, end));
  before.writeUIntLE(length + own.length, hello, 3);
  return Buffer.concat([before, own, bytes.subarray(end)]);
}

function credential(token: string | undefined): readonly Tlv[] {
  if (token === undefined) return [];
  const value = Buffer.concat([Uint8Array.of(AUTH_METHOD.TOKEN), Buffer.from(token)]);
  return [{ key: HELLO_KEY.AUTH, value }];
}

/** Where the frame begins, when it is whole. */
function helloAt(bytes: Buffer): number | undefined {
  const prefaced = bytes.subarray(0, PREFACE_BYTES.length).equals(PREFACE_BYTES);
  let at = prefaced ? PREFACE_BYTES.length : 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const end = at + HEADER_BYTES + bytes.readUIntLE(at, 3);
    if (end > bytes.length) return undefined;
    const type = bytes.readUInt8(at + 3);
    if (type === FRAME.HELLO) return end - at < HEADER_BYTES + HELLO_FIXED ? undefined : at;
    if (type < FIRST_IGNORABLE) return undefined;
    at = end;
  }
  return undefined;
}

function hasCredential(tlvs: Buffer): boolean {
  for (let at = 0; at + 4 <= tlvs.length; at += 4 + tlvs.readUInt16LE(at + 2)) {
    if (tlvs.readUInt16LE(at) === HELLO_KEY.AUTH) return true;
  }
  return false;
}
