// A ring of records in shared memory between two threads: one writes, one reads, neither ever waits for the other.
//
//   bytes 0–63    tail (the writer's)
//   bytes 64–127  head (the reader's)     each on a cache line of its own
//   bytes 128–    records:  ┌────────┬─────────────────┬─────┬──────┬──────┬──────┬─────────┐
//                           │ length │ kind, head size │ tag │ –    │ head │ body │ padding │   to 16 bytes
//                           └─ i32 ──┴─── u16, u16 ────┴ i32 ┴ i32 ─┴──────┴──────┴─────────┘
//
// Positions run from 0 to twice the capacity, so that full and empty differ. A record's first 16 bytes never wrap; what
// follows them may.
//
// Why it is safe without locks, also when either side dies at any instruction: a record is visible only once `tail` was
// stored (sequentially consistent, after its bytes), and its room is free only once `head` was (after it was read). A
// writer that dies halfway has stored nothing: its successor writes over it. A reader that dies leaves records unread:
// its successor discards and counts them.
// Invariant: one writer and one reader at a time; the successor starts after the predecessor has ended.

import { Buffer } from "node:buffer";

const LINE_BYTES = 64;
const RECORD_BYTES = 16;
const KIND_SHIFT = 16;
/** A record's head is a short text; its length has 16 bits. */
export const LONGEST_HEAD = 0xffff;

/** Bytes of shared memory that a ring takes; `capacity` is a multiple of 16. */
export function ringLength(capacity: number): number {
  return 2 * LINE_BYTES + capacity;
}

/** The longest head and body together that a ring can carry. */
export function longestRecord(capacity: number): number {
  return capacity - RECORD_BYTES;
}

/** Views of the memory that rings lie in: one for all of them, since a view is dearer than a ring. */
export interface RingMemory {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly bytes: Buffer;
}

export function ringMemory(memory: SharedArrayBuffer): RingMemory {
  return { words: new Int32Array(memory), bytes: Buffer.from(memory) };
}

/** What both sides know: where the ring is and how its positions work. */
class Ring {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly bytes: Buffer;
  readonly capacity: number;
  readonly tailWord: number;
  readonly headWord: number;
  /** Where the records begin. */
  readonly start: number;

  /** `at` and `capacity` are multiples of 16. */
  constructor({ words, bytes }: RingMemory, at: number, capacity: number) {
    this.words = words;
    this.bytes = bytes;
    this.capacity = capacity;
    this.tailWord = at / 4;
    this.headWord = (at + LINE_BYTES) / 4;
    this.start = at + 2 * LINE_BYTES;
  }

  advance(position: number, by: number): number {
    const next = position + by;
    return next >= 2 * this.capacity ? next - 2 * this.capacity : next;
  }

  /** Where in the records a position is; also one that runs beyond their end. */
  wrap(position: number): number {
    return position >= this.capacity ? position - this.capacity : position;
  }

  /** Bytes between two positions. */
  between(head: number, tail: number): number {
    return tail >= head ? tail - head : tail - head + 2 * this.capacity;
  }
}

/** What a record of so much takes. */
function rounded(length: number): number {
  return (RECORD_BYTES + length + RECORD_BYTES - 1) & -RECORD_BYTES;
}

/** The writing side. */
export class RingWriter {
  readonly #ring: Ring;
  #reserved = 0;
  /** Where the reader was when there was last too little room: it is only looked at again when there is too little again. */
  #head: number;

  constructor(memory: RingMemory, at: number, capacity: number) {
    this.#ring = new Ring(memory, at, capacity);
    this.#head = Atomics.load(memory.words, this.#ring.headWord);
  }

  /** False when there is no room, and nothing has happened then. */
  put(kind: number, tag: number, head: Uint8Array, body: Uint8Array): boolean {
    if (!this.reserve(head.length + body.length)) return false;
    this.fill(kind, tag, head, body);
    this.commit();
    return true;
  }

