// The whole way from sockets to a verdict: three servers in processes of their own, one of which answers 10 % later, eight runs on
// each, and `sluice compare` over the files.
//
// The answers wait 1,000 ms or 1,100 ms, since 100 ms are more than a busy machine moves a median by, and of eight runs one may be
// far off; all three are under load at the same time, so that what it does meets all of them. Finer, in turns, and with servers
// that compute: scripts/verdicts.ts, which is for a machine that does nothing else.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Comparison, FigureComparison } from "../../src/lab/comparison.ts";
import { compared, comparedRuns } from "../support/compared-runs.ts";

const RUNS = 8;
/** So often at the most, until the machine has let the first server be. */
const ATTEMPTS = 3;
/** Medians of a server that is let be lie this close to each other, as a factor. */
const CALM = 1.03;

test("a server that answers 10 % later is slower, and one that does not is no different", async (t) => {
  let [attempt, told] = [1, await verdicts(t)];
  while (!isCalm(told.comparisons) && attempt++ < ATTEMPTS) told = await verdicts(t);
  const { code, comparisons } = told;
  const text = JSON.stringify(comparisons, undefined, 1);
  const [same, slower] = comparisons;
  assert.match(same?.verdict ?? "", /^no difference( shown)?$/, text);
  assert.equal(slower?.verdict, "slower", text);
  assert.equal(code, 1);
  const p50 = medianOf(slower);
  assert.deepEqual(p50?.samples, [RUNS, RUNS]);
  // 10 %, but for what the way there and back takes, and a busy machine.
  assert.ok(p50 !== undefined && p50.ratio.value > 1.05 && p50.ratio.value < 1.15, text);
});

async function verdicts(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "sluice-verdicts-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const side = (name: string, waitMs: number) => ({
    name,
    environment: { SLUICE_TEST_WAIT_MS: String(waitMs) },
  });
  const files = await comparedRuns({
    sides: [side("one", 1000), side("same", 1000), side("slower", 1100)],
    runs: RUNS,
    atOnce: true,
    folder,
    load: {
      ...{ connections: 150, rate: 100, threads: 1, timeoutMs: 20_000 },
      ...{ warmUpMs: 0, durationMs: 400, coolDownMs: 0 },
      // It sleeps until a message is due, where others spin: three of those would keep the servers from the cores.
      driver: "portable",
    },
  });
  return compared(files);
}

function medianOf(comparison: Comparison | undefined): FigureComparison | undefined {
  return comparison?.stages[0]?.figures.find(({ name }) => name === "response p50");
}

/** By the first server alone, which is nobody's verdict. */
function isCalm([same]: readonly Comparison[]): boolean {
  const { lower = 0, upper = 0 } = medianOf(same)?.baseline ?? {};
  return lower > 0 && upper / lower < CALM;
}
