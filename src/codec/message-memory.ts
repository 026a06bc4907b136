// Memory for copied messages: small ones are cut from blocks of 16 KiB, medium ones from pieces of 64 KiB, large ones from
// slabs. A message that is kept keeps what it was cut from.
//
// Why not Node's own pool: its ways in cost more than a view made directly and words moved in a loop (64 bytes: 76 ns with
// `Buffer.allocUnsafe` and `copy`, 39 so), and nobody collects it in time (slabs.ts): echoes of 1 KiB brought on full collections.
// The view's class is the one that Buffer itself names as its species, so that a message is a Buffer like any other.
//
// Invariant: nothing before `used` of a block or slab is ever written again.

import { Buffer } from "node:buffer";
import { freshSlab, SLAB_BYTES } from "../slabs.ts";

/** From here on a message that lies in memory which may be kept is not copied. */
export const LEAST_LARGE = 4096;
/** What a small message that is kept keeps alive. */
const BLOCK_BYTES = 16_384;
/** What a medium one does. */
const MEDIUM_BYTES = 65_536;
/** Up to here words in a loop are quicker than `set`. */
const MOST_SMALL = 128;
/** Above this a slab would be mostly waste. */
const MOST = 65_536;

type BufferClass = new (memory: ArrayBuffer, offset: number, length: number) => Buffer;
/** What Buffer's own methods make their results with: without the checks of `Buffer.from`. */
const View: BufferClass = Reflect.get(Buffer, Symbol.species);

/** Memory that messages are cut from, one behind the other. */
class Cutting {
  readonly #pieceBytes: number;
  #memory = new ArrayBuffer(0);
  #used = 0;

  constructor(pieceBytes: number) {
    this.#pieceBytes = pieceBytes;
  }

  cut(length: number): Buffer {
    if (this.#used + length > this.#memory.byteLength) {
      this.#memory = freshSlab(this.#pieceBytes).buffer as ArrayBuffer;
      this.#used = 0;
    }
    const start = this.#used;
    // Rounded up to 8 bytes, so that copies are aligned.
    this.#used = (start + length + 7) & ~7;
    return new View(this.#memory, start, length);
  }
}

/** One of each for each thread, since modules are loaded once a thread. */
const medium = new Cutting(MEDIUM_BYTES);
const large = new Cutting(SLAB_BYTES);
/** Where small messages go. */
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
    message.set(new Uint8Array(bytes.buffer, bytes.byteOffset + offset, length));
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
  const memory = freshSlab(BLOCK_BYTES).buffer as ArrayBuffer;
  block.memory = memory;
  block.words = new Int32Array(memory);
  block.used = 0;
}

/** Memory for a message of `length` bytes, not initialised, that nobody else will ever write to. */
function allocateMessage(length: number): Buffer {
  if (length < LEAST_LARGE) return medium.cut(length);
  return length <= MOST ? large.cut(length) : Buffer.allocUnsafe(length);
}
