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
/** So many values on both sides together are few. */
const MOST_EXACT = 30;

/** Values are ≥ 0. @throws Error on a Node without these tests (before 26.9) */
export function rankTest(a: readonly number[], b: readonly number[]): RankTest {
  const scale = scaleOf([...a, ...b]);
  const [first, second] = [recorded(a, scale), recorded(b, scale)];
  return {
    pValue: exactP(a, b) ?? first.mannWhitneyTest(second).pValue,
    cliffsDelta: second.cliffsD(first),
  };
}

/**
 * Counted over all orders that the values could have stood in, for so few that the normal distribution is far off. Undefined for
 * more, and when two are equal.
 */
function exactP(a: readonly number[], b: readonly number[]): number | undefined {
  if (a.length + b.length > MOST_EXACT || new Set([...a, ...b]).size < a.length + b.length) {
    return undefined;
  }
  const below = a.reduce((sum, from) => sum + b.filter((to) => to < from).length, 0);
  const u = Math.min(below, a.length * b.length - below);
  const orders = ordersByU(a.length, b.length);
  const all = orders.reduce((sum, count) => sum + count, 0);
  const soExtreme = orders.slice(0, u + 1).reduce((sum, count) => sum + count, 0);
  return Math.min((2 * soExtreme) / all, 1);
}

/** How many orders of n and m values have u pairs that stand the wrong way round: the Gaussian binomial's coefficients. */
function ordersByU(n: number, m: number): number[] {
  const counts = [1, ...Array.from({ length: n * m }, () => 0)];
  const at = (u: number) => counts[u] ?? 0;
  for (let i = 1; i <= n; i++) {
    for (let u = n * m; u >= m + i; u--) counts[u] = at(u) - at(u - m - i);
    for (let u = i; u <= n * m; u++) counts[u] = at(u) + at(u - i);
  }
  return counts;
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
