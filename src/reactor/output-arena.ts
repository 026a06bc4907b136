// The memory that sends come from, divided into blocks of four sizes.
//
// Why not one buffer a connection: ten thousand idle ones would hold ten thousand buffers. Here an idle connection
// holds nothing, and a burst takes what it needs. Freed blocks are used again last in first out, so they are warm.
//
// Layout: spans of 256 KiB, each cut into blocks of one size when it is first needed. A block is named by its offset. All
// book-keeping is in arrays indexed by offset / 1 KiB: no object per block.
// Invariant: a block is in exactly one of: a free list, a connection's queue, the unused rest behind #nextSpan.

const SPAN_BITS = 18;
const SPAN_BYTES = 1 << SPAN_BITS;
const UNIT_BITS = 10;
/** The largest arena: an offset is a small integer. */
export const LARGEST_ARENA = 1 << 30;
/** Block sizes, small to large; a block's class is its index. */
export const BLOCK_BYTES = [1024, 4096, 16_384, 65_536] as const;
export const LARGEST_BLOCK = 65_536;
const CLASSES = BLOCK_BYTES.length;
/** "No block", where an offset is expected. */
export const NO_BLOCK = -1;

export class OutputArena {
  readonly bytes: Buffer;
  readonly #spanClass: Uint8Array;
  readonly #next: Int32Array;
  readonly #used: Int32Array;
  readonly #freeHead = new Int32Array(CLASSES).fill(NO_BLOCK);
  #nextSpan = 0;
  readonly #spans: number;
  /** Bytes of all blocks in use. */
  inUse = 0;

  /** `bytes` is a whole number of MiB, at most LARGEST_ARENA. */
  constructor(bytes: Buffer) {
    if (bytes.length > LARGEST_ARENA)
      throw new RangeError(`an arena has at most ${LARGEST_ARENA} bytes`);
    this.bytes = bytes;
    this.#spans = Math.floor(bytes.length / SPAN_BYTES);
    this.#spanClass = new Uint8Array(this.#spans);
    const units = bytes.length >> UNIT_BITS;
    this.#next = new Int32Array(units);
    this.#used = new Int32Array(units);
  }

  get capacity(): number {
    return this.#spans * SPAN_BYTES;
  }

  /**
   * An empty block of class `wanted`; of another class when memory is short, so that what was cut into small blocks
   * once is not lost to those who need large ones. NO_BLOCK when every block is in use.
   */
  allocate(wanted: number): number {
    const sizeClass = this.#freeHead[wanted] !== NO_BLOCK ? wanted : this.#classNear(wanted);
    const block = this.#freeHead[sizeClass] as number;
    if (block === NO_BLOCK) return NO_BLOCK;
    const unit = block >> UNIT_BITS;
    this.#freeHead[sizeClass] = this.#next[unit] as number;
    this.#next[unit] = NO_BLOCK;
    this.#used[unit] = 0;
    this.inUse += BLOCK_BYTES[sizeClass] as number;
    return block;
  }

  /** Gives a block back. */
  release(block: number): void {
    const sizeClass = this.classOf(block);
    this.#next[block >> UNIT_BITS] = this.#freeHead[sizeClass] as number;
    this.#freeHead[sizeClass] = block;
    this.inUse -= BLOCK_BYTES[sizeClass] as number;
  }

  classOf(block: number): number {
    return this.#spanClass[block >> SPAN_BITS] as number;
  }

  /** Bytes written into a block. */
  used(block: number): number {
    return this.#used[block >> UNIT_BITS] as number;
  }

  setUsed(block: number, used: number): void {
    this.#used[block >> UNIT_BITS] = used;
  }

  /** Bytes that still fit. */
  room(block: number): number {
    return (BLOCK_BYTES[this.classOf(block)] as number) - this.used(block);
  }

  /** The block queued behind this one, or NO_BLOCK. */
  next(block: number): number {
    return this.#next[block >> UNIT_BITS] as number;
  }

  link(block: number, next: number): void {
    this.#next[block >> UNIT_BITS] = next;
  }

  /** The smallest class that holds `bytes`, or the largest there is. */
  classFor(bytes: number): number {
    if (bytes <= 1024) return 0;
    if (bytes <= 4096) return 1;
    return bytes <= 16_384 ? 2 : 3;
  }

  /** Where there is a free block: this class after a span was cut, the next larger one, or the next smaller one. */
  #classNear(sizeClass: number): number {
    if (this.#cutSpan(sizeClass)) return sizeClass;
    for (let larger = sizeClass + 1; larger < CLASSES; larger++) {
      if (this.#freeHead[larger] !== NO_BLOCK) return larger;
    }
    let smaller = sizeClass;
    while (smaller > 0 && this.#freeHead[smaller] === NO_BLOCK) smaller--;
    return smaller;
  }

  #cutSpan(sizeClass: number): boolean {
    if (this.#nextSpan === this.#spans) return false;
    const span = this.#nextSpan++;
    this.#spanClass[span] = sizeClass;
    const size = BLOCK_BYTES[sizeClass] as number;
    const start = span * SPAN_BYTES;
    for (let block = start + SPAN_BYTES - size; block >= start; block -= size) {
      this.#next[block >> UNIT_BITS] = this.#freeHead[sizeClass] as number;
      this.#freeHead[sizeClass] = block;
    }
    return true;
  }
}
