// A coarse timer wheel: at most one deadline a slot, checked late rather than moved often.
//
// Twist: a deadline is never moved when bytes come. It fires at its old time, the reactor computes when it is really
// due, and sets it again. So a message costs the wheel nothing, and an idle server sleeps until the next one.
//
// Layout: a ring of buckets, one a tick, each a doubly linked list through arrays indexed by slot. What lies further
// ahead than one revolution waits in the last bucket and is set again from there.
// Invariant: every set slot is in exactly one bucket; no bucket before #tick holds a slot.

const BUCKETS = 1024;
const MASK = BUCKETS - 1;
const NONE = -1;
const NEVER = Number.POSITIVE_INFINITY;

export class Deadlines {
  /** Granularity in ms: nothing fires early, and nothing more than this late. */
  readonly tickMs: number;
  readonly #heads = new Int32Array(BUCKETS).fill(NONE);
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** The bucket a slot is in, or NONE. */
  readonly #bucket: Int16Array;
  /** The tick a slot's deadline is really at: beyond its bucket's when that is further than a revolution ahead. */
  readonly #due: Float64Array;
  /** The first tick that has not been looked at. */
  #tick: number;
  #earliest = NEVER;
  #count = 0;

  constructor(slots: number, tickMs: number, nowMs: number) {
    this.tickMs = tickMs;
    this.#next = new Int32Array(slots);
    this.#previous = new Int32Array(slots);
    this.#bucket = new Int16Array(slots).fill(NONE);
    this.#due = new Float64Array(slots);
    this.#tick = Math.floor(nowMs / tickMs);
  }

  /** Slots with a deadline. */
  get count(): number {
    return this.#count;
  }

  /** When the earliest fires, in ms of the same clock; Infinity when there is none. May be early, never late. */
  get nextMs(): number {
    return this.#earliest === NEVER ? NEVER : this.#earliest * this.tickMs;
  }

  /** Sets or replaces the deadline of a slot. */
  set(slot: number, dueMs: number): void {
    if (this.#bucket[slot] !== NONE) this.clear(slot);
    this.#due[slot] = Math.ceil(dueMs / this.tickMs);
    this.#place(slot);
  }

  #place(slot: number): void {
    const wanted = this.#due[slot] as number;
    // One short of a revolution: a slot set while its own bucket is emptied must not land in it again.
    const tick = Math.min(Math.max(wanted, this.#tick), this.#tick + MASK - 1);
    const bucket = tick & MASK;
    const head = this.#heads[bucket] as number;
    this.#next[slot] = head;
    this.#previous[slot] = NONE;
    if (head !== NONE) this.#previous[head] = slot;
    this.#heads[bucket] = slot;
    this.#bucket[slot] = bucket;
    this.#count++;
    if (tick < this.#earliest) this.#earliest = tick;
  }

  /** Takes a slot's deadline away, if it has one. */
  clear(slot: number): void {
    const bucket = this.#bucket[slot] as number;
    if (bucket === NONE) return;
    const next = this.#next[slot] as number;
    const previous = this.#previous[slot] as number;
    if (previous === NONE) this.#heads[bucket] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
    this.#bucket[slot] = NONE;
    this.#count--;
    if (this.#count === 0) this.#earliest = NEVER;
  }

  /** Takes out every slot whose time has come and hands it over; what is set meanwhile may be due at once. */
  expire(nowMs: number, fire: (slot: number) => void): void {
    const now = Math.floor(nowMs / this.tickMs);
    if (now < this.#earliest) {
      if (this.#count === 0) this.#tick = Math.max(this.#tick, now);
      return;
    }
    const end = Math.min(now, this.#earliest + MASK);
    for (let tick = this.#earliest; tick <= end; tick++) {
      // Slots that fire may set themselves again for this very tick: they go into the next one.
      this.#tick = tick + 1;
      for (;;) {
        const slot = this.#heads[tick & MASK] as number;
        if (slot === NONE) break;
        this.clear(slot);
        if ((this.#due[slot] as number) > now) this.#place(slot);
        else fire(slot);
      }
    }
    this.#tick = this.#count === 0 ? Math.max(this.#tick, now + 1) : Math.max(this.#tick, end + 1);
    this.#earliest = this.#findEarliest();
  }

  #findEarliest(): number {
    if (this.#count === 0) return NEVER;
    for (let tick = this.#tick; ; tick++) {
      if (this.#heads[tick & MASK] !== NONE) return tick;
    }
  }
}
