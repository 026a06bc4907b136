// Bytes that a connection has received while its handler was busy or its reading stopped: an Input that grows.
//
// Made only when it is needed and dropped when it is empty, so that a connection that keeps up has none.

import { Buffer } from "node:buffer";
import type { Input } from "../codec/codec.ts";

const SMALLEST = 256;

export class UnreadInput implements Input {
  bytes: Buffer = Buffer.allocUnsafeSlow(SMALLEST);
  offset = 0;
  end = 0;
  readonly borrow: boolean;

  constructor(borrow: boolean) {
    this.borrow = borrow;
  }

  get length(): number {
    return this.end - this.offset;
  }

  /** Copies `source[start, end)` behind what is there. */
  append(source: Buffer, start: number, end: number): void {
    const added = end - start;
    if (this.end + added > this.bytes.length) this.#makeRoom(added);
    source.copy(this.bytes, this.end, start, end);
    this.end += added;
  }

  /** Moves what is left to the front, into a larger buffer when more than half would be full. */
  #makeRoom(added: number): void {
    const needed = this.length + added;
    let size = this.bytes.length;
    while (size < needed * 2) size *= 2;
    const target = size === this.bytes.length ? this.bytes : Buffer.allocUnsafeSlow(size);
    this.bytes.copy(target, 0, this.offset, this.end);
    this.bytes = target;
    this.end -= this.offset;
    this.offset = 0;
  }
}
