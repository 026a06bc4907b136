// What the shared maps hold: keys and the bytes of their values, each with a version, in the memory of the one thread that
// owns them. Every operation happens at once and after the one before it: that is the whole of its consistency.
//
// Versions come from one count that only grows, so that a value which was changed and changed back is still another one.
//
// Who puts something in may say how long it is worth keeping, and that it goes with the asking thread. No timer and no thread
// that may die has a part in that: whatever has gone is absent for the next operation on it, and every write forgets a
// few that have gone elsewhere. What has a time is kept only while there is room: a quarter of all, and nothing that
// somebody else's value needs.

/** Operations. The last two only when the key's version is the one that the asker has seen (ABSENT: it was not there). */
export const GET = 0;
export const SET = 1;
export const DELETE = 2;
export const SET_IF = 3;
export const DELETE_IF = 4;

/** How they end. */
export const DONE = 0;
/** Another version is there now: it is the answer. */
export const CHANGED = 1;
export const FULL = 2;

export interface MapAnswer {
  readonly status: number;
  /** Of the value that is there now; 0 when none is. */
  readonly version: number;
  readonly value: Uint8Array | undefined;
}

/** How long a value stays. */
export interface Tenure {
  /** In ms; 0 is for ever. With a time it goes earlier when the room is needed, the oldest first. */
  readonly keepMs: number;
  /** Of the thread that put it there; undefined: it does not matter. */
  readonly lives: (() => boolean) | undefined;
}

export const FOR_EVER: Tenure = Object.freeze({ keepMs: 0, lives: undefined });

interface Entry {
  readonly name: string;
  readonly key: string;
  readonly version: number;
  readonly value: Uint8Array;
  readonly bytes: number;
  /** In the store's time; Infinity is never. */
  readonly untilMs: number;
  readonly lives: (() => boolean) | undefined;
}

/** What an entry costs beyond its key and value, about. */
const ENTRY_BYTES = 128;
/** The version of what is not there. */
export const ABSENT = 0;
/** The part of all room that values with a time may take. */
const PASSING_SHARE = 1 / 4;
/** Entries of each sort that a write looks at, whether they have gone. */
const LOOKED_AT = 4;
/** The same for those that go with their thread, where room is short. */
const LOOKED_AT_WHEN_SHORT = 256;

export class MapStore {
  /** In use by all entries, by those that have gone and are not forgotten yet too. */
  bytes = 0;
  readonly #most: number;
  readonly #now: () => number;
  readonly #maps = new Map<string, Map<string, Entry>>();
  /** Those with a time, as they came. */
  readonly #passing = new Set<Entry>();
  #passingBytes = 0;
  /** Those that go with their thread. */
  readonly #bound = new Set<Entry>();
  #lastVersion = ABSENT;

  /** `now` is in ms, and never goes back. */
  constructor(mostBytes: number, now: () => number = () => performance.now()) {
    this.#most = mostBytes;
    this.#now = now;
  }

  /** `value` is kept as it is, for as long as `tenure` says. */
  apply(
    operation: number,
    name: string,
    key: string,
    version: number,
    value: Uint8Array,
    tenure = FOR_EVER,
  ): MapAnswer {
    const before = this.#present(name, key);
    const conditional = operation === SET_IF || operation === DELETE_IF;
    if (conditional && (before?.version ?? ABSENT) !== version) return answer(CHANGED, before);
    if (operation === GET) return answer(DONE, before);
    if (operation === SET || operation === SET_IF) {
      return this.#set(name, key, before, value, tenure);
    }
    if (before !== undefined) this.#remove(before);
    return answer(DONE, before);
  }

  #present(name: string, key: string): Entry | undefined {
    const entry = this.#maps.get(name)?.get(key);
    if (entry === undefined || !this.#gone(entry)) return entry;
    this.#remove(entry);
    return undefined;
  }

  #gone({ untilMs, lives }: Entry): boolean {
    return untilMs <= this.#now() || lives?.() === false;
  }

  #set(
    name: string,
    key: string,
    before: Entry | undefined,
    value: Uint8Array,
    { keepMs, lives }: Tenure,
  ): MapAnswer {
    const bytes = key.length * 2 + value.length + ENTRY_BYTES;
    this.#forgetGone(LOOKED_AT);
    if (!this.#makeRoom(bytes, keepMs > 0, before)) return answer(FULL, before);
    if (before !== undefined) this.#remove(before);
    this.#lastVersion++;
    const version = this.#lastVersion;
    const untilMs = keepMs > 0 ? this.#now() + keepMs : Number.POSITIVE_INFINITY;
    this.#add({ name, key, version, value, bytes, untilMs, lives });
    return { status: DONE, version, value: undefined };
  }

  /** For so many bytes in the place of `before`. False: there is none, and nothing has gone for it. */
  #makeRoom(bytes: number, passing: boolean, before: Entry | undefined): boolean {
    const there = before?.bytes ?? 0;
    const replaced = before !== undefined && this.#passing.has(before) ? there : 0;
    const excess = () => (bytes > there ? this.bytes - there + bytes - this.#most : 0);
    if (excess() > 0) this.#forgetGone(LOOKED_AT_WHEN_SHORT);
    if (excess() > this.#passingBytes - replaced) return false;
    const share = passing ? this.#most * PASSING_SHARE - bytes : Number.POSITIVE_INFINITY;
    for (const oldest of this.#passing) {
      if (excess() <= 0 && this.#passingBytes - replaced <= share) break;
      if (oldest !== before) this.#remove(oldest);
    }
    return true;
  }

  /** Those with a time go in order, as all of one kind do that are kept equally long. The others are looked at by turns. */
  #forgetGone(most: number): void {
    let left = most;
    for (const oldest of this.#passing) {
      if (left-- === 0 || !this.#gone(oldest)) break;
      this.#remove(oldest);
    }
    left = Math.min(most, this.#bound.size);
    for (const entry of this.#bound) {
      if (left-- === 0) break;
      this.#bound.delete(entry);
      if (this.#gone(entry)) this.#remove(entry);
      else this.#bound.add(entry);
    }
  }

  #add(entry: Entry): void {
    let map = this.#maps.get(entry.name);
    if (map === undefined) {
      map = new Map();
      this.#maps.set(entry.name, map);
    }
    map.set(entry.key, entry);
    this.bytes += entry.bytes;
    if (entry.lives !== undefined) this.#bound.add(entry);
    if (entry.untilMs === Number.POSITIVE_INFINITY) return;
    this.#passing.add(entry);
    this.#passingBytes += entry.bytes;
  }

  #remove(entry: Entry): void {
    const map = this.#maps.get(entry.name);
    map?.delete(entry.key);
    if (map?.size === 0) this.#maps.delete(entry.name);
    this.bytes -= entry.bytes;
    this.#bound.delete(entry);
    if (this.#passing.delete(entry)) this.#passingBytes -= entry.bytes;
  }
}

function answer(status: number, entry: Entry | undefined): MapAnswer {
  return { status, version: entry?.version ?? ABSENT, value: entry?.value };
}
