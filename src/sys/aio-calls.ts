// Linux AIO (io_submit(2)): several reads or writes on non-blocking sockets with one entry into the kernel.
//
// On such a socket each operation is done, or fails with EAGAIN, before io_submit returns; its completion then lies in a
// ring that the kernel has mapped into this process, and is read from there without another call. So a batch costs
// one system call, and one call through node:ffi, whatever its size. Operations on sockets take offset 0 only.

import {
  ABI,
  AIO_RING_HEAD,
  AIO_RING_INCOMPAT,
  AIO_RING_MAGIC,
  AIO_RING_MAGIC_AT,
  AIO_RING_NR,
  AIO_RING_TAIL,
  IO_EVENT_DATA,
  IO_EVENT_RES,
  IOCB_BUF,
  IOCB_DATA,
  IOCB_FILDES,
  IOCB_NBYTES,
  IOCB_OPCODE,
  SIZEOF_AIO_RING,
  SIZEOF_IO_EVENT,
  SIZEOF_IOCB,
} from "./abi.ts";
import { ENOSYS } from "./errno.ts";
import { type NativeLibrary, nativeLibrary } from "./native-library.ts";
import { NativeMemory } from "./native-memory.ts";
import { nativeArchitecture } from "./platform.ts";

const IOCB_WORDS = SIZEOF_IOCB / 4;
const EVENT_WORDS = SIZEOF_IO_EVENT / 4;

/** One AIO context and its submission entries; belongs to the thread that made it. */
export class AioContext {
  /** Most operations of one submission. */
  readonly capacity: number;
  readonly #library: NativeLibrary;
  readonly #context: bigint;
  readonly #memory: NativeMemory;
  readonly #entries: Int32Array;
  readonly #pointers: bigint;
  readonly #pointersAt: number;
  readonly #ring: Int32Array;
  readonly #ringEntries: number;
  readonly #submitNumber: number;

  /** −errno when the kernel refuses (ENOSYS: built without it; EAGAIN: fs.aio-max-nr is used up). */
  static open(capacity: number): AioContext | number {
    const architecture = nativeArchitecture();
    if (typeof architecture === "object") return -ENOSYS;
    const library = nativeLibrary();
    const { SYS_io_setup } = ABI[architecture];
    const memory = NativeMemory.allocate(capacity * (SIZEOF_IOCB + 8) + 8);
    const contextAt = capacity * (SIZEOF_IOCB + 8);
    const into = memory.at(contextAt, 8);
    // io_setup takes (count, context): the count stands where other calls have a pointer.
    const failed = library.syscallPointers(SYS_io_setup, capacity, into, 0n, 0, 0n, 0n);
    if (failed < 0) {
      const errno = library.errno[0] ?? 0;
      memory.release();
      return -errno;
    }
    const context = new AioContext(architecture, memory, capacity, contextAt);
    if (context.#ringIsKnown()) return context;
    context.close();
    return -ENOSYS;
  }

  private constructor(
    architecture: keyof typeof ABI,
    memory: NativeMemory,
    capacity: number,
    contextAt: number,
  ) {
    this.#library = nativeLibrary();
    this.#submitNumber = ABI[architecture].SYS_io_submit;
    this.capacity = capacity;
    this.#memory = memory;
    const { buffer, byteOffset } = memory.bytes;
    this.#entries = new Int32Array(buffer, byteOffset, capacity * IOCB_WORDS);
    this.#pointersAt = capacity * SIZEOF_IOCB;
    this.#pointers = memory.at(this.#pointersAt, capacity * 8);
    for (let n = 0; n < capacity; n++) {
      const entry = memory.at(n * SIZEOF_IOCB, SIZEOF_IOCB);
      memory.bytes.writeBigUInt64LE(entry, this.#pointersAt + n * 8);
      this.#entries[n * IOCB_WORDS + IOCB_DATA / 4] = n;
    }
    this.#context = memory.bytes.readBigUInt64LE(contextAt);
    const header = new Int32Array(this.#library.viewMemory(this.#context, SIZEOF_AIO_RING));
    this.#ringEntries = header[AIO_RING_NR / 4] ?? 0;
    const length = SIZEOF_AIO_RING + this.#ringEntries * SIZEOF_IO_EVENT;
    this.#ring = new Int32Array(this.#library.viewMemory(this.#context, length));
  }

  /** Fills entry `index`: `length` bytes at the address, read into or written from there. */
  prepare(
    index: number,
    opcode: number,
    descriptor: number,
    addressLow: number,
    addressHigh: number,
    length: number,
  ): void {
    const at = index * IOCB_WORDS;
    const entries = this.#entries;
    entries[at + IOCB_OPCODE / 4] = opcode;
    entries[at + IOCB_FILDES / 4] = descriptor;
    entries[at + IOCB_BUF / 4] = addressLow;
    entries[at + IOCB_BUF / 4 + 1] = addressHigh;
    entries[at + IOCB_NBYTES / 4] = length;
  }

  /** io_submit(2) of entries `[from, end)`: how many were taken, or −errno of the first. */
  submit(from: number, end: number): number {
    const taken = this.#library.syscallAio(
      this.#submitNumber,
      this.#context,
      end - from,
      from === 0 ? this.#pointers : this.#pointers + BigInt(from * 8),
      0,
      0,
      0n,
    );
    return taken < 0 ? -(this.#library.errno[0] ?? 0) : taken;
  }

  /** Stores the result of each completion at its entry's index in `results`; how many there were. */
  collect(results: Int32Array): number {
    const ring = this.#ring;
    const tail = Atomics.load(ring, AIO_RING_TAIL / 4);
    let head = ring[AIO_RING_HEAD / 4] as number;
    let count = 0;
    while (head !== tail) {
      const at = SIZEOF_AIO_RING / 4 + head * EVENT_WORDS;
      results[ring[at + IO_EVENT_DATA / 4] as number] = ring[at + IO_EVENT_RES / 4] as number;
      head = head + 1 === this.#ringEntries ? 0 : head + 1;
      count++;
    }
    Atomics.store(ring, AIO_RING_HEAD / 4, head);
    return count;
  }

  /** The halves of the context's address, low first: for `destroyAioContext`. */
  get address(): readonly [low: number, high: number] {
    return [Number(this.#context & 0xffff_ffffn) | 0, Number(this.#context >> 32n)];
  }

  /** io_destroy(2); takes some 30 ms, the kernel waits until nobody can still be looking at it. */
  close(): void {
    destroyAioContext(...this.address);
    this.#memory.release();
  }

  /** Whether the mapped ring is the one that libaio reads, with nothing in it that we do not know. */
  #ringIsKnown(): boolean {
    const magic = (this.#ring[AIO_RING_MAGIC_AT / 4] as number) >>> 0;
    return magic === AIO_RING_MAGIC && this.#ring[AIO_RING_INCOMPAT / 4] === 0;
  }
}

/** io_destroy(2) of a context by its address, also one of a thread that is gone. */
export function destroyAioContext(low: number, high: number): void {
  const architecture = nativeArchitecture();
  if (typeof architecture === "object") return;
  const context = (BigInt(high) << 32n) | BigInt(low >>> 0);
  const { SYS_io_destroy } = ABI[architecture];
  nativeLibrary().syscallAio(SYS_io_destroy, context, 0, 0n, 0, 0, 0n);
}
