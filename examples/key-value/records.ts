// The memory that keys and values lie in: records in large byte arrays, no object for any of them.
//
// Why not a Map of strings and Buffers: with 100,000 keys a look-up misses the processor's cache half a dozen times on its
// way through the string, the entry, the Buffer and what that points to (0.9 µs, measured). This way it misses once or
// twice (0.13 µs), a key costs a third of the memory, and the garbage collector has nothing to look at.
//
//   span (1 MiB):  | record | record | free | record | … not cut yet … |
//   record:        key length u32 · value length u32 · expires at f64 · key · value, a whole bulk string
//
// A record's address is its place in units of 16 bytes, over all spans. Sizes are rounded up to classes, four for each
// doubling; a freed record goes on its class's list, and its first word is the next one on it. A record that is too
// large for a class has a span of its own.
// Invariant: a record's class follows from the lengths in it, so nothing else needs to be noted.

import { bulkLength, copyBytes, writeBulk } from "./reply.ts";

const UNIT_BITS = 4;
const UNIT_BYTES = 1 << UNIT_BITS;
const SPAN_BITS = 20;
const SPAN_BYTES = 1 << SPAN_BITS;
const UNITS_PER_SPAN_BITS = SPAN_BITS - UNIT_BITS;
const UNIT_MASK = (1 << UNITS_PER_SPAN_BITS) - 1;
const LARGEST_CLASS_UNITS = 8192;
const CLASSES = 64;
/** Addresses have 31 bits: 32 GiB of records, and fewer when many are too large for a class. */
const MOST_SPANS = (1 << (31 - UNITS_PER_SPAN_BITS)) - 1;

const HEADER_BYTES = 16;
/** A shorter value is copied to where a view waits for it; making a view costs more. */
const SHORT = 32;

/** No record has it. */
export const NO_RECORD = 0;

/** There is no room for another record. */
export class RecordsFullError extends Error {
  override readonly name = "RecordsFullError";
}

export class Records {
  /** Of all spans. */
  memoryBytes = 0;
  /** Of each span the same bytes as three kinds of array; undefined for span 0 and where a large record was freed. */
  #bytes: (Buffer | undefined)[] = [undefined];
  #words: (Int32Array | undefined)[] = [undefined];
  #times: (Float64Array | undefined)[] = [undefined];
  /** First free record of each class. */
  #free = new Int32Array(CLASSES);
  #freeSpans: number[] = [];
  /** The uncut rest of the span that is cut now. */
  #rest = NO_RECORD;
  #restUnits = 0;
  readonly #mostSpans: number;
  readonly #short: readonly Buffer[];

  /** @throws RangeError when there are not so many addresses */
  constructor(maximumSpans = MOST_SPANS) {
    if (!Number.isInteger(maximumSpans) || maximumSpans < 1 || maximumSpans > MOST_SPANS) {
      throw new RangeError(`spans must be an integer from 1 to ${MOST_SPANS}, not ${maximumSpans}`);
    }
    this.#mostSpans = maximumSpans;
    const scratch = Buffer.alloc(SHORT);
    this.#short = Array.from({ length: SHORT + 1 }, (_, length) => scratch.subarray(0, length));
  }

  /**
   * A record with copies of `bytes[keyStart, keyEnd)` and of a value; its expiry isn't set.
   * @throws RecordsFullError
   */
  create(
    bytes: Buffer,
    keyStart: number,
    keyEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): number {
    const keyLength = keyEnd - keyStart;
    const valueLength = bulkLength(valueEnd - valueStart);
    const address = this.#allocate(capacity(keyLength, valueLength));
    const target = this.#bytesOf(address);
    const at = offset(address);
    const words = this.#wordsOf(address);
    words[at >> 2] = keyLength;
    words[(at >> 2) + 1] = valueLength;
    copyBytes(bytes, keyStart, keyEnd, target, at + HEADER_BYTES);
    writeBulk(value, valueStart, valueEnd, target, at + HEADER_BYTES + keyLength);
    return address;
  }

