// The submission and completion queues of one io_uring: queue arithmetic and memory ordering, nothing else.
//
// Both queues are rings of a power of two entries; heads and tails are free-running 32-bit counters, masked when
// used as an index. Ordering (io_uring(7)): an entry is written before the SQ tail is stored (release), the CQ tail
// is loaded (acquire) before an entry is read, the CQ head is stored after. JavaScript's only fences are Atomics.
//
// Invariant: head ≤ tail and tail − head ≤ entries, modulo 2³², in both queues.

import {
  CQ_OFF_CQES,
  CQ_OFF_HEAD,
  CQ_OFF_MASK,
  CQ_OFF_OVERFLOW,
  CQ_OFF_TAIL,
  IORING_FEAT_EXT_ARG,
  IORING_FEAT_NODROP,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_SETUP_CLAMP,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SUBMIT_ALL,
  PARAMS_CQ_ENTRIES,
  PARAMS_CQ_OFF,
  PARAMS_FEATURES,
  PARAMS_FLAGS,
  PARAMS_SQ_ENTRIES,
  PARAMS_SQ_OFF,
  SIZEOF_CQE,
  SIZEOF_SQE,
  SQ_OFF_ARRAY,
  SQ_OFF_FLAGS,
  SQ_OFF_HEAD,
  SQ_OFF_MASK,
  SQ_OFF_TAIL,
} from "../sys/abi.ts";
import { destinyOf, EINVAL, ENOMEM, ENOSYS } from "../sys/errno.ts";
import { closeDescriptor } from "../sys/socket-calls.ts";
import { RingEntrance, RingMapping, setupRing } from "../sys/uring-calls.ts";
import type { CompletionOffsets } from "./thread-notes.ts";

const FLAGS =
  IORING_SETUP_CQSIZE |
  IORING_SETUP_CLAMP |
  IORING_SETUP_SUBMIT_ALL |
  IORING_SETUP_SINGLE_ISSUER |
  IORING_SETUP_DEFER_TASKRUN;
const FEATURES = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
const SMALLEST_RING = 64;
/** 32-bit words of an SQE and of a CQE. */
const SQE_WORDS = SIZEOF_SQE / 4;
const CQE_WORDS = SIZEOF_CQE / 4;

export class UringRing {
  readonly descriptor: number;
  readonly entrance: RingEntrance;
  /** Where the completions lie in the first mapping. */
  readonly completionOffsets: CompletionOffsets;
  /** They keep the ring alive, also after its descriptor is closed. */
  readonly mappings: readonly RingMapping[];
  readonly #queue: Int32Array;
  /** 32-bit words of the submission entries. */
  readonly #submissions: Int32Array;
  /** 32-bit words of the completion entries: user_data low, user_data high, result, flags. */
  readonly completions: Int32Array;
  readonly #sqHeadAt: number;
  readonly #sqTailAt: number;
  readonly #sqMask: number;
  readonly #sqEntries: number;
  readonly #cqHeadAt: number;
  readonly #cqTailAt: number;
  readonly #cqMask: number;
  readonly #overflowAt: number;
  /** Our copies of the two counters that only we write. */
  #sqTail = 0;
  #cqHead = 0;
  /** Written and not yet taken by the kernel. */
  #unsubmitted = 0;
  /** Entries into the kernel. */
  entries = 0;

  /**
   * Makes a ring for this thread, smaller where the host has little memory; −errno says why there is none.
   * `submissionEntries` is a power of two; there are four times as many completion entries.
   */
  static open(submissionEntries: number): UringRing | number {
    let errno = ENOMEM;
    for (let size = submissionEntries; size >= SMALLEST_RING && errno === ENOMEM; size /= 2) {
      const setup = setupRing(size, (params) => {
        params.setUint32(PARAMS_FLAGS, FLAGS, true);
        params.setUint32(PARAMS_CQ_ENTRIES, size * 4, true);
      });
      if (typeof setup === "object") return UringRing.#map(setup.descriptor, setup.params);
      errno = -setup;
    }
    // Kernels before 6.1 do not know DEFER_TASKRUN.
    return errno === EINVAL ? -ENOSYS : -errno;
  }

