// The watchdog by itself, over threads that say what the test wants.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { deferred } from "../../src/deferred.ts";
import { type Beat, Watchdog } from "../../src/server/watchdog.ts";
import { until } from "../support/until.ts";

const BLOCKED_MS = 200;
/** Its event loop never comes to rest, so only what it says of itself counts. */
const RESTLESS = "const again = () => setImmediate(again); again();";

/** Longer than the watchdog waits for a profile to start. */
const PATIENCE_MS = 500;

type StartProfile = () => Promise<{ readonly stop: () => Promise<string> }>;

/** A profiler that has seen the first of these, then the second, and so on. */
function profiler(profiles: readonly (readonly object[])[]): StartProfile {
  const seen = profiles.values();
  return async () => ({ stop: async () => JSON.stringify({ nodes: seen.next().value ?? [] }) });
}

async function watched(
  t: TestContext,
  beat: (seat: number) => Beat,
  start?: StartProfile,
  seats = [7],
) {
  const worker = new Worker(RESTLESS, { eval: true });
  t.after(() => worker.terminate());
  if (start !== undefined) t.mock.method(worker, "startCpuProfile", start);
  await until(() => worker.performance.eventLoopUtilization().active > 0, "a running thread");
  const told: string[] = [];
  const watchdog = new Watchdog({
    blockedMs: BLOCKED_MS,
    warn: (seat, _, what) => void told.push(`warned ${seat} ${what}`),
    end: (seat, _, what) => void told.push(`ended ${seat} ${what}`),
  });
  for (const seat of seats) {
    watchdog.watch(seat, worker, () => beat(seat));
    t.after(() => watchdog.leave(seat));
  }
  return told;
}

const doing = () => "a dance";
const IDLE = { cpuMs: 0, keptWaitingMs: 0, sleeps: true };
const WALTZ = {
  callFrame: { functionName: "waltz", url: "file:///dance.js" },
  hitCount: 3,
  positionTicks: [{ line: 4, ticks: 3 }],
};

test("who does not get on is reported, and ended at the limit, once", async (t) => {
  const told = await watched(t, () => ({ progress: 1, waits: false, doing }));
  await until(() => told.some((text) => text.startsWith("ended")), "the end");
  assert.match(told.at(-1) ?? "", /^ended 7 a dance/);
  assert.ok(told.length <= 2, told.join());
});

test("it is looked again where a thread is that had no core the first time", async (t) => {
  const elsewhere = { callFrame: { functionName: "(program)", url: "" }, hitCount: 9 };
  const beat = { progress: 1, waits: false, doing };
  const told = await watched(t, () => beat, profiler([[elsewhere], [WALTZ]]));
  await until(() => told.length > 0, "the warning");
  assert.equal(told[0], "warned 7 a dance, in waltz (/dance.js:4)");
});

test("a handler that was compiled into its caller is not taken for the caller", async (t) => {
  const url = new URL("../../src/reactor/incoming.ts", import.meta.url).href;
  const caller = { callFrame: { functionName: "#handle", url }, hitCount: 9 };
  const beat = { progress: 1, waits: false, doing };
  for (const [seen, place] of [
    [[caller, WALTZ], ", in waltz (/dance.js:4)"],
    [[caller], ""],
  ] as const) {
    // It ran when it was first looked at: there is no need to look again, which takes time that it may not have.
    const told = await watched(t, () => beat, profiler([seen, [WALTZ]]));
    await until(() => told.length > 0, "the warning");
    assert.equal(told[0], `warned 7 a dance${place}`);
  }
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

test("time in which a sleeper had no core does not count", async (t) => {
  const began = performance.now();
  let looks = 0;
  const told = await watched(t, () => {
    looks++;
    // As if others had its core for nine tenths of the time.
    const keptWaitingMs = (performance.now() - began) * 0.9;
    return { progress: 1, waits: false, doing, schedule: () => ({ ...IDLE, keptWaitingMs }) };
  });
  // So many looks take twice the limit.
  await until(() => looks > 40, "many looks");
  assert.ok(!told.some((text) => text.startsWith("ended")), told.join());
  await until(() => told.some((text) => text.startsWith("ended")), "the end, later");
});

test("who wants a core and has none is not blocked, before the kernel says so", async (t) => {
  let looks = 0;
  let starved = true;
  let cpuMs = 0;
  const told = await watched(t, () => {
    looks++;
    if (!starved) cpuMs += BLOCKED_MS / 20;
    // Neither has run nor been kept waiting; or the kernel holds it.
    return {
      progress: 1,
      waits: false,
      doing,
      schedule: () => ({ ...IDLE, cpuMs, sleeps: false }),
    };
  });
  // So many looks take twice the limit.
  await until(() => looks > 40, "many looks");
  assert.equal(told.length, 0, told.join());
  starved = false;
  await until(() => told.some((text) => text.startsWith("ended")), "the end, once it has run");
});

test("who sleeps for too long is blocked, though it takes no core", async (t) => {
  const beat = { progress: 1, waits: false, doing, schedule: () => IDLE };
  const told = await watched(t, () => beat);
  await until(() => told.some((text) => text.startsWith("ended")), "the end");
});

test("a profile that starts too late is stopped all the same", async (t) => {
  let stopped = 0;
  const stop = async () => {
    stopped++;
    return "{}";
  };
  const late = () => sleep(PATIENCE_MS + 100, { stop });
  await watched(t, () => ({ progress: 1, waits: false, doing }), late);
  await until(() => stopped > 0, "its end");
});

test("threads that are blocked together are looked at one after the other", async (t) => {
  let under = 0;
  let most = 0;
  let looks = 0;
  const start = async () => {
    looks++;
    most = Math.max(most, ++under);
    const stop = async () => {
      under--;
      return JSON.stringify({ nodes: [WALTZ] });
    };
    return { stop };
  };
  await watched(t, () => ({ progress: 1, waits: false, doing }), start, [7, 8, 9]);
  await until(() => looks > 1, "a second look");
  assert.equal(most, 1);
});

test("who gets on while others are looked at, and is blocked again, is reported once", async (t) => {
  const first = deferred<never>();
  let starts = 0;
  const start = async () => {
    if (++starts === 1) await first.promise;
    return { stop: async () => JSON.stringify({ nodes: [WALTZ] }) };
  };
  let looks = 0;
  let progress = 1;
  // The first one is blocked until it is looked at.
  const asked = (seat: number) => {
    if (seat === 8) looks++;
    return { progress, waits: seat === 7 && progress > 1, doing };
  };
  const told = await watched(t, asked, start, [7, 8]);
  await until(() => starts === 1, "the first look");
  progress++;
  // Then it is blocked for long enough to be reported again, and not for long enough to be ended.
  const again = looks + 7;
  await until(() => looks > again, "being blocked again");
  first.reject(new Error("this thread cannot be looked at"));
  await until(() => told.some((text) => text.startsWith("ended 8")), "the end");
  const warnings = told.filter((text) => text.startsWith("warned 8"));
  assert.ok(warnings.length <= 1, told.join());
});

test("that the kernel no longer says for how long is not taken for the whole of it", async (t) => {
  let looks = 0;
  const schedule = () => (looks > 2 ? undefined : { ...IDLE, keptWaitingMs: 100_000 });
  const told = await watched(t, () => {
    looks++;
    return { progress: 1, waits: false, doing, schedule };
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
