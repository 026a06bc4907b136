// What a server has done so far, summed over its threads from their shared counters: no thread is asked or disturbed.

import {
  COUNTER_STRIDE,
  COUNTERS,
  type CounterName,
  type Counters,
  countersOf,
  readCounters,
} from "../reactor/counters.ts";

export interface Statistics extends Counters {
  /** The same for each thread. */
  readonly threads: readonly Counters[];
}

/** Reads the counters of `threads` reactors, and adds those of the calling thread that may stand behind them. */
export function readStatistics(all: Float64Array, threads: number): Statistics {
  const rows = Math.floor(all.length / COUNTER_STRIDE);
  const each = Array.from({ length: rows }, (_, index) => readCounters(countersOf(all, index)));
  const sums: Partial<Record<CounterName, number>> = {};
  for (const name of COUNTERS) sums[name] = each.reduce((sum, counters) => sum + counters[name], 0);
  return { ...(sums as Counters), threads: each.slice(0, threads) };
}