  static #map(descriptor: number, params: DataView): UringRing | number {
    if ((params.getUint32(PARAMS_FEATURES, true) & FEATURES) === FEATURES) {
      return new UringRing(descriptor, params);
    }
    closeDescriptor(descriptor);
    return -ENOSYS;
  }

  private constructor(descriptor: number, params: DataView) {
    const sq = (field: number) => params.getUint32(PARAMS_SQ_OFF + field, true);
    const cq = (field: number) => params.getUint32(PARAMS_CQ_OFF + field, true);
    const sqEntries = params.getUint32(PARAMS_SQ_ENTRIES, true);
    const cqEntries = params.getUint32(PARAMS_CQ_ENTRIES, true);
    const queueBytes = Math.max(
      sq(SQ_OFF_ARRAY) + sqEntries * 4,
      cq(CQ_OFF_CQES) + cqEntries * SIZEOF_CQE,
    );
    const queue = new RingMapping(descriptor, IORING_OFF_SQ_RING, queueBytes);
    const entries = new RingMapping(descriptor, IORING_OFF_SQES, sqEntries * SIZEOF_SQE);
    this.descriptor = descriptor;
    this.mappings = [queue, entries];
    this.entrance = new RingEntrance(descriptor);
    this.#queue = new Int32Array(queue.buffer, 0, queueBytes >> 2);
    this.#submissions = new Int32Array(entries.buffer);
    this.completions = new Int32Array(queue.buffer, cq(CQ_OFF_CQES), cqEntries * CQE_WORDS);
    this.completionOffsets = {
      head: cq(CQ_OFF_HEAD),
      tail: cq(CQ_OFF_TAIL),
      mask: cq(CQ_OFF_MASK),
      entries: cq(CQ_OFF_CQES),
      flags: sq(SQ_OFF_FLAGS),
      lost: cq(CQ_OFF_OVERFLOW),
    };
    this.#sqEntries = sqEntries;
    this.#sqHeadAt = sq(SQ_OFF_HEAD) >> 2;
    this.#sqTailAt = sq(SQ_OFF_TAIL) >> 2;
    this.#sqMask = this.#queue[sq(SQ_OFF_MASK) >> 2] as number;
    this.#cqHeadAt = cq(CQ_OFF_HEAD) >> 2;
    this.#cqTailAt = cq(CQ_OFF_TAIL) >> 2;
    this.#cqMask = this.#queue[cq(CQ_OFF_MASK) >> 2] as number;
    this.#overflowAt = cq(CQ_OFF_OVERFLOW) >> 2;
    // The indirection array is the identity for ever: entry i of the queue is submission i.
    const arrayAt = sq(SQ_OFF_ARRAY) >> 2;
    for (let i = 0; i < sqEntries; i++) this.#queue[arrayAt + i] = i;
    this.#sqTail = this.#queue[this.#sqTailAt] as number;
    this.#cqHead = this.#queue[this.#cqHeadAt] as number;
  }

  /**
   * Queues one submission (struct io_uring_sqe, io_uring_enter(2)); submits first when the queue is full.
   * `head` holds opcode, flags and ioprio as the structure's first word. The entry's other words are always zero.
   */
  push(
    head: number,
    descriptor: number,
    addressLow: number,
    addressHigh: number,
    length: number,
    operationFlags: number,
    cookieLow: number,
    cookieHigh: number,
    bufferGroup: number,
  ): void {
    if (this.#unsubmitted === this.#sqEntries) this.flush();
    const words = this.#submissions;
    const at = (this.#sqTail & this.#sqMask) * SQE_WORDS;
    this.#sqTail = (this.#sqTail + 1) | 0;
    this.#unsubmitted++;
    words[at] = head;
    words[at + 1] = descriptor;
    words[at + 4] = addressLow;
    words[at + 5] = addressHigh;
    words[at + 6] = length;
    words[at + 7] = operationFlags;
    words[at + 8] = cookieLow;
    words[at + 9] = cookieHigh;
    words[at + 10] = bufferGroup;
  }

  /** As `push`, for the one operation that uses the offset field (connect: the length of the address); submits at once. */
  pushWithOffset(
    head: number,
    descriptor: number,
    address: number,
    offset: number,
    cookieLow: number,
    cookieHigh: number,
  ): void {
    this.push(head, descriptor, address | 0, highWord(address), 0, 0, cookieLow, cookieHigh, 0);
    const at = ((this.#sqTail - 1) & this.#sqMask) * SQE_WORDS;
    this.#submissions[at + 2] = offset;
    this.flush();
    this.#submissions[at + 2] = 0;
  }

  /** Entries that the next `enter` will hand to the kernel. */
  get unsubmitted(): number {
    return this.#unsubmitted;
  }

  /** One entry into the kernel: submit all, run deferred work, wait up to `timeoutMs` (0: not) for a completion. */
  enter(timeoutMs: number): void {
    Atomics.store(this.#queue, this.#sqTailAt, this.#sqTail);
    const submit = this.#unsubmitted;
    this.entries++;
    const done =
      timeoutMs === 0 ? this.entrance.poll(submit) : this.entrance.wait(submit, timeoutMs);
    this.#account(done);
  }

  /** Hands what is queued to the kernel at once, without running completions. */
  flush(): void {
    Atomics.store(this.#queue, this.#sqTailAt, this.#sqTail);
    this.entries++;
    this.#account(this.entrance.submit(this.#unsubmitted));
    if (this.#unsubmitted === this.#sqEntries) {
      throw new Error("io_uring took no submission: completions must be read first");
    }
  }

  /** How many completions are there to read. */
  ready(): number {
    return (Atomics.load(this.#queue, this.#cqTailAt) - this.#cqHead) | 0;
  }

  /** Index of the first word in `completions` of the `n`-th unread completion. */
  completionAt(n: number): number {
    return ((this.#cqHead + n) & this.#cqMask) * CQE_WORDS;
  }

  /** Hands `count` read entries back to the kernel. */
  consumed(count: number): void {
    this.#cqHead = (this.#cqHead + count) | 0;
    Atomics.store(this.#queue, this.#cqHeadAt, this.#cqHead);
  }

  /** Completions the kernel lost for want of memory: always 0 with IORING_FEAT_NODROP. */
  get overflow(): number {
    return Atomics.load(this.#queue, this.#overflowAt);
  }

  /** Closes the ring: the kernel cancels what is under way. */
  close(): void {
    closeDescriptor(this.descriptor);
    for (const mapping of this.mappings) mapping.release();
    this.entrance.release();
  }

  /** EBUSY: the completion queue is full, read it and come again. EAGAIN: likewise. What was not taken stays queued. */
  #account(done: number): void {
    if (done >= 0 || destinyOf(done) === "again") {
      const head = Atomics.load(this.#queue, this.#sqHeadAt);
      this.#unsubmitted = (this.#sqTail - head) | 0;
      return;
    }
    throw new Error(`io_uring_enter failed with errno ${-done}: a bug, please report it`);
  }
}

/** The upper half of an address, which a number holds exactly below 2⁵³. */
export function highWord(address: number): number {
  return (address / 0x1_0000_0000) | 0;
}
