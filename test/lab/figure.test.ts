// Which figures a run has: percentiles that so few messages cannot tell are none.

import assert from "node:assert/strict";
import { test } from "node:test";
import { latencyFigures } from "../../src/lab/figures.ts";
import type { ExperimentResult, LabRun } from "../../src/lab/lab-result.ts";
import { LatencyHistogram } from "../../src/lab/latency-histogram.ts";
import { figureCard, sweepCards } from "../../src/lab/report/cards.ts";
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

const about = {
  part: "a",
  x: { label: "x", unit: "count", scale: "linear" },
  at: String,
} as const;

test("a view without a line to see is left out, unless there is no other", () => {
  const views = (...messages: readonly number[]) => {
    const runs = messages.map((count, x): LabRun => ({ ...runOf(count), x }));
    const result = { contenders: [{ name: "b" }], runs } as unknown as ExperimentResult;
    const card = figureCard(result, about, { title: "Times", figures: [P99, P50, P99_9] });
    return card.views.map(({ name }) => name);
  };
  assert.deepEqual(views(5000, 5000), [P99.name, P50.name, P99_9.name]);
  assert.deepEqual(views(5000, 500), [P99.name, P50.name], "one point of the last");
  assert.deepEqual(views(5000), [P99.name, P50.name, P99_9.name], "no point has a neighbour");
  assert.deepEqual(views(9), [P50.name]);
  assert.deepEqual(views(0, 0), [P99.name], "it says that there is nothing");
});

test("a timeline has no plot in which there is no line", () => {
  const plots = (...messages: readonly number[]) => {
    const { load, ...run } = runOf(5000);
    const slices = messages.map((count, n) => {
      const of = { fromMs: n * 50, toMs: (n + 1) * 50, messages: count, errors: 0 };
      return { ...of, p50: 100, p99: 200, p99_9: 200, max: 200, mean: 100 };
    });
    const sliced = {
      stages: [{ ...load?.stages[0], slices, server: null }],
    } as unknown as LoadResult;
    const result = { contenders: [{ name: "b" }], runs: [{ ...run, load: sliced }] };
    const card = sweepCards(result as unknown as ExperimentResult, about).at(-1);
    return card?.views[0]?.plots.map(({ series }) => series.map(({ name }) => name));
  };
  assert.deepEqual(plots(200, 200, 0), [["messages/s"], ["p50", "p99", "slowest"]]);
  assert.deepEqual(plots(200, 50, 0), [["messages/s"], ["p50", "slowest"]], "one p99");
  // A machine that does something else may leave a short run one slice with anything in it.
  assert.deepEqual(plots(200, 0, 0), [["messages/s"]]);
});
