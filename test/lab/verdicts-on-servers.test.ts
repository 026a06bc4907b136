// The whole way from sockets to a verdict: three servers in processes of their own, one of which answers 10 % later, six runs on
// each, and `sluice compare` over the files.
//
// The answers wait 400 ms or 440 ms, since 40 ms are more than a busy machine moves a median by; all three are under load at the
// same time, so that what it does meets all of them. Finer, in turns, and with servers that compute: scripts/verdicts.ts, which is
// for a machine that does nothing else.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { compared, comparedRuns } from "../support/compared-runs.ts";

const RUNS = 6;

test("a server that answers 10 % later is slower, and one that does not is no different", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-verdicts-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const side = (name: string, waitMs: number) => ({
    name,
    environment: { SLUICE_TEST_WAIT_MS: String(waitMs) },
  });
  const files = await comparedRuns({
    sides: [side("one", 400), side("same", 400), side("slower", 440)],
    runs: RUNS,
    atOnce: true,
    folder,
    load: {
      ...{ connections: 100, rate: 200, threads: 1, timeoutMs: 20_000 },
      ...{ warmUpMs: 0, durationMs: 600, coolDownMs: 0 },
      // It sleeps until a message is due, where others spin: three of those would keep the servers from the cores.
      driver: "portable",
    },
  });
  const { code, comparisons } = await compared(files);
  const told = JSON.stringify(comparisons, undefined, 1);
  const [same, slower] = comparisons;
  assert.match(same?.verdict ?? "", /^no difference( shown)?$/, told);
  assert.equal(slower?.verdict, "slower", told);
  assert.equal(code, 1);
  const p50 = slower?.stages[0]?.figures.find(({ name }) => name === "response p50");
  assert.deepEqual(p50?.samples, [RUNS, RUNS]);
  // 10 %, but for what the way there and back takes, and a busy machine.
  assert.ok(p50 !== undefined && p50.ratio.value > 1.05 && p50.ratio.value < 1.15, told);
});
