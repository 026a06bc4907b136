// What is due when: a heap of times, for everything in a thread that has deadlines. Time is handed in.
//
// The twist: most deadlines move before they are due (a session that hears something, a call that is answered). Moving one
// to a later time costs nothing: its owner keeps the real time, and when the old one comes it says so and is put back.
// Invariant: an entry is in the heap once at most, at `slot`; −1 is "not in it".

/** Something with a deadline. */
export interface Due {
  /** Where it stands in the agenda; the agenda's own. −1 at first. */
  agendaSlot: number;
  /** The time that it stands under; the agenda's own. */
  agendaMs: number;
  /** It is time. Answers when it wants to be called next, or Infinity. */
  due(nowMs: number): number;
}

const NOT_IN_IT = -1;

export class Agenda {
  readonly #heap: Due[] = [];
  /** Told when the earliest time has become earlier, so that whoever owns the clock can be woken for it. */
  earlier: ((atMs: number) => void) | undefined;

  /** The earliest time, or Infinity. */
  get nextMs(): number {
    return this.#heap[0]?.agendaMs ?? Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** It is due at `atMs` at the latest: an earlier time that it stands under stays. */
  atLatest(item: Due, atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY) return;
    if (item.agendaSlot === NOT_IN_IT) {
      item.agendaSlot = this.#heap.length;
      item.agendaMs = atMs;
      this.#heap.push(item);
    } else {
      if (atMs >= item.agendaMs) return;
      item.agendaMs = atMs;
    }
    this.#up(item);
    if (item.agendaSlot === 0) this.earlier?.(atMs);
  }

  remove(item: Due): void {
    const slot = item.agendaSlot;
    if (slot === NOT_IN_IT) return;
    item.agendaSlot = NOT_IN_IT;
    const last = this.#heap.pop();
    if (last === undefined || last === item) return;
    last.agendaSlot = slot;
    this.#heap[slot] = last;
    this.#up(last);
    this.#down(last);
  }

  /** Calls everything that is due. */
  run(nowMs: number): void {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.agendaMs > nowMs) return;
      this.remove(first);
      const next = first.due(nowMs);
      // Never at once again: a deadline that is always due must not hold up the others.
      this.atLatest(first, Math.max(next, nowMs + 1));
    }
  }

  #up(item: Due): void {
    let slot = item.agendaSlot;
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const parent = this.#heap[above] as Due;
      if (parent.agendaMs <= item.agendaMs) break;
      this.#place(parent, slot);
      slot = above;
    }
    this.#place(item, slot);
  }

  #down(item: Due): void {
    let slot = item.agendaSlot;
    for (;;) {
      const left = 2 * slot + 1;
      if (left >= this.#heap.length) break;
      const right = left + 1;
      const one = this.#heap[left] as Due;
      const other = this.#heap[right];
      const smaller = other !== undefined && other.agendaMs < one.agendaMs ? other : one;
      if (smaller.agendaMs >= item.agendaMs) break;
      const from = smaller.agendaSlot;
      this.#place(smaller, slot);
      slot = from;
    }
    this.#place(item, slot);
  }

  #place(item: Due, slot: number): void {
    this.#heap[slot] = item;
    item.agendaSlot = slot;
  }
}
