// Priorities of threads.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { demoteHelpers } from "../../src/sys/priority.ts";
import { NO_NATIVE } from "./native-here.ts";

/** Nice values of this process's threads, by name: the 19th field of stat, 16 behind the name in parentheses. */
function nicenesses(): { readonly name: string; readonly nice: number }[] {
  return readdirSync("/proc/self/task").map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, "utf8");
    const end = stat.lastIndexOf(")");
    const name = stat.slice(stat.indexOf("(") + 1, end);
    return { name, nice: Number(stat.slice(end + 2).split(" ")[16]) };
  });
}

test("V8's helpers give way, and nobody else does", { skip: NO_NATIVE }, () => {
  const others = () => nicenesses().filter(({ name }) => !name.endsWith("V8Worker"));
  const before = others().map(({ nice }) => nice);
  const count = demoteHelpers();
  const helpers = nicenesses().filter(({ name }) => name.endsWith("V8Worker"));
  assert.ok(count > 0 && count === helpers.length, `${count} of ${helpers.length}`);
  assert.ok(helpers.every(({ nice }) => nice === 5));
  assert.deepEqual(
    others().map(({ nice }) => nice),
    before,
  );
});
