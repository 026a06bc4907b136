// epoll(7) through sys: timeouts, the two halves of an event's data, and −errno for wrong control.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import {
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
} from "../../src/sys/abi.ts";
import { Epoll, openEpoll } from "../../src/sys/epoll-calls.ts";
import { EBADF, EEXIST, EINTR, ENOENT } from "../../src/sys/errno.ts";
import {
  drainEventfd,
  openEventfd,
  shutdownWrite,
  signalEventfd,
} from "../../src/sys/socket-calls.ts";
import { NO_NATIVE } from "./native-here.ts";
import { Descriptors } from "./sockets.ts";

const descriptors = new Descriptors();

describe("epoll", { skip: NO_NATIVE }, () => {
  afterEach(() => descriptors.closeAll());

  test("without events: 0 at once, or after the timeout and not before", () => {
    const epoll = new Epoll(descriptors.keep(openEpoll()), 4);
    assert.equal(epoll.wait(0), 0);
    const started = performance.now();
    let result = epoll.wait(50);
    // A signal of the test runner's may come in between.
    while (result === -EINTR) result = epoll.wait(50);
    assert.equal(result, 0);
    const waited = performance.now() - started;
    assert.ok(waited >= 49 && waited < 1000, `${waited} ms`);
    epoll.release();
  });

  test("an event carries both halves of its data, whatever their signs", () => {
    const epoll = new Epoll(descriptors.keep(openEpoll()), 4);
    for (const [low, high] of [
      [0, 0],
      [1, 2],
      [-1, 0x7fff_ffff],
      [-0x8000_0000, -1],
      [123_456_789, -987_654_321],
    ] as const) {
      const event = descriptors.keep(openEventfd());
      assert.equal(epoll.control(EPOLL_CTL_ADD, event, EPOLLIN, low, high), 0);
      assert.equal(signalEventfd(event), 8);
      assert.equal(epoll.wait(-1), 1);
      assert.equal(epoll.events(0), EPOLLIN);
      assert.deepEqual([epoll.low(0), epoll.high(0)], [low, high]);
      descriptors.close(event);
      assert.equal(epoll.wait(0), 0);
    }
    epoll.release();
  });

  test("no more events than it has room for; the others come next", () => {
    const epoll = new Epoll(descriptors.keep(openEpoll()), 3);
    const events = Array.from({ length: 5 }, () => descriptors.keep(openEventfd()));
    for (const [index, event] of events.entries()) {
      assert.equal(epoll.control(EPOLL_CTL_ADD, event, EPOLLIN, index, 0), 0);
      signalEventfd(event);
    }
    const seen = new Set<number>();
    while (seen.size < 5) {
      const count = epoll.wait(1000);
      assert.ok(count >= 1 && count <= 3);
      for (let index = 0; index < count; index++) {
        seen.add(epoll.low(index));
        drainEventfd(events[epoll.low(index)] ?? -1);
      }
    }
    assert.equal(epoll.wait(0), 0);
    epoll.release();
  });

  test("an edge comes once; the end of a stream is one", () => {
    const { client, server } = descriptors.pair();
    const epoll = new Epoll(descriptors.keep(openEpoll()), 4);
    const edges = (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) >>> 0;
    assert.equal(epoll.control(EPOLL_CTL_ADD, server, edges, 7, 0), 0);
    assert.equal(epoll.wait(1000), 1);
    assert.equal(epoll.events(0), EPOLLOUT);
    assert.equal(epoll.wait(0), 0);
    shutdownWrite(client);
    assert.equal(epoll.wait(1000), 1);
    assert.ok((epoll.events(0) & (EPOLLIN | EPOLLRDHUP)) === (EPOLLIN | EPOLLRDHUP));
    assert.equal(epoll.wait(0), 0);
    epoll.release();
  });

  test("control: twice, absent, changed, not a descriptor", () => {
    const epoll = new Epoll(descriptors.keep(openEpoll()), 4);
    const event = descriptors.keep(openEventfd());
    assert.equal(epoll.control(EPOLL_CTL_DEL, event, 0, 0, 0), -ENOENT);
    assert.equal(epoll.control(EPOLL_CTL_ADD, event, EPOLLIN, 1, 0), 0);
    assert.equal(epoll.control(EPOLL_CTL_ADD, event, EPOLLIN, 1, 0), -EEXIST);
    assert.equal(epoll.control(EPOLL_CTL_MOD, event, EPOLLOUT, 2, 0), 0);
    assert.equal(epoll.wait(0), 1);
    assert.equal(epoll.low(0), 2);
    assert.equal(epoll.control(EPOLL_CTL_DEL, event, 0, 0, 0), 0);
    assert.equal(epoll.wait(0), 0);
    assert.equal(epoll.control(EPOLL_CTL_ADD, -1, EPOLLIN, 0, 0), -EBADF);
    epoll.release();
  });
});
