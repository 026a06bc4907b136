// Handles: a slot and the generation of its user in one small integer, so that they cost no allocation.
//
//   bits 0–19  slot        which entry of the tables (at most 1,048,576 a driver)
//   bits 20–29 generation  how often the slot was used, modulo 1,024
//
// A stale handle is one whose generation is not its slot's any more. A driver frees a slot only after the last
// event of its user, so the generation is a second line of defence and ten bits are enough. Thirty bits in all keep
// a handle a small integer in every V8 build, and leave negative numbers to −errno.

export const SLOT_BITS = 20;
export const MAX_SLOTS = 1 << SLOT_BITS;
const SLOT_MASK = MAX_SLOTS - 1;
const GENERATION_MASK = 0x3ff;

export function slotOf(handle: number): number {
  return handle & SLOT_MASK;
}

/** Free slots, first in last out (a warm slot is used again first), and the generation of each. */
export class SlotTable {
  readonly capacity: number;
  readonly #generations: Uint16Array;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_SLOTS) {
      throw new RangeError(`slots must be 1 to ${MAX_SLOTS}, not ${capacity}`);
    }
    this.capacity = capacity;
    this.#generations = new Uint16Array(capacity);
    this.#free = new Int32Array(capacity);
    for (let slot = 0; slot < capacity; slot++) this.#free[slot] = capacity - 1 - slot;
    this.#freeCount = capacity;
  }

  /** Slots in use. */
  get used(): number {
    return this.capacity - this.#freeCount;
  }

  /** A handle on a free slot, or −1 when there is none. */
  take(): number {
    if (this.#freeCount === 0) return -1;
    const slot = this.#free[--this.#freeCount] as number;
    return ((this.#generations[slot] as number) << SLOT_BITS) | slot;
  }

  /** Whether `handle` is the present user of its slot, or will be the next one if nobody is. */
  holds(handle: number): boolean {
    const slot = handle & SLOT_MASK;
    return handle >= 0 && slot < this.capacity && this.#generations[slot] === handle >> SLOT_BITS;
  }

  /** Frees the slot of a handle; the handle is stale from here on. */
  release(handle: number): void {
    const slot = handle & SLOT_MASK;
    if (!this.holds(handle)) throw new RangeError(`handle ${handle} is not in use`);
    this.#generations[slot] = ((this.#generations[slot] as number) + 1) & GENERATION_MASK;
    this.#free[this.#freeCount++] = slot;
  }
}
