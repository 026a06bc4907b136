// The queue of descriptors: first in first out against a plain array, exactly once between threads, and nothing that a
// thread can hold up by ending in the middle of a step.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { DescriptorQueue } from "../../src/driver/descriptor-queue.ts";
import { until } from "../support/until.ts";

describe("a queue of descriptors", () => {
  test("gives back what was put in, in order, and refuses what has no room", () => {
    const step = fc.oneof(fc.integer({ min: 0, max: 4_194_302 }), fc.constant("take" as const));
    const steps = fc.array(step, { maxLength: 400 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), steps, (capacity, list) => {
        const queue = DescriptorQueue.allocate(capacity);
        // Another thread sees it through the same table.
        const other = new DescriptorQueue(queue.table);
        const model: number[] = [];
        for (const each of list) {
          if (each === "take") {
            assert.equal(other.take(), model.shift() ?? -1);
          } else {
            const room = model.length < queue.capacity;
            assert.equal(queue.put(each), room);
            if (room) model.push(each);
          }
          assert.equal(queue.length, model.length);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("goes on for more laps than a cell can count, and past the end of its counters", () => {
    const queue = DescriptorQueue.allocate(2);
    for (let n = 0; n < 5000; n++) {
      assert.ok(queue.put(n));
      assert.equal(queue.take(), n);
    }
    const late = DescriptorQueue.allocate(4);
    // As if 2³¹ − 8 had come and gone: a whole number of times 1024 laps of 4.
    late.table[0] = 0x7fff_f000;
    late.table[16] = 0x7fff_f000;
    for (let n = 0; n < 10_000; n++) {
      assert.ok(late.put(n));
      assert.equal(late.take(), n);
    }
    assert.equal(late.take(), -1);
  });

  test("refuses numbers that a cell cannot hold, and capacities that cannot be", () => {
    const queue = DescriptorQueue.allocate(4);
    assert.equal(queue.put(4_194_303), false);
    assert.equal(queue.put(-1), false);
    assert.equal(queue.take(), -1);
    for (const capacity of [0, 1.5, 2 ** 20 + 1]) {
      assert.throws(() => DescriptorQueue.allocate(capacity), RangeError);
    }
  });

  test("between three threads everything comes out exactly once, in the order of each that put it in", async () => {
    const queue = DescriptorQueue.allocate(8);
    const each = 5000;
    const tally = new Int32Array(new SharedArrayBuffer(8 * each));
    const workers = [0, 1].map(
      (index) =>
        new Worker(PRODUCER, { eval: true, workerData: { index, each, queue: queue.table } }),
    );
    const taker = new Worker(CONSUMER, { eval: true, workerData: { tally, queue: queue.table } });
    const last = [-1, each - 1];
    let taken = 0;
    const takeAll = () => {
      for (let descriptor = queue.take(); descriptor >= 0; descriptor = queue.take()) {
        const from = descriptor < each ? 0 : 1;
        assert.ok(descriptor > (last[from] as number), "out of order");
        last[from] = descriptor;
        tally[descriptor] = (tally[descriptor] as number) + 1;
        taken++;
      }
      return tally.every((count) => count > 0);
    };
    await until(takeAll, "everything taken");
    await Promise.all([...workers, taker].map((worker) => worker.terminate()));
    assert.ok(tally.every((count) => count === 1));
    assert.ok(taken > 0 && taken < 2 * each, `${taken} were taken here`);
  });

  test("threads that are ended at any moment hold nobody up", async () => {
    const queue = DescriptorQueue.allocate(4);
    for (let round = 0; round < 12; round++) {
      const worker = new Worker(PRODUCER, {
        eval: true,
        workerData: { index: 0, each: 1e9, queue: queue.table },
      });
      await until(() => queue.take() >= 0, "a running producer");
      await worker.terminate();
      // Whatever step it was in: what is left comes out, and the queue works as before.
      let left = 0;
      while (queue.take() >= 0) left++;
      assert.ok(left <= queue.capacity);
      for (let n = 0; n < 3 * queue.capacity; n++) {
        assert.ok(queue.put(n));
        assert.equal(queue.take(), n);
      }
      assert.equal(queue.take(), -1);
    }
  });

  test("a sleeping taker is woken by what comes, and by its time", async () => {
    const queue = DescriptorQueue.allocate(4);
    const said: number[] = [];
    const worker = new Worker(SLEEPER, { eval: true, workerData: { queue: queue.table } });
    worker.on("message", (descriptor: number) => said.push(descriptor));
    await until(() => said.length === 1, "the end of a wait for nothing");
    queue.put(7);
    await until(() => said.length === 2, "being woken");
    assert.deepEqual(said, [-1, 7]);
    await worker.terminate();
  });
});

const QUEUE = JSON.stringify(new URL("../../src/driver/descriptor-queue.ts", import.meta.url));
const PRODUCER = `
  const { workerData } = require("node:worker_threads");
  import(${QUEUE}).then(({ DescriptorQueue }) => {
    const queue = new DescriptorQueue(workerData.queue);
    const { index, each } = workerData;
    for (let n = 0; n < each; n++) while (!queue.put((index * each + n) % 4_000_000));
  });`;
const CONSUMER = `
  const { workerData } = require("node:worker_threads");
  import(${QUEUE}).then(({ DescriptorQueue }) => {
    const queue = new DescriptorQueue(workerData.queue);
    for (;;) {
      const descriptor = queue.take();
      if (descriptor >= 0) Atomics.add(workerData.tally, descriptor, 1);
    }
  });`;
const SLEEPER = `
  const { parentPort, workerData } = require("node:worker_threads");
  import(${QUEUE}).then(({ DescriptorQueue }) => {
    const queue = new DescriptorQueue(workerData.queue);
    parentPort.postMessage(queue.takeWithin(20));
    parentPort.postMessage(queue.takeWithin(60_000));
  });`;
