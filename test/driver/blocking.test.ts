// The blocking driver keeps the contract, or says why this machine refuses it; and what it has beyond that: connections out of
// a queue in shared memory.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { DescriptorQueue } from "../../src/driver/descriptor-queue.ts";
import type { Handle } from "../../src/driver/driver.ts";
import { perform } from "./behaviour.ts";
import { driverConformance } from "./conformance.ts";
import { blockingHost, nativeHost } from "./real-hosts.ts";
import { HELLO, type Stage } from "./stage.ts";

const host = blockingHost();
driverConformance(host);

/** The same driver with slices that are far longer than anything here takes. */
const SLEEPERS = blockingHost(60_000);

/** A connected descriptor that belongs to nobody, and the other end. */
async function detached(stage: Stage) {
  const { handle, peer, listener } = await stage.pair();
  assert.equal(stage.driver.detach(handle), 0);
  const descriptor = await stage.event("detached", handle);
  // With nothing else to wait for the driver sleeps on the queue.
  await stage.close(listener);
  return { descriptor, peer };
}

async function listenOn(stage: Stage, queue: DescriptorQueue): Promise<Handle> {
  const listener = stage.mustTake(stage.driver.listen({ queue: queue.table }));
  assert.equal(await stage.event("listening", listener), 0);
  return listener;
}

const skip = host.refused === undefined ? false : `refused here: ${host.refused}`;

describe("the blocking driver and a queue", { skip }, () => {
  test("takes connections out of it in order, each as if it had accepted it", () =>
    perform(host, async (stage) => {
      const queue = DescriptorQueue.allocate(4);
      const listener = await listenOn(stage, queue);
      const pairs = [await detached(stage), await detached(stage)];
      for (const { descriptor } of pairs) assert.ok(queue.put(descriptor));
      await stage.linger();
      assert.equal(queue.length, 2, "nothing is taken before it is resumed");
      stage.driver.resume(listener);
      for (const [n, { peer }] of pairs.entries()) {
        const handle = stage.mustTake(await stage.event("accepted", listener, n + 1));
        stage.driver.resume(handle);
        peer.write(HELLO);
        assert.deepEqual(await stage.receives(handle, 5), HELLO);
      }
    }));

  test("leaves them there while it is paused, and once it is closed", () =>
    perform(host, async (stage) => {
      const queue = DescriptorQueue.allocate(4);
      const listener = await listenOn(stage, queue);
      stage.driver.resume(listener);
      stage.driver.pause(listener);
      const { descriptor, peer } = await detached(stage);
      queue.put(descriptor);
      await stage.linger();
      assert.equal(queue.length, 1);
      stage.driver.resume(listener);
      stage.driver.close(listener, false);
      await stage.linger();
      assert.equal(queue.take(), descriptor);
      const handle = stage.mustTake(stage.driver.adopt(descriptor));
      await stage.sendAll(handle, HELLO);
      await stage.peerReceives(peer, 5);
    }));

  test("is woken out of its sleep by what another thread puts in", () =>
    perform(SLEEPERS, async (stage) => {
      const queue = DescriptorQueue.allocate(4);
      const { descriptor } = await detached(stage);
      const listener = await listenOn(stage, queue);
      stage.driver.resume(listener);
      const gate = new Int32Array(new SharedArrayBuffer(4));
      const module = new URL("../../src/driver/descriptor-queue.ts", import.meta.url).href;
      const workerData = { module, gate, table: queue.table, descriptor };
      const worker = new Worker(PUTTER, { eval: true, workerData });
      await new Promise((resolve) => worker.once("message", resolve));
      Atomics.store(gate, 0, 1);
      Atomics.notify(gate, 0);
      const began = performance.now();
      // Each turn sleeps for a slice at the most; without being woken it would find the connection at the slice's end.
      while (stage.log.count("accepted", listener) === 0) stage.driver.turn(-1);
      const took = performance.now() - began;
      await worker.terminate();
      assert.ok(took >= 20 && took < 5000, `it took ${took} ms`);
    }));

  test("other drivers have no queues, and say so", { skip: nativeHost("epoll").refused }, () =>
    perform(nativeHost("epoll"), async (stage) => {
      const { table } = DescriptorQueue.allocate(4);
      assert.ok(stage.driver.listen({ queue: table }) < 0);
    }),
  );
});

const PUTTER = `
  const { parentPort, workerData } = require("node:worker_threads");
  import(workerData.module).then(({ DescriptorQueue }) => {
    const queue = new DescriptorQueue(workerData.table);
    parentPort.postMessage("ready");
    Atomics.wait(workerData.gate, 0, 0);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    queue.put(workerData.descriptor);
  });`;
