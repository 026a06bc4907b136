// The timer wheel against a list of due times and a virtual clock that stands still, crawls and jumps: never early, never
// later than the first look at the clock a tick after it was due, whatever is set and cleared meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Deadlines } from "../../src/reactor/deadlines.ts";

const SLOTS = 12;
const TICK_MS = 100;
/** One turn of the wheel: 1024 ticks. */
const REVOLUTION_MS = 1024 * TICK_MS;

const slot = fc.integer({ min: 0, max: SLOTS - 1 });
/** From the past to several revolutions ahead, and the edges between. */
const ahead = fc.oneof(
  fc.integer({ min: -500, max: 2000 }),
  fc.integer({ min: -300, max: 300 }).map((ms) => REVOLUTION_MS + ms),
  fc.integer({ min: 0, max: 4 * REVOLUTION_MS }),
);
const jump = fc.oneof(
  fc.integer({ min: 0, max: 350 }),
  fc.integer({ min: 0, max: 3 * REVOLUTION_MS }),
);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ set: slot, ahead }) },
  { weight: 1, arbitrary: fc.record({ clear: slot }) },
  /** `again`: what fires sets itself or another this far ahead. */
  {
    weight: 4,
    arbitrary: fc.record({ jump, again: fc.array(fc.tuple(slot, ahead), { maxLength: 3 }) }),
  },
);

interface Due {
  readonly ms: number;
  /** The tick in which it has fired at the latest: what is overdue when it is set fires with the next one. */
  readonly lastTick: number;
}

class Model {
  readonly wheel: Deadlines;
  readonly due = new Map<number, Due>();
  nowMs: number;

  constructor(startMs: number) {
    this.nowMs = startMs;
    this.wheel = new Deadlines(SLOTS, TICK_MS, startMs);
  }

  get tick(): number {
    return Math.floor(this.nowMs / TICK_MS);
  }

  set(which: number, dueMs: number): void {
    const lastTick = Math.max(Math.ceil(dueMs / TICK_MS), this.tick + 1);
    this.due.set(which, { ms: dueMs, lastTick });
    this.wheel.set(which, dueMs);
  }

  clear(which: number): void {
    this.due.delete(which);
    this.wheel.clear(which);
  }

  expire(again: readonly (readonly [slot: number, ahead: number])[]): number {
    let fired = 0;
    this.wheel.expire(this.nowMs, (which) => {
      const due = this.due.get(which);
      assert.ok(due, `${which} fires without a deadline`);
      assert.ok(due.ms <= this.nowMs, `${which} fires ${due.ms - this.nowMs} ms early`);
      this.due.delete(which);
      const next = again[fired++];
      if (next !== undefined) this.set(next[0], this.nowMs + next[1]);
    });
    for (const [which, { lastTick, ms }] of this.due) {
      assert.ok(
        lastTick > this.tick,
        `${which} has not fired ${this.nowMs - ms} ms after its time`,
      );
    }
    return fired;
  }

  check(): void {
    assert.equal(this.wheel.count, this.due.size);
    const { nextMs } = this.wheel;
    if (this.due.size === 0) return assert.equal(nextMs, Number.POSITIVE_INFINITY);
    const latest = Math.min(...[...this.due.values()].map(({ lastTick }) => lastTick));
    assert.ok(nextMs <= latest * TICK_MS, `the next look comes at ${nextMs}, not at ${latest}`);
  }
}

test("never early, never more than a tick late, and the next look is never announced too late", () => {
  let fired = 0;
  const start = fc.integer({ min: 0, max: 10 * REVOLUTION_MS });
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 60 }), (startMs, steps) => {
      const model = new Model(startMs);
      for (const one of steps) {
        if ("set" in one) model.set(one.set, model.nowMs + one.ahead);
        else if ("clear" in one) model.clear(one.clear);
        else {
          model.nowMs += one.jump;
          fired += model.expire(one.again);
        }
        model.check();
      }
    }),
    { numRuns: 1500 },
  );
  assert.ok(fired > 1000, `only ${fired} fired: this proves too little`);
});

test("a reactor that looks whenever it is told to fires everything within a tick", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(slot, ahead), { minLength: 1, maxLength: 12 }), (sets) => {
      const model = new Model(12_345);
      for (const [which, ms] of sets) model.set(which, model.nowMs + ms);
      for (let looks = 0; model.due.size > 0; looks++) {
        assert.ok(looks < 200, "it is told to look again and again, for nothing");
        model.nowMs = Math.max(model.nowMs, model.wheel.nextMs);
        model.expire([]);
      }
      assert.equal(model.wheel.nextMs, Number.POSITIVE_INFINITY);
    }),
  );
});

test("a deadline further ahead than a revolution fires once, when it is due", () => {
  const model = new Model(0);
  const dueMs = 5 * REVOLUTION_MS + 50;
  model.set(3, dueMs);
  for (; model.nowMs < dueMs; model.nowMs += 777) assert.equal(model.expire([]), 0);
  model.nowMs = dueMs + TICK_MS;
  assert.equal(model.expire([]), 1);
  model.nowMs += 3 * REVOLUTION_MS;
  assert.equal(model.expire([]), 0);
});

test("a slot that sets itself again while it fires does not keep the wheel from ending", () => {
  const wheel = new Deadlines(2, TICK_MS, 0);
  wheel.set(0, 100);
  wheel.set(1, 100);
  let fired = 0;
  wheel.expire(1000, (which) => {
    if (++fired > 100) throw new Error("it never ends");
    wheel.set(which, 0);
  });
  assert.equal(wheel.count, 2);
  assert.ok(fired >= 2 && wheel.nextMs <= 1100, `${fired} ${wheel.nextMs}`);
});

test("a clock that jumps by years costs one revolution", () => {
  const model = new Model(0);
  model.set(0, 1000);
  model.nowMs = 1e12;
  const start = performance.now();
  assert.equal(model.expire([]), 1);
  assert.ok(performance.now() - start < 1000);
});
