// Memory for copied messages: the smallest from blocks of 16 KiB, large ones from slabs, the others from Node's own pool.
//
// Node's pool would do for all but the large, but its ways in cost more than a view made directly and words moved in a
// loop (64 bytes: 76 ns with `Buffer.allocUnsafe` and `copy`, 39 so). The view's class is the one that Buffer itself names
// as its species, so that a message is a Buffer like any other.
//
// Invariant: nothing before `used` of a block or slab is ever written again.

import { Buffer } from "node:buffer";
import { markAsUntransferable } from "node:worker_threads";
import { freshSlab } from "../slabs.ts";

/** Below this Node's pool does as well. */
export const LEAST_LARGE = 4096;
/** What a small message that is kept keeps alive. */
const BLOCK_BYTES = 16_384;
/** Up to here a view made directly and words in a loop are quicker than `Buffer.allocUnsafe` and `copy`. */
const MOST_SMALL = 128;
/** Above this a slab would be mostly waste. */
const MOST = 65_536;

/** The slab in use; one for each thread, since modules are loaded once a thread. */
const current: { slab: Buffer; used: number } = { slab: Buffer.alloc(0), used: 0 };

type BufferClass = new (memory: ArrayBuffer, offset: number, length: number) => Buffer;
/** What Buffer's own methods make their results with: without the checks of `Buffer.from`. */
const View: BufferClass = Reflect.get(Buffer, Symbol.species);

/** Where small messages go; one for each thread. */
const block = {
  memory: new ArrayBuffer(0),
  words: new Int32Array(0),
  // The first message, also an empty one, finds no room.
  used: BLOCK_BYTES + 1,
};
/** The words of the input that was copied from last: it is the same for thousands of messages. */
const source: { bytes: Buffer; aligned: boolean; words: Int32Array } = {
  bytes: Buffer.alloc(0),
  aligned: true,
  words: new Int32Array(0),
};

/** A copy of `length` bytes at `offset`, in memory that nobody else will ever write to. */
export function copyMessage(bytes: Buffer, offset: number, length: number): Buffer {
  if (length > MOST_SMALL || (offset & 3) !== 0 || !hasWords(bytes)) {
    const message = allocateMessage(length);
    bytes.copy(message, 0, offset, offset + length);
    return message;
  }
  if (block.used + length > BLOCK_BYTES) renewBlock();
  const start = block.used;
  block.used = (start + length + 7) & ~7;
  const message = new View(block.memory, start, length);
  const { words: to } = block;
  const { words: from } = source;
  const shift = (offset - start) >> 2;
  const end = (start + length) >> 2;
  for (let at = start >> 2; at < end; at++) to[at] = from[at + shift] as number;
  for (let at = length & ~3; at < length; at++) message[at] = bytes[offset + at] as number;
  return message;
}

/** Whether `source` holds the words of these bytes, which is so unless they begin in the middle of one. */
function hasWords(bytes: Buffer): boolean {
  if (source.bytes !== bytes) {
    const { buffer, byteOffset, length } = bytes;
    source.bytes = bytes;
    source.aligned = (byteOffset & 3) === 0;
    source.words = new Int32Array(buffer, byteOffset & ~3, length >> 2);
  }
  return source.aligned;
}

function renewBlock(): void {
  const memory = Buffer.allocUnsafeSlow(BLOCK_BYTES).buffer as ArrayBuffer;
  // It is shared by many messages: who transfers one would take away the others.
  markAsUntransferable(memory);
  block.memory = memory;
  block.words = new Int32Array(memory);
  block.used = 0;
}

/** Memory for a message of `length` bytes, not initialised, that nobody else will ever write to. */
export function allocateMessage(length: number): Buffer {
  if (length < LEAST_LARGE || length > MOST) return Buffer.allocUnsafe(length);
  if (current.used + length > current.slab.length) {
    current.slab = freshSlab();
    current.used = 0;
  }
  const start = current.used;
  // Rounded up to 8 bytes, so that copies are aligned.
  current.used = (start + length + 7) & ~7;
  return current.slab.subarray(start, start + length);
}
