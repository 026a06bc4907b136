// The frames of the connection itself (stream 0), encode beside decode, each under its layout. None is on the hot path:
// they are decoded into objects.
//
// Every decoder checks the inner lengths against the frame's before it reads, and throws WireError PROTOCOL; sizes, text and
// TLVs are copies.

import { Buffer } from "node:buffer";
import { FRAME, GOAWAY_KEY, HELLO_KEY, PING_ACK } from "./codes.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { readTlvs, type Tlv, tlvBytes, writeTlvs } from "./tlv.ts";
import { protocolError } from "./wire-error.ts";

const HELLO_KEYS: ReadonlySet<number> = new Set(Object.values(HELLO_KEY));
const GOAWAY_KEYS: ReadonlySet<number> = new Set(Object.values(GOAWAY_KEY));

// HELLO, from the client:
//
//   0  u8  version_min
//   1  u8  version_max
//   2  u16 0
//   4  TLVs

export interface Hello {
  readonly versionMin: number;
  readonly versionMax: number;
  readonly tlvs: readonly Tlv[];
}

export function encodeHello(writer: FrameWriter, hello: Hello): void {
  const at = writer.frame(4 + tlvBytes(hello.tlvs), FRAME.HELLO, 0, 0);
  writer.view.setUint8(at, hello.versionMin);
  writer.view.setUint8(at + 1, hello.versionMax);
  writer.view.setUint16(at + 2, 0);
  writeTlvs(writer.bytes, at + 4, hello.tlvs);
}

export function decodeHello(bytes: Buffer, offset: number, length: number): Hello {
  needs(length, 4, "HELLO");
  return {
    versionMin: bytes.readUInt8(offset),
    versionMax: bytes.readUInt8(offset + 1),
    tlvs: readTlvs(bytes, offset + 4, offset + length, (key) => HELLO_KEYS.has(key)),
  };
}

// WELCOME, from the server:
//
//   0  u8  version
//   1  u8  0
//   2  u16 0
//   4  TLVs

export interface Welcome {
  readonly version: number;
  readonly tlvs: readonly Tlv[];
}

export function encodeWelcome(writer: FrameWriter, welcome: Welcome): void {
  const at = writer.frame(4 + tlvBytes(welcome.tlvs), FRAME.WELCOME, 0, 0);
  writer.view.setUint32(at, welcome.version, true);
  writeTlvs(writer.bytes, at + 4, welcome.tlvs);
}

export function decodeWelcome(bytes: Buffer, offset: number, length: number): Welcome {
  needs(length, 4, "WELCOME");
  return {
    version: bytes.readUInt8(offset),
    tlvs: readTlvs(bytes, offset + 4, offset + length, (key) => HELLO_KEYS.has(key)),
  };
}

// AUTH, both ways:
//
//   0  u8  method
//   1  u8  step
//   2  u16 0
//   4  bytes

export interface Auth {
  readonly method: number;
  readonly step: number;
  readonly data: Buffer;
}

export function encodeAuth(writer: FrameWriter, auth: Auth): void {
  const at = writer.frame(4 + auth.data.length, FRAME.AUTH, 0, 0);
  writer.view.setUint32(at, auth.method | (auth.step << 8), true);
  writer.copy(at + 4, auth.data, 0, auth.data.length);
}

export function decodeAuth(bytes: Buffer, offset: number, length: number): Auth {
  needs(length, 4, "AUTH");
  return {
    method: bytes.readUInt8(offset),
    step: bytes.readUInt8(offset + 1),
    data: Buffer.from(bytes.subarray(offset + 4, offset + length)),
  };
}

// PING, both ways; with ACK the answer, which has the same bytes:
//
//   0  8 bytes

export function encodePing(writer: FrameWriter, low: number, high: number, ack: boolean): void {
  const at = writer.frame(8, FRAME.PING, 0, ack ? PING_ACK : 0);
  writer.view.setUint32(at, low, true);
  writer.view.setUint32(at + 4, high, true);
}

export function checkPing(length: number): void {
  if (length !== 8) throw protocolError(`PING has ${length} bytes, not 8`);
}

// GOAWAY, both ways:
//
//    0  u16 code
//    2  u16 0
//    4  u32 last_open      how many OPENs on streams other than 0 were accepted
//    8  u32 drain_ms
//   12  u32 reconnect_ms
//   16  TLVs

export interface Goaway {
  readonly code: number;
  readonly lastOpen: number;
  readonly drainMs: number;
  readonly reconnectMs: number;
  readonly tlvs: readonly Tlv[];
}

export function encodeGoaway(writer: FrameWriter, goaway: Goaway): void {
  const at = writer.frame(16 + tlvBytes(goaway.tlvs), FRAME.GOAWAY, 0, 0);
  const { view } = writer;
  view.setUint32(at, goaway.code, true);
  view.setUint32(at + 4, goaway.lastOpen, true);
  view.setUint32(at + 8, goaway.drainMs, true);
  view.setUint32(at + 12, goaway.reconnectMs, true);
  writeTlvs(writer.bytes, at + 16, goaway.tlvs);
}

export function decodeGoaway(bytes: Buffer, offset: number, length: number): Goaway {
  needs(length, 16, "GOAWAY");
  return {
    code: bytes.readUInt16LE(offset),
    lastOpen: bytes.readUInt32LE(offset + 4),
    drainMs: bytes.readUInt32LE(offset + 8),
    reconnectMs: bytes.readUInt32LE(offset + 12),
    tlvs: readTlvs(bytes, offset + 16, offset + length, (key) => GOAWAY_KEYS.has(key)),
  };
}

// CREDIT, on a stream in messages, on stream 0 in bytes:
//
//   0  u32 add

export function encodeCredit(writer: FrameWriter, stream: number, add: number): void {
  const at = writer.frame(4, FRAME.CREDIT, stream, 0);
  writer.view.setUint32(at, add, true);
}

export function decodeCredit(view: DataView, offset: number, length: number): number {
  if (length !== 4) throw protocolError(`CREDIT has ${length} bytes, not 4`);
  return view.getUint32(offset, true);
}

// ACK, cumulative for the session and direction:
//
//   0  u32 seq

export function encodeAck(writer: FrameWriter, seq: number): void {
  const at = writer.frame(4, FRAME.ACK, 0, 0);
  writer.view.setUint32(at, seq, true);
}

export function decodeAck(view: DataView, offset: number, length: number): number {
  if (length !== 4) throw protocolError(`ACK has ${length} bytes, not 4`);
  return view.getUint32(offset, true);
}

function needs(length: number, least: number, what: string): void {
  if (length < least)
    throw protocolError(`${what} has ${length} bytes, at least ${least} are needed`);
}

/** Of frames that belong to the connection. @throws WireError PROTOCOL for another stream than 0 */
export function checkStreamZero(type: number, stream: number): void {
  if (stream !== 0) throw protocolError(`a frame of type ${type} on stream ${stream}`);
}
