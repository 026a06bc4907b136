// The frames of streams, encode beside decode, each under its layout.
//
// OPEN, DATA and MSG are the hot path: they are decoded into one object that is used again and again, whose members are
// places in the bytes; text is only made when it is asked for. Every inner length is checked against the frame's first.

import { Buffer, isUtf8 } from "node:buffer";
import { utf8 } from "../codec/buffer-calls.ts";
import { FLAG, FRAME, META_KEY } from "./codes.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { Names } from "./names.ts";
import { readTlvs, type Tlv, tlvBytes, writeTlvs } from "./tlv.ts";
import { protocolError } from "./wire-error.ts";
import { FIXED } from "./wire-limits.ts";

/** Before the payload of OPEN with the flag SEQ. */
const SEQ_BYTES = 4;
const META_KEYS: ReadonlySet<number> = new Set(Object.values(META_KEY));

// OPEN (with SEQ: u32 seq first):
//
//    0  u8  kind
//    1  u8  codec
//    2  u16 route_id      0: the name follows
//    4  u32 deadline_ms   from now; 0: none
//    8  u32 credit        messages that the responder may send
//   12  u16 route_len
//   14  u16 meta_len
//   16  route or topic, metadata (TLVs), body

const OPEN_FIXED = 16;

export interface Open {
  readonly kind: number;
  readonly codec: number;
  /** 0: `name` counts. */
  readonly routeId?: number;
  /** A route's name or a topic. */
  readonly name?: string;
  readonly deadlineMs?: number;
  readonly credit?: number;
  readonly meta?: readonly Tlv[];
}

const NO_META: readonly Tlv[] = Object.freeze([]);

/** `seq` is written when `flags` has SEQ. */
export function encodeOpen(
  writer: FrameWriter,
  stream: number,
  flags: number,
  open: Open,
  body: Uint8Array,
  start: number,
  end: number,
  seq = 0,
): void {
  const name = open.name ?? "";
  const nameLength = name === "" ? 0 : Buffer.byteLength(name);
  const meta = open.meta ?? NO_META;
  const metaLength = meta.length === 0 ? 0 : tlvBytes(meta);
  if (nameLength > FIXED.nameBytes)
    throw new RangeError(`a name of ${nameLength} bytes: at most ${FIXED.nameBytes}`);
  if (metaLength > FIXED.metaBytes)
    throw new RangeError(`metadata of ${metaLength} bytes: at most ${FIXED.metaBytes}`);
  const seqLength = (flags & FLAG.SEQ) === 0 ? 0 : SEQ_BYTES;
  const fixed = seqLength + OPEN_FIXED + nameLength + metaLength;
  let at = writer.frame(fixed + end - start, FRAME.OPEN, stream, flags);
  const { view } = writer;
  if (seqLength > 0) view.setUint32(at, seq, true);
  at += seqLength;
  view.setUint32(at, open.kind | (open.codec << 8) | ((open.routeId ?? 0) << 16), true);
  view.setUint32(at + 4, open.deadlineMs ?? 0, true);
  view.setUint32(at + 8, open.credit ?? 0, true);
  view.setUint32(at + 12, nameLength | (metaLength << 16), true);
  at += OPEN_FIXED;
  if (nameLength > 0) writer.bytes.write(name, at);
  at += nameLength;
  if (metaLength > 0) writeTlvs(writer.bytes, at, meta);
  writer.copy(at + metaLength, body, start, end);
}

/** The OPEN that was decoded last; its places are in the bytes that it was decoded from. */
export class OpenFrame {
  seq = 0;
  kind = 0;
  codec = 0;
  routeId = 0;
  deadlineMs = 0;
  credit = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #name = 0;
  #meta = 0;
  /** Where the body begins and ends. */
  body = 0;
  end = 0;

