// The watchdog by itself, over threads that say what the test wants.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { type Beat, Watchdog } from "../../src/server/watchdog.ts";
import { until } from "../support/until.ts";

const BLOCKED_MS = 200;
/** Its event loop never comes to rest, so only what it says of itself counts. */
const RESTLESS = "const again = () => setImmediate(again); again();";

type Nodes = readonly object[];

/** `profiles`: what the profiler has seen, the first time, the second, and so on. */
async function watched(t: TestContext, beat: () => Beat, profiles?: readonly Nodes[]) {
  const worker = new Worker(RESTLESS, { eval: true });
  t.after(() => worker.terminate());
  if (profiles !== undefined) {
    const seen = profiles.values();
    t.mock.method(worker, "startCpuProfile", async () => ({
      stop: async () => JSON.stringify({ nodes: seen.next().value ?? [] }),
    }));
  }
  await until(() => worker.performance.eventLoopUtilization().active > 0, "a running thread");
  const told: string[] = [];
  const watchdog = new Watchdog({
    blockedMs: BLOCKED_MS,
    warn: (seat, _, what) => void told.push(`warned ${seat} ${what}`),
    end: (seat, _, what) => void told.push(`ended ${seat} ${what}`),
  });
  watchdog.watch(7, worker, beat);
  t.after(() => watchdog.leave(7));
  return told;
}

const doing = () => "a dance";

test("who does not get on is reported, and ended at the limit, once", async (t) => {
  const told = await watched(t, () => ({ progress: 1, waits: false, doing }));
  await until(() => told.some((text) => text.startsWith("ended")), "the end");
  assert.match(told.at(-1) ?? "", /^ended 7 a dance/);
  assert.ok(told.length <= 2, told.join());
});

test("it is looked again where a thread is that had no core the first time", async (t) => {
  const callFrame = { functionName: "waltz", url: "file:///dance.js" };
  const waltz = { callFrame, hitCount: 3, positionTicks: [{ line: 4, ticks: 3 }] };
  const elsewhere = { callFrame: { functionName: "(program)", url: "" }, hitCount: 9 };
  const beat = { progress: 1, waits: false, doing };
  const told = await watched(t, () => beat, [[elsewhere], [waltz]]);
  await until(() => told.length > 0, "the warning");
  assert.equal(told[0], "warned 7 a dance, in waltz (/dance.js:4)");
});

test("time in which the watching thread was held up itself does not count", async (t) => {
  const told = await watched(t, () => ({ progress: 1, waits: false, doing }));
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(nobody, 0, 0, BLOCKED_MS * 5);
  // The look that is overdue.
  await new Promise((resolve) => setTimeout(resolve, 0));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, []);
  await until(() => told.length > 0, "being ended all the same");
});

test("time in which the thread had no core does not count", async (t) => {
  const began = performance.now();
  // As if others had its core for nine tenths of the time.
  const keptWaitingMs = () => (performance.now() - began) * 0.9;
  let looks = 0;
  const told = await watched(t, () => {
    looks++;
    return { progress: 1, waits: false, doing, keptWaitingMs };
  });
  // So many looks take twice the limit.
  await until(() => looks > 40, "many looks");
  assert.ok(!told.some((text) => text.startsWith("ended")), told.join());
  await until(() => told.some((text) => text.startsWith("ended")), "the end, later");
});

test("that the kernel no longer says for how long is not taken for the whole of it", async (t) => {
  let looks = 0;
  const keptWaitingMs = () => (looks > 2 ? undefined : 100_000);
  const told = await watched(t, () => {
    looks++;
    return { progress: 1, waits: false, doing, keptWaitingMs };
  });
  await until(() => told.some((text) => text.startsWith("ended")), "the end");
  // A look counts for a tenth of the limit at most.
  assert.ok(looks >= 10, `ended at look ${looks}`);
});

test("who waits, and who gets on, is left alone", async (t) => {
  let turns = 0;
  const waiting = await watched(t, () => ({ progress: 1, waits: true, doing }));
  const busy = await watched(t, () => ({ progress: turns++, waits: false, doing }));
  // Each look is a turn: so many take longer than the limit.
  await until(() => turns > 40, "many looks");
  assert.deepEqual([...waiting, ...busy], []);
});
