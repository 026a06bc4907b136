// From a stream of bytes to frames: the hot end of the protocol.
//
//    0  u24 length   payload bytes; the header is not counted
//    3  u8  type
//    4  u24 stream   0 is the connection
//    7  u8  flags
//    8  payload
//
// A header is two little-endian words, read through one DataView that lives as long as the buffer of received bytes: no
// view, object or string is made for a frame. What is called gets `(bytes, view, offset, length)`, valid during the call.
// The length is checked on these 8 bytes, before anything is kept; a frame that is cut by the end of a chunk is kept
// as it comes (unfinished.ts): memory follows the bytes received, never a length that was announced.

import type { Input } from "../codec/codec.ts";
import { Unfinished } from "../codec/unfinished.ts";
import { GOAWAY } from "./codes.ts";
import { WireError } from "./wire-error.ts";

export const HEADER_BYTES = 8;

/** Takes the frames of one connection. */
export interface FrameSink {
  /**
   * A whole frame, its payload at `[offset, offset + length)` of `bytes`, and of `view`, which covers the same bytes. Valid
   * during the call. False: no more frames are wanted now; the rest of the input stays.
   */
  frame(
    type: number,
    flags: number,
    stream: number,
    bytes: Buffer,
    view: DataView,
    offset: number,
    length: number,
  ): boolean;
}

/** The DataView of whichever buffer was used last: one for all connections of a thread, since they share their input. */
export class InputView {
  #bytes: Buffer | undefined;
  #view: DataView = new DataView(new ArrayBuffer(0));

  of(bytes: Buffer): DataView {
    if (bytes === this.#bytes) return this.#view;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.#view;
  }
}

export class FrameReader {
  /** The longest payload that is taken, in bytes. */
  most: number;
  readonly #shared: InputView;
  /** Only while a frame is cut. */
  #unfinished: Unfinished | undefined;

  constructor(shared: InputView, most: number) {
    this.#shared = shared;
    this.most = most;
  }

  /** Bytes kept of a frame that is not whole. */
  get pending(): number {
    return this.#unfinished?.length ?? 0;
  }

  /**
   * Gives every whole frame to the sink, and keeps what is left of a cut one. Ends early, with input left, when the sink
   * wants no more.
   * @throws WireError FRAME_SIZE for a frame that announces more than `most`
   */
  read(input: Input, sink: FrameSink): void {
    if (this.#unfinished !== undefined && !this.#finish(input, this.#unfinished, sink)) return;
    const { bytes, end } = input;
    const view = this.#shared.of(bytes);
    let at = input.offset;
    while (end - at >= HEADER_BYTES) {
      const first = view.getUint32(at, true);
      const length = first & 0xff_ffff;
      if (length > this.most) throw tooLong(length, this.most);
      const next = at + HEADER_BYTES + length;
      if (next > end) break;
      const second = view.getUint32(at + 4, true);
      // Before the call: what it throws or stops must find the frame taken.
      input.offset = next;
      const more = sink.frame(
        first >>> 24,
        second >>> 24,
        second & 0xff_ffff,
        bytes,
        view,
        at + HEADER_BYTES,
        length,
      );
      if (!more) return;
      at = next;
    }
    if (at === end) return;
    this.#unfinished = new Unfinished();
    this.#unfinished.keep(input, end, HEADER_BYTES + this.most);
  }

  /** Goes on with a cut frame. True when it is whole and delivered, and more is wanted. */
  #finish(input: Input, kept: Unfinished, sink: FrameSink): boolean {
    while (kept.length < HEADER_BYTES) {
      if (input.offset === input.end) return false;
      const missing = HEADER_BYTES - kept.length;
      kept.keep(input, Math.min(input.offset + missing, input.end), HEADER_BYTES + this.most);
    }
    const length = kept.at(0) | (kept.at(1) << 8) | (kept.at(2) << 16);
    if (length > this.most) throw tooLong(length, this.most);
    const missing = HEADER_BYTES + length - kept.length;
    if (missing > 0) {
      kept.keep(input, Math.min(input.offset + missing, input.end), HEADER_BYTES + length);
    }
    if (kept.length < HEADER_BYTES + length) return false;
    const frame = kept.take(HEADER_BYTES + length);
    this.#unfinished = undefined;
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const second = view.getUint32(4, true);
    const type = view.getUint8(3);
    return sink.frame(type, second >>> 24, second & 0xff_ffff, frame, view, HEADER_BYTES, length);
  }
}

function tooLong(length: number, most: number): WireError {
  return new WireError(GOAWAY.FRAME_SIZE, `a frame of ${length} bytes is longer than ${most}`);
}
