// What the shared maps hold: keys and the bytes of their values, each with a version, in the memory of the one thread that
// owns them. Every operation happens at once and after the one before it: that is the whole of its consistency.
//
// Versions come from one count that only grows, so that a value which was changed and changed back is still another one.

/** Operations. The last two only when the key's version is the one that the asker has seen (0: it was not there). */
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

interface Entry {
  readonly version: number;
  readonly value: Uint8Array;
}

/** What an entry costs beyond its key and value, about. */
const ENTRY_BYTES = 128;
const ABSENT = 0;

export class MapStore {
  /** In use by all entries. */
  bytes = 0;
  readonly #most: number;
  readonly #maps = new Map<string, Map<string, Entry>>();
  #lastVersion = ABSENT;

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  /** `value` is kept as it is. */
  apply(
    operation: number,
    name: string,
    key: string,
    version: number,
    value: Uint8Array,
  ): MapAnswer {
    const before = this.#maps.get(name)?.get(key);
    const conditional = operation === SET_IF || operation === DELETE_IF;
    if (conditional && (before?.version ?? ABSENT) !== version) return answer(CHANGED, before);
    if (operation === GET) return answer(DONE, before);
    if (operation === SET || operation === SET_IF) return this.#set(name, key, before, value);
    this.#delete(name, key, before);
    return answer(DONE, before);
  }

  #set(name: string, key: string, before: Entry | undefined, value: Uint8Array): MapAnswer {
    const change = sizeOf(key, value) - (before === undefined ? 0 : sizeOf(key, before.value));
    if (change > 0 && this.bytes + change > this.#most) return answer(FULL, before);
    this.bytes += change;
    this.#lastVersion++;
    let map = this.#maps.get(name);
    if (map === undefined) {
      map = new Map();
      this.#maps.set(name, map);
    }
    map.set(key, { version: this.#lastVersion, value });
    return { status: DONE, version: this.#lastVersion, value: undefined };
  }

  #delete(name: string, key: string, before: Entry | undefined): void {
    if (before === undefined) return;
    const map = this.#maps.get(name);
    map?.delete(key);
    if (map?.size === 0) this.#maps.delete(name);
    this.bytes -= sizeOf(key, before.value);
  }
}

function answer(status: number, entry: Entry | undefined): MapAnswer {
  return { status, version: entry?.version ?? ABSENT, value: entry?.value };
}

function sizeOf(key: string, value: Uint8Array): number {
  return key.length * 2 + value.length + ENTRY_BYTES;
}
