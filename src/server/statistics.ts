// What a server has done so far, summed over its threads from their shared counters: no thread is asked or disturbed.

import {
  COUNTER_STRIDE,
  COUNTERS,
  type CounterName,
  type Counters,
  countersOf,
  makeCounters,
  readCounters,
} from "../reactor/counters.ts";

export interface Statistics extends Counters {
  /** The same for each thread. */
  readonly threads: readonly Counters[];
}

/** The counters of a server: of the threads that it has now, and of those that were there before a reload. */
export class Ledger {
  readonly #threads: number;
  readonly #present = new Set<Float64Array>();
  readonly #past: Float64Array;

  constructor(threads: number) {
    this.#threads = threads;
    this.#past = makeCounters(threads + 1);
  }

  /** Counters for threads that are about to start, and for the calling thread behind them. */
  open(): Float64Array<SharedArrayBuffer> {
    const counters = makeCounters(this.#threads + 1);
    this.#present.add(counters);
    return counters;
  }

  /** Their threads have ended: what they did still counts. */
  retire(counters: Float64Array): void {
    if (this.#present.delete(counters)) add(this.#past, counters);
  }

  read(): Statistics {
    const all = this.#past.slice();
    for (const counters of this.#present) add(all, counters);
    return readStatistics(all, this.#threads);
  }
}

function add(sums: Float64Array, counters: Float64Array): void {
  for (let at = 0; at < sums.length; at++) {
    sums[at] = (sums[at] as number) + (counters[at] as number);
  }
}

/** Reads the counters of `threads` reactors, and adds those of the calling thread that may stand behind them. */
export function readStatistics(all: Float64Array, threads: number): Statistics {
  const rows = Math.floor(all.length / COUNTER_STRIDE);
  const each = Array.from({ length: rows }, (_, index) => readCounters(countersOf(all, index)));
  const sums: Partial<Record<CounterName, number>> = {};
  for (const name of COUNTERS) sums[name] = each.reduce((sum, counters) => sum + counters[name], 0);
  return { ...(sums as Counters), threads: each.slice(0, threads) };
}
