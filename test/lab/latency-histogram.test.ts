// The histogram against an exact sort: what it says of any times is within 1 % of what they were.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Random } from "../../src/driver/random.ts";
import { histogramOf, latencyFigures } from "../../src/lab/figures.ts";
import { LatencyHistogram } from "../../src/lab/latency-histogram.ts";

const SHARES = [0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1];

function recorded(times: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const ns of times) histogram.record(ns);
  return histogram;
}

/** The same rank in the sorted times. */
function exact(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  const rank = Math.min(Math.max(Math.ceil(times.length * share), 1), times.length);
  return sorted[rank - 1] ?? 0;
}

function assertNear(got: number, wanted: number, what: string): void {
  // Half a ns: below 128 ns each has a bucket, of whole ones.
  assert.ok(Math.abs(got - wanted) <= Math.max(wanted * 0.01, 1), `${what}: ${got}, not ${wanted}`);
}

describe("quantiles are within 1 % of an exact sort", () => {
  test("of any times up to an hour", () => {
    const times = fc.array(fc.double({ min: 0, max: 3.6e12, noNaN: true }), {
      minLength: 1,
      maxLength: 300,
    });
    fc.assert(
      fc.property(times, (values) => {
        const histogram = recorded(values);
        for (const share of SHARES) {
          assertNear(histogram.quantileNs(share), exact(values, share), `quantile ${share}`);
        }
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  test("of times as a server has them, from ns to seconds", () => {
    const random = new Random(7);
    const times = Array.from({ length: 20_000 }, () => 10 ** (random.fraction() * 9));
    const histogram = recorded(times);
    for (const share of SHARES) {
      assertNear(histogram.quantileNs(share), exact(times, share), `quantile ${share}`);
    }
    const mean = times.reduce((sum, ns) => sum + ns, 0) / times.length;
    assert.ok(Math.abs(histogram.meanNs / mean - 1) < 1e-9);
    assert.equal(histogram.greatestNs, Math.max(...times));
    assert.equal(histogram.leastNs, Math.min(...times));
  });

  test("of times at the edges of buckets and of 32 bits", () => {
    for (let bit = 0; bit < 42; bit++) {
      for (const ns of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) {
        const histogram = recorded([0, ns, 2 ** 45]);
        assertNear(histogram.quantileNs(0.5), ns, `${ns} ns`);
      }
    }
  });
});

test("an empty one, and times that cannot be", () => {
  const histogram = new LatencyHistogram();
  assert.equal(histogram.quantileNs(0.99), 0);
  assert.equal(histogram.meanNs, 0);
  histogram.record(-5);
  assert.deepEqual([histogram.count, histogram.greatestNs], [1, 0]);
  assert.throws(() => new LatencyHistogram(new Float64Array(3)), /takes \d+ doubles, not 3/);
});

test("adding, and what came since", () => {
  const random = new Random(3);
  const draw = () => Array.from({ length: 500 }, () => random.below(1e8));
  const [first, second] = [draw(), draw()];
  const histogram = recorded(first);
  const before = histogram.copy();
  for (const ns of second) histogram.record(ns);
  const since = histogram.since(before);
  assert.equal(since.count, 500);
  for (const share of [0.5, 0.99]) {
    assertNear(since.quantileNs(share), exact(second, share), `since, quantile ${share}`);
  }
  const sum = recorded(first);
  sum.add(recorded(second));
  assert.deepEqual(latencyFigures(sum), latencyFigures(histogram));
});

test("figures hold the whole histogram", () => {
  const random = new Random(11);
  const histogram = recorded(Array.from({ length: 5000 }, () => 10 ** (2 + random.fraction() * 7)));
  const figures = latencyFigures(histogram);
  const again = latencyFigures(histogramOf(figures));
  assert.deepEqual(again.histogram, figures.histogram);
  for (const name of ["count", "min", "p50", "p99", "p99_9", "max"] as const) {
    assert.equal(again[name], figures[name], name);
  }
});

test("one time recorded many times over is as many records of it", () => {
  const once = new LatencyHistogram();
  const many = new LatencyHistogram();
  for (const [ns, times] of [[1_000, 16] as const, [7, 1] as const, [2 ** 34, 3] as const]) {
    many.record(ns, times);
    for (let n = 0; n < times; n++) once.record(ns);
  }
  assert.deepEqual([...many.filled()], [...once.filled()]);
  assert.deepEqual(
    [many.count, many.meanNs, many.deviationNs, many.leastNs, many.greatestNs],
    [once.count, once.meanNs, once.deviationNs, once.leastNs, once.greatestNs],
  );
});
