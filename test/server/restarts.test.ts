// When a dead thread is replaced, and when nobody is any more: pure arithmetic, so tested with times made up.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Restarts, STEADY_MS } from "../../src/server/restarts.ts";

describe("restarts", () => {
  test("a thread that has worked for a while is replaced at once, however often", () => {
    const restarts = new Restarts(2, 1);
    for (let n = 0; n < 100; n++) assert.equal(restarts.ended(0, STEADY_MS, STEADY_MS, 0), 0);
  });

  test("quick ends are replaced less often each time, and at once again after a steady one", () => {
    const restarts = new Restarts(2, 1000);
    const waits = Array.from({ length: 9 }, () => restarts.ended(0, 0, 0, 0));
    assert.deepEqual(waits, [10, 20, 40, 80, 160, 320, 640, 750, 750]);
    assert.equal(restarts.ended(1, 0, 0, 0), 10, "the other seat's waits are its own");
    assert.equal(restarts.ended(0, STEADY_MS, STEADY_MS, 0), 0);
    assert.equal(restarts.ended(0, 0, 0, 0), 10);
  });

  test("the time that a thread took to start, and worked, counts as waited", () => {
    const restarts = new Restarts(1, 1000);
    for (let n = 0; n < 8; n++) restarts.ended(0, 0, 0, 0);
    assert.equal(restarts.ended(0, 200, 0, 0), 550);
    assert.equal(restarts.ended(0, 700, 500, 0), 50);
    assert.equal(restarts.ended(0, 1100, STEADY_MS - 1, 0), 0);
  });

  test("gives up when so many ended quickly in a row that nobody works", () => {
    const restarts = new Restarts(2, 3);
    for (const seat of [0, 1, 0]) assert.notEqual(restarts.ended(seat, 1, 1, 999), undefined);
    assert.equal(restarts.ended(1, 1, 1, 999), undefined);
  });

  test("never gives up while another thread works", () => {
    const restarts = new Restarts(2, 3);
    for (let n = 0; n < 100; n++) assert.notEqual(restarts.ended(0, 1, 1, STEADY_MS), undefined);
    for (let n = 0; n < 3; n++) assert.notEqual(restarts.ended(0, 1, 1, 0), undefined);
    assert.equal(restarts.ended(0, 1, 1, 0), undefined);
  });
});
