// What the design leans on and no documentation promises. When one of these fails, a new Node or kernel has changed a fact:
// read the decision named beside it before anything else.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as nextImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { UringRing } from "../../src/driver/uring-ring.ts";
import { EPOLL_CTL_ADD, EPOLLIN } from "../../src/sys/abi.ts";
import { Epoll, openEpoll } from "../../src/sys/epoll-calls.ts";
import { ETIME } from "../../src/sys/errno.ts";
import { eventLoopDescriptor, eventLoopTimeout } from "../../src/sys/event-loop-calls.ts";
import { nativeLibrary } from "../../src/sys/native-library.ts";
import { NativeMemory, PAGE } from "../../src/sys/native-memory.ts";
import { closeDescriptor } from "../../src/sys/socket-calls.ts";
import { RingEntrance } from "../../src/sys/uring-calls.ts";
import { NO_NATIVE, NO_RING } from "./native-here.ts";

describe("the thread's event loop (docs/decisions/0003-who-owns-the-thread.md)", {
  skip: NO_NATIVE,
}, () => {
  test("inside an immediate, libuv reports work for ever; inside a message's callback it does not", async () => {
    const timer = setTimeout(() => undefined, 60_000);
    const inMessage = Promise.withResolvers<number>();
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => inMessage.resolve(eventLoopTimeout());
    const inImmediate = await new Promise<number>((resolve) => {
      setImmediate(() => resolve(eventLoopTimeout()));
    });
    port2.postMessage(0);
    const timeout = await inMessage.promise;
    port1.close();
    clearTimeout(timer);
    assert.equal(inImmediate, 0);
    assert.ok(timeout > 0 && timeout <= 60_000, `${timeout}`);
  });

  test("a timer that is due soon shortens what libuv would wait", async () => {
    const timeout = Promise.withResolvers<number>();
    const timer = setTimeout(() => undefined, 500);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => timeout.resolve(eventLoopTimeout());
    await nextImmediate();
    port2.postMessage(0);
    const wait = await timeout.promise;
    port1.close();
    clearTimeout(timer);
    assert.ok(wait >= 0 && wait <= 500, `${wait}`);
  });

  test("an immediate that waits makes the timeout 0 in a message's callback too", async () => {
    const timeout = Promise.withResolvers<number>();
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      setImmediate(() => undefined);
      timeout.resolve(eventLoopTimeout());
    };
    port2.postMessage(0);
    assert.equal(await timeout.promise, 0);
    port1.close();
  });

  test("libuv's own descriptor becomes readable for a message from another thread", async () => {
    const worker = new Worker(
      `const { parentPort } = require("node:worker_threads");
       parentPort.on("message", () => setTimeout(() => parentPort.postMessage(1), 100));`,
      { eval: true },
    );
    worker.on("message", () => undefined);
    await new Promise((resolve) => worker.once("online", resolve));
    const epoll = new Epoll(openEpoll(), 1);
    assert.equal(epoll.control(EPOLL_CTL_ADD, eventLoopDescriptor(), EPOLLIN, 0, 0), 0);
    worker.postMessage(0);
    // This thread waits here, and so not in libuv: what ends it is libuv's descriptor.
    const started = performance.now();
    assert.equal(epoll.wait(10_000), 1);
    assert.ok(performance.now() - started < 5000);
    closeDescriptor(epoll.descriptor);
    epoll.release();
    await worker.terminate();
  });

  test("_tickCallback runs nextTicks and promise jobs, and what they queue", async () => {
    const tick: unknown = Reflect.get(process, "_tickCallback");
    assert.ok(typeof tick === "function", "process._tickCallback is gone");
    const ran: string[] = [];
    const after = Promise.withResolvers<string[]>();
    const { port1, port2 } = new MessageChannel();
    // In a message's callback, as in the reactor's loop: promise jobs do not nest in promise jobs, as which tests run.
    port1.onmessage = () => {
      process.nextTick(() => {
        ran.push("tick");
        void Promise.resolve().then(() => ran.push("promise of a tick"));
      });
      void Promise.resolve().then(() => process.nextTick(() => ran.push("tick of a promise")));
      queueMicrotask(() => ran.push("microtask"));
      Reflect.apply(tick, process, []);
      after.resolve(ran.toSorted());
    };
    port2.postMessage(0);
    assert.deepEqual(await after.promise, [
      "microtask",
      "promise of a tick",
      "tick",
      "tick of a promise",
    ]);
    port1.close();
  });
});

describe("node:ffi (docs/decisions/0002-calling-the-kernel.md)", { skip: NO_NATIVE }, () => {
  test("is there without a flag", () => {
    assert.equal(typeof process.getBuiltinModule("node:ffi").dlopen, "function");
  });

  test("a misspelt definition is taken silently: hence the one table and its self-test", () => {
    const { dlopen } = process.getBuiltinModule("node:ffi");
    const misspelt: object = { result: "int32", parameters: ["int32"] };
    const { functions } = dlopen(null, { getpid: misspelt });
    assert.equal(functions.getpid(), undefined);
  });

  test("a seventh argument declared 64 bits wide arrives whole, every time", {
    skip: NO_RING,
  }, () => {
    const ring = UringRing.open(64);
    assert.ok(typeof ring === "object");
    const entrance = new RingEntrance(ring.descriptor);
    // Its seventh argument is the size of a structure: any garbage in it is EINVAL.
    const results = new Set<number>();
    for (let n = 0; n < 20_000; n++) results.add(entrance.wait(0, 0.001));
    assert.deepEqual([...results], [-ETIME]);
    entrance.release();
    ring.close();
  });

  test("mapped memory is one memory for all threads", async () => {
    const memory = NativeMemory.allocate(PAGE);
    const program = `
      import { workerData, parentPort } from "node:worker_threads";
      const { nativeLibrary } = await import(workerData.library);
      const view = new Int32Array(nativeLibrary().viewMemory(workerData.address, 8));
      view[1] = 42;
      Atomics.store(view, 0, 1);
      parentPort.postMessage("done");
    `;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`), {
      workerData: {
        library: new URL("../../src/sys/native-library.ts", import.meta.url).href,
        address: memory.at(0, 8),
      },
    });
    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    await worker.terminate();
    assert.equal(memory.bytes.readInt32LE(0), 1);
    assert.equal(memory.bytes.readInt32LE(4), 42);
    memory.release();
  });

  test("mapped memory outlives the thread that mapped it", async () => {
    const program = `
      import { workerData, parentPort } from "node:worker_threads";
      const { NativeMemory } = await import(workerData);
      const memory = NativeMemory.allocate(4096);
      memory.bytes.write("still here");
      parentPort.postMessage(memory.address);
    `;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`), {
      workerData: new URL("../../src/sys/native-memory.ts", import.meta.url).href,
    });
    const address = await new Promise<number>((resolve, reject) => {
      worker.once("message", resolve).once("error", reject);
    });
    await worker.terminate();
    const view = Buffer.from(nativeLibrary().viewMemory(BigInt(address), 10));
    assert.equal(view.toString(), "still here");
  });

  test("addresses fit a number exactly", () => {
    const memory = NativeMemory.allocate(PAGE);
    assert.ok(Number.isSafeInteger(memory.address) && memory.address < 2 ** 47);
    memory.release();
  });
});