  /** Puts another value in its place; false when it takes a record of another size. */
  overwrite(address: number, value: Buffer, start: number, end: number): boolean {
    const at = offset(address);
    const words = this.#wordsOf(address);
    const keyLength = words[at >> 2] as number;
    const oldLength = words[(at >> 2) + 1] as number;
    const length = bulkLength(end - start);
    if (length !== oldLength) {
      if (capacity(keyLength, length) !== capacity(keyLength, oldLength)) return false;
      words[(at >> 2) + 1] = length;
    }
    writeBulk(value, start, end, this.#bytesOf(address), at + HEADER_BYTES + keyLength);
    return true;
  }

  free(address: number): void {
    const at = offset(address);
    const words = this.#wordsOf(address);
    const units = capacity(words[at >> 2] as number, words[(at >> 2) + 1] as number);
    if (units > LARGEST_CLASS_UNITS) {
      this.#dropSpan(address >>> UNITS_PER_SPAN_BITS);
      return;
    }
    const sizeClass = classOf(units);
    words[at >> 2] = this.#free[sizeClass] as number;
    this.#free[sizeClass] = address;
  }

  hasKey(address: number, bytes: Buffer, start: number, end: number): boolean {
    const at = offset(address);
    const length = end - start;
    if (this.#wordsOf(address)[at >> 2] !== length) return false;
    const own = this.#bytesOf(address);
    const first = at + HEADER_BYTES;
    for (let index = 0; index < length; index++) {
      if (own[first + index] !== bytes[start + index]) return false;
    }
    return true;
  }

  /** The value as a whole bulk string, to be used at once: what is done next with any record may change it. */
  value(address: number): Buffer {
    const at = offset(address);
    const words = this.#wordsOf(address);
    const length = words[(at >> 2) + 1] as number;
    const first = at + HEADER_BYTES + (words[at >> 2] as number);
    const bytes = this.#bytesOf(address);
    if (length > SHORT) return bytes.subarray(first, first + length);
    const short = this.#short[length] as Buffer;
    for (let index = 0; index < length; index++) short[index] = bytes[first + index] as number;
    return short;
  }

  expiresAt(address: number): number {
    const times = this.#times[address >>> UNITS_PER_SPAN_BITS] as Float64Array;
    return times[(offset(address) >> 3) + 1] as number;
  }

  setExpiresAt(address: number, time: number): void {
    const times = this.#times[address >>> UNITS_PER_SPAN_BITS] as Float64Array;
    times[(offset(address) >> 3) + 1] = time;
  }

  /** Frees all records, and their memory. */
  clear(): void {
    this.memoryBytes = 0;
    this.#bytes = [undefined];
    this.#words = [undefined];
    this.#times = [undefined];
    this.#free = new Int32Array(CLASSES);
    this.#freeSpans = [];
    this.#rest = NO_RECORD;
    this.#restUnits = 0;
  }

  #bytesOf(address: number): Buffer {
    return this.#bytes[address >>> UNITS_PER_SPAN_BITS] as Buffer;
  }

  #wordsOf(address: number): Int32Array {
    return this.#words[address >>> UNITS_PER_SPAN_BITS] as Int32Array;
  }

  #allocate(units: number): number {
    if (units > LARGEST_CLASS_UNITS) {
      return this.#addSpan(units << UNIT_BITS) << UNITS_PER_SPAN_BITS;
    }
    const sizeClass = classOf(units);
    const freed = this.#free[sizeClass] as number;
    if (freed !== NO_RECORD) {
      this.#free[sizeClass] = this.#wordsOf(freed)[offset(freed) >> 2] as number;
      return freed;
    }
    if (this.#restUnits < units) {
      this.#rest = this.#addSpan(SPAN_BYTES) << UNITS_PER_SPAN_BITS;
      this.#restUnits = SPAN_BYTES >> UNIT_BITS;
    }
    const address = this.#rest;
    this.#rest += units;
    this.#restUnits -= units;
    return address;
  }

  /** Spans are numbered from 1, so that no record has address 0. */
  #addSpan(bytes: number): number {
    const span = this.#freeSpans.pop() ?? this.#bytes.length;
    if (span > this.#mostSpans) throw new RecordsFullError("there is no room for another record");
    const memory = Buffer.allocUnsafeSlow(bytes);
    const { buffer, byteOffset } = memory;
    this.memoryBytes += bytes;
    this.#bytes[span] = memory;
    this.#words[span] = new Int32Array(buffer, byteOffset, bytes >> 2);
    this.#times[span] = new Float64Array(buffer, byteOffset, bytes >> 3);
    return span;
  }

  #dropSpan(span: number): void {
    this.memoryBytes -= this.#bytes[span]?.length ?? 0;
    this.#bytes[span] = undefined;
    this.#words[span] = undefined;
    this.#times[span] = undefined;
    this.#freeSpans.push(span);
  }
}

/** Where a record lies in its span. */
function offset(address: number): number {
  return (address & UNIT_MASK) << UNIT_BITS;
}

/** Units that a record takes: its size rounded up to that of its class. */
function capacity(keyLength: number, valueLength: number): number {
  const bytes = HEADER_BYTES + keyLength + valueLength;
  const units = (bytes + UNIT_BYTES - 1) >> UNIT_BITS;
  const shift = classShift(units);
  return (((units - 1) >> shift) + 1) << shift;
}

/** Of a size that is a class's. */
function classOf(units: number): number {
  const shift = classShift(units);
  return (shift << 2) + (units >> shift);
}

/** Classes are 2^shift units apart: 1 up to 8 units, 2 up to 16, 4 up to 32, … */
function classShift(units: number): number {
  return units <= 8 ? 0 : 29 - Math.clz32(units - 1);
}
