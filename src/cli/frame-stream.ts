// One direction of a connection as a list of what is in it: the preface, frames described with the specification's names,
// and what is not as it should be. For tools that look at bytes they are not part of, so nothing is refused here.

import { Buffer } from "node:buffer";
import type { Input } from "../codec/codec.ts";
import { FRAME, nameOf, PREFACE } from "../protocol/codes.ts";
import { describeFrame, type FrameDescription } from "../protocol/describe-frame.ts";
import { FrameReader, HEADER_BYTES, InputView } from "../protocol/frame-reader.ts";
import { WireError } from "../protocol/wire-error.ts";

const PREFACE_BYTES = Buffer.from(PREFACE);
/** What three bytes can announce. */
const LONGEST = 0xff_ffff;

export interface FrameStreamEvents {
  preface(): void;
  frame(description: FrameDescription, bytes: number): void;
  /** A frame that breaks a rule, or a stream that is no SWP from here on. */
  malformed(why: string, bytes: Buffer): void;
}

export class FrameStream {
  readonly #events: FrameStreamEvents;
  readonly #reader = new FrameReader(new InputView(), LONGEST);
  /** The first bytes, as long as they may be a preface. */
  #first: Buffer | undefined = Buffer.alloc(0);
  /** Not SWP: nothing is decoded any more. */
  #foreign = false;

  constructor(events: FrameStreamEvents) {
    this.#events = events;
  }

  /** Bytes of a frame that has not come to its end. */
  get pending(): number {
    return this.#first?.length ?? this.#reader.pending;
  }

  read(bytes: Buffer): void {
    if (this.#foreign) return;
    if (this.#first !== undefined) {
      this.#begin(Buffer.concat([this.#first, bytes]));
      return;
    }
    const input: Input = { bytes, offset: 0, end: bytes.length, borrow: true };
    this.#reader.read(input, this);
  }

  /** Sink of the reader. */
  frame(
    type: number,
    flags: number,
    stream: number,
    bytes: Buffer,
    view: DataView,
    offset: number,
    length: number,
  ): boolean {
    try {
      const description = describeFrame(type, flags, stream, bytes, view, offset, length);
      this.#events.frame(description, HEADER_BYTES + length);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const payload = bytes.subarray(offset, offset + length);
      const where = `${nameOf(FRAME, type)} on stream ${stream}`;
      this.#events.malformed(`${error.code} in ${where}: ${error.message}`, Buffer.from(payload));
    }
    return true;
  }

  #begin(first: Buffer): void {
    if (first.length < PREFACE_BYTES.length && mayBePreface(first)) {
      this.#first = first;
      return;
    }
    this.#first = undefined;
    if (isText(first)) {
      this.#foreign = true;
      return this.#events.malformed("no SWP/1", first);
    }
    const hasPreface = first.subarray(0, PREFACE_BYTES.length).equals(PREFACE_BYTES);
    if (hasPreface) this.#events.preface();
    this.read(hasPreface ? first.subarray(PREFACE_BYTES.length) : first);
  }
}

function mayBePreface(bytes: Buffer): boolean {
  return PREFACE_BYTES.subarray(0, bytes.length).equals(bytes);
}

/** The line that a server answers to what is no preface, or another protocol; a frame's header has control characters. */
function isText(bytes: Buffer): boolean {
  const head = bytes.subarray(0, HEADER_BYTES);
  return head.length > 0 && head.every((byte) => byte >= 0x20 || byte === 0x0d || byte === 0x0a);
}
