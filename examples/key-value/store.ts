// The keys: where their records lie, and until when they count.
//
// The index is a hash table with open addressing: two words a slot, the key's hash and its record's address. The hash is
// seeded, so that nobody can prepare keys that all meet in one place. Removing moves what follows back into the hole, so
// there are no tombstones. It's made twice as large all at once when it is half full (45 ms for a million keys).
//
// A key that has expired goes when somebody asks for it, or when a sweep comes by. A sweep looks at a bounded part of the
// index, and none is scheduled while no key expires, so that an idle server sleeps.
//
// Invariant: an address in the index is negative (its top bit is set) exactly when its key expires.

import { NO_RECORD, Records } from "./records.ts";

/** Time, handed in: a test's own, or the machine's. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs once, later; it does not keep the process alive. */
  after(delayMs: number, run: () => void): void;
}

/** The expiry of a key that has none. */
export const NEVER = Infinity;
/** Where a slot is expected: there is no such key. */
export const ABSENT = -1;

const SMALLEST_INDEX = 1024;
const EXPIRES = 0x8000_0000 | 0;
const ADDRESS = 0x7fff_ffff;

const SWEEP_EVERY_MS = 100;
/** When a quarter of what it looked at had expired, there is more. */
const SWEEP_AGAIN_MS = 5;
const SWEEP_SLOTS = 20_000;
const SWEEP_KEYS = 1000;

/** What keys are found by is a slot: valid until the next key is looked for, set or deleted. */
export class Store {
  readonly #clock: Clock;
  readonly #seed: number;
  readonly #records: Records;
  /** Slot i: the hash at 2i, the address at 2i + 1. */
  #index = new Int32Array(2 * SMALLEST_INDEX);
  /** Slots − 1; their number is a power of two. */
  #mask = SMALLEST_INDEX - 1;
  #size = 0;
  #expiringKeys = 0;
  /** The slot that the next sweep begins at. */
  #cursor = 0;
  #sweepScheduled = false;

  /** `seed` is 32 random bits. */
  constructor(clock: Clock, seed: number, records = new Records()) {
    this.#clock = clock;
    this.#seed = seed;
    this.#records = records;
  }

  /** Keys, with those that have expired and were not noticed yet. */
  get size(): number {
    return this.#size;
  }

  get expiringKeys(): number {
    return this.#expiringKeys;
  }

  /** That the keys and values lie in, with what is free of it. */
  get memoryBytes(): number {
    return this.#records.memoryBytes + this.#index.byteLength;
  }

  now(): number {
    return this.#clock.now();
  }

