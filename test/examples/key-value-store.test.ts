// The key-value example's store against a Map: any order of setting, deleting and expiring, keys that meet in the index,
// values that grow and shrink through all sizes of records.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Records } from "../../examples/key-value/records.ts";
import { ABSENT, NEVER, Store } from "../../examples/key-value/store.ts";

const LARGE = 300_000;

class Checked {
  readonly model = new Map<string, { value: string; expiresAt: number }>();
  readonly clock = { time: 0, now: () => this.clock.time, after: () => {} };
  readonly store: Store;

  constructor(seed: number) {
    this.store = new Store(this.clock, seed);
  }

  find(key: string): number {
    const bytes = Buffer.from(`<${key}>`, "latin1");
    return this.store.find(bytes, 1, bytes.length - 1);
  }

  set(key: string, value: string, expiresAt: number): void {
    const bytes = Buffer.from(`<${key}${value}>`, "latin1");
    const middle = 1 + key.length;
    this.store.set(bytes, 1, middle, bytes, middle, bytes.length - 1, expiresAt);
    this.model.set(key, { value, expiresAt });
  }

  delete(key: string): void {
    const slot = this.find(key);
    assert.equal(slot !== ABSENT, this.expected(key) !== undefined);
    if (slot !== ABSENT) this.store.delete(slot);
    this.model.delete(key);
  }

  expected(key: string): string | undefined {
    const entry = this.model.get(key);
    return entry === undefined || entry.expiresAt < this.clock.time ? undefined : entry.value;
  }

  check(key: string): void {
    const slot = this.find(key);
    const value = this.expected(key);
    if (value === undefined) {
      assert.equal(slot, ABSENT);
      return;
    }
    assert.notEqual(slot, ABSENT, key);
    const bulk = Buffer.from(`$${value.length}\r\n${value}\r\n`, "latin1");
    assert.ok(this.store.value(slot).equals(bulk), key);
    assert.equal(this.store.expiresAt(slot), this.model.get(key)?.expiresAt);
  }

  checkAll(): void {
    for (const key of this.model.keys()) this.check(key);
    const there = [...this.model.keys()].filter((key) => this.expected(key) !== undefined);
    assert.equal(this.store.size, there.length, "looking for all of them removed the expired");
  }
}

suite("the store of the key-value example", () => {
  test("holds what a Map would", () => {
    const key = fc.oneof(
      fc.integer({ min: 0, max: 30 }).map(String),
      fc.string({ unit: "binary-ascii", maxLength: 40 }),
    );
    const size = fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: 0, max: 300 }) },
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 140_000 }) },
      { weight: 1, arbitrary: fc.constant(LARGE) },
    );
    const expiry = fc.oneof(fc.constant(NEVER), fc.integer({ min: 0, max: 100 }));
    const step = fc.oneof(
      fc.record({ kind: fc.constant("set" as const), key, size, expiry }),
      fc.record({ kind: fc.constant("delete" as const), key }),
      fc.record({ kind: fc.constant("check" as const), key }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ kind: fc.constant("sweep" as const), slots: fc.integer({ min: 0, max: 2000 }) }),
    );
    const steps = fc.array(step, { maxLength: 150, size: "max" });
    fc.assert(
      fc.property(steps, fc.integer(), (all, seed) => {
        const checked = new Checked(seed);
        for (const [index, one] of all.entries()) {
          if (one.kind === "set") {
            const value = String.fromCharCode(index).repeat(one.size);
            checked.set(one.key, value, one.expiry);
          } else if (one.kind === "delete") checked.delete(one.key);
          else if (one.kind === "check") checked.check(one.key);
          else if (one.kind === "wait") checked.clock.time += one.ms;
          else checked.store.sweep(one.slots, 100);
        }
        checked.checkAll();
      }),
      { numRuns: 300 },
    );
  });

  test("keeps many keys through growth and removal", () => {
    const checked = new Checked(42);
    const count = 30_000;
    for (let index = 0; index < count; index++) checked.set(`key:${index}`, `v${index}`, NEVER);
    for (let index = 0; index < count; index += 3) checked.delete(`key:${index}`);
    for (let index = 0; index < count; index += 2) checked.set(`key:${index}`, "again", NEVER);
    checked.checkAll();
    for (let index = 0; index < count; index++) checked.delete(`key:${index}`);
    assert.equal(checked.store.size, 0);
  });

  test("uses freed memory again, and gives large records back", () => {
    const checked = new Checked(1);
    const fill = () => {
      for (let index = 0; index < 2000; index++) {
        checked.set(`${index}`, "x".repeat((index * 37) % 2000), NEVER);
      }
    };
    fill();
    const filled = checked.store.memoryBytes;
    for (let round = 0; round < 20; round++) {
      for (let index = 0; index < 2000; index++) checked.delete(`${index}`);
      fill();
    }
    assert.equal(checked.store.memoryBytes, filled);
    for (let round = 0; round < 100; round++) {
      checked.set("large", "x".repeat(LARGE + round), NEVER);
      checked.delete("large");
    }
    assert.equal(checked.store.memoryBytes, filled);
    checked.store.clear();
    assert.ok(checked.store.memoryBytes < 10_000);
    assert.equal(checked.find("1"), ABSENT);
  });

  test("counts the keys that expire", () => {
    const checked = new Checked(7);
    checked.set("a", "1", 10);
    checked.set("b", "1", 20);
    checked.set("b", "longer than before, in another record", 30);
    checked.set("c", "1", 10);
    checked.set("c", "1", NEVER);
    assert.equal(checked.store.expiringKeys, 2);
    checked.clock.time = 11;
    assert.equal(checked.store.sweep(10_000, 100), 1);
    checked.delete("b");
    assert.equal(checked.store.expiringKeys, 0);
    checked.checkAll();
  });

  test("a record keeps its key to itself", () => {
    const records = new Records();
    const bytes = Buffer.from("keyvalue");
    const address = records.create(bytes, 0, 3, bytes, 3, 8);
    assert.ok(records.hasKey(address, bytes, 0, 3));
    assert.equal(records.hasKey(address, bytes, 0, 2), false);
    assert.equal(records.hasKey(address, bytes, 1, 4), false);
    assert.equal(String(records.value(address)), "$5\r\nvalue\r\n");
  });
});
