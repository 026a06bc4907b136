// One io_uring by itself: what is queued comes back once and with its cookie, however full the two queues get.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { UringRing } from "../../src/driver/uring-ring.ts";
import {
  EPOLLIN,
  IORING_ASYNC_CANCEL_FD,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
} from "../../src/sys/abi.ts";
import { EBADF, ECANCELED, EINVAL, ENOENT } from "../../src/sys/errno.ts";
import { NativeMemory, PAGE } from "../../src/sys/native-memory.ts";
import { openEventfd, signalEventfd } from "../../src/sys/socket-calls.ts";
import { setupRing } from "../../src/sys/uring-calls.ts";
import { NO_RING } from "./native-here.ts";
import { Descriptors } from "./sockets.ts";

const NOP = 0;
const ENTRIES = 64;
const COMPLETIONS = 4 * ENTRIES;
const descriptors = new Descriptors();

interface Completion {
  readonly low: number;
  readonly high: number;
  readonly result: number;
}

describe("a ring", { skip: NO_RING }, () => {
  let ring: UringRing;

  beforeEach(() => {
    const opened = UringRing.open(ENTRIES);
    assert.ok(typeof opened === "object");
    ring = opened;
  });

  afterEach(() => {
    ring.close();
    descriptors.closeAll();
  });

  function nop(low: number, high = 0): void {
    push(NOP, -1, 0, 0, 0, low, high);
  }

  function push(
    operation: number,
    descriptor: number,
    address: number,
    length: number,
    flags: number,
    low: number,
    high = 0,
  ): void {
    const addressHigh = Math.floor(address / 0x1_0000_0000);
    ring.push(operation, descriptor, address | 0, addressHigh, length, flags, low, high, 0);
  }

  /** Takes what is ready. */
  function take(): Completion[] {
    const count = ring.ready();
    const taken = Array.from({ length: count }, (_, index) => {
      const [low = 0, high = 0, result = 0] = ring.completions.subarray(ring.completionAt(index));
      return { low, high, result };
    });
    ring.consumed(count);
    return taken;
  }

  /** Enters until as many have come. */
  function takeAll(count: number): Completion[] {
    const taken: Completion[] = [];
    for (let tries = 0; taken.length < count && tries < 1000; tries++) {
      ring.enter(0);
      taken.push(...take());
    }
    return taken;
  }

  test("an operation comes back with its cookie, all 64 bits of it", () => {
    const cookies = [
      [0, 0],
      [1, 7],
      [-1, -1],
      [0x3fff_ffff, 0x7fff_ffff],
      [-0x8000_0000, 5],
    ] as const;
    for (const [low, high] of cookies) nop(low, high);
    assert.equal(ring.unsubmitted, cookies.length);
    const taken = takeAll(cookies.length);
    assert.deepEqual(
      taken.map(({ low, high, result }) => [low, high, result]),
      cookies.map(([low, high]) => [low, high, 0]),
    );
    assert.equal(ring.unsubmitted, 0);
    assert.equal(ring.ready(), 0);
  });

  test("a full submission queue is submitted by itself", () => {
    for (let n = 0; n < ENTRIES; n++) nop(n);
    assert.equal(ring.unsubmitted, ENTRIES);
    nop(ENTRIES);
    assert.equal(ring.unsubmitted, 1);
    assertCounts(takeAll(ENTRIES + 1), ENTRIES + 1);
  });

  test("more completions than the queue holds: none is lost, none comes twice", () => {
    const count = 5 * COMPLETIONS + 3;
    for (let n = 0; n < count; n++) nop(n);
    ring.enter(0);
    assert.equal(ring.ready(), COMPLETIONS);
    const taken = takeAll(count);
    assertCounts(taken, count);
    assert.equal(ring.overflow, 0);
    assert.equal(ring.ready(), 0);
  });

  test("100,000 operations, taken a few at a time, in order", () => {
    let pushed = 0;
    let taken = 0;
    while (taken < 100_000) {
      for (let n = 0; n < 37 && pushed < 100_000; n++) nop(pushed++);
      ring.enter(0);
      const count = Math.min(ring.ready(), 41);
      for (let index = 0; index < count; index++) {
        assert.equal(ring.completions[ring.completionAt(index)], taken++);
      }
      ring.consumed(count);
    }
    ring.enter(0);
    assert.equal(ring.ready(), 0);
  });

  test("a wait ends at its time, or with a completion", () => {
    let started = performance.now();
    ring.enter(50);
    const waited = performance.now() - started;
    assert.ok(waited >= 49 && waited < 1000, `${waited} ms`);
    assert.equal(ring.ready(), 0);
    const event = descriptors.keep(openEventfd());
    push(IORING_OP_POLL_ADD, event, 0, 0, EPOLLIN, 42, 6);
    ring.enter(0);
    assert.equal(ring.ready(), 0);
    signalEventfd(event);
    started = performance.now();
    ring.enter(10_000);
    assert.ok(performance.now() - started < 1000);
    assert.deepEqual(take(), [{ low: 42, high: 6, result: EPOLLIN }]);
  });

  test("a time below a millisecond, and one of many seconds, are passed on whole", () => {
    for (const wanted of [0.25, 1.5, 12]) {
      const started = performance.now();
      ring.enter(wanted);
      const waited = performance.now() - started;
      assert.ok(waited >= wanted * 0.9 && waited < wanted + 200, `${wanted}: ${waited} ms`);
    }
    nop(1);
    ring.enter(86_400_000);
    assert.equal(take().length, 1);
  });

  test("bytes through a ring", () => {
    const { client, server } = descriptors.pair();
    const memory = NativeMemory.allocate(PAGE);
    memory.bytes.write("hello", 0);
    push(IORING_OP_SEND, client, memory.address, 5, 0, 1);
    push(IORING_OP_RECV, server, memory.address + 100, 50, 0, 2);
    const taken = takeAll(2).toSorted((a, b) => a.low - b.low);
    assert.deepEqual(
      taken.map(({ result }) => result),
      [5, 5],
    );
    assert.equal(memory.bytes.toString("latin1", 100, 105), "hello");
    memory.release();
  });

  test("results carry −errno: no descriptor, a cancelled receive, nothing to cancel", () => {
    push(IORING_OP_RECV, 0x3fff_fff0, 0, 0, 0, 1);
    assert.equal(takeAll(1)[0]?.result, -EBADF);
    const { server } = descriptors.pair();
    const memory = NativeMemory.allocate(PAGE);
    push(IORING_OP_ASYNC_CANCEL, server, 0, 0, IORING_ASYNC_CANCEL_FD, 2);
    assert.equal(takeAll(1)[0]?.result, -ENOENT);
    push(IORING_OP_RECV, server, memory.address, 50, 0, 3);
    ring.enter(0);
    push(IORING_OP_ASYNC_CANCEL, server, 0, 0, IORING_ASYNC_CANCEL_FD, 4);
    // Cancel and its target come in any order.
    const taken = takeAll(2).toSorted((a, b) => a.low - b.low);
    assert.deepEqual(
      taken.map(({ low, result }) => [low, result]),
      [
        [3, -ECANCELED],
        [4, 0],
      ],
    );
    memory.release();
  });

  test("the kernel refuses a ring of nothing, and clamps one that is too large", () => {
    const ignore = () => {
      // All parameters stay zero.
    };
    assert.equal(setupRing(0, ignore), -EINVAL);
    const large = UringRing.open(1 << 20);
    assert.ok(typeof large === "object");
    large.close();
  });
});

/** The cookies 0, 1, 2, … `count` − 1. */
function assertCounts(taken: readonly Completion[], count: number): void {
  assert.equal(taken.length, count);
  assert.equal(
    taken.findIndex(({ low }, index) => low !== index),
    -1,
  );
}
