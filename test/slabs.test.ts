// Slabs and V8's limit: what is given away and dropped again must not bring on full collections.

import assert from "node:assert/strict";
import { constants, PerformanceObserver } from "node:perf_hooks";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { freshSlab, SLAB_BYTES } from "../src/slabs.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as (options: object) => void;
setFlagsFromString("--no-expose-gc");

/** What handlers hold on to for a while: 4 MiB. */
const inUse: (Buffer | undefined)[] = new Array(16).fill(undefined);

test("slabs bring on a full collection or two where V8's limit was low, and then none", async (t) => {
  let full = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as readonly { readonly detail?: { kind?: number } }[]) {
      if (entry.detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full++;
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  t.after(() => observer.disconnect());

  // V8 sets the lowest limit there is, as it does when it reduces its heap in an idle time.
  setFlagsFromString("--heap-growing-percent=1");
  collect({ type: "major" });
  await giveAway(4096);
  assert.ok(full <= 3, `${full} full collections over 4 GiB`);
});

async function giveAway(mebibytes: number): Promise<void> {
  const slabs = (mebibytes * 1_048_576) / SLAB_BYTES;
  for (let n = 0; n < slabs; n++) {
    inUse[n % inUse.length] = freshSlab();
    if (n % 8 === 0) await turn();
  }
}
