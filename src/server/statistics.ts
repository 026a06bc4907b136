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
  /** How unevenly they share the load. */
  readonly skew: Skew;
}

/**
 * What the busiest thread has, as a multiple of the mean: 1 when all have as much, the number of threads when one has
 * everything. 1 also when there is nothing.
 */
export interface Skew {
  /** Of the connections that are open now. */
  readonly connections: number;
  /** Of all messages handled so far. */
  readonly messages: number;
}

/** The counters of a server: of the threads that it has now, and of those that were there before a reload. */
export class Ledger {
  /** The id that a connection was given last, by whatever thread. */
  readonly ids = new Int32Array(new SharedArrayBuffer(4));
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
  const own = each.slice(0, threads);
  const skew = {
    connections: skewOf(own.map(({ connections }) => connections)),
    messages: skewOf(own.map(({ messages }) => messages)),
  };
  return { ...(sums as Counters), threads: own, skew };
}

/** The largest as a multiple of the mean; 1 when there is nothing. */
export function skewOf(loads: readonly number[]): number {
  const sum = loads.reduce((total, load) => total + load, 0);
  return sum === 0 ? 1 : (Math.max(...loads) * loads.length) / sum;
}
