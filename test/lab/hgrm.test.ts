// The percentile text: as others read it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../src/driver/random.ts";
import { latencyFigures } from "../../src/lab/figures.ts";
import { hgrm } from "../../src/lab/hgrm.ts";
import { LatencyHistogram } from "../../src/lab/latency-histogram.ts";

test("every row says how many were not above its value", () => {
  const random = new Random(8);
  const times = Array.from({ length: 5000 }, () => 1e5 * 10 ** (random.fraction() * 3));
  const histogram = new LatencyHistogram();
  for (const ns of times) histogram.record(ns);
  const sorted = times.toSorted((a, b) => a - b);
  const lines = hgrm(latencyFigures(histogram)).split("\n");
  const rows = lines.flatMap((line) => {
    const match = /^ +(\d+\.\d{3}) ([01]\.\d{12}) +(\d+)(?: +(\d+\.\d\d))?$/.exec(line);
    return match === null ? [] : [match.slice(1, 4).map(Number)];
  });
  assert.ok(rows.length > 50, `${rows.length} rows`);
  let last = 0;
  for (const [ms = 0, share = 0, count = 0] of rows) {
    assert.equal(count, Math.ceil(5000 * share));
    const exact = (sorted[Math.max(count - 1, 0)] ?? 0) / 1e6;
    assert.ok(Math.abs(ms - exact) <= exact * 0.01 + 0.001, `${share}: ${ms}, not ${exact} ms`);
    assert.ok(ms >= last);
    last = ms;
  }
  assert.deepEqual(rows.at(-1)?.slice(1), [1, 5000]);
  assert.match(lines.at(-3) ?? "", /^#\[Max {5}= +\d+\.\d{3}, Total count {4}= +5000\]$/);
});

test("of nothing there is nothing to say", () => {
  const text = hgrm(latencyFigures(new LatencyHistogram()));
  assert.match(text, /Total count {4}= +0\]/);
  assert.doesNotMatch(text, /NaN|Infinity/);
});
