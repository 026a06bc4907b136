// The keys and their values, with expiry.
//
// A key that has expired goes when somebody asks for it, or when a sweep comes by: a bounded number of keys is looked at
// each time, and no sweep is scheduled while no key expires, so that an idle server sleeps.
// A value is kept as the bulk string that answers a GET. It is overwritten in place when the new one has the same length:
// nobody else holds it, since a connection copies what is written.
//
// Invariant: a key is in #expiring exactly when its entry has an expiry.

import { bulk, overwriteBulk } from "./reply.ts";

/** Time, handed in: a test's own, or the machine's. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs once, later; it does not keep the process alive. */
  after(delayMs: number, run: () => void): void;
}

/** `expiresAt` of a key that does not. */
export const NEVER = Infinity;

export interface Entry {
  /** A whole bulk string. */
  value: Uint8Array;
  /** In the clock's ms, or NEVER. Expired is what is later: at that very ms the key is still there. */
  expiresAt: number;
}

const SWEEP_EVERY_MS = 100;
/** When a quarter of what was looked at had expired, there is more. */
const SWEEP_AGAIN_MS = 5;
const SWEEP_KEYS = 1000;

export class Store {
  readonly #clock: Clock;
  #entries = new Map<string, Entry>();
  #expiring = new Map<string, Entry>();
  /** Goes round #expiring; a Map's iterator stands additions and deletions. */
  #cursor: MapIterator<[string, Entry]> | undefined;
  #sweepScheduled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Keys, with those that have expired and were not noticed yet. */
  get size(): number {
    return this.#entries.size;
  }

  get expiringKeys(): number {
    return this.#expiring.size;
  }

  now(): number {
    return this.#clock.now();
  }

  find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresAt === NEVER) return entry;
    if (this.#clock.now() <= entry.expiresAt) return entry;
    this.#remove(key);
    return undefined;
  }

  /** Sets a key to a copy of `bytes[start, end)`, whatever it was. */
  set(key: string, bytes: Uint8Array, start: number, end: number, expiresAt: number): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const added = { value: bulk(bytes, start, end), expiresAt: NEVER };
      this.#entries.set(key, added);
      if (expiresAt !== NEVER) this.expire(key, added, expiresAt);
      return;
    }
    if (!overwriteBulk(entry.value, bytes, start, end)) entry.value = bulk(bytes, start, end);
    if (expiresAt !== NEVER || entry.expiresAt !== NEVER) this.expire(key, entry, expiresAt);
  }

  /** Sets when a key expires; `entry` is its entry. NEVER takes the expiry away. */
  expire(key: string, entry: Entry, expiresAt: number): void {
    entry.expiresAt = expiresAt;
    if (expiresAt === NEVER) {
      this.#expiring.delete(key);
      return;
    }
    this.#expiring.set(key, entry);
    this.#scheduleSweep(SWEEP_EVERY_MS);
  }

  /** True: the key was there. */
  delete(key: string): boolean {
    if (this.find(key) === undefined) return false;
    this.#remove(key);
    return true;
  }

  clear(): void {
    this.#entries = new Map();
    this.#expiring = new Map();
    this.#cursor = undefined;
  }

  /** Looks at no more than `maximum` of the keys that expire, from where the last sweep ended. How many it removed. */
  sweep(maximum: number): number {
    const now = this.#clock.now();
    const looked = Math.min(maximum, this.#expiring.size);
    let removed = 0;
    for (let count = 0; count < looked; count++) {
      const [key, entry] = this.#nextExpiring();
      if (now <= entry.expiresAt) continue;
      this.#remove(key);
      removed++;
    }
    if (this.#expiring.size === 0) this.#cursor = undefined;
    return removed;
  }

  #nextExpiring(): [string, Entry] {
    while (true) {
      this.#cursor ??= this.#expiring.entries();
      const next = this.#cursor.next();
      if (next.done !== true) return next.value;
      this.#cursor = undefined;
    }
  }

  #remove(key: string): void {
    this.#entries.delete(key);
    this.#expiring.delete(key);
  }

  #scheduleSweep(delayMs: number): void {
    if (this.#sweepScheduled) return;
    this.#sweepScheduled = true;
    this.#clock.after(delayMs, () => {
      this.#sweepScheduled = false;
      const removed = this.sweep(SWEEP_KEYS);
      if (this.#expiring.size === 0) return;
      this.#scheduleSweep(removed * 4 > SWEEP_KEYS ? SWEEP_AGAIN_MS : SWEEP_EVERY_MS);
    });
  }
}
