// Which figures a run has: percentiles that so few messages cannot tell are none.

import assert from "node:assert/strict";
import { test } from "node:test";
import { latencyFigures } from "../../src/lab/figures.ts";
import type { LabRun } from "../../src/lab/lab-result.ts";
import { LatencyHistogram } from "../../src/lab/latency-histogram.ts";
import { P50, P99, P99_9 } from "../../src/lab/report/figure.ts";
import type { LoadResult } from "../../src/lab/result.ts";

/** A run of so many messages, each of 100 µs. */
function runOf(messages: number): LabRun {
  const histogram = new LatencyHistogram();
  for (let n = 0; n < messages; n++) histogram.record(100);
  const response = latencyFigures(histogram);
  const load = { stages: [{ messages, response, slices: [] }] } as unknown as LoadResult;
  return { part: "a", contender: "b", x: 1, round: 1, values: {}, load };
}

test("a percentile needs five messages beyond it", () => {
  const has = (messages: number) =>
    [P50, P99, P99_9].map((figure) => figure.ofRun(runOf(messages)) !== undefined);
  assert.deepEqual(has(0), [false, false, false]);
  assert.deepEqual(has(9), [true, false, false]);
  assert.deepEqual(has(500), [true, true, false]);
  assert.deepEqual(has(5000), [true, true, true]);
});
