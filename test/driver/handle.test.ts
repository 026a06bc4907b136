// Handles: every sequence of takes and releases, against a model that is a plain set.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MAX_SLOTS, SLOT_BITS, SlotTable, slotOf } from "../../src/driver/handle.ts";

const GENERATIONS = 1024;

describe("slot table", () => {
  it("gives out each slot once, refuses when none is free, and knows who is there", () => {
    const step = fc.oneof(fc.constant("take" as const), fc.nat());
    const scenario = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 200 }));
    fc.assert(
      fc.property(scenario, ([capacity, steps]) => {
        const table = new SlotTable(capacity);
        const held: number[] = [];
        const released = new Set<number>();
        for (const next of steps) {
          if (next === "take") takeOne(table, held, released);
          else releaseOne(table, held, released, next);
          assert.equal(table.used, held.length);
          for (const handle of held) assert.ok(table.holds(handle));
          for (const handle of released) assert.ok(!table.holds(handle));
        }
      }),
    );
  });

  it("gives the slot that was freed last", () => {
    const table = new SlotTable(4);
    const handles = [table.take(), table.take(), table.take()];
    table.release(handles[1] as number);
    assert.equal(slotOf(table.take()), slotOf(handles[1] as number));
  });

  it("starts with slot 0 and goes up, so that a small table is dense", () => {
    const table = new SlotTable(3);
    assert.deepEqual([table.take(), table.take(), table.take()].map(slotOf), [0, 1, 2]);
    assert.equal(table.take(), -1);
  });

  it("repeats a handle only after all generations of its slot", () => {
    const table = new SlotTable(1);
    const seen = new Set<number>();
    for (let n = 0; n < GENERATIONS; n++) {
      const handle = table.take();
      assert.ok(!seen.has(handle), `handle ${handle} came again after ${n}`);
      seen.add(handle);
      table.release(handle);
    }
    assert.ok(seen.has(table.take()));
  });

  it("makes handles that are small integers and never negative", () => {
    const table = new SlotTable(MAX_SLOTS);
    const handle = table.take();
    assert.equal(slotOf(handle), 0);
    for (let n = 1; n < GENERATIONS; n++) {
      table.release(n === 1 ? handle : ((n - 1) << SLOT_BITS) | 0);
      const next = table.take();
      assert.ok(next >= 0 && next < 2 ** 30);
      assert.equal(slotOf(next), 0);
    }
  });

  it("refuses to release what is not in use", () => {
    const table = new SlotTable(2);
    const handle = table.take();
    table.release(handle);
    assert.throws(() => table.release(handle), RangeError);
    assert.throws(() => table.release(-1), RangeError);
    assert.throws(() => table.release(5), RangeError);
    assert.equal(table.used, 0);
  });

  it("holds nothing that it did not give out", () => {
    const table = new SlotTable(2);
    const given = table.take();
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (handle) => {
        // The next user of a free slot has a handle that can be foretold: `holds` is about slots that were taken.
        fc.pre(slotOf(handle) === slotOf(given) || slotOf(handle) >= table.capacity);
        assert.equal(table.holds(handle), handle === given);
      }),
    );
  });

  it("refuses sizes that are none", () => {
    for (const capacity of [0, -1, 1.5, Number.NaN, MAX_SLOTS + 1]) {
      assert.throws(() => new SlotTable(capacity), RangeError);
    }
  });
});

function takeOne(table: SlotTable, held: number[], released: Set<number>): void {
  const handle = table.take();
  if (held.length === table.capacity) {
    assert.equal(handle, -1);
    return;
  }
  assert.ok(handle >= 0 && slotOf(handle) < table.capacity);
  assert.ok(!held.some((other) => slotOf(other) === slotOf(handle)), "a slot was given out twice");
  assert.ok(!released.has(handle), "a handle came back at once");
  held.push(handle);
}

function releaseOne(table: SlotTable, held: number[], released: Set<number>, choice: number): void {
  if (held.length === 0) return;
  const [handle] = held.splice(choice % held.length, 1);
  table.release(handle as number);
  released.add(handle as number);
}
