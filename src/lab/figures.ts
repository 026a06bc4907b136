// From histograms to the figures of a result.

import { LatencyHistogram } from "./latency-histogram.ts";
import type { LatencyFigures } from "./result.ts";

const NS_PER_US = 1000;

export function latencyFigures(histogram: LatencyHistogram): LatencyFigures {
  const us = (ns: number) => round(ns / NS_PER_US);
  const at = (share: number) => us(histogram.quantileNs(share));
  return {
    count: histogram.count,
    min: us(histogram.leastNs),
    mean: us(histogram.meanNs),
    deviation: us(histogram.deviationNs),
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    p99_9: at(0.999),
    p99_99: at(0.9999),
    max: us(histogram.greatestNs),
    histogram: [...histogram.filled()].map(([ns, count]) => [us(ns), count] as const),
  };
}

/** The histogram behind figures, for merging and for other quantiles. */
export function histogramOf(figures: LatencyFigures): LatencyHistogram {
  const filled = figures.histogram.map(([us, count]) => [us * NS_PER_US, count] as const);
  return LatencyHistogram.of(filled, {
    leastNs: figures.min * NS_PER_US,
    greatestNs: figures.max * NS_PER_US,
  });
}

/** To the nanosecond: what is behind it is noise of floating point. */
export function round(us: number): number {
  return Math.round(us * 1000) / 1000;
}
