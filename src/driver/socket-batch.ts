// A batch of reads, or of writes, on non-blocking sockets: filled one by one, done together.
//
// Where the kernel has AIO the whole batch is one system call; elsewhere each operation is a call of its own. The
// results are the same, so the driver above knows no difference.

import { IOCB_CMD_PREAD, IOCB_CMD_PWRITE } from "../sys/abi.ts";
import type { AioContext } from "../sys/aio-calls.ts";
import { readInto, writeFrom } from "../sys/epoll-calls.ts";
import { EIO } from "../sys/errno.ts";
import type { NativeMemory } from "../sys/native-memory.ts";

export type BatchKind = "read" | "write";

export class SocketBatch {
  /** Most operations of a batch. */
  readonly capacity: number;
  /** How many are in it. */
  length = 0;
  readonly #kind: BatchKind;
  readonly #memory: NativeMemory;
  readonly #low: number;
  readonly #high: number;
  readonly #aio: AioContext | undefined;
  /** Index of its first entry in the context. */
  readonly #base: number;
  readonly #descriptors: Int32Array;
  readonly #offsets: Int32Array;
  readonly #lengths: Int32Array;
  readonly #results: Int32Array;

  /** All operations are on `memory`. It uses `capacity` entries of the context from `base` on; without one, plain calls. */
  constructor(
    kind: BatchKind,
    memory: NativeMemory,
    capacity: number,
    aio: AioContext | undefined,
    base: number,
  ) {
    this.capacity = capacity;
    this.#kind = kind;
    this.#memory = memory;
    this.#low = memory.address >>> 0;
    this.#high = Math.floor(memory.address / 0x1_0000_0000);
    this.#aio = aio;
    this.#base = base;
    this.#descriptors = new Int32Array(capacity);
    this.#offsets = new Int32Array(capacity);
    this.#lengths = new Int32Array(capacity);
    this.#results = new Int32Array(base + capacity);
  }

  /** Whether a batch is one call. */
  get isOneCall(): boolean {
    return this.#aio !== undefined;
  }

  /** Adds an operation; its index is the former `length`. There must be room. */
  add(descriptor: number, offset: number, length: number): void {
    const index = this.length++;
    if (this.#aio === undefined) {
      this.#descriptors[index] = descriptor;
      this.#offsets[index] = offset;
      this.#lengths[index] = length;
      return;
    }
    const low = (this.#low + offset) | 0;
    const high = low >>> 0 < this.#low ? this.#high + 1 : this.#high;
    const opcode = this.#kind === "read" ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
    this.#aio.prepare(this.#base + index, opcode, descriptor, low, high, length);
  }

  /** Does them all, and empties the batch; `result` tells of each until the next `run`. How many there were. */
  run(): number {
    const count = this.length;
    this.length = 0;
    if (this.#aio === undefined) this.#runSingly(count);
    else this.#runTogether(this.#aio, count);
    return count;
  }

  /** Bytes moved by the `index`-th operation, or −errno. */
  result(index: number): number {
    return this.#results[this.#base + index] as number;
  }

  #runTogether(aio: AioContext, count: number): void {
    let from = this.#base;
    const end = from + count;
    while (from < end) {
      const taken = aio.submit(from, end);
      if (taken > 0) {
        from += taken;
      } else {
        // The kernel stopped at this one: that is its result.
        this.#results[from++] = taken === 0 ? -EIO : taken;
      }
    }
    aio.collect(this.#results);
  }

  #runSingly(count: number): void {
    const call = this.#kind === "read" ? readInto : writeFrom;
    for (let index = 0; index < count; index++) {
      const length = this.#lengths[index] as number;
      const address = this.#memory.at(this.#offsets[index] as number, length);
      this.#results[this.#base + index] = call(this.#descriptors[index] as number, address, length);
    }
  }
}
