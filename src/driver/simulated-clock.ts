// Virtual time: things are scheduled, and time goes to the next one when someone says so. It never passes by itself.
//
// Things due at the same instant run in the order in which they were scheduled, so a run depends on nothing but its
// inputs. A binary heap keeps them.

interface Task {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class SimulatedClock {
  #nowMs = 0;
  #order = 0;
  readonly #heap: Task[] = [];

  /** Virtual ms since the beginning. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Things scheduled and not yet run. */
  get scheduled(): number {
    return this.#heap.length;
  }

  /** Schedules something; it never runs before this call returns. */
  after(delayMs: number, run: () => void): void {
    this.at(this.#nowMs + delayMs, run);
  }

  /**
   * Schedules something for a point in time (now, if that has passed). What must not overtake something else is
   * given its very time: a delay that is worked out from it comes out a rounding error too early now and then.
   */
  at(timeMs: number, run: () => void): void {
    const task: Task = { atMs: Math.max(timeMs, this.#nowMs), order: this.#order++, run };
    let at = this.#heap.push(task) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(this.#heap[parent] as Task, task)) break;
      this.#heap[at] = this.#heap[parent] as Task;
      at = parent;
    }
    this.#heap[at] = task;
  }

  /** Runs what is due now. */
  runDue(): void {
    for (let next = this.#heap[0]; next && next.atMs <= this.#nowMs; next = this.#heap[0]) {
      this.#takeFirst();
      next.run();
    }
  }

  /**
   * Goes to the next scheduled thing and runs what is due then, or, if that is further off, passes `limitMs`. False
   * when nothing is scheduled at all; an infinite limit then passes no time.
   */
  advance(limitMs: number): boolean {
    const next = this.#heap[0];
    const limit = this.#nowMs + limitMs;
    if (next !== undefined && next.atMs <= limit) {
      this.#nowMs = Math.max(next.atMs, this.#nowMs);
      this.runDue();
    } else if (Number.isFinite(limit)) {
      this.#nowMs = limit;
    }
    return next !== undefined;
  }

  /** Passes time at once, as when a machine was suspended: what was due meanwhile is merely late. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  #takeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Task;
    if (heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = child + 1;
      if (right < heap.length && isBefore(heap[right] as Task, heap[child] as Task)) child = right;
      if (isBefore(last, heap[child] as Task)) break;
      heap[at] = heap[child] as Task;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: Task, other: Task): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
