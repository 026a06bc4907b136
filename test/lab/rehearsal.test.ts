// What the lab says beforehand: a rehearsal counts what the workbench would do, and starts nothing.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CHOICES } from "../../src/driver/choices.ts";
import { type Contender, sluiceServer, USUAL_THREADS } from "../../src/lab/contender.ts";
import { EXPERIMENTS } from "../../src/lab/experiments/choose-experiment.ts";
import { echoContenders } from "../../src/lab/experiments/models.ts";
import { expectedText, Rehearsal } from "../../src/lab/rehearsal.ts";
import { expectedOf } from "../../src/lab/run-lab.ts";
import type { LabSettings } from "../../src/lab/workbench.ts";
import { MODELS } from "../../src/server/options.ts";

const SETTINGS: LabSettings = {
  ...{ quick: false, rounds: 2, durationMs: 1000, warmUpMs: 500, seed: 1, servers: [] },
  ...{ repeatUntilMs: Number.POSITIVE_INFINITY, beginUntilMs: Number.POSITIVE_INFINITY },
  ...{ connections: undefined, costsUs: undefined, threads: undefined },
};
const CHOICE = { models: MODELS, drivers: CHOICES, bestDriver: false };
const PART = { part: "p", x: { label: "x", unit: "count", scale: "log" }, at: String } as const;
const LOAD = { workload: "lines", size: "64" } as const;

async function expected(
  contenders: readonly Contender[],
  counts: readonly number[],
  environment?: () => Readonly<Record<string, string>>,
) {
  const bench = new Rehearsal(SETTINGS, new AbortController().signal);
  const points = counts.map((x) => ({
    x,
    load: { ...LOAD, connections: x },
    ...(environment !== undefined && { environment: environment() }),
  }));
  await bench.sweep({ part: PART, contenders, points });
  return bench.expected;
}

function server(model: "thread-pool" | "event-loop" | "thread-per-connection", threads: number) {
  const driver = model === "event-loop" ? ("portable" as const) : undefined;
  return sluiceServer({ model, driver, handlers: undefined, threads });
}

describe("a rehearsal", () => {
  test("counts points, contenders and rounds, but not what a contender has no threads for", async () => {
    const loop = server("event-loop", 1);
    assert.equal((await expected([loop, loop], [1, 8, 100])).runs, 12);
    assert.equal((await expected([server("thread-pool", 8)], [1, 8, 9])).runs, 4);
  });

  test("threads take time to start: once, for each environment, or as connections come", async () => {
    const pool = async (threads: number, environment?: () => object) =>
      (await expected([server("thread-pool", threads)], [1, 2], environment as never)).ms;
    const once = (await pool(42)) - (await pool(2));
    assert.ok(once > 0);
    const always = (await pool(42, () => ({}))) - (await pool(2, () => ({})));
    assert.equal(always, 2 * once);
    const one = await expected([server("thread-per-connection", 100)], [1]);
    const forty = await expected([server("thread-per-connection", 100)], [41]);
    assert.equal(forty.ms - one.ms, once);
  });

  test("has every experiment, and starts none", async () => {
    for (const { name } of EXPERIMENTS) {
      const job = { experiments: [name], settings: SETTINGS, choice: CHOICE, arguments: [] };
      const { runs, ms } = await expectedOf(job);
      assert.ok(runs > 0 && ms >= runs * 100, `${name}: ${runs} runs in ${ms} ms`);
    }
  });

  test("the default is not much longer than a quarter of an hour", async () => {
    const settings = { ...SETTINGS, rounds: 3, warmUpMs: 300 };
    const experiments = ["models", "cpu-bound"];
    const { ms } = await expectedOf({ experiments, settings, choice: CHOICE, arguments: [] });
    assert.ok(ms < 17 * 60_000, expectedText({ runs: 0, ms }));
  });

  test("is told in words", () => {
    assert.equal(expectedText({ runs: 12, ms: 20_400 }), "12 runs, about 20 seconds");
    assert.equal(expectedText({ runs: 417, ms: 880_000 }), "417 runs, about 15 minutes");
  });
});

test("models whose threads block have 64 of them, and more where the user asks for them", () => {
  const most = (connections: number[] | undefined, counts: readonly number[]) => {
    const bench = new Rehearsal({ ...SETTINGS, connections }, new AbortController().signal);
    const choice = { ...CHOICE, models: ["thread-pool"] as const };
    return echoContenders(bench, choice, counts).map(({ mostConnections }) => mostConnections);
  };
  assert.deepEqual(most(undefined, [1, 16, 64, 256, 1000]), [USUAL_THREADS]);
  assert.deepEqual(most([1, 256, 1000], [1, 256, 1000]), [256]);
});