  decode(flags: number, bytes: Buffer, view: DataView, offset: number, length: number): void {
    const end = offset + length;
    let at = offset;
    if ((flags & FLAG.SEQ) !== 0) {
      if (length < SEQ_BYTES) throw protocolError("OPEN is too short for its seq");
      this.seq = view.getUint32(at, true);
      at += SEQ_BYTES;
    }
    if (end - at < OPEN_FIXED)
      throw protocolError(`OPEN has ${length} bytes, at least ${OPEN_FIXED} are needed`);
    const first = view.getUint32(at, true);
    const lengths = view.getUint32(at + 12, true);
    const nameLength = lengths & 0xffff;
    const metaLength = lengths >>> 16;
    if (nameLength > FIXED.nameBytes)
      throw protocolError(`a name of ${nameLength} bytes is longer than ${FIXED.nameBytes}`);
    if (metaLength > FIXED.metaBytes)
      throw protocolError(`metadata of ${metaLength} bytes is longer than ${FIXED.metaBytes}`);
    this.kind = first & 0xff;
    this.codec = (first >>> 8) & 0xff;
    this.routeId = first >>> 16;
    this.deadlineMs = view.getUint32(at + 4, true);
    this.credit = view.getUint32(at + 8, true);
    this.#bytes = bytes;
    this.#name = at + OPEN_FIXED;
    this.#meta = this.#name + nameLength;
    this.body = this.#meta + metaLength;
    this.end = end;
    if (this.body > end) throw protocolError("OPEN's name and metadata are longer than its frame");
  }

  get nameLength(): number {
    return this.#meta - this.#name;
  }

  get metaLength(): number {
    return this.body - this.#meta;
  }

