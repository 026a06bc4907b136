// A bounded queue of descriptors between the threads of a process, in shared memory: how a socket changes hands.
//
// Many may put in and many may take out, and none ever depends on another: a thread can be ended between any two of its
// steps (`worker.terminate`), so a lock, or a place that was reserved and not filled, would stay for ever. One exchange of
// one cell decides: before it a descriptor is the caller's, after it the queue's. The counters only say where to look, and
// who finds one left behind moves it on.
//
// Layout, 32-bit entries: 0 `head`, the ticket to be taken next; 16 `tail`, the ticket to be filled next (both only grow,
// and wrap around; each has a cache line of its own); from 32 on a power of two of cells. A cell holds a descriptor, or
// NOTHING, in its low 22 bits, and above them the lap (ticket / cells, modulo 1024) that this is for: a thread which was
// held up while the others went around finds its cell changed, and starts again.
// Invariant: what was put in comes out exactly once, first in first out.

const HEAD = 0;
const TAIL = 16;
const CELLS = 32;
const DESCRIPTOR_BITS = 22;
const NOTHING = (1 << DESCRIPTOR_BITS) - 1;
const LAPS = 1 << (32 - DESCRIPTOR_BITS);
const MOST_CELLS = 1 << 20;

export class DescriptorQueue {
  /** Shared memory: sent to another thread, it makes the same queue there. */
  readonly table: Int32Array<SharedArrayBuffer>;
  readonly #cellBits: number;

  /** Over a table that `allocate` has made. */
  constructor(table: Int32Array<SharedArrayBuffer>) {
    this.table = table;
    this.#cellBits = Math.log2(table.length - CELLS);
  }

  /** An empty queue for at least `capacity` descriptors, 1 to 1,048,576. @throws RangeError for another number */
  static allocate(capacity: number): DescriptorQueue {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MOST_CELLS) {
      throw new RangeError(`a queue is for 1 to ${MOST_CELLS} descriptors, not ${capacity}`);
    }
    const cells = 2 ** Math.ceil(Math.log2(capacity));
    const table = new Int32Array(new SharedArrayBuffer((CELLS + cells) * 4));
    return new DescriptorQueue(table.fill(NOTHING, CELLS));
  }

  get capacity(): number {
    return this.table.length - CELLS;
  }

  /** How many are in it; while others use it, how many were. */
  get length(): number {
    const length = (Atomics.load(this.table, TAIL) - Atomics.load(this.table, HEAD)) | 0;
    return Math.min(Math.max(length, 0), this.capacity);
  }

  /**
   * Puts a descriptor in: from here on it is the queue's, then whose who takes it out. False: the queue is full (or the
   * number above 4,194,302, for which a cell has no room), and it is still the caller's. Wakes one `takeWithin`.
   */
  put(descriptor: number): boolean {
    if (descriptor < 0 || descriptor >= NOTHING) return false;
    const { table } = this;
    for (;;) {
      const tail = Atomics.load(table, TAIL);
      const lap = this.#lapOf(tail);
      const empty = cellValue(lap, NOTHING);
      const cell = this.#cellOf(tail);
      const found = Atomics.compareExchange(table, cell, empty, cellValue(lap, descriptor));
      if (lapIn(found) === (lap + LAPS - 1) % LAPS) {
        // Not taken since the lap before. Unless that was a while ago, the queue is full.
        if (Atomics.load(table, TAIL) === tail) return false;
        continue;
      }
      // Filled, by this thread or by one that has not moved the counter on, and perhaps taken already.
      Atomics.compareExchange(table, TAIL, tail, (tail + 1) | 0);
      if (found === empty) break;
    }
    Atomics.notify(table, TAIL, 1);
    return true;
  }

  /** Takes the next descriptor out: the caller's from here on. −1: there is none. */
  take(): number {
    const { table } = this;
    for (;;) {
      const head = Atomics.load(table, HEAD);
      const lap = this.#lapOf(head);
      const cell = this.#cellOf(head);
      const found = Atomics.load(table, cell);
      const present = lapIn(found) === lap;
      if (present && (found & NOTHING) === NOTHING) return -1;
      const emptied = cellValue((lap + 1) % LAPS, NOTHING);
      const taken = present && Atomics.compareExchange(table, cell, found, emptied) === found;
      // Taken, by this thread or by one that has not moved the counter on yet.
      Atomics.compareExchange(table, HEAD, head, (head + 1) | 0);
      if (taken) return found & NOTHING;
    }
  }

  /** What `take` would give, and leaves it in; −1: there is none. It stays the next one only where nobody else takes out. */
  peek(): number {
    const { table } = this;
    for (;;) {
      const head = Atomics.load(table, HEAD);
      const found = Atomics.load(table, this.#cellOf(head));
      if (lapIn(found) === this.#lapOf(head))
        return (found & NOTHING) === NOTHING ? -1 : found & NOTHING;
      Atomics.compareExchange(table, HEAD, head, (head + 1) | 0);
    }
  }

  /** As `take`, and sleeps for at most `timeoutMs` until there is one. For threads that may sleep: it blocks. */
  takeWithin(timeoutMs: number): number {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      // Before looking: what is put in after that changes it, and the wait ends at once.
      const tail = Atomics.load(this.table, TAIL);
      const descriptor = this.take();
      const left = deadline - performance.now();
      if (descriptor >= 0 || left <= 0) return descriptor;
      Atomics.wait(this.table, TAIL, tail, left);
    }
  }

  #cellOf(ticket: number): number {
    return CELLS + (ticket & (this.capacity - 1));
  }

  #lapOf(ticket: number): number {
    return (ticket >> this.#cellBits) & (LAPS - 1);
  }
}

function cellValue(lap: number, content: number): number {
  return (lap << DESCRIPTOR_BITS) | content;
}

function lapIn(value: number): number {
  return value >>> DESCRIPTOR_BITS;
}