  /** The slot of the key `bytes[start, end)`, or ABSENT. */
  find(bytes: Buffer, start: number, end: number): number {
    const slot = this.#locate(this.#hash(bytes, start, end), bytes, start, end);
    if (slot === ABSENT || this.#addressAt(slot) > 0 || !this.#hasExpired(slot)) return slot;
    this.delete(slot);
    return ABSENT;
  }

  /** The value as a whole bulk string, to be used at once: the next call may change it. */
  value(slot: number): Buffer {
    return this.#records.value(this.#addressAt(slot) & ADDRESS);
  }

  expiresAt(slot: number): number {
    const address = this.#addressAt(slot);
    return address > 0 ? NEVER : this.#records.expiresAt(address & ADDRESS);
  }

  /** At that very ms the key is still there. NEVER takes the expiry away. */
  expire(slot: number, time: number): void {
    const address = this.#addressAt(slot);
    if (address < 0) this.#expiringKeys--;
    this.#index[2 * slot + 1] = address & ADDRESS;
    if (time === NEVER) return;
    this.#records.setExpiresAt(address & ADDRESS, time);
    this.#index[2 * slot + 1] = address | EXPIRES;
    this.#expiringKeys++;
    this.#scheduleSweep(SWEEP_EVERY_MS);
  }

  /**
   * Sets the key `bytes[keyStart, keyEnd)` to a copy of `value[valueStart, valueEnd)`, whatever it was.
   * @throws RecordsFullError; nothing has changed then
   */
  set(
    bytes: Buffer,
    keyStart: number,
    keyEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
    expiresAt: number,
  ): void {
    const records = this.#records;
    const hash = this.#hash(bytes, keyStart, keyEnd);
    let slot = this.#locate(hash, bytes, keyStart, keyEnd);
    if (slot === ABSENT) {
      const address = records.create(bytes, keyStart, keyEnd, value, valueStart, valueEnd);
      slot = this.#add(hash, address);
    } else {
      const address = this.#addressAt(slot);
      const old = address & ADDRESS;
      if (!records.overwrite(old, value, valueStart, valueEnd)) {
        const larger = records.create(bytes, keyStart, keyEnd, value, valueStart, valueEnd);
        records.free(old);
        this.#index[2 * slot + 1] = larger | (address & EXPIRES);
      }
    }
    if (expiresAt !== NEVER || this.#addressAt(slot) < 0) this.expire(slot, expiresAt);
  }

  delete(slot: number): void {
    const address = this.#addressAt(slot);
    this.#records.free(address & ADDRESS);
    if (address < 0) this.#expiringKeys--;
    this.#size--;
    this.#closeGap(slot);
  }

  clear(): void {
    this.#records.clear();
    this.#index = new Int32Array(2 * SMALLEST_INDEX);
    this.#mask = SMALLEST_INDEX - 1;
    this.#size = 0;
    this.#expiringKeys = 0;
    this.#cursor = 0;
  }

  /**
   * Goes on through the index from where the last sweep ended, and removes what has expired. Looks at no more than so
   * many slots and so many keys that expire. How many it removed.
   */
  sweep(maximumSlots: number, maximumKeys: number): number {
    const slots = Math.min(maximumSlots, this.#mask + 1);
    let looked = 0;
    let removed = 0;
    for (let count = 0; count < slots && looked < maximumKeys; count++) {
      let hasMoved = true;
      // Removing may move another key into the slot.
      while (hasMoved && this.#addressAt(this.#cursor) < 0) {
        looked++;
        hasMoved = this.#hasExpired(this.#cursor);
        if (!hasMoved) break;
        this.delete(this.#cursor);
        removed++;
      }
      this.#cursor = (this.#cursor + 1) & this.#mask;
    }
    return removed;
  }

  #addressAt(slot: number): number {
    return this.#index[2 * slot + 1] as number;
  }

  #hasExpired(slot: number): boolean {
    return this.#clock.now() > this.#records.expiresAt(this.#addressAt(slot) & ADDRESS);
  }

  /** FNV-1a from the seed, its bits mixed at the end. */
  #hash(bytes: Buffer, start: number, end: number): number {
    let hash = this.#seed | 0;
    for (let at = start; at < end; at++) {
      hash = Math.imul(hash ^ (bytes[at] as number), 0x0100_0193);
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
    return hash ^ (hash >>> 16);
  }

  #locate(hash: number, bytes: Buffer, start: number, end: number): number {
    const index = this.#index;
    const mask = this.#mask;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const address = index[2 * slot + 1] as number;
      if (address === NO_RECORD) return ABSENT;
      if (index[2 * slot] !== hash) continue;
      if (this.#records.hasKey(address & ADDRESS, bytes, start, end)) return slot;
    }
  }

  #add(hash: number, address: number): number {
    if (2 * (this.#size + 1) > this.#mask + 1) this.#grow();
    this.#size++;
    return place(this.#index, this.#mask, hash, address);
  }

  #grow(): void {
    const old = this.#index;
    const larger = new Int32Array(2 * old.length);
    const mask = larger.length / 2 - 1;
    for (let at = 0; at < old.length; at += 2) {
      const address = old[at + 1] as number;
      if (address !== NO_RECORD) place(larger, mask, old[at] as number, address);
    }
    this.#index = larger;
    this.#mask = mask;
  }

  /** Moves back what would not be found any more from the place it belongs to. */
  #closeGap(slot: number): void {
    const index = this.#index;
    const mask = this.#mask;
    let gap = slot;
    for (
      let next = (slot + 1) & mask;
      index[2 * next + 1] !== NO_RECORD;
      next = (next + 1) & mask
    ) {
      const home = (index[2 * next] as number) & mask;
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      index[2 * gap] = index[2 * next] as number;
      index[2 * gap + 1] = index[2 * next + 1] as number;
      gap = next;
    }
    index[2 * gap + 1] = NO_RECORD;
  }

  #scheduleSweep(delayMs: number): void {
    if (this.#sweepScheduled) return;
    this.#sweepScheduled = true;
    this.#clock.after(delayMs, () => {
      this.#sweepScheduled = false;
      const removed = this.sweep(SWEEP_SLOTS, SWEEP_KEYS);
      if (this.#expiringKeys === 0) return;
      this.#scheduleSweep(4 * removed > SWEEP_KEYS ? SWEEP_AGAIN_MS : SWEEP_EVERY_MS);
    });
  }
}

/** Puts an address into the first empty slot from where it belongs. */
function place(index: Int32Array, mask: number, hash: number, address: number): number {
  let slot = hash & mask;
  while (index[2 * slot + 1] !== NO_RECORD) slot = (slot + 1) & mask;
  index[2 * slot] = hash;
  index[2 * slot + 1] = address;
  return slot;
}
