// Where frames are put together: one growing piece of memory, used again and again, for all connections of a thread.
//
// Numbers are written through one DataView, bytes and text into the same memory behind it. Whoever fills it hands
// `bytes[0, end)` on and sets `end` back to 0.
// Invariant: what is below `end` is whole frames, outside of the function that is writing one.

import { Buffer } from "node:buffer";
import { HEADER_BYTES } from "./frame-reader.ts";

const FIRST_BYTES = 64 * 1024;

export class FrameWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  view = new DataView(this.bytes.buffer);
  end = 0;

  /** Makes sure that `length` more bytes fit. */
  reserve(length: number): void {
    const needed = this.end + length;
    if (needed > this.bytes.length) this.#grow(needed);
  }

  /**
   * Begins a frame: room for all of it, its header, and where its payload begins. `end` is behind the payload then. `bytes` and
   * `view` may be others after it: they must be asked for afterwards.
   */
  frame(length: number, type: number, stream: number, flags: number): number {
    this.reserve(HEADER_BYTES + length);
    const at = this.end;
    this.view.setUint32(at, length | (type << 24), true);
    this.view.setUint32(at + 4, stream | (flags << 24), true);
    this.end = at + HEADER_BYTES + length;
    return at + HEADER_BYTES;
  }

  /** Copies `source[start, end)` to `at`, which was reserved. */
  copy(at: number, source: Uint8Array, start: number, end: number): void {
    const { bytes } = this;
    // A call into the engine costs more than a few bytes do.
    if (end - start <= 16) {
      for (let n = start; n < end; n++) bytes[at++] = source[n] as number;
    } else if (start === 0 && end === source.length) {
      bytes.set(source, at);
    } else {
      bytes.set(source.subarray(start, end), at);
    }
  }

  #grow(needed: number): void {
    let size = this.bytes.length;
    while (size < needed) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(grown, 0, 0, this.end);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}
