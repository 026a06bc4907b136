// The receive buffers of one io_uring: a ring from which the kernel takes one for each receive that has bytes.
//
// A buffer is out only between the completion that names it and the end of that completion's event, so few of them
// serve many connections. The pool starts small, because few buffers stay in the cache, and grows whenever
// the kernel found it empty, up to its capacity.
//
// The ring is an array of struct io_uring_buf { u64 address, u32 length, u16 id, u16 reserved }; the tail that we
// advance lies in the first entry's reserved field. Invariant: a buffer is in the ring or named by a completion, never both.

import { SIZEOF_IO_URING_BUF } from "../sys/abi.ts";
import { NativeMemory, PAGE } from "../sys/native-memory.ts";
import { registerBufferRing } from "../sys/uring-calls.ts";

const TAIL_AT = 14;
/**
 * A cache line between two buffers: at a distance of a power of two the first bytes of all of them, the only ones that small
 * messages touch, would share a few sets of the cache.
 */
const SHIFT = 64;

export class BufferPool {
  readonly group: number;
  readonly bufferBytes: number;
  /** From the start of one buffer to that of the next. */
  readonly stride: number;
  /** Most buffers; a power of two. */
  readonly capacity: number;
  /** Where the kernel is told of free buffers; then the buffers, in one piece. */
  readonly ring: NativeMemory;
  readonly buffers: NativeMemory;
  readonly #words: Uint32Array;
  readonly #halves: Uint16Array;
  readonly #mask: number;
  #tail = 0;
  #provided = 0;

  constructor(group: number, capacity: number, bufferBytes: number) {
    this.group = group;
    this.capacity = capacity;
    this.bufferBytes = bufferBytes;
    this.stride = bufferBytes + SHIFT;
    this.#mask = capacity - 1;
    this.ring = NativeMemory.allocate(Math.max(capacity * SIZEOF_IO_URING_BUF, PAGE));
    this.buffers = NativeMemory.allocate(capacity * this.stride);
    const { buffer, byteOffset, length } = this.ring.bytes;
    this.#words = new Uint32Array(buffer, byteOffset, length >> 2);
    this.#halves = new Uint16Array(buffer, byteOffset, length >> 1);
  }

  /** Makes the ring known to the kernel and provides the first buffers; 0 or −errno. */
  register(ringDescriptor: number, buffers: number): number {
    const address = this.ring.at(0, this.capacity * SIZEOF_IO_URING_BUF);
    const failed = registerBufferRing(ringDescriptor, address, this.capacity, this.group);
    if (failed === 0) this.#provideNew(buffers);
    return failed;
  }

  /** All buffers in one piece: buffer `id` begins at `id * stride`. */
  get bytes(): Buffer {
    return this.buffers.bytes;
  }

  /** Buffers that circulate. */
  get provided(): number {
    return this.#provided;
  }

  /** Gives a buffer back; the kernel sees it after `publish`. */
  recycle(id: number): void {
    const entry = this.#tail & this.#mask;
    const address = this.buffers.address + id * this.stride;
    const word = entry << 2;
    this.#words[word] = address >>> 0;
    this.#words[word + 1] = address / 0x1_0000_0000;
    this.#words[word + 2] = this.bufferBytes;
    this.#halves[(entry << 3) + 6] = id;
    this.#tail = (this.#tail + 1) & 0xffff;
  }

  /** Shows the kernel what was recycled; once a turn, before the kernel is entered. */
  publish(): void {
    Atomics.store(this.#halves, TAIL_AT >> 1, this.#tail);
  }

  /** The kernel found the pool empty: doubles the circulating buffers, as far as there are any. */
  grow(): void {
    this.#provideNew(this.#provided);
  }

  /** Gives the memory back, once the ring's descriptor is closed. Borrowed views then read zeros, and never fault. */
  discard(): void {
    this.ring.release();
    this.buffers.discard(0, this.buffers.length);
  }

  #provideNew(count: number): void {
    const end = Math.min(this.#provided + count, this.capacity);
    while (this.#provided < end) this.recycle(this.#provided++);
    this.publish();
  }
}