  /** What has the route's name among `names`. */
  find<Value>(names: Names<Value>): Value | undefined {
    return names.at(this.#bytes, this.#name, this.#meta);
  }

  /** The route's name or the topic. @throws WireError PROTOCOL when it is not UTF-8 */
  name(): string {
    return nameText(this.#bytes, this.#name, this.#meta);
  }

  /** @throws WireError PROTOCOL for what readTlvs refuses */
  meta(): readonly Tlv[] {
    return readTlvs(this.#bytes, this.#meta, this.body, knownMeta);
  }
}

/** The application's keys are handed on; it may not know them, so a critical one among them is its own business. */
function knownMeta(key: number): boolean {
  return META_KEYS.has(key) || key >= 0x4000;
}

/** @throws WireError PROTOCOL when it is not UTF-8 */
function nameText(bytes: Buffer, start: number, end: number): string {
  const text = utf8(bytes, start, end);
  // What is not UTF-8 becomes U+FFFD: only where there is one is it worth to look again.
  if (text.includes("\ufffd") && !isUtf8(bytes.subarray(start, end))) {
    throw protocolError("a name is not UTF-8");
  }
  return text;
}

// DATA: the whole payload is a message, or a piece of one.

export function encodeData(
  writer: FrameWriter,
  stream: number,
  flags: number,
  body: Uint8Array,
  start: number,
  end: number,
): void {
  writer.copy(writer.frame(end - start, FRAME.DATA, stream, flags), body, start, end);
}

// MSG:
//
//   0  u16 topic_len
//   2  u16 dropped     messages of this subscription that were left out before this one; at most 65535
//   4  u32 seq
//   8  topic, body

export const MSG_FIXED = 8;

export function encodeMsg(
  writer: FrameWriter,
  stream: number,
  flags: number,
  dropped: number,
  seq: number,
  topicAndBody: Uint8Array,
  topicLength: number,
  start: number,
  end: number,
): void {
  const at = writer.frame(MSG_FIXED + end - start, FRAME.MSG, stream, flags);
  writer.view.setUint32(at, topicLength | (dropped << 16), true);
  writer.view.setUint32(at + 4, seq, true);
  writer.copy(at + MSG_FIXED, topicAndBody, start, end);
}

/** The MSG that was decoded last. */
export class MsgFrame {
  dropped = 0;
  seq = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #topic = 0;
  body = 0;
  end = 0;

  decode(bytes: Buffer, view: DataView, offset: number, length: number): void {
    if (length < MSG_FIXED)
      throw protocolError(`MSG has ${length} bytes, at least ${MSG_FIXED} are needed`);
    const first = view.getUint32(offset, true);
    const topicLength = first & 0xffff;
    if (topicLength > FIXED.nameBytes)
      throw protocolError(`a topic of ${topicLength} bytes is longer than ${FIXED.nameBytes}`);
    this.dropped = first >>> 16;
    this.seq = view.getUint32(offset + 4, true);
    this.#bytes = bytes;
    this.#topic = offset + MSG_FIXED;
    this.body = this.#topic + topicLength;
    this.end = offset + length;
    if (this.body > this.end) throw protocolError("MSG's topic is longer than its frame");
  }

  get topicLength(): number {
    return this.body - this.#topic;
  }

  /** @throws WireError PROTOCOL when it is not UTF-8 */
  topic(): string {
    return nameText(this.#bytes, this.#topic, this.body);
  }
}

// ERROR, always with END:
//
//    0  u16 code
//    2  u16 eflags
//    4  u32 retry_after_ms
//    8  u16 msg_len
//   10  u16 0
//   12  message (UTF-8), detail

const ERROR_FIXED = 12;

export interface StreamError {
  readonly code: number;
  readonly eflags: number;
  readonly retryAfterMs: number;
  readonly message: string;
  /** In the stream's codec, where eflags has DETAIL. */
  readonly detail: Uint8Array;
}

export function encodeError(writer: FrameWriter, stream: number, error: StreamError): void {
  const text = Buffer.from(error.message).subarray(0, FIXED.errorTextBytes);
  const length = wholeCharacters(text);
  const { detail } = error;
  const at = writer.frame(ERROR_FIXED + length + detail.length, FRAME.ERROR, stream, FLAG.END);
  const { view } = writer;
  view.setUint32(at, error.code | (error.eflags << 16), true);
  view.setUint32(at + 4, error.retryAfterMs, true);
  view.setUint32(at + 8, length, true);
  writer.copy(at + ERROR_FIXED, text, 0, length);
  writer.copy(at + ERROR_FIXED + length, detail, 0, detail.length);
}

/** Text that was cut to its limit must not end inside a character. */
function wholeCharacters(text: Uint8Array): number {
  if (text.length < FIXED.errorTextBytes) return text.length;
  let end = text.length;
  while (end > 0 && !isUtf8(text.subarray(0, end))) end--;
  return end;
}

export function decodeError(bytes: Buffer, offset: number, length: number): StreamError {
  if (length < ERROR_FIXED)
    throw protocolError(`ERROR has ${length} bytes, at least ${ERROR_FIXED} are needed`);
  const textLength = bytes.readUInt16LE(offset + 8);
  const end = offset + length;
  const detail = offset + ERROR_FIXED + textLength;
  if (textLength > FIXED.errorTextBytes)
    throw protocolError(
      `an error text of ${textLength} bytes is longer than ${FIXED.errorTextBytes}`,
    );
  if (detail > end) throw protocolError("ERROR's message is longer than its frame");
  return {
    code: bytes.readUInt16LE(offset),
    eflags: bytes.readUInt16LE(offset + 2),
    retryAfterMs: bytes.readUInt32LE(offset + 4),
    message: nameText(bytes, offset + ERROR_FIXED, detail),
    detail: Buffer.from(bytes.subarray(detail, end)),
  };
}

// CANCEL, always with END:
//
//   0  u16 code
//   2  u16 0

export function encodeCancel(writer: FrameWriter, stream: number, code: number): void {
  const at = writer.frame(4, FRAME.CANCEL, stream, FLAG.END);
  writer.view.setUint32(at, code, true);
}

export function decodeCancel(view: DataView, offset: number, length: number): number {
  if (length !== 4) throw protocolError(`CANCEL has ${length} bytes, not 4`);
  return view.getUint16(offset, true);
}
