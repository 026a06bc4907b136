// The page of `sluice load --html`: no plot without a line, and no second line that is the first.

import assert from "node:assert/strict";
import { test } from "node:test";
import { htmlReport } from "../../src/lab/html-report.ts";
import { knownTarget } from "./known-targets.ts";
import { load } from "./load.ts";

const titles = (page: string) =>
  [...page.matchAll(/<h2>([^<]+)<\/h2><div class="scroll"><svg/g)].map(([, title]) => title);

test("a closed loop has one time, an open one two", async (t) => {
  const target = await knownTarget(t, "echo");
  const closed = htmlReport(await load(target));
  const open = htmlReport(await load(target, { rate: 200 }));
  for (const page of [closed, open]) {
    assert.deepEqual(titles(page), [
      "Time by percentile",
      "Along the run",
      "Messages/s along the run",
    ]);
  }
  assert.doesNotMatch(closed, />service</);
  assert.match(open, /<td>service<\/td>.*>service<\/text>/s);
});

test("what was not answered is no plot and no table", async (t) => {
  const target = await knownTarget(t, "silent");
  const page = htmlReport(await load(target, { timeoutMs: 200 }));
  // That none came along the run may be seen.
  assert.deepEqual(
    titles(page).filter((title) => title !== "Messages/s along the run"),
    [],
  );
  assert.doesNotMatch(page, /<table>/);
  assert.match(page, /class="bad">2 × TIMEOUT: /);
});
