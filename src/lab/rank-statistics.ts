// Statistics of two samples that assume no distribution: ranks and medians. The tests are those of Node's own histograms,
// which its type declarations do not know yet: one typed function stands around them.

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

export interface Interval {
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
}

export interface RankTest {
  /** Mann–Whitney, two-sided: how likely so different ranks are when nothing differs. */
  readonly pValue: number;
  /** Cliff's delta of b against a: 1 when all of b are above all of a, −1 when all are below. */
  readonly cliffsDelta: number;
}

/** What Node 26 has beyond its declarations. */
interface StatisticalHistogram extends RecordableHistogram {
  mannWhitneyTest(other: RecordableHistogram): { readonly pValue: number };
  cliffsD(other: RecordableHistogram): number;
  percentileCI(percentile: number, options: { readonly confidence: number }): Interval;
}

/** Histograms hold integers: so many up to the greatest value. More are slow, since the tests walk over all. */
const STEPS = 50_000;
const FIGURES = 4;

/** Values are ≥ 0. @throws Error on a Node without these tests (before 26.9) */
export function rankTest(a: readonly number[], b: readonly number[]): RankTest {
  const scale = scaleOf([...a, ...b]);
  const [first, second] = [recorded(a, scale), recorded(b, scale)];
  return {
    pValue: first.mannWhitneyTest(second).pValue,
    cliffsDelta: second.cliffsD(first),
  };
}

/** The median with its confidence interval. */
export function medianInterval(values: readonly number[], confidence: number): Interval {
  const scale = scaleOf(values);
  const { value, lower, upper } = recorded(values, scale).percentileCI(50, { confidence });
  const back = (step: number) => (step - 1) / scale;
  return { value: back(value), lower: back(lower), upper: back(upper) };
}

/**
 * How many times a is b: the median of all quotients of one of b by one of a (Hodges and Lehmann's estimate, of a factor),
 * with the interval that belongs to the rank test (Moses). Values are > 0.
 */
export function ratioInterval(
  a: readonly number[],
  b: readonly number[],
  normalQuantile: number,
): Interval {
  const quotients = a.flatMap((from) => b.map((to) => to / from)).sort((x, y) => x - y);
  const [n, m] = [a.length, b.length];
  const spread = normalQuantile * Math.sqrt((n * m * (n + m + 1)) / 12);
  const outside = Math.max(Math.floor((n * m) / 2 - spread), 0);
  const at = (index: number) => quotients[Math.min(Math.max(index, 0), n * m - 1)] ?? Number.NaN;
  const middle = (at(Math.floor((n * m - 1) / 2)) + at(Math.floor((n * m) / 2))) / 2;
  return { value: middle, lower: at(outside), upper: at(n * m - 1 - outside) };
}

/** How alike neighbours are in time, −1 to 1: the first autocorrelation. */
export function neighbourCorrelation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let together = 0;
  let alone = 0;
  values.forEach((value, n) => {
    alone += (value - mean) ** 2;
    if (n > 0) together += (value - mean) * ((values[n - 1] as number) - mean);
  });
  return alone === 0 ? 0 : together / alone;
}

function scaleOf(values: readonly number[]): number {
  const greatest = Math.max(...values);
  return greatest > 0 ? STEPS / greatest : 1;
}

function recorded(values: readonly number[], scale: number): StatisticalHistogram {
  const histogram = createHistogram({ figures: FIGURES, lowest: 1, highest: STEPS * 2 });
  if (!("mannWhitneyTest" in histogram)) {
    throw new Error(`comparing needs Node 26.9 or later, this is ${process.version}`);
  }
  // Histograms begin at 1.
  for (const value of values) histogram.record(Math.round(value * scale) + 1);
  return histogram as StatisticalHistogram;
}
