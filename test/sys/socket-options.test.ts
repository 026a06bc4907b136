// Every socket option is set, and read back from the kernel.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import {
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_DEFER_ACCEPT,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_USER_TIMEOUT,
} from "../../src/sys/abi.ts";
import type { Address } from "../../src/sys/address.ts";
import { EBADF, EINVAL, ENOTSUP } from "../../src/sys/errno.ts";
import {
  getOption,
  openSocket,
  type SocketOptions,
  setOption,
  setSocketOptions,
  tcpInfo,
} from "../../src/sys/socket-calls.ts";
import { NO_NATIVE } from "./native-here.ts";
import { Descriptors, IPV4 } from "./sockets.ts";

const descriptors = new Descriptors();
const ESTABLISHED = 1;
const ENOPROTOOPT = 92;

type Case = readonly [options: SocketOptions, level: number, name: number, reads: number];

const CASES: readonly Case[] = [
  [{ noDelay: true }, IPPROTO_TCP, TCP_NODELAY, 1],
  [{ noDelay: false }, IPPROTO_TCP, TCP_NODELAY, 0],
  [{ keepAlive: false }, SOL_SOCKET, SO_KEEPALIVE, 0],
  [{ userTimeoutMs: 12_345 }, IPPROTO_TCP, TCP_USER_TIMEOUT, 12_345],
  [{ reuseAddress: true }, SOL_SOCKET, SO_REUSEADDR, 1],
  [{ reusePort: true }, SOL_SOCKET, SO_REUSEPORT, 1],
  // The kernel doubles what it is asked for, to have room for its own records.
  [{ receiveBufferBytes: 40_000 }, SOL_SOCKET, SO_RCVBUF, 80_000],
  [{ sendBufferBytes: 50_000 }, SOL_SOCKET, SO_SNDBUF, 100_000],
  [{ quickAck: true }, IPPROTO_TCP, TCP_QUICKACK, 1],
  [{ quickAck: false }, IPPROTO_TCP, TCP_QUICKACK, 0],
  [{ resetOnClose: true }, SOL_SOCKET, SO_LINGER, 1],
  [{ resetOnClose: false }, SOL_SOCKET, SO_LINGER, 0],
];

describe("socket options", { skip: NO_NATIVE }, () => {
  afterEach(() => descriptors.closeAll());

  for (const [options, level, name, reads] of CASES) {
    test(JSON.stringify(options), () => {
      const socket = descriptors.keep(openSocket("ipv4", false));
      assert.equal(setSocketOptions(socket, "ipv4", options), 0);
      assert.equal(getOption(socket, level, name), reads);
    });
  }

  test("keepAlive, with its three times", () => {
    const socket = descriptors.keep(openSocket("ipv4", false));
    const keepAlive = { idleSeconds: 11, intervalSeconds: 22, count: 33 };
    assert.equal(setSocketOptions(socket, "ipv4", { keepAlive }), 0);
    assert.equal(getOption(socket, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert.equal(getOption(socket, IPPROTO_TCP, TCP_KEEPIDLE), 11);
    assert.equal(getOption(socket, IPPROTO_TCP, TCP_KEEPINTVL), 22);
    assert.equal(getOption(socket, IPPROTO_TCP, TCP_KEEPCNT), 33);
  });

  test("deferAcceptSeconds: rounded up to a whole number of retransmissions", () => {
    const listener = descriptors.listen(IPV4, { deferAcceptSeconds: 5 });
    assert.ok(getOption(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT) >= 5);
  });

  for (const ipv6Only of [true, false]) {
    test(`ipv6Only: ${ipv6Only}`, () => {
      // Before it is bound: afterwards the kernel states 1 for every address but the wildcard.
      const socket = descriptors.keep(openSocket("ipv6", false));
      assert.equal(setSocketOptions(socket, "ipv6", { ipv6Only }), 0);
      assert.equal(getOption(socket, IPPROTO_IPV6, IPV6_V6ONLY), Number(ipv6Only));
    });
  }

  test("what is not named stays as the system has it", () => {
    const one = descriptors.keep(openSocket("ipv4", false));
    const other = descriptors.keep(openSocket("ipv4", false));
    assert.equal(setSocketOptions(one, "ipv4", {}), 0);
    for (const [, level, name] of CASES) {
      assert.equal(getOption(one, level, name), getOption(other, level, name));
    }
  });

  test("what a listener has, the accepted connection has", () => {
    const keepAlive = { idleSeconds: 7, intervalSeconds: 8, count: 9 };
    const { server } = descriptors.pair(IPV4, { noDelay: true, userTimeoutMs: 4321, keepAlive });
    assert.equal(getOption(server, IPPROTO_TCP, TCP_NODELAY), 1);
    assert.equal(getOption(server, IPPROTO_TCP, TCP_USER_TIMEOUT), 4321);
    assert.equal(getOption(server, IPPROTO_TCP, TCP_KEEPINTVL), 8);
  });

  test("a Unix socket takes those that are TCP's as not said", () => {
    const socket = descriptors.keep(openSocket("unix", false));
    const options: SocketOptions = { noDelay: true, userTimeoutMs: 5, sendBufferBytes: 30_000 };
    assert.equal(setSocketOptions(socket, "unix", options), 0);
    assert.equal(getOption(socket, SOL_SOCKET, SO_SNDBUF), 60_000);
  });

  test("a value that the kernel refuses is −errno, and so is a dead descriptor", () => {
    const socket = descriptors.keep(openSocket("ipv4", false));
    const keepAlive = { idleSeconds: 0, intervalSeconds: 1, count: 1 };
    assert.equal(setSocketOptions(socket, "ipv4", { keepAlive }), -EINVAL);
    assert.equal(setOption(socket, IPPROTO_TCP, 9999, 1), -ENOPROTOOPT);
    assert.equal(getOption(-1, SOL_SOCKET, SO_KEEPALIVE), -EBADF);
    assert.equal(setSocketOptions(-1, "ipv4", { resetOnClose: true }), -EBADF);
  });

  test("TCP_INFO tells of a live connection", () => {
    const { client, server } = descriptors.pair();
    for (const descriptor of [client, server]) {
      const info = tcpInfo(descriptor);
      assert.ok(typeof info === "object");
      assert.equal(info.state, ESTABLISHED);
      assert.ok(info.segmentBytes >= 536 && info.segmentBytes <= 65_535, `${info.segmentBytes}`);
      assert.ok(info.congestionWindow >= 1 && info.congestionWindow < 10_000);
      // A measured round trip on loopback takes more than nothing and less than a second.
      assert.ok(info.roundTripUs > 0 && info.roundTripUs < 1_000_000, `${info.roundTripUs}`);
      assert.equal(info.retransmits, 0);
      assert.equal(info.unacknowledged, 0);
    }
  });

  test("TCP_INFO of a Unix socket: not supported", () => {
    const unix: Address = { family: "unix", path: `\0sluice-options-${process.pid}` };
    assert.equal(tcpInfo(descriptors.pair(unix).client), -ENOTSUP);
  });
});
