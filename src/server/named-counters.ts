// Counters that every thread of a server adds to, found by name, without a lock and without asking anybody.
//
//   bytes 0–63     the first node of the list (0: none)
//   regions        one for each thread, in which only that one makes nodes:
//                  ┌ used, one cache line ┬ node ┬ node ┬ … each a multiple of 64 bytes
//   a node         value (i64) │ next │ length of the name │ name in UTF-8
//
// How two threads agree on a name: a node is made whole in its thread's own region, then put in front of the list by one
// compareExchange. Who loses looks at what has come in front meanwhile, and finds the name there or tries again.
// A thread that dies halfway has put nothing into the list; at worst one node of its region is lost.
// Invariant: nodes in the list never move, change their name or leave.

import { Buffer } from "node:buffer";
import type { SharedCounter } from "../handlers.ts";

const LINE_BYTES = 64;
const REGION_BYTES = 16_384;
const FIRST = 0;
const NEXT_WORD = 2;
const LENGTH_WORD = 3;
const NAME_AT = 16;
/** In bytes of UTF-8. */
const LONGEST_NAME = 255;
const NONE = 0;

/** Bytes of memory for the counters of so many threads. */
export function countersLength(regions: number): number {
  return LINE_BYTES + regions * REGION_BYTES;
}

export class SharedCounters {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #values: BigInt64Array<SharedArrayBuffer>;
  readonly #bytes: Buffer;
  readonly #region: number;
  /** Those that this thread has asked for. */
  readonly #known = new Map<string, SharedCounter>();

  /** `region` is this thread's: of two that live at the same time no two have the same. */
  constructor(memory: SharedArrayBuffer, region: number) {
    this.#words = new Int32Array(memory);
    this.#values = new BigInt64Array(memory);
    this.#bytes = Buffer.from(memory);
    this.#region = LINE_BYTES + region * REGION_BYTES;
  }

  /** The counter of that name, from 0 where nobody has asked for it before. @throws RangeError, see Context.counter */
  counter(name: string): SharedCounter {
    let counter = this.#known.get(name);
    if (counter === undefined) {
      counter = new CounterAt(this.#values, this.#find(checkedName(name)) / 8);
      this.#known.set(name, counter);
    }
    return counter;
  }

  /** The node of that name: found, or made. */
  #find(name: Buffer): number {
    let made = NONE;
    let searched = NONE;
    for (;;) {
      const first = Atomics.load(this.#words, FIRST);
      const found = this.#search(name, first, searched);
      if (found !== NONE) {
        if (made !== NONE) this.#giveBack(made);
        return found;
      }
      searched = first;
      if (made === NONE) made = this.#make(name);
      this.#words[made / 4 + NEXT_WORD] = first;
      if (Atomics.compareExchange(this.#words, FIRST, first, made) === first) return made;
    }
  }

  /** From one node on, up to the one where the last search began. */
  #search(name: Buffer, from: number, end: number): number {
    for (let node = from; node !== end; node = this.#words[node / 4 + NEXT_WORD] as number) {
      const start = node + NAME_AT;
      const length = this.#words[node / 4 + LENGTH_WORD] as number;
      if (this.#bytes.subarray(start, start + length).equals(name)) return node;
    }
    return NONE;
  }

  #make(name: Buffer): number {
    const size = Math.ceil((NAME_AT + name.length) / LINE_BYTES) * LINE_BYTES;
    const used = Math.max(Atomics.load(this.#words, this.#region / 4), LINE_BYTES);
    if (used + size > REGION_BYTES) {
      throw new RangeError(
        "a thread cannot make more counters: their names are part of the program, not of its data",
      );
    }
    // First this, then the list: a successor must never build on a node that is in it.
    Atomics.store(this.#words, this.#region / 4, used + size);
    const node = this.#region + used;
    this.#values[node / 8] = 0n;
    this.#words[node / 4 + LENGTH_WORD] = name.length;
    name.copy(this.#bytes, node + NAME_AT);
    return node;
  }

  /** Another thread was first: the node was never in the list. */
  #giveBack(node: number): void {
    Atomics.store(this.#words, this.#region / 4, node - this.#region);
  }
}

class CounterAt implements SharedCounter {
  readonly #values: BigInt64Array<SharedArrayBuffer>;
  readonly #at: number;

  constructor(values: BigInt64Array<SharedArrayBuffer>, at: number) {
    this.#values = values;
    this.#at = at;
  }

  get value(): number {
    return Number(Atomics.load(this.#values, this.#at));
  }

  add(by = 1): number {
    if (!Number.isSafeInteger(by)) {
      throw new RangeError(`a counter is added an integer up to 2^53 − 1, not ${String(by)}`);
    }
    return Number(Atomics.add(this.#values, this.#at, BigInt(by))) + by;
  }
}

function checkedName(name: string): Buffer {
  const bytes = Buffer.from(name);
  if (bytes.length >= 1 && bytes.length <= LONGEST_NAME) return bytes;
  throw new RangeError(`the name of a counter has 1 to ${LONGEST_NAME} bytes, not ${bytes.length}`);
}
