// The search for the highest rate, on targets that are made up: it must find their limit, and say what it is.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { latencyFigures } from "../../src/lab/figures.ts";
import { findMax, parseCondition, whyNot } from "../../src/lab/find-max.ts";
import { LatencyHistogram } from "../../src/lab/latency-histogram.ts";
import type { StageResult } from "../../src/lab/result.ts";

/** A stage in which all messages took this long. */
function stage(rate: number, us: number, change: Partial<StageResult> = {}): StageResult {
  const histogram = new LatencyHistogram();
  for (let n = 0; n < 100; n++) histogram.record(us * 1000);
  const response = latencyFigures(histogram);
  const none = latencyFigures(new LatencyHistogram());
  return {
    wantedRate: rate,
    seconds: 1,
    connections: 1,
    messages: rate,
    messagesPerSecond: rate,
    sentPerSecond: rate,
    bytesSentPerSecond: 0,
    bytesReceivedPerSecond: 0,
    response,
    service: response,
    connect: none,
    slices: [],
    errors: [],
    replaced: 0,
    generator: { threads: [], lateness: none, bottleneck: null },
    server: null,
    ...change,
  };
}

const P99 = parseCondition("p99<5ms");
/** Fast up to its capacity, slow above. */
const target = (capacity: number) => async (rate: number) =>
  stage(rate, rate <= capacity ? 100 : 9000);

describe("the search", () => {
  test("finds any capacity from any start, within 5 %", async () => {
    const rates = fc.double({ min: 2, max: 5e6, noNaN: true });
    await fc.assert(
      fc.asyncProperty(rates, rates, async (capacity, start) => {
        const { rate, failedRate } = await findMax(P99, start, target(capacity));
        assert.ok(rate <= capacity + 1 && rate >= capacity / 1.05 - 1, `${rate} of ${capacity}`);
        assert.ok(failedRate !== null && failedRate >= capacity - 1);
      }),
      { numRuns: 200, seed: 2 },
    );
  });

  test("ends at once where nothing is answered", async () => {
    const none = latencyFigures(new LatencyHistogram());
    const errors = [{ code: "TIMEOUT", count: 4, text: "" }];
    const rates: number[] = [];
    const { rate, why } = await findMax(P99, 1000, async (at) => {
      rates.push(at);
      return stage(at, 1, { messages: 0, messagesPerSecond: 0, response: none, errors });
    });
    assert.deepEqual([rate, rates], [0, [1000]]);
    assert.equal(why, "at 1000/s nothing was answered (4 × TIMEOUT)");
  });

  test("finds nothing where nothing holds", async () => {
    const { rate, failedRate, why } = await findMax(P99, 8, async (at) => stage(at, 6000));
    assert.deepEqual([rate, failedRate], [0, 1]);
    assert.match(why, /at 1\/s p99<5ms does not hold: it is 6\.0\d\d ms/);
  });

  test("says when it was the generator that gave out", async () => {
    const bottleneck = { threads: [], lateness: stage(1, 0).service, bottleneck: "late" };
    const tired = async (rate: number) =>
      rate <= 1000 ? stage(rate, 100) : stage(rate, 9000, { generator: bottleneck });
    const { rate, failedRate, why } = await findMax(P99, 500, tired);
    assert.ok(rate >= 950 && rate <= 1000);
    assert.equal(failedRate, null);
    assert.match(why, /the generator was the bottleneck/);
  });

  test("ends when it is interrupted", async () => {
    let stages = 0;
    const run = async (rate: number) => (++stages > 3 ? undefined : stage(rate, 1));
    assert.equal((await findMax(P99, 10, run)).rate, 40);
  });
});

describe("a stage passes", () => {
  test("when the condition holds, nothing failed and the rate was kept", () => {
    assert.equal(whyNot(P99, stage(1000, 4900)), undefined);
    assert.match(whyNot(P99, stage(1000, 5100)) ?? "", /p99<5ms does not hold/);
    const error = { code: "ECONNRESET", count: 2, text: "" };
    assert.match(
      whyNot(P99, stage(1000, 10, { errors: [error] })) ?? "",
      /there were errors \(2 × ECONNRESET\)/,
    );
    const slow = { messagesPerSecond: 980 };
    assert.match(whyNot(P99, stage(1000, 10, slow)) ?? "", /only 980\/s were answered/);
    assert.equal(whyNot(P99, stage(1000, 10, { sentPerSecond: 995 })), undefined);
  });

  test("each figure and unit is understood", () => {
    const figures = stage(1, 750).response;
    for (const text of ["p50<751us", "p90 < 0.76ms", "p99.9<1ms", "p99.99<1s", "max<800µs"]) {
      const { valueUs, limitUs } = parseCondition(text);
      assert.ok(valueUs(figures) < limitUs, text);
    }
    assert.equal(parseCondition("mean<2.5ms").limitUs, 2500);
    for (const text of ["p98<1ms", "p99>1ms", "p99<1", "p99<ms", "5ms", ""]) {
      assert.throws(() => parseCondition(text), /a condition is like "p99<5ms"/, text);
    }
  });
});
