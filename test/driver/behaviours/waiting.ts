// Waiting: for as long as asked, and what ends it; for those that do not wait, asking for a turn.

import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import type { Address } from "../../../src/sys/address.ts";
import * as sockets from "../../../src/sys/socket-calls.ts";
import type { Behave } from "../behaviour.ts";
import type { WatchedDriver } from "../event-log.ts";
import { assertOk, HELLO } from "../stage.ts";

export function waitingBehaviours(behave: Behave): void {
  const waits = { needs: ["waits"] } as const;

  behave("has a clock that never goes back", async (stage) => {
    let before = stage.driver.now();
    for (let n = 0; n < 100; n++) {
      const now = stage.driver.now();
      assert.ok(now >= before);
      before = now;
    }
  });

  behave("does not wait in `turn(0)`", async (stage) => {
    await stage.linger();
    const start = performance.now();
    for (let n = 0; n < 10; n++) stage.driver.turn(0);
    assert.ok(performance.now() - start < 2000);
  });

  behave(
    "waits in `turn` for as long as asked when nothing comes",
    async (stage) => {
      await stage.listen();
      await stage.linger();
      settle(stage.driver);
      const start = stage.driver.now();
      assert.equal(stage.driver.turn(40), 0);
      const waited = stage.driver.now() - start;
      assert.ok(waited >= 39 && waited < 5000, `waited ${waited} ms`);
    },
    waits,
  );

  behave(
    "ends a wait when an event comes",
    async (stage) => {
      const { listener } = await stage.pair();
      const address = stage.driver.localAddress(listener) as Address;
      await stage.linger();
      settle(stage.driver);
      const handle = stage.mustTake(stage.driver.connect(address, {}));
      const start = performance.now();
      for (let n = 0; n < 20 && stage.log.count("connected", handle) === 0; n++) {
        stage.driver.turn(10_000);
      }
      assert.equal(stage.log.last("connected", handle)?.result, 0);
      assert.ok(performance.now() - start < 9000);
    },
    waits,
  );

  behave(
    "returns at once from the wait after a wake, and waits again after that",
    async (stage) => {
      await stage.linger();
      settle(stage.driver);
      const start = stage.driver.now();
      stage.driver.wake();
      stage.driver.turn(20_000);
      assert.ok(stage.driver.now() - start < 10_000);
      const again = stage.driver.now();
      stage.driver.turn(30);
      assert.ok(stage.driver.now() - again >= 29);
    },
    waits,
  );

  behave(
    "is woken through its descriptor, before the wait and again",
    async (stage) => {
      await stage.linger();
      settle(stage.driver);
      for (let n = 0; n < 3; n++) {
        const start = stage.driver.now();
        assertOk(sockets.signalEventfd(stage.driver.wakeDescriptor), "signal");
        stage.driver.turn(20_000);
        assert.ok(stage.driver.now() - start < 10_000);
        const again = stage.driver.now();
        stage.driver.turn(30);
        assert.ok(stage.driver.now() - again >= 29, "one signal ends one wait");
      }
    },
    { ...waits, wakeDescriptor: true },
  );

  behave(
    "is woken through a descriptor that it was given, and leaves it open",
    async (stage) => {
      const wakeBy = stage.mustTake(sockets.openEventfd());
      const driver = stage.another({ wakeBy });
      assert.equal(driver.wakeDescriptor, wakeBy);
      settle(driver);
      assertOk(sockets.signalEventfd(wakeBy), "signal");
      const start = driver.now();
      driver.turn(20_000);
      assert.ok(driver.now() - start < 10_000);
      stage.dispose(driver);
      assertOk(sockets.closeDescriptor(wakeBy), "closing it after the driver");
    },
    { ...waits, wakeDescriptor: true },
  );

  behave(
    "is woken through its descriptor by another thread",
    async (stage) => {
      const source = `
        const { parentPort, workerData } = require("node:worker_threads");
        import(workerData.module).then(({ signalEventfd }) => {
          parentPort.postMessage("ready");
          Atomics.wait(new Int32Array(workerData.gate), 0, 0);
          Atomics.wait(new Int32Array(workerData.gate), 1, 0, 50);
          signalEventfd(workerData.descriptor);
        });`;
      const gate = new SharedArrayBuffer(8);
      const module = new URL("../../../src/sys/socket-calls.ts", import.meta.url).href;
      const descriptor = stage.driver.wakeDescriptor;
      const worker = new Worker(source, { eval: true, workerData: { module, gate, descriptor } });
      await new Promise((resolve) => worker.once("message", resolve));
      settle(stage.driver);
      const start = stage.driver.now();
      Atomics.store(new Int32Array(gate), 0, 1);
      Atomics.notify(new Int32Array(gate), 0);
      stage.driver.turn(20_000);
      const waited = stage.driver.now() - start;
      await worker.terminate();
      assert.ok(waited >= 20 && waited < 10_000, `waited ${waited} ms`);
    },
    { ...waits, wakeDescriptor: true },
  );

  behave(
    "ends a wait when the watched descriptor is readable, and says so",
    async (stage) => {
      const descriptor = stage.mustTake(sockets.openEventfd());
      stage.driver.watch(descriptor);
      await stage.linger();
      settle(stage.driver);
      stage.driver.turn(30);
      assert.equal(stage.driver.watchedReady, false);
      for (let n = 0; n < 3; n++) {
        sockets.signalEventfd(descriptor);
        const start = stage.driver.now();
        stage.driver.turn(20_000);
        assert.ok(stage.driver.now() - start < 10_000);
        assert.equal(stage.driver.watchedReady, true);
        sockets.drainEventfd(descriptor);
        stage.driver.turn(0);
        stage.driver.turn(20);
        assert.equal(stage.driver.watchedReady, false, "drained, it is quiet again");
      }
      sockets.closeDescriptor(descriptor);
    },
    { needs: ["waits", "descriptors"] },
  );

  behave(
    "says that a descriptor watched is still readable, turn for turn",
    async (stage) => {
      const descriptor = stage.mustTake(sockets.openEventfd());
      stage.driver.watch(descriptor);
      sockets.signalEventfd(descriptor);
      settle(stage.driver);
      for (let n = 0; n < 3; n++) {
        stage.driver.turn(20_000);
        assert.equal(stage.driver.watchedReady, true);
      }
      sockets.closeDescriptor(descriptor);
    },
    { needs: ["waits", "descriptors"] },
  );

  behave(
    "asks for a turn once, and again only after that turn",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const { handle, peer } = await stage.accept(listener, address);
      stage.driver.resume(handle);
      await stage.linger();
      const { wanted } = stage.driver;
      let asked = 0;
      stage.driver.wanted = () => {
        asked++;
      };
      for (let n = 0; n < 5; n++) {
        peer.write(HELLO);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.equal(asked, 1);
      assert.equal(stage.log.life(handle).receivedLength, 0, "nothing comes without a turn");
      stage.driver.wanted = wanted;
      stage.driver.turn(0);
      await stage.receives(handle, 25);
    },
    { without: "waits" },
  );

  behave(
    "asks for a turn when it is woken",
    async (stage) => {
      await stage.linger();
      const { wanted } = stage.driver;
      let asked = 0;
      stage.driver.wanted = () => {
        asked++;
      };
      stage.driver.wake();
      assert.equal(asked, 0, "not from inside the verb");
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(asked, 1);
      stage.driver.turn(0);
      stage.driver.wanted = wanted;
    },
    { without: "waits" },
  );
}

/** Turns until nothing more is due at once: what comes before a test of waiting. */
function settle(driver: WatchedDriver): void {
  for (let n = 0; n < 8; n++) driver.turn(0);
}