  // The three steps of `put`. Only the first and the last touch a shared position; tests interleave them.

  reserve(length: number): boolean {
    const { words, headWord, tailWord, capacity } = this.#ring;
    this.#reserved = rounded(length);
    const tail = words[tailWord] as number;
    if (this.#ring.between(this.#head, tail) + this.#reserved <= capacity) return true;
    this.#head = Atomics.load(words, headWord);
    return this.#ring.between(this.#head, tail) + this.#reserved <= capacity;
  }

  fill(kind: number, tag: number, head: Uint8Array, body: Uint8Array): void {
    const { words, tailWord, start } = this.#ring;
    const at = this.#ring.wrap(words[tailWord] as number);
    const word = (start + at) >> 2;
    words[word] = head.length + body.length;
    words[word + 1] = (kind << KIND_SHIFT) | head.length;
    words[word + 2] = tag;
    this.#copyIn(at + RECORD_BYTES, head);
    this.#copyIn(at + RECORD_BYTES + head.length, body);
  }

  commit(): void {
    const { words, tailWord } = this.#ring;
    const tail = words[tailWord] as number;
    Atomics.store(words, tailWord, this.#ring.advance(tail, this.#reserved));
  }

  #copyIn(position: number, data: Uint8Array): void {
    const { bytes, capacity, start } = this.#ring;
    const at = this.#ring.wrap(position);
    const room = capacity - at;
    if (data.length <= room) return bytes.set(data, start + at);
    bytes.set(data.subarray(0, room), start + at);
    bytes.set(data.subarray(room), start);
  }
}

/** The reading side: `next`, look at the fields, `done`. */
export class RingReader {
  kind = 0;
  tag = 0;
  readonly #ring: Ring;
  /** Of the record in front: where its head is, and how long that and all of it are. */
  #at = 0;
  #headLength = 0;
  #length = 0;

  constructor(memory: RingMemory, at: number, capacity: number) {
    this.#ring = new Ring(memory, at, capacity);
  }

  /** A view of shared memory, valid until `done`; a view is dear, so it is only made when it is asked for. */
  get head(): Buffer {
    return this.#view(this.#at, this.#headLength);
  }

  /** Likewise. */
  get body(): Buffer {
    return this.#view(this.#at + this.#headLength, this.#length - this.#headLength);
  }

  /** Where the writer is now: the records up to there can be read. */
  end(): number {
    return Atomics.load(this.#ring.words, this.#ring.tailWord);
  }

  /** Loads the record in front; false when there is none before `end`. */
  next(end: number): boolean {
    const { words, headWord, start } = this.#ring;
    const position = words[headWord] as number;
    if (position === end) return false;
    const at = this.#ring.wrap(position);
    const word = (start + at) >> 2;
    const kind = words[word + 1] as number;
    this.#length = words[word] as number;
    this.#headLength = kind & LONGEST_HEAD;
    this.#at = at + RECORD_BYTES;
    this.kind = kind >>> KIND_SHIFT;
    this.tag = words[word + 2] as number;
    return true;
  }

  /** Gives the record's room back. */
  done(): void {
    const { words, headWord } = this.#ring;
    const head = words[headWord] as number;
    Atomics.store(words, headWord, this.#ring.advance(head, rounded(this.#length)));
  }

  /** Drops everything that a predecessor left unread; how many records that were. */
  discard(): number {
    const end = this.end();
    let lost = 0;
    while (this.next(end)) {
      lost++;
      this.done();
    }
    return lost;
  }

  /** In place, or a copy when it wraps. */
  #view(position: number, length: number): Buffer {
    const { bytes, capacity, start } = this.#ring;
    const at = this.#ring.wrap(position);
    if (at + length <= capacity) return bytes.subarray(start + at, start + at + length);
    const room = capacity - at;
    return Buffer.concat([
      bytes.subarray(start + at, start + capacity),
      bytes.subarray(start, start + length - room),
    ]);
  }
}
