// Addresses within the memory that sends come from, as the bigints that native calls take: sends begin at the same places
// again and again, and a bigint that is made anew costs as much as the call.

import type { NativeMemory } from "../sys/native-memory.ts";

/** The smallest block of a reactor's arena: where a send begins, but for the rest of one that went out in part. */
const PLACE_BYTES = 1024;

export class OutputAddresses {
  readonly #memory: NativeMemory;
  /** Of every PLACE_BYTES-th byte, once something was sent from there. */
  readonly #made: (bigint | undefined)[] = [];

  constructor(memory: NativeMemory) {
    this.#memory = memory;
  }

  /** Where `length` bytes at `offset` lie. @throws RangeError when they are not all in the memory */
  of(offset: number, length: number): bigint {
    const place = offset / PLACE_BYTES;
    const made = this.#made[place];
    if (made !== undefined && offset + length <= this.#memory.length) return made;
    const address = this.#memory.at(offset, length);
    if (Number.isInteger(place)) this.#made[place] = address;
    return address;
  }
}
