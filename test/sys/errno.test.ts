// errno: names, sentences and destinies; and that the number read is the number meant, also while memory is collected.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { constants } from "node:os";
import { after, describe, test } from "node:test";
import { GCProfiler } from "node:v8";
import { Worker } from "node:worker_threads";
import { acceptFrom } from "../../src/sys/epoll-calls.ts";
import * as errno from "../../src/sys/errno.ts";
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  drainEventfd,
  listenSocket,
  localAddress,
  openEventfd,
  openSocket,
  setNonBlocking,
} from "../../src/sys/socket-calls.ts";
import { NO_NATIVE } from "./native-here.ts";
import { addressOf, Descriptors, IPV4 } from "./sockets.ts";

const NAMED = Object.entries(errno).flatMap(([name, value]) =>
  typeof value === "number" ? [{ name, number: value }] : [],
);
/** Linux has two names for the one number; Node knows the other. */
const NODES_NAME: Readonly<Record<string, string>> = { ENOTSUP: "EOPNOTSUPP" };

describe("errno", () => {
  test("every name has a row, and the number that Node knows", { skip: NO_NATIVE }, () => {
    const known: Readonly<Record<string, number>> = constants.errno;
    for (const { name, number } of NAMED) {
      assert.equal(errno.errnoName(number), name);
      assert.equal(errno.errnoName(-number), name);
      assert.equal(errno.errnoOf(name), number);
      assert.equal(known[NODES_NAME[name] ?? name] ?? number, number, name);
      assert.doesNotMatch(errno.errnoText(number), /unknown/);
    }
    assert.ok(NAMED.length > 30);
  });

  test("each has one of three destinies", () => {
    const {
      EAGAIN,
      EINTR,
      EBUSY,
      EINPROGRESS,
      EBADF,
      EFAULT,
      ENOTSOCK,
      ECONNRESET,
      EMFILE,
      ENOMEM,
    } = errno;
    for (const number of [EAGAIN, EINTR, EBUSY, EINPROGRESS]) {
      assert.equal(errno.destinyOf(-number), "again");
    }
    for (const number of [EBADF, EFAULT, ENOTSOCK]) assert.equal(errno.destinyOf(number), "bug");
    for (const number of [ECONNRESET, EMFILE, ENOMEM, 4095]) {
      assert.equal(errno.destinyOf(number), "operating");
    }
    // A wait that is to be made again, and one that has failed.
    for (const number of [EAGAIN, EINTR]) errno.assertWaited("poll", -number);
    errno.assertWaited("poll", 3);
    for (const number of [EBADF, ENOMEM]) {
      assert.throws(() => errno.assertWaited("poll", -number), { call: "poll", errno: number });
    }
    for (const { number } of NAMED)
      assert.match(errno.destinyOf(number), /^(again|operating|bug)$/);
  });

  test("an unknown one is told as a number", () => {
    assert.equal(errno.errnoName(-4000), "errno 4000");
    assert.equal(errno.errnoText(4000), "unknown error 4000");
    assert.equal(errno.errnoOf("ENOSUCHNAME"), errno.EIO);
    assert.equal(errno.errnoOf(undefined), errno.EIO);
  });

  test("a SystemError says what, about whom, and why", () => {
    const error = new errno.SystemError("listen on", -errno.EADDRINUSE, "127.0.0.1:7000");
    assert.equal(error.message, "listen on 127.0.0.1:7000: address already in use (EADDRINUSE)");
    assert.deepEqual(
      [error.name, error.code, error.errno, error.call],
      ["SystemError", "EADDRINUSE", 98, "listen on"],
    );
  });
});

describe("errno under pressure", { skip: NO_NATIVE, timeout: 120_000 }, () => {
  const descriptors = new Descriptors();
  after(() => descriptors.closeAll());

  test("300,000 failing calls among collections: not one wrong number", () => {
    const wrong = failAmongCollections(descriptors, 300_000);
    assert.deepEqual(wrong, new Map());
  });

  test("each thread has its own", async () => {
    // Two threads fail in different ways at the same time: neither sees the other's number.
    const theirs = `
      import { workerData, parentPort } from "node:worker_threads";
      const { closeDescriptor } = await import(workerData);
      let wrong = 0;
      for (let n = 0; n < 300_000; n++) if (closeDescriptor(-1) !== -9) wrong++;
      parentPort.postMessage(wrong);
    `;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(theirs)}`), {
      workerData: new URL("../../src/sys/socket-calls.ts", import.meta.url).href,
    });
    const answer = Promise.withResolvers<number>();
    worker.once("message", answer.resolve).once("error", answer.reject);
    const event = descriptors.keep(openEventfd());
    let wrong = 0;
    let done = false;
    void answer.promise.then(() => {
      done = true;
    });
    while (!done) {
      for (let n = 0; n < 10_000; n++) if (drainEventfd(event) !== -errno.EAGAIN) wrong++;
      await new Promise(setImmediate);
    }
    assert.deepEqual([wrong, await answer.promise], [0, 0]);
    await worker.terminate();
  });
});

/** Calls that fail, each in its own way; returns what was reported wrongly, and how often. */
function failAmongCollections(descriptors: Descriptors, times: number): Map<string, number> {
  const event = descriptors.keep(openEventfd());
  const socket = descriptors.keep(openSocket("ipv4", false));
  const listener = descriptors.listen(IPV4);
  const used = addressOf(listener);
  setNonBlocking(listener, true);
  const nobody = { family: "unix", path: `\0sluice-nobody-${randomUUID()}` } as const;
  const unix = descriptors.keep(openSocket("unix", false));
  const calls: readonly (readonly [call: () => unknown, expected: number])[] = [
    [() => closeDescriptor(-1), -errno.EBADF],
    [() => drainEventfd(event), -errno.EAGAIN],
    [() => listenSocket(event, 1), -errno.ENOTSOCK],
    [() => bindSocket(socket, used), -errno.EADDRINUSE],
    [() => connectSocket(unix, nobody), -errno.ECONNREFUSED],
    [() => acceptFrom(listener, 0), -errno.EAGAIN],
    [() => localAddress(-1), -errno.EBADF],
    [() => acceptFrom(socket, 0), -errno.EINVAL],
  ];
  const wrong = new Map<string, number>();
  const profiler = new GCProfiler();
  profiler.start();
  let kept: unknown[] = [];
  for (let n = 0; n < times; n++) {
    const [call, expected] = calls[n % calls.length] ?? [];
    // BigInts, objects and buffers: young collections all the time, old ones now and then.
    kept.push(BigInt(n) << 70n, { n }, Buffer.allocUnsafe(256));
    if (kept.length > 20_000) kept = [];
    const result = call?.();
    if (result !== expected) {
      const told = `${String(result)} for ${String(expected)}`;
      wrong.set(told, (wrong.get(told) ?? 0) + 1);
    }
  }
  const collections = profiler.stop()?.statistics.length ?? 0;
  assert.ok(collections > 10, `only ${collections} collections: this has tested nothing`);
  return wrong;
}
