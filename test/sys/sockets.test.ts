// Sockets of every family: bound, listened on, connected, accepted, their addresses read back, and bytes carried.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import type { Address } from "../../src/sys/address.ts";
import { acceptFrom, readInto, writeFrom } from "../../src/sys/epoll-calls.ts";
import {
  EADDRINUSE,
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  ENOTCONN,
  ENOTSOCK,
  EPIPE,
} from "../../src/sys/errno.ts";
import { NativeMemory, PAGE } from "../../src/sys/native-memory.ts";
import {
  bindSocket,
  connectSocket,
  descriptorLimit,
  drainEventfd,
  listenSocket,
  localAddress,
  openEventfd,
  openSocket,
  pendingError,
  remoteAddress,
  setLinger,
  setNonBlocking,
  shutdownWrite,
  signalEventfd,
} from "../../src/sys/socket-calls.ts";
import { NO_NATIVE } from "./native-here.ts";
import { addressOf, Descriptors, IPV4, IPV6, type Pair } from "./sockets.ts";

const descriptors = new Descriptors();

describe("sockets", { skip: NO_NATIVE }, () => {
  afterEach(() => descriptors.closeAll());

  test("IPv4: both ends agree on their addresses", () => {
    const { client, server, address } = descriptors.pair(IPV4);
    assert.ok(address.family === "ipv4" && address.port > 0);
    assert.deepEqual(remoteAddress(client), address);
    assert.deepEqual(localAddress(server), address);
    assert.deepEqual(remoteAddress(server), localAddress(client));
  });

  test("IPv6: both ends agree on their addresses", () => {
    const { client, server, address } = descriptors.pair(IPV6);
    assert.equal(address.family !== "unix" && address.host, "::1");
    assert.deepEqual(remoteAddress(client), address);
    assert.deepEqual(remoteAddress(server), localAddress(client));
  });

  test("dual stack: a listener on :: takes IPv4, and says who it was", () => {
    const listener = descriptors.listen(
      { family: "ipv6", host: "::", port: 0 },
      { ipv6Only: false },
    );
    const bound = addressOf(listener);
    assert.ok(bound.family === "ipv6");
    const client = descriptors.connect({ family: "ipv4", host: "127.0.0.1", port: bound.port });
    const server = descriptors.accept(listener);
    const peer = remoteAddress(server);
    assert.ok(typeof peer === "object" && peer.family === "ipv6");
    assert.equal(peer.host, "::ffff:127.0.0.1");
    const own = addressOf(client);
    assert.equal(peer.port, own.family === "ipv4" && own.port);
  });

  test("ipv6Only: the same listener refuses IPv4", () => {
    const listener = descriptors.listen(
      { family: "ipv6", host: "::", port: 0 },
      { ipv6Only: true },
    );
    const bound = addressOf(listener);
    assert.ok(bound.family === "ipv6");
    const client = descriptors.keep(openSocket("ipv4", false));
    const target: Address = { family: "ipv4", host: "127.0.0.1", port: bound.port };
    assert.equal(connectSocket(client, target), -ECONNREFUSED);
  });

  test("Unix: a path, and a peer without a name", () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-"));
    try {
      const path = join(folder, "söcket");
      const { client, server } = descriptors.pair({ family: "unix", path });
      assert.ok(existsSync(path));
      assert.deepEqual(localAddress(server), { family: "unix", path });
      assert.deepEqual(remoteAddress(client), { family: "unix", path });
      assert.deepEqual(remoteAddress(server), { family: "unix", path: "" });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("Unix: the longest path there is", () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-"));
    try {
      const path = join(folder, "x".repeat(107 - folder.length - 1));
      const { server } = descriptors.pair({ family: "unix", path });
      assert.deepEqual(localAddress(server), { family: "unix", path });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("abstract: a name, without a file", () => {
    const path = `\0sluice ${randomUUID()}`;
    const { client, server } = descriptors.pair({ family: "unix", path });
    assert.deepEqual(remoteAddress(client), { family: "unix", path });
    assert.deepEqual(localAddress(server), { family: "unix", path });
    carries({ client, server });
  });

  test("bytes go both ways, and the end is seen", () => {
    const pair = descriptors.pair();
    carries(pair);
    assert.equal(shutdownWrite(pair.client), 0);
    withMemory((memory) => {
      assert.equal(readInto(pair.server, memory.at(0, 16), 16), 0);
      assert.equal(writeFrom(pair.server, memory.at(0, 16), 16), 16);
      assert.equal(readInto(pair.client, memory.at(0, 64), 64), 16);
    });
  });

  test("without bytes or connections, a non-blocking socket says EAGAIN", () => {
    const { listener, server } = descriptors.pair();
    assert.equal(setNonBlocking(server, true), 0);
    assert.equal(setNonBlocking(listener, true), 0);
    withMemory((memory) => assert.equal(readInto(server, memory.at(0, 16), 16), -EAGAIN));
    assert.equal(acceptFrom(listener, 0), -EAGAIN);
    assert.equal(setNonBlocking(server, false), 0);
  });

  test("a non-blocking connect is in progress, then done", () => {
    const listener = descriptors.listen(IPV4);
    const client = descriptors.keep(openSocket("ipv4", true));
    assert.equal(connectSocket(client, addressOf(listener)), -EINPROGRESS);
    descriptors.accept(listener);
    assert.equal(pendingError(client), 0);
    assert.deepEqual(remoteAddress(client), addressOf(listener));
  });

  test("nobody listens: ECONNREFUSED", () => {
    const listener = descriptors.listen(IPV4);
    const address = addressOf(listener);
    descriptors.close(listener);
    assert.equal(
      connectSocket(descriptors.keep(openSocket("ipv4", false)), address),
      -ECONNREFUSED,
    );
  });

  test("an address in use: EADDRINUSE", () => {
    const address = addressOf(descriptors.listen(IPV4));
    const second = descriptors.keep(openSocket("ipv4", false));
    assert.equal(bindSocket(second, address), -EADDRINUSE);
  });

  test("reusePort: two listeners share a port, a third without it does not", () => {
    const first = descriptors.listen(IPV4, { reusePort: true });
    descriptors.listen(addressOf(first), { reusePort: true });
    const third = descriptors.keep(openSocket("ipv4", false));
    assert.equal(bindSocket(third, addressOf(first)), -EADDRINUSE);
  });

  test("closing with linger 0 resets: the peer reads ECONNRESET, then EPIPE", () => {
    const { client, server } = descriptors.pair();
    assert.equal(setLinger(server, true), 0);
    descriptors.close(server);
    withMemory((memory) => {
      assert.equal(readInto(client, memory.at(0, 16), 16), -ECONNRESET);
      // And no SIGPIPE: Node ignores it.
      assert.equal(writeFrom(client, memory.at(0, 16), 16), -EPIPE);
    });
  });

  test("calls on what is no socket, or nothing, say so", () => {
    const event = descriptors.keep(openEventfd());
    assert.equal(listenSocket(event, 1), -ENOTSOCK);
    assert.equal(localAddress(event), -ENOTSOCK);
    assert.equal(localAddress(-1), -EBADF);
    const unconnected = descriptors.keep(openSocket("ipv4", false));
    assert.equal(remoteAddress(unconnected), -ENOTCONN);
    assert.equal(shutdownWrite(unconnected), -ENOTCONN);
  });

  test("an eventfd is signalled any number of times, and drained once", () => {
    const event = descriptors.keep(openEventfd());
    assert.equal(drainEventfd(event), -EAGAIN);
    assert.equal(signalEventfd(event), 8);
    assert.equal(signalEventfd(event), 8);
    assert.equal(drainEventfd(event), 8);
    assert.equal(drainEventfd(event), -EAGAIN);
  });

  test("the descriptor limit is what the system says", () => {
    const limit = descriptorLimit();
    assert.ok(typeof limit === "object");
    assert.ok(limit.soft >= 64 && limit.soft <= limit.hard);
  });
});

/** 10,000 bytes each way. */
function carries({ client, server }: Pick<Pair, "client" | "server">): void {
  withMemory((memory) => {
    const length = 10_000;
    for (let at = 0; at < length; at++) memory.bytes[at] = at * 7;
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      assert.equal(writeFrom(from, memory.at(0, length), length), length);
      const into = length;
      memory.bytes.fill(0, into, into + length);
      let received = 0;
      while (received < length) {
        const left = length - received;
        received += readInto(to, memory.at(into + received, left), left);
      }
      assert.ok(
        memory.bytes.subarray(0, length).equals(memory.bytes.subarray(into, into + length)),
      );
    }
  });
}

function withMemory(use: (memory: NativeMemory) => void): void {
  const memory = NativeMemory.allocate(8 * PAGE);
  try {
    use(memory);
  } finally {
    memory.release();
  }
}
