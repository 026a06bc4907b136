// Timers in the ring: they end the waits they stand for, in time, and no more of them are set than are needed.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { OPERATION_TIMER } from "../../src/driver/event-cookie.ts";
import { RingTimer } from "../../src/driver/ring-timer.ts";
import { UringRing } from "../../src/driver/uring-ring.ts";
import { NO_RING as skip } from "../sys/native-here.ts";

function timerIn(t: TestContext): { ring: UringRing; timer: RingTimer } {
  const ring = UringRing.open(64);
  if (typeof ring === "number") throw new Error(`no ring: ${ring}`);
  const timer = new RingTimer(ring);
  t.after(() => {
    ring.close();
    timer.release();
  });
  return { ring, timer };
}

/** Waits without a limit until something is there: the completions' operations. */
function take(ring: UringRing): number[] {
  ring.enter(-1);
  const count = ring.ready();
  const operations = Array.from(
    { length: count },
    (_, n) => ring.completions[ring.completionAt(n) + 1] as number,
  );
  ring.consumed(count);
  return operations;
}

test("a wait without a limit ends when its timer fires, and not before", { skip }, (t) => {
  const { ring, timer } = timerIn(t);
  const begin = performance.now();
  assert.equal(timer.limitOf(30, begin), -1);
  assert.deepEqual(take(ring), [OPERATION_TIMER]);
  assert.ok(performance.now() - begin >= 30);
});

test("waits that a timer in the ring will end need no other", { skip }, (t) => {
  const { ring, timer } = timerIn(t);
  assert.equal(timer.limitOf(1000, 0), -1);
  assert.equal(ring.unsubmitted, 1);
  // The same deadline seen later, rounded up to whole ms; a later one.
  for (const [wait, now] of [
    [999, 0.5],
    [1000, 500],
    [60_000, 999],
  ] as const) {
    assert.equal(timer.limitOf(wait, now), -1);
  }
  assert.equal(ring.unsubmitted, 1);
});

test("a nearer deadline fires first; what is left stands for the later ones", { skip }, (t) => {
  const { ring, timer } = timerIn(t);
  const begin = performance.now();
  timer.limitOf(60_000, begin);
  assert.equal(timer.limitOf(20, begin), -1);
  assert.deepEqual(take(ring), [OPERATION_TIMER]);
  assert.ok(performance.now() - begin < 30_000);
  timer.fired();
  assert.equal(timer.limitOf(60_000, begin + 20), -1);
  assert.equal(ring.unsubmitted, 0);
  assert.equal(timer.limitOf(20, begin + 20), -1);
  assert.equal(ring.unsubmitted, 1);
});

test("short waits, and those for which there is no room, keep their limit", { skip }, (t) => {
  const { ring, timer } = timerIn(t);
  assert.equal(timer.limitOf(1.5, 0), 1.5);
  for (let n = 0; n < 8; n++) assert.equal(timer.limitOf(1000 - 10 * n, 0), -1);
  assert.equal(timer.limitOf(100, 0), 100);
  assert.equal(ring.unsubmitted, 8);
});
