// The driver contract as behaviours: one function that runs them all on a driver, whatever it is made of.
//
// Each behaviour is a sentence about one thing. Every one of them also proves, through the stage it runs on, that no event
// came from inside a verb, that the events of each handle stood in an allowed order, and that nothing is left at
// the end. A driver that lacks a capability skips what needs it, and says so.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { AIO_CONTEXT, type DriverCapabilities, OWN_DESCRIPTORS } from "../../src/driver/driver.ts";
import { slotOf } from "../../src/driver/handle.ts";
import { type Address, AddressError } from "../../src/sys/address.ts";
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EALREADY,
  EBADF,
  ECONNREFUSED,
  ECONNRESET,
  EMFILE,
  ENOENT,
  ENOTSUP,
  EPIPE,
  errnoName,
} from "../../src/sys/errno.ts";
import * as sockets from "../../src/sys/socket-calls.ts";
import type { WatchedDriver } from "./event-log.ts";
import type { Host } from "./host.ts";
import {
  assertOk,
  assertSameBytes,
  LOOPBACK,
  listening,
  MEBIBYTE,
  pattern,
  Stage,
  type StageOptions,
} from "./stage.ts";

const LOOPBACK6: Address = { family: "ipv6", host: "::1", port: 0 };
const LONG_PATH: Address = { family: "unix", path: `/tmp/${"x".repeat(200)}` };
const HELLO = Buffer.from("hello");

interface Needs extends StageOptions {
  /** Skipped without these capabilities of the driver… */
  readonly needs?: readonly (keyof DriverCapabilities)[];
  /** …or with them: what is said of drivers that cannot. */
  readonly without?: keyof DriverCapabilities;
  readonly network?: keyof Host["network"];
  /** Needs a descriptor to wake it with. */
  readonly wakeDescriptor?: true;
}

type Behaviour = (stage: Stage) => Promise<void>;

export function driverConformance(host: Host): void {
  const skip = host.refused === undefined ? false : `refused here: ${host.refused}`;
  describe(`driver conformance: ${host.title}`, { skip }, () => {
    const behave = (sentence: string, run: Behaviour, needs: Needs = {}) =>
      it(sentence, { skip: reasonToSkip(host, needs) ?? false }, () => perform(host, run, needs));
    describe("listening", () => listeningBehaviours(behave));
    describe("accepting", () => acceptingBehaviours(behave));
    describe("connecting", () => connectingBehaviours(behave));
    describe("receiving", () => receivingBehaviours(behave));
    describe("sending", () => sendingBehaviours(behave));
    describe("half-closing", () => halfClosingBehaviours(behave));
    describe("closing", () => closingBehaviours(behave));
    describe("handles", () => handleBehaviours(behave));
    describe("options", () => optionBehaviours(behave));
    describe("waiting", () => waitingBehaviours(behave));
    describe("descriptors", () => descriptorBehaviours(behave));
    describe("the end", () => endBehaviours(behave));
  });
}

type Behave = (sentence: string, run: Behaviour, needs?: Needs) => void;

function reasonToSkip(host: Host, needs: Needs): string | undefined {
  if (host.refused !== undefined) return host.refused;
  for (const capability of needs.needs ?? []) {
    if (!host.capabilities[capability]) return `the ${host.driver} driver lacks: ${capability}`;
  }
  if (needs.without !== undefined && host.capabilities[needs.without]) {
    return `said of drivers without: ${needs.without}`;
  }
  if (needs.network !== undefined && !host.network[needs.network]) {
    return `this host's network lacks: ${needs.network}`;
  }
  if (needs.wakeDescriptor && !host.capabilities.descriptors) {
    return `the ${host.driver} driver has no descriptor to signal`;
  }
  return undefined;
}

async function perform(host: Host, run: Behaviour, options: StageOptions): Promise<void> {
  const stage = new Stage(host, options);
  try {
    await run(stage);
    await stage.finish();
  } catch (error) {
    stage.abandon();
    throw error;
  }
}

function listeningBehaviours(behave: Behave): void {
  behave("listens on IPv4 and reports the port it got", async (stage) => {
    const { address } = await stage.listen();
    assert.equal(address.family, "ipv4");
    assert.ok(address.family === "ipv4" && address.host === "127.0.0.1" && address.port > 0);
  });

  behave(
    "listens on IPv6 and takes a peer there",
    async (stage) => {
      const { listener, address } = await stage.listen(LOOPBACK6);
      assert.ok(address.family === "ipv6" && address.host === "::1" && address.port > 0);
      stage.driver.resume(listener);
      const { handle } = await stage.accept(listener, address);
      const remote = stage.driver.remoteAddress(handle);
      assert.ok(typeof remote === "object" && remote.family === "ipv6");
    },
    { network: "ipv6" },
  );

  behave(
    "takes IPv4 peers on a dual-stack listener",
    async (stage) => {
      const any: Address = { family: "ipv6", host: "::", port: 0 };
      const { listener, address } = await stage.listen(any, { ipv6Only: false });
      stage.driver.resume(listener);
      assert.ok(address.family === "ipv6");
      const port = address.port;
      const { handle } = await stage.accept(listener, { family: "ipv4", host: "127.0.0.1", port });
      const remote = stage.driver.remoteAddress(handle);
      assert.ok(typeof remote === "object" && remote.family === "ipv6");
      assert.equal(remote.host, "::ffff:127.0.0.1");
      await stage.accept(listener, address);
    },
    { network: "ipv6" },
  );

  behave(
    "refuses IPv4 peers on an IPv6-only listener",
    async (stage) => {
      const any: Address = { family: "ipv6", host: "::", port: 0 };
      const { listener, address } = await stage.listen(any, { ipv6Only: true });
      stage.driver.resume(listener);
      assert.ok(address.family === "ipv6");
      const peer = stage.dial({ family: "ipv4", host: "127.0.0.1", port: address.port });
      await stage.until(() => peer.error !== undefined, "the peer's refusal");
      assert.equal(peer.error, "ECONNREFUSED");
      await stage.accept(listener, address);
    },
    { network: "ipv6" },
  );

  behave("listens on a Unix path and reports it", async (stage) => {
    const path = stage.host.unixPath();
    const { handle, listener, peer } = await stage.pair({ family: "unix", path });
    assert.deepEqual(stage.driver.localAddress(listener), { family: "unix", path });
    assert.deepEqual(stage.driver.localAddress(handle), { family: "unix", path });
    assert.deepEqual(stage.driver.remoteAddress(handle), { family: "unix", path: "" });
    stage.driver.resume(handle);
    peer.write(HELLO);
    assertSameBytes(await stage.receives(handle, HELLO.length), HELLO);
  });

  behave(
    "listens on an abstract socket and reports its name",
    async (stage) => {
      const path = `\0sluice-${process.pid}-${Math.trunc(performance.now() * 1000)}`;
      const { listener, peer, handle } = await stage.pair({ family: "unix", path });
      assert.deepEqual(stage.driver.localAddress(listener), { family: "unix", path });
      await stage.sendAll(handle, HELLO);
      assertSameBytes(await stage.peerReceives(peer, HELLO.length), HELLO);
    },
    { network: "abstractSockets" },
  );

  behave("has several listeners and keeps their connections apart", async (stage) => {
    const one = await stage.listen();
    const two = await stage.listen();
    stage.driver.resume(one.listener);
    stage.driver.resume(two.listener);
    await stage.accept(two.listener, two.address);
    await stage.accept(one.listener, one.address);
    assert.equal(stage.log.count("accepted", one.listener), 1);
    assert.equal(stage.log.count("accepted", two.listener), 1);
  });

  behave("reports an address in use through `listening`, and the handle is gone", async (stage) => {
    const { address } = await stage.listen();
    const second = stage.mustTake(stage.driver.listen(listening(address)));
    assert.equal(await stage.event("listening", second), -EADDRINUSE);
    assert.equal(stage.driver.close(second, false), -EBADF);
    await stage.linger();
    assert.equal(stage.log.count("closed", second), 0);
  });

  behave("reports an address that this machine does not have", async (stage) => {
    const foreign: Address = { family: "ipv4", host: "192.0.2.1", port: 0 };
    const listener = stage.mustTake(stage.driver.listen(listening(foreign)));
    assert.equal(await stage.event("listening", listener), -EADDRNOTAVAIL);
  });

  behave(
    "throws for an address that is none, and keeps nothing of it",
    async (stage) => {
      const before = stage.host.openDescriptors();
      const named: Address = { family: "ipv4", host: "localhost", port: 0 };
      for (let n = 0; n < 8; n++) {
        assert.throws(() => stage.driver.listen(listening(named)), AddressError);
        assert.throws(() => stage.driver.connect({ ...named, port: 1 }, {}), AddressError);
        assert.throws(() => stage.driver.connect({ ...LOOPBACK, port: 65_536 }, {}), AddressError);
        assert.throws(() => stage.driver.listen(listening(LONG_PATH)), AddressError);
      }
      await stage.linger();
      assert.equal(stage.host.openDescriptors(), before);
      await fillSlots(stage, 8);
    },
    { slots: 8 },
  );

  behave(
    "refuses to listen or connect with −EMFILE when no slot is free",
    async (stage) => {
      const before = stage.host.openDescriptors();
      await fillSlots(stage, 4);
      const held = stage.host.openDescriptors();
      assert.equal(stage.driver.listen(listening(LOOPBACK)), -EMFILE);
      assert.equal(stage.driver.connect(await stage.host.silentAddress(), {}), -EMFILE);
      await stage.linger();
      assert.equal(stage.host.openDescriptors(), held);
      assert.ok(before === undefined || held === undefined || held === before + 4);
    },
    { slots: 4 },
  );

  behave("shares a port between listeners that both ask for it", async (stage) => {
    const { listener, address } = await stage.listen(LOOPBACK, { reusePort: true });
    const second = await stage.listen(address, { reusePort: true });
    stage.driver.resume(listener);
    stage.driver.resume(second.listener);
    for (let n = 0; n < 8; n++) stage.dial(address);
    const taken = () =>
      stage.log.count("accepted", listener) + stage.log.count("accepted", second.listener);
    await stage.until(() => taken() === 8, "eight accepts");
  });

  behave("frees the address when a listener is closed", async (stage) => {
    const { listener, address } = await stage.listen(LOOPBACK, { reuseAddress: true });
    await stage.close(listener);
    const again = await stage.listen(address, { reuseAddress: true });
    stage.driver.resume(again.listener);
    await stage.accept(again.listener, address);
  });

  behave("says only `closed` of a listener that is closed before `listening`", async (stage) => {
    const listener = stage.mustTake(stage.driver.listen(listening(LOOPBACK)));
    await stage.close(listener);
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(listener), ["closed"]);
  });

  behave("refuses peers once the listener is closed", async (stage) => {
    const { listener, address } = await stage.listen();
    await stage.close(listener);
    const peer = stage.dial(address);
    await stage.until(() => peer.error !== undefined, "the peer's refusal");
    assert.equal(peer.error, "ECONNREFUSED");
  });
}

function acceptingBehaviours(behave: Behave): void {
  behave("accepts nothing before the first resume, and then all that waited", async (stage) => {
    const { listener, address } = await stage.listen();
    const peers = [stage.dial(address), stage.dial(address), stage.dial(address)];
    await stage.until(() => peers.every((peer) => peer.connected), "connecting");
    await stage.linger();
    assert.equal(stage.log.count("accepted"), 0);
    stage.driver.resume(listener);
    await stage.until(() => stage.log.count("accepted") === 3, "three accepts");
  });

  behave("accepts nothing while paused, loses no one, and goes on", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    await stage.accept(listener, address);
    assert.equal(stage.driver.pause(listener), 0);
    await stage.linger();
    const peers = [stage.dial(address), stage.dial(address)];
    for (const peer of peers) peer.write(HELLO);
    await stage.linger();
    assert.equal(stage.log.count("accepted"), 1);
    stage.driver.resume(listener);
    await stage.until(() => stage.log.count("accepted") === 3, "the accepts that waited");
    for (const handle of connectionsOf(stage)) stage.driver.resume(handle);
    const heard = () => connectionsOf(stage).filter((h) => stage.log.life(h).receivedLength === 5);
    await stage.until(() => heard().length === 2, "the hellos of those that waited");
  });

  behave("pauses a listener from inside `accepted` and misses no one", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.log.react = (event) => {
      if (event.kind === "accepted") stage.driver.pause(listener);
    };
    const peers = Array.from({ length: 5 }, () => stage.dial(address));
    for (let n = 0; stage.log.count("accepted") < peers.length; n++) {
      assert.ok(n < peers.length, "more rounds than peers");
      stage.driver.resume(listener);
      const before = stage.log.count("accepted");
      await stage.until(() => stage.log.count("accepted") > before, "the next accept");
    }
  });

  behave("hands over a connection paused: nothing is read before resume", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.write(HELLO);
    await stage.linger();
    assert.equal(stage.log.count("received", handle), 0);
    stage.driver.resume(handle);
    assertSameBytes(await stage.receives(handle, HELLO.length), HELLO);
  });

  behave("reports both addresses of an accepted connection", async (stage) => {
    const { listener, handle, peer } = await stage.pair();
    assert.deepEqual(stage.driver.localAddress(handle), stage.driver.localAddress(listener));
    assert.deepEqual(stage.driver.remoteAddress(handle), peer.localAddress());
  });

  behave(
    "accepts a hundred connections that come at once",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      for (let n = 0; n < 100; n++) stage.dial(address);
      await stage.until(() => stage.log.count("accepted", listener) === 100, "a hundred accepts");
      assert.equal(new Set(connectionsOf(stage)).size, 100);
    },
    { slots: 128 },
  );

  behave(
    "answers −EMFILE and pauses when no slot is free; no connection is lost and the others go on",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const first = await stage.accept(listener, address);
      const second = await stage.accept(listener, address);
      const third = stage.dial(address);
      third.write(HELLO);
      await stage.event("accepted", listener, 3);
      assert.equal(stage.log.last("accepted", listener)?.result, -EMFILE);
      await stage.linger();
      assert.equal(stage.log.count("accepted", listener), 3, "a paused listener accepts no more");
      stage.driver.resume(first.handle);
      first.peer.write(HELLO);
      assertSameBytes(await stage.receives(first.handle, HELLO.length), HELLO);
      await stage.close(second.handle);
      stage.driver.resume(listener);
      const handle = stage.mustTake(await stage.event("accepted", listener, 4));
      stage.driver.resume(handle);
      assertSameBytes(await stage.receives(handle, HELLO.length), HELLO);
      assert.equal(third.error, undefined);
    },
    { slots: 3 },
  );

  behave(
    "ends the connections that waited for a slot when their listener is closed",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      await stage.accept(listener, address);
      const waiting = stage.dial(address);
      assert.equal(await stage.event("accepted", listener, 2), -EMFILE);
      await stage.close(listener);
      const over = () => waiting.ended || waiting.error !== undefined;
      await stage.until(over, "the end of the peer that waited");
      const again = await stage.listen();
      assert.equal(again.listener >= 0, true);
    },
    { slots: 2 },
  );

  behave("leaves connections alone when their listener is closed", async (stage) => {
    const { listener, handle, peer } = await stage.pair();
    await stage.close(listener);
    await stage.sendAll(handle, HELLO);
    assertSameBytes(await stage.peerReceives(peer, HELLO.length), HELLO);
  });

  behave("accepts a peer that has written and ended before it was accepted", async (stage) => {
    const { listener, address } = await stage.listen();
    const peer = stage.dial(address);
    peer.write(HELLO);
    peer.end();
    await stage.linger();
    stage.driver.resume(listener);
    const handle = stage.mustTake(await stage.event("accepted", listener));
    stage.driver.resume(handle);
    await stage.until(() => stage.log.life(handle).ended, "the end of the stream");
    assertSameBytes(stage.bytesOf(handle), HELLO);
    assert.equal(stage.log.last("received", handle)?.result, 0);
  });

  behave("survives peers that reset before they are accepted", async (stage) => {
    const { listener, address } = await stage.listen();
    const peer = stage.dial(address);
    await stage.until(() => peer.connected, "connecting");
    peer.reset();
    await stage.linger();
    stage.driver.resume(listener);
    await stage.linger();
    for (const handle of connectionsOf(stage)) stage.driver.resume(handle);
    await stage.linger();
    stage.driver.resume(listener);
    const before = stage.log.count("accepted", listener);
    stage.dial(address);
    await stage.until(() => stage.log.count("accepted", listener) > before, "the next accept");
  });
}

function connectingBehaviours(behave: Behave): void {
  behave("connects and echoes", async (stage) => {
    const { handle, peer } = await stage.connect();
    stage.driver.resume(handle);
    await stage.sendAll(handle, HELLO);
    peer.write(await stage.peerReceives(peer, HELLO.length));
    assertSameBytes(await stage.receives(handle, HELLO.length), HELLO);
  });

  behave("hands over a connected connection paused", async (stage) => {
    const { handle, peer } = await stage.connect();
    peer.write(HELLO);
    await stage.linger();
    assert.equal(stage.log.count("received", handle), 0);
    stage.driver.resume(handle);
    assertSameBytes(await stage.receives(handle, HELLO.length), HELLO);
  });

  behave("reports both addresses of a connection it made", async (stage) => {
    const { handle, peer, server } = await stage.connect();
    assert.deepEqual(stage.driver.remoteAddress(handle), server.address);
    const local = stage.driver.localAddress(handle);
    assert.ok(typeof local === "object" && local.family === "ipv4" && local.port > 0);
    assert.deepEqual(peer.localAddress(), server.address);
  });

  behave("reports a refused port through `connected`, and the handle is gone", async (stage) => {
    const handle = stage.mustTake(stage.driver.connect(await stage.host.silentAddress(), {}));
    assert.equal(await stage.event("connected", handle), -ECONNREFUSED);
    assert.equal(stage.driver.close(handle, false), -EBADF);
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), ["connected −ECONNREFUSED"]);
  });

  behave("reports a Unix path that does not exist", async (stage) => {
    const address: Address = { family: "unix", path: stage.host.unixPath() };
    const handle = stage.mustTake(stage.driver.connect(address, {}));
    assert.equal(await stage.event("connected", handle), -ENOENT);
  });

  behave("connects over a Unix path", async (stage) => {
    const path = stage.host.unixPath();
    const { handle, peer } = await stage.connect({ family: "unix", path });
    assert.deepEqual(stage.driver.remoteAddress(handle), { family: "unix", path });
    await stage.sendAll(handle, HELLO);
    assertSameBytes(await stage.peerReceives(peer, HELLO.length), HELLO);
  });

  behave("says only `closed` of a connection that is closed while connecting", async (stage) => {
    const server = await stage.serve();
    const handle = stage.mustTake(stage.driver.connect(server.address, {}));
    await stage.close(handle);
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), ["closed"]);
  });

  behave("says only `closed` when the connecting was about to fail", async (stage) => {
    const address: Address = { family: "unix", path: stage.host.unixPath() };
    const handle = stage.mustTake(stage.driver.connect(address, {}));
    await stage.close(handle);
    const refused = stage.mustTake(stage.driver.connect(await stage.host.silentAddress(), {}));
    await stage.close(refused);
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), ["closed"]);
    assert.deepEqual(stage.log.traceOf(refused), ["closed"]);
  });

  behave("refuses to send before it is connected", async (stage) => {
    const server = await stage.serve();
    const handle = stage.mustTake(stage.driver.connect(server.address, {}));
    assert.ok(stage.send(handle, HELLO) < 0);
    assert.ok(stage.driver.shutdown(handle) < 0);
    assertOk(await stage.event("connected", handle), "connected");
    await stage.sendAll(handle, HELLO);
  });

  behave("connects from inside an event", async (stage) => {
    const server = await stage.serve();
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    let outbound = -1;
    stage.log.react = (event) => {
      if (event.kind === "accepted") outbound = stage.driver.connect(server.address, {});
    };
    await stage.accept(listener, address);
    assertOk(await stage.event("connected", stage.mustTake(outbound)), "connected");
  });

  behave("makes several connections at once, each to its own peer", async (stage) => {
    const servers = await Promise.all(Array.from({ length: 5 }, () => stage.serve()));
    const handles = servers.map((server) =>
      stage.mustTake(stage.driver.connect(server.address, {})),
    );
    await stage.until(() => stage.log.count("connected") === 5, "five connections");
    for (const [n, handle] of handles.entries()) {
      assert.equal(stage.log.last("connected", handle)?.result, 0);
      assert.deepEqual(stage.driver.remoteAddress(handle), servers[n]?.address);
    }
  });

  behave("connects two of its own handles with each other", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    const near = stage.mustTake(stage.driver.connect(address, {}));
    const far = stage.mustTake(await stage.event("accepted", listener));
    assertOk(await stage.event("connected", near), "connected");
    stage.driver.resume(far);
    const bytes = pattern(100_000);
    await stage.sendAll(near, bytes);
    assertSameBytes(await stage.receives(far, bytes.length), bytes);
  });
}

function receivingBehaviours(behave: Behave): void {
  behave("receives single bytes, each of them", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    const bytes = pattern(64);
    for (const [at, byte] of bytes.entries()) {
      peer.write(Buffer.of(byte));
      await stage.receives(handle, at + 1);
    }
    assertSameBytes(stage.bytesOf(handle), bytes);
  });

  behave("receives a mebibyte byte for byte", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    const bytes = pattern(MEBIBYTE);
    peer.write(bytes);
    assertSameBytes(await stage.receives(handle, bytes.length), bytes);
  });

  behave("stops at pause and goes on at resume without loss", async (stage) => {
    const { handle, peer } = await stage.pair();
    const life = stage.log.life(handle);
    stage.driver.resume(handle);
    peer.write(HELLO);
    await stage.receives(handle, 5);
    stage.driver.pause(handle);
    await stage.linger();
    const bytes = pattern(100_000);
    peer.write(bytes);
    await stage.linger();
    assert.equal(life.receivedLength, 5, "nothing was under way when it paused");
    stage.driver.resume(handle);
    const all = await stage.receives(handle, 5 + bytes.length);
    assertSameBytes(all.subarray(5), bytes);
  });

  behave("pauses from inside `received`, again and again, without loss", async (stage) => {
    const { handle, peer } = await stage.pair();
    const life = stage.log.life(handle);
    const bytes = pattern(MEBIBYTE, 7);
    stage.log.react = (event) => {
      if (event.kind === "received") stage.driver.pause(handle);
    };
    peer.write(bytes);
    while (life.receivedLength < bytes.length) {
      const before = life.receivedLength;
      stage.driver.resume(handle);
      await stage.until(() => life.receivedLength > before, "more bytes");
    }
    assertSameBytes(stage.bytesOf(handle), bytes);
  });

  behave("pauses and resumes in one breath without loss or repetition", async (stage) => {
    const { handle, peer } = await stage.pair();
    const bytes = pattern(300_000, 9);
    stage.log.react = (event) => {
      if (event.kind !== "received") return;
      stage.driver.pause(handle);
      stage.driver.resume(handle);
      stage.driver.pause(handle);
      stage.driver.resume(handle);
    };
    stage.driver.resume(handle);
    for (let at = 0; at < bytes.length; at += 30_000) {
      peer.write(bytes.subarray(at, at + 30_000));
      await stage.receives(handle, at + 1);
    }
    assertSameBytes(await stage.receives(handle, bytes.length), bytes);
    await stage.linger();
    assert.equal(stage.log.life(handle).receivedLength, bytes.length);
  });

  behave("takes a second resume, and a second pause, as nothing", async (stage) => {
    const { handle, peer } = await stage.pair();
    assert.equal(stage.driver.pause(handle), 0);
    assert.equal(stage.driver.resume(handle), 0);
    assert.equal(stage.driver.resume(handle), 0);
    peer.write(HELLO);
    await stage.receives(handle, 5);
    assert.equal(stage.driver.pause(handle), 0);
    assert.equal(stage.driver.pause(handle), 0);
    await stage.linger();
    assertSameBytes(stage.bytesOf(handle), HELLO);
  });

  behave("delivers what was sent before the end, then 0, then nothing", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    const bytes = pattern(200_000, 3);
    peer.write(bytes);
    peer.end();
    await stage.until(() => stage.log.life(handle).ended, "the end of the stream");
    assertSameBytes(stage.bytesOf(handle), bytes);
    assert.equal(stage.log.last("received", handle)?.result, 0);
    const events = stage.log.count("received", handle);
    stage.driver.pause(handle);
    stage.driver.resume(handle);
    await stage.linger();
    assert.equal(stage.log.count("received", handle), events);
  });

  behave("keeps the end of the stream until resume", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.end();
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), []);
    stage.driver.resume(handle);
    assert.equal(await stage.event("received", handle), 0);
  });

  behave("reports a peer's reset", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    peer.write(HELLO);
    await stage.receives(handle, 5);
    peer.reset();
    await stage.until(() => stage.log.life(handle).ended, "the reset");
    assert.equal(stage.log.last("received", handle)?.result, -ECONNRESET);
  });

  behave("reports a reset that came while paused, at resume", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.reset();
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), []);
    stage.driver.resume(handle);
    assert.equal(await stage.event("received", handle), -ECONNRESET);
  });

  behave("receives on many connections at once and mixes nothing up", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    const pairs = [];
    for (let n = 0; n < 20; n++) pairs.push(await stage.accept(listener, address));
    for (const [n, { handle, peer }] of pairs.entries()) {
      stage.driver.resume(handle);
      peer.write(pattern(50_000, n + 1));
    }
    for (const [n, { handle }] of pairs.entries()) {
      assertSameBytes(await stage.receives(handle, 50_000), pattern(50_000, n + 1));
    }
  });

  behave("puts all received bytes inside `input`, and reuses it", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    // The log copies at once and checks the range; four times the input memory must go through it.
    const length = Math.min(4 * stage.driver.input.length, 4 * MEBIBYTE);
    const bytes = pattern(length, 5);
    peer.write(bytes);
    assertSameBytes(await stage.receives(handle, length), bytes);
  });
}

function sendingBehaviours(behave: Behave): void {
  behave("says `sent` once for each send, with its length", async (stage) => {
    const { handle, peer } = await stage.pair();
    for (const length of [1, 2, 1000, 65_536]) await stage.sendAll(handle, pattern(length));
    await stage.linger();
    assert.deepEqual(stage.log.life(handle).sent, [1, 2, 1000, 65_536]);
    await stage.peerReceives(peer, 66_539);
    assert.equal(peer.receivedLength, 66_539);
  });

  behave("refuses a second send while one is under way, and the first goes on", async (stage) => {
    const { handle, peer } = await stage.pair();
    assertOk(stage.send(handle, HELLO), "send");
    assert.equal(stage.send(handle, Buffer.from("other")), -EALREADY);
    await stage.event("sent", handle);
    assert.equal(stage.log.count("sent", handle), 1);
    assertSameBytes(await stage.peerReceives(peer, 5), HELLO);
    await stage.linger();
    assert.equal(peer.receivedLength, 5);
  });

  behave("sends a mebibyte byte for byte", async (stage) => {
    const { handle, peer } = await stage.pair();
    const bytes = pattern(MEBIBYTE, 2);
    await stage.sendAll(handle, bytes);
    assertSameBytes(await stage.peerReceives(peer, bytes.length), bytes);
  });

  behave("sends the whole of its output memory in one go", async (stage) => {
    const { handle, peer } = await stage.pair();
    const bytes = pattern(stage.driver.output.length, 6);
    stage.driver.output.set(bytes);
    assertOk(stage.driver.send(handle, 0, bytes.length), "send");
    assertSameBytes(await stage.peerReceives(peer, bytes.length), bytes);
    assert.equal(await stage.event("sent", handle), bytes.length);
  });

  behave("sends again from inside `sent`, many single bytes in order", async (stage) => {
    const { handle, peer } = await stage.pair();
    const bytes = pattern(500, 4);
    let at = 1;
    stage.log.react = (event) => {
      if (event.kind === "sent" && at < bytes.length) stage.send(handle, bytes.subarray(at, ++at));
    };
    stage.send(handle, bytes.subarray(0, 1));
    assertSameBytes(await stage.peerReceives(peer, bytes.length), bytes);
    await stage.event("sent", handle, bytes.length);
  });

  behave("answers from inside `received`", async (stage) => {
    const { handle, peer } = await stage.pair();
    const life = stage.log.life(handle);
    let answered = 0;
    stage.log.react = (event) => {
      if ((event.kind !== "received" && event.kind !== "sent") || life.sendLength > 0) return;
      const unanswered = stage.bytesOf(handle).subarray(answered);
      answered += unanswered.length;
      if (unanswered.length > 0) stage.send(handle, unanswered);
    };
    stage.driver.resume(handle);
    for (let round = 1; round <= 50; round++) {
      peer.write(HELLO);
      await stage.peerReceives(peer, round * 5);
    }
    assertSameBytes(peer.received(), Buffer.alloc(250, HELLO));
  });

  behave("sends on a connection that it does not read from", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.write(HELLO);
    await stage.sendAll(handle, pattern(10_000));
    await stage.peerReceives(peer, 10_000);
    assert.equal(stage.log.count("received", handle), 0);
  });

  behave("keeps a send under way while the peer does not read (Unix)", async (stage) => {
    const { handle, peer } = await stage.pair({ family: "unix", path: stage.host.unixPath() });
    await keepsSending(stage, handle, peer);
  });

  behave("keeps a send under way while the peer does not read (TCP)", async (stage) => {
    const { handle, peer } = await stage.pair();
    await keepsSending(stage, handle, peer);
  });

  behave("receives while a send is under way", async (stage) => {
    const { handle, peer } = await stage.pair({ family: "unix", path: stage.host.unixPath() });
    peer.pause();
    await stage.fill(handle);
    stage.driver.resume(handle);
    peer.write(HELLO);
    assertSameBytes(await stage.receives(handle, 5), HELLO);
    peer.resume();
    await stage.until(() => stage.log.life(handle).sendLength === 0, "the last sent");
  });

  behave("carries a mebibyte both ways at once", async (stage) => {
    const { handle, peer } = await stage.pair();
    const [there, back] = [pattern(MEBIBYTE, 11), pattern(MEBIBYTE, 12)];
    stage.driver.resume(handle);
    peer.write(there);
    await stage.sendAll(handle, back);
    assertSameBytes(await stage.receives(handle, there.length), there);
    assertSameBytes(await stage.peerReceives(peer, back.length), back);
  });

  behave("sends on many connections at once and mixes nothing up", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    const pairs = [];
    for (let n = 0; n < 20; n++) pairs.push(await stage.accept(listener, address));
    for (const [n, { handle }] of pairs.entries()) stage.send(handle, pattern(50_000, n + 1));
    for (const [n, { handle, peer }] of pairs.entries()) {
      assertSameBytes(await stage.peerReceives(peer, 50_000), pattern(50_000, n + 1));
      await stage.event("sent", handle);
    }
  });

  behave("fails a send to a peer that has reset", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.reset();
    await stage.linger();
    assertOk(stage.send(handle, HELLO), "send");
    const result = await stage.event("sent", handle);
    assert.ok(result === -EPIPE || result === -ECONNRESET, `sent ${errnoName(result)}`);
  });

  behave("fails sends to a peer that has closed, after at most a few", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.close();
    await stage.linger();
    let result = 0;
    for (let n = 1; result >= 0; n++) {
      assert.ok(n <= 5, "five sends to a closed peer were fine");
      assertOk(stage.send(handle, HELLO), "send");
      result = await stage.event("sent", handle, n);
      await stage.linger();
    }
    assert.ok(result === -EPIPE || result === -ECONNRESET, `sent ${errnoName(result)}`);
  });

  behave("fails a send under way when the peer resets", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.pause();
    await stage.fill(handle);
    const before = stage.log.count("sent", handle);
    peer.reset();
    const result = await stage.event("sent", handle, before + 1);
    assert.ok(result === -EPIPE || result === -ECONNRESET, `sent ${errnoName(result)}`);
  });
}

async function keepsSending(
  stage: Stage,
  handle: number,
  peer: Awaited<ReturnType<Stage["pair"]>>["peer"],
): Promise<void> {
  peer.pause();
  const total = await stage.fill(handle);
  const before = stage.log.count("sent", handle);
  await stage.linger();
  assert.equal(stage.log.count("sent", handle), before);
  peer.resume();
  assert.equal(await stage.event("sent", handle, before + 1), MEBIBYTE);
  await stage.peerReceives(peer, total);
  assert.equal(peer.receivedLength, total);
}

function halfClosingBehaviours(behave: Behave): void {
  behave("still sends after the peer has ended", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    peer.end();
    assert.equal(await stage.event("received", handle), 0);
    const bytes = pattern(200_000);
    await stage.sendAll(handle, bytes);
    assertSameBytes(await stage.peerReceives(peer, bytes.length), bytes);
  });

  behave("still receives after its own shutdown", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    assert.equal(stage.driver.shutdown(handle), 0);
    await stage.until(() => peer.ended, "the peer's end of stream");
    const bytes = pattern(200_000);
    peer.write(bytes);
    assertSameBytes(await stage.receives(handle, bytes.length), bytes);
  });

  behave("lets what was sent arrive before the end that follows it", async (stage) => {
    const { handle, peer } = await stage.pair();
    const bytes = pattern(MEBIBYTE);
    peer.pause();
    stage.log.react = (event) => {
      if (event.kind === "sent") assert.equal(stage.driver.shutdown(handle), 0);
    };
    stage.send(handle, bytes);
    await stage.linger();
    peer.resume();
    await stage.until(() => peer.ended, "the peer's end of stream");
    assertSameBytes(peer.received(), bytes);
  });

  behave("refuses a shutdown while a send is under way", async (stage) => {
    const { handle, peer } = await stage.pair();
    assertOk(stage.send(handle, HELLO), "send");
    assert.equal(stage.driver.shutdown(handle), -EALREADY);
    await stage.event("sent", handle);
    assert.equal(stage.driver.shutdown(handle), 0);
    await stage.until(() => peer.ended, "the peer's end of stream");
    assertSameBytes(peer.received(), HELLO);
  });

  behave("fails a send after shutdown with EPIPE", async (stage) => {
    const { handle } = await stage.pair();
    assert.equal(stage.driver.shutdown(handle), 0);
    await stage.linger();
    assertOk(stage.send(handle, HELLO), "send");
    assert.equal(await stage.event("sent", handle), -EPIPE);
  });

  behave("ends both ways without a reset", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    await stage.sendAll(handle, HELLO);
    assert.equal(stage.driver.shutdown(handle), 0);
    peer.end();
    assert.equal(await stage.event("received", handle), 0);
    await stage.until(() => peer.ended, "the peer's end of stream");
    await stage.close(handle);
    await stage.linger();
    assert.equal(peer.error, undefined);
    assertSameBytes(peer.received(), HELLO);
  });

  behave("keeps a handle that has ended both ways until it is closed", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    stage.driver.shutdown(handle);
    peer.end();
    assert.equal(await stage.event("received", handle), 0);
    await stage.linger();
    assert.equal(stage.log.count("closed", handle), 0);
    assert.equal(stage.driver.pause(handle), 0);
    assertOk(stage.send(handle, HELLO), "send");
    assert.equal(await stage.event("sent", handle), -EPIPE);
    await stage.close(handle);
  });
}

function closingBehaviours(behave: Behave): void {
  behave("says `closed` once and last, and the peer reads the end", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    await stage.sendAll(handle, HELLO);
    await stage.close(handle);
    await stage.until(() => peer.ended, "the peer's end of stream");
    await stage.linger();
    assert.equal(stage.log.count("closed", handle), 1);
    assert.equal(stage.log.traceOf(handle).at(-1), "closed");
    assert.equal(peer.error, undefined);
    assertSameBytes(peer.received(), HELLO);
  });

  behave(
    "resets on request",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      await stage.close(handle, true);
      await stage.until(() => peer.error !== undefined || peer.ended, "the peer's reset");
      assert.equal(peer.error, "ECONNRESET");
    },
    { needs: ["reset"] },
  );

  behave(
    "resets on request also after shutdown",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      stage.driver.shutdown(handle);
      await stage.close(handle, true);
      // The end came first; what the peer writes then meets the reset.
      await stage.until(() => peer.ended || peer.error !== undefined, "the peer's end");
    },
    { needs: ["reset"] },
  );

  behave("ends a send under way with its `sent`, then `closed`", async (stage) => {
    const { handle, peer } = await stage.pair();
    peer.pause();
    await stage.fill(handle);
    await stage.close(handle);
    const [sent, closed] = stage.log.traceOf(handle).slice(-2);
    assert.match(sent ?? "", /^sent /);
    assert.equal(closed, "closed");
    peer.resume();
    await stage.until(() => peer.ended || peer.error !== undefined, "the peer's end");
  });

  behave("ends a send under way with a reset, too", async (stage) => {
    const { handle, peer } = await stage.pair({ family: "unix", path: stage.host.unixPath() });
    peer.pause();
    await stage.fill(handle);
    await stage.close(handle, true);
    assert.equal(stage.log.traceOf(handle).at(-1), "closed");
  });

  behave("counts a send that is closed at once exactly once", async (stage) => {
    const { listener, handle, peer } = await stage.pair();
    assertOk(stage.send(handle, HELLO), "send");
    await stage.close(handle);
    const kinds = stage.log.events.filter((event) => event.handle === handle).map((e) => e.kind);
    assert.deepEqual(kinds, ["sent", "closed"]);
    await stage.until(() => peer.ended || peer.error !== undefined, "the peer's end");
    await stage.close(listener);
  });

  behave("receives nothing more once close was called", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    peer.write(pattern(500_000));
    await stage.receives(handle, 1);
    assert.equal(stage.driver.close(handle, false), 0);
    const received = stage.log.count("received", handle);
    await stage.event("closed", handle);
    assert.equal(stage.log.count("received", handle), received);
  });

  behave("refuses a second close with −EBADF", async (stage) => {
    const { handle } = await stage.pair();
    assert.equal(stage.driver.close(handle, false), 0);
    assert.equal(stage.driver.close(handle, false), -EBADF);
    assert.equal(stage.driver.close(handle, true), -EBADF);
    await stage.event("closed", handle);
    assert.equal(stage.driver.close(handle, false), -EBADF);
    await stage.linger();
    assert.equal(stage.log.count("closed", handle), 1);
  });

  for (const kind of ["accepted", "received", "sent"] as const) {
    behave(`closes from inside \`${kind}\``, async (stage) => {
      const { listener, address } = await stage.listen();
      stage.log.react = (event) => {
        if (event.kind !== kind) return;
        const handle = kind === "accepted" ? event.result : event.handle;
        assert.equal(stage.driver.close(handle, false), 0);
      };
      stage.driver.resume(listener);
      const { handle, peer } = await stage.accept(listener, address);
      if (kind !== "accepted") stage.driver.resume(handle);
      if (kind === "sent") stage.send(handle, HELLO);
      peer.write(HELLO);
      await stage.event("closed", handle);
      await stage.linger();
      assert.equal(stage.log.count("closed", handle), 1);
      if (kind === "received") assert.equal(stage.log.count("received", handle), 1);
    });
  }

  behave("closes another connection from inside an event of the same turn", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    const one = await stage.accept(listener, address);
    const two = await stage.accept(listener, address);
    stage.driver.resume(one.handle);
    stage.driver.resume(two.handle);
    let other = -1;
    stage.log.react = (event) => {
      if (event.kind !== "received" || other >= 0) return;
      other = event.handle === one.handle ? two.handle : one.handle;
      assert.equal(stage.driver.close(other, false), 0);
    };
    one.peer.write(HELLO);
    two.peer.write(HELLO);
    await stage.until(() => stage.log.count("closed") === 1, "closed of the other");
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(other), ["closed"]);
  });

  behave("closes a connection that the peer has closed", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    peer.close();
    await stage.until(() => stage.log.life(handle).ended, "the end");
    await stage.close(handle);
    assert.deepEqual(stage.log.traceOf(handle), ["received 0", "closed"]);
  });

  behave("closes a connection that the peer has reset", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    peer.reset();
    await stage.until(() => stage.log.life(handle).ended, "the reset");
    await stage.close(handle);
    assert.deepEqual(stage.log.traceOf(handle), ["received −ECONNRESET", "closed"]);
  });

  behave("closes a listener and its connections in one breath", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    for (let n = 0; n < 10; n++) await stage.accept(listener, address);
    for (const handle of connectionsOf(stage)) stage.driver.resume(handle);
    stage.driver.close(listener, false);
    for (const handle of connectionsOf(stage)) stage.driver.close(handle, handle % 2 === 0);
    await stage.until(() => stage.log.lives.size === 0, "closed of all");
    assert.equal(stage.log.count("closed"), 11);
  });

  behave("closes while peers are connecting, and keeps nothing", async (stage) => {
    const before = stage.host.openDescriptors();
    for (let round = 0; round < 20; round++) {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const peers = [stage.dial(address), stage.dial(address)];
      stage.driver.turn(0);
      await stage.close(listener);
      for (const handle of connectionsOf(stage)) await stage.close(handle);
      await stage.until(
        () => peers.every((p) => p.connected || p.error !== undefined),
        "an answer",
      );
      for (const peer of peers) peer.close();
    }
    await stage.linger();
    assert.equal(stage.host.openDescriptors(), before);
  });

  behave("delivers an answer that is sent, shut down and then closed", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    const answer = pattern(300_000, 8);
    for (let round = 0; round < 5; round++) {
      const { handle, peer } = await stage.accept(listener, address);
      stage.driver.resume(handle);
      peer.write(HELLO);
      await stage.receives(handle, 5);
      await stage.sendAll(handle, answer);
      stage.driver.shutdown(handle);
      await stage.close(handle);
      await stage.until(() => peer.ended || peer.error !== undefined, "the peer's end");
      assert.equal(peer.error, undefined);
      assertSameBytes(peer.received(), answer);
    }
  });

  behave(
    "brings all counts back to zero after two thousand connections through a few slots",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      await stage.linger();
      const before = stage.host.openDescriptors();
      stage.log.react = (event) => cycle(stage.driver, event);
      const rounds = 250;
      for (let round = 0; round < rounds; round++) {
        const peers = Array.from({ length: 8 }, () => stage.dial(address));
        for (const [n, peer] of peers.entries()) {
          peer.write(HELLO);
          if (n % 4 === 0) peer.end();
          if (n % 4 === 1) peer.reset();
        }
        const gone = () => stage.log.lives.size === 1;
        await stage.until(() => gone() && allOver(peers), "the end of a round");
        stage.log.events.length = 0;
        for (const peer of peers) peer.close();
      }
      await stage.linger();
      assert.equal(stage.host.openDescriptors(), before);
      await stage.close(listener);
    },
    { slots: 16 },
  );
}

/** A connection's life in the churn: read something, answer, close; every third with a reset. */
function cycle(
  driver: WatchedDriver,
  event: { kind: string; handle: number; result: number },
): void {
  if (event.kind === "accepted" && event.result >= 0) driver.resume(event.result);
  if (event.kind === "received") {
    if (event.result <= 0) driver.close(event.handle, false);
    else if (driver.log.life(event.handle).sendLength === 0) driver.send(event.handle, 0, 5);
  }
  if (event.kind === "sent" && !driver.log.life(event.handle).closing) {
    driver.close(event.handle, event.handle % 3 === 0);
  }
}

/** A reset may overtake its own accept: such a peer was never there. */
function allOver(peers: readonly { ended: boolean; error: string | undefined }[]): boolean {
  return peers.every((peer, n) => peer.ended || peer.error !== undefined || n % 4 === 1);
}

function handleBehaviours(behave: Behave): void {
  behave(
    "gives the next user of a slot another handle",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const first = await stage.accept(listener, address);
      await stage.close(first.handle);
      const second = await stage.accept(listener, address);
      assert.equal(slotOf(second.handle), slotOf(first.handle));
      assert.notEqual(second.handle, first.handle);
    },
    { slots: 2 },
  );

  behave(
    "answers −EBADF to every verb on a stale handle, without effect",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const { handle: stale } = await stage.accept(listener, address);
      await stage.close(stale);
      const { handle, peer } = await stage.accept(listener, address);
      assert.equal(slotOf(handle), slotOf(stale));
      stage.driver.resume(handle);
      assertAllRefused(stage, stale);
      await stage.linger();
      peer.write(HELLO);
      assertSameBytes(await stage.receives(handle, 5), HELLO);
      await stage.sendAll(handle, HELLO);
      assertSameBytes(await stage.peerReceives(peer, 5), HELLO);
    },
    { slots: 2 },
  );

  behave("answers −EBADF to every verb while it is closing", async (stage) => {
    const { handle } = await stage.pair();
    stage.driver.close(handle, false);
    assertAllRefused(stage, handle);
    await stage.event("closed", handle);
  });

  behave("answers −EBADF to every verb on handles that never were", async (stage) => {
    await stage.linger();
    for (const handle of [-1, -EBADF, 0, 5, 1 << 20, (1 << 30) - 1])
      assertAllRefused(stage, handle);
  });

  behave("refuses on a listener what only a connection can", async (stage) => {
    const { listener, address } = await stage.listen();
    assert.ok(stage.driver.send(listener, 0, 1) < 0);
    assert.ok(stage.driver.shutdown(listener) < 0);
    stage.driver.resume(listener);
    await stage.accept(listener, address);
    assert.equal(stage.log.count("sent"), 0);
  });
}

function optionBehaviours(behave: Behave): void {
  behave("takes TCP_NODELAY and keep-alive for a connection", async (stage) => {
    const { handle, peer } = await stage.pair();
    const keepAlive = { idleSeconds: 30, intervalSeconds: 10, count: 3 };
    assert.equal(stage.driver.configure(handle, { noDelay: true, keepAlive }), 0);
    assert.equal(stage.driver.configure(handle, { noDelay: false, keepAlive: false }), 0);
    assert.equal(stage.driver.configure(handle, {}), 0);
    await stage.sendAll(handle, HELLO);
    await stage.peerReceives(peer, 5);
  });

  behave("takes TCP_NODELAY and keep-alive for a listener and for connecting", async (stage) => {
    const keepAlive = { idleSeconds: 30, intervalSeconds: 10, count: 3 };
    const { listener, address } = await stage.listen(LOOPBACK, { noDelay: true, keepAlive });
    stage.driver.resume(listener);
    await stage.accept(listener, address);
    const server = await stage.serve();
    const handle = stage.driver.connect(server.address, { noDelay: true, keepAlive });
    assertOk(await stage.event("connected", stage.mustTake(handle)), "connected");
  });

  behave(
    "takes the options beyond those",
    async (stage) => {
      const { handle } = await stage.pair();
      const options = {
        userTimeoutMs: 5000,
        receiveBufferBytes: 100_000,
        sendBufferBytes: 100_000,
      };
      assert.equal(stage.driver.configure(handle, options), 0);
    },
    { needs: ["socketOptions"] },
  );

  behave(
    "refuses the options beyond those, and never ignores them",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.configure(handle, { userTimeoutMs: 5000 }), -ENOTSUP);
      const target = listening(LOOPBACK, { receiveBufferBytes: 100_000 });
      assert.equal(stage.driver.listen(target), -ENOTSUP);
      const server = await stage.serve();
      assert.equal(stage.driver.connect(server.address, { quickAck: true }), -ENOTSUP);
    },
    { without: "socketOptions" },
  );

  behave(
    "resets when it closes a connection with `resetOnClose`",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      assert.equal(stage.driver.configure(handle, { resetOnClose: true }), 0);
      await stage.close(handle, false);
      await stage.until(() => peer.error !== undefined || peer.ended, "the peer's reset");
      assert.equal(peer.error, "ECONNRESET");
    },
    { needs: ["reset"] },
  );

  behave(
    "tells what the kernel knows of a connection",
    async (stage) => {
      const { handle } = await stage.pair();
      const known = stage.driver.tcpInfo(handle);
      assert.ok(typeof known === "object" && known.segmentBytes > 0);
    },
    { needs: ["descriptors"] },
  );

  behave(
    "answers −ENOTSUP where there is no kernel to ask",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.tcpInfo(handle), -ENOTSUP);
      assert.equal(stage.driver.descriptor(handle), -ENOTSUP);
    },
    { without: "descriptors" },
  );
}

function waitingBehaviours(behave: Behave): void {
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
      const module = new URL("../../src/sys/socket-calls.ts", import.meta.url).href;
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

function descriptorBehaviours(behave: Behave): void {
  const descriptors = { needs: ["descriptors"] } as const;

  behave(
    "notes each descriptor in its slot, and clears it",
    async (stage) => {
      const { listener, handle } = await stage.pair();
      const noted = (of: number) => stage.descriptors[OWN_DESCRIPTORS + slotOf(of)];
      assert.equal(noted(listener), stage.driver.descriptor(listener));
      assert.equal(noted(handle), stage.driver.descriptor(handle));
      assert.ok((noted(handle) ?? -1) > 2);
      await stage.close(handle);
      assert.equal(noted(handle), -1);
      await stage.close(listener);
      assert.equal(noted(listener), -1);
    },
    descriptors,
  );

  behave(
    "notes its own descriptors in front",
    async (stage) => {
      const own = [...stage.descriptors.subarray(0, AIO_CONTEXT)].filter((d) => d >= 0);
      assert.ok(own.includes(stage.driver.wakeDescriptor));
      for (const descriptor of own) assertOk(sockets.descriptorFlags(descriptor), "an open one");
    },
    descriptors,
  );

  behave(
    "detaches a connection that another driver adopts, in the middle of its stream",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      const other = stage.another();
      stage.driver.resume(handle);
      peer.write(HELLO);
      await stage.receives(handle, 5);
      assert.equal(stage.driver.detach(handle), 0);
      const descriptor = await stage.event("detached", handle);
      assertOk(descriptor, "detached");
      assert.equal(stage.descriptors[OWN_DESCRIPTORS + slotOf(handle)], -1);
      const bytes = pattern(100_000);
      peer.write(bytes);
      const adopted = stage.mustTake(other.adopt(descriptor));
      await stage.linger();
      assert.equal(other.log.count("received", adopted), 0, "an adopted connection is paused");
      other.resume(adopted);
      assertSameBytes(await stage.receives(adopted, bytes.length, other), bytes);
      await stage.sendAll(adopted, HELLO, other);
      assertSameBytes(await stage.peerReceives(peer, 5), HELLO);
      await stage.close(adopted, false, other);
      await stage.until(() => peer.ended, "the peer's end");
    },
    descriptors,
  );

  behave(
    "hands a connection to and fro without losing a byte",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      const drivers = [stage.driver, stage.another()];
      const bytes = pattern(200_000, 13);
      const got: Buffer[] = [];
      let length = 0;
      let owner = handle;
      peer.write(bytes);
      for (let n = 0; length < bytes.length; n++) {
        const driver = drivers[n % 2] as WatchedDriver;
        const life = driver.log.life(owner);
        driver.resume(owner);
        await stage.until(() => life.receivedLength > 0, "some bytes");
        assert.equal(driver.detach(owner), 0);
        await stage.until(() => !driver.log.lives.has(owner), "detached");
        length += life.receivedLength;
        got.push(...life.chunks);
        const descriptor = driver.log.last("detached", owner)?.result ?? -1;
        owner = stage.mustTake((drivers[(n + 1) % 2] as WatchedDriver).adopt(descriptor));
      }
      assertSameBytes(Buffer.concat(got), bytes);
    },
    descriptors,
  );

  behave(
    "refuses to detach while a send is under way",
    async (stage) => {
      const { handle, peer } = await stage.pair({ family: "unix", path: stage.host.unixPath() });
      peer.pause();
      await stage.fill(handle);
      assert.equal(stage.driver.detach(handle), -EALREADY);
      peer.resume();
      await stage.until(() => stage.log.life(handle).sendLength === 0, "the last sent");
      assert.equal(stage.driver.detach(handle), 0);
      const descriptor = await stage.event("detached", handle);
      assertOk(sockets.closeDescriptor(descriptor), "close");
    },
    descriptors,
  );

  behave(
    "answers −EBADF to verbs on a handle that was detached",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.detach(handle), 0);
      assert.equal(stage.driver.close(handle, false), -EBADF);
      assert.equal(stage.driver.detach(handle), -EBADF);
      const descriptor = await stage.event("detached", handle);
      assertAllRefused(stage, handle);
      assertOk(sockets.closeDescriptor(descriptor), "close");
    },
    descriptors,
  );

  for (const shared of [false, true]) {
    behave(
      `listens on a descriptor it was given (${shared ? "shared" : "alone"}), and leaves it open`,
      async (stage) => {
        const { descriptor, address } = openListening();
        const listener = stage.mustTake(stage.driver.listen({ descriptor, shared }));
        assertOk(await stage.event("listening", listener), "listening");
        stage.driver.resume(listener);
        for (let n = 0; n < 3; n++) {
          const { handle, peer } = await stage.accept(listener, address);
          await stage.sendAll(handle, HELLO);
          assertSameBytes(await stage.peerReceives(peer, 5), HELLO);
        }
        await stage.close(listener);
        assertOk(sockets.descriptorFlags(descriptor), "the descriptor after close");
        const late = stage.dial(address);
        await stage.until(() => late.connected, "connecting to the open descriptor");
        const again = stage.mustTake(stage.driver.listen({ descriptor, shared }));
        stage.driver.resume(again);
        assertOk(await stage.event("accepted", again), "the accept that waited");
        await stage.close(again);
        assertOk(sockets.closeDescriptor(descriptor), "close");
      },
      descriptors,
    );
  }

  behave(
    "shares a listening descriptor with another driver; both accept, none twice",
    async (stage) => {
      const { descriptor, address } = openListening();
      const drivers = [stage.driver, stage.another()];
      const listeners = drivers.map((driver) => {
        const listener = stage.mustTake(driver.listen({ descriptor, shared: true }));
        driver.resume(listener);
        return listener;
      });
      const accepted = () => drivers.reduce((sum, d) => sum + d.log.count("accepted"), 0);
      for (let n = 0; n < 60; n++) {
        stage.dial(address);
        await stage.until(() => accepted() === n + 1, `accept ${n + 1}`);
      }
      await stage.linger();
      assert.equal(accepted(), 60);
      await stage.close(listeners[0] as number);
      for (let n = 0; n < 10; n++) stage.dial(address);
      await stage.until(() => accepted() === 70, "accepts of the driver that remains");
      await stage.close(listeners[1] as number, false, drivers[1]);
      assertOk(sockets.closeDescriptor(descriptor), "close");
    },
    { needs: ["descriptors"], slots: 128 },
  );

  behave(
    "refuses descriptors with −ENOTSUP",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.adopt(0), -ENOTSUP);
      assert.equal(stage.driver.listen({ descriptor: 0, shared: false }), -ENOTSUP);
      assert.equal(stage.driver.detach(handle), -ENOTSUP);
      await stage.sendAll(handle, HELLO);
    },
    { without: "descriptors" },
  );
}

function endBehaviours(behave: Behave): void {
  behave("closes everything when it is disposed of, without a word", async (stage) => {
    const before = stage.host.openDescriptors();
    const { handle, peer, driver } = await secondDriverWithPair(stage);
    const connecting = driver.connect(await stage.host.silentAddress(), {});
    assert.ok(connecting >= 0);
    driver.resume(handle);
    driver.send(handle, 0, MEBIBYTE);
    const events = driver.log.events.length;
    stage.dispose(driver);
    await stage.until(() => peer.ended || peer.error !== undefined, "the peer's end");
    assert.equal(driver.log.events.length, events);
    peer.close();
    const same = () => stage.host.openDescriptors() === before;
    await stage.until(same, "the descriptors' return to the baseline");
    assert.deepEqual(driver.log.breaches, []);
  });
}

async function secondDriverWithPair(stage: Stage) {
  const driver = stage.another();
  const { listener, address } = await stage.listen(LOOPBACK, {}, driver);
  driver.resume(listener);
  return { driver, ...(await stage.accept(listener, address, driver)) };
}

function connectionsOf(stage: Stage): number[] {
  return [...stage.log.lives].filter(([, life]) => life.kind === "connection").map(([h]) => h);
}

/** Takes the slots that are left with listeners; they must be exactly as many as said. */
async function fillSlots(stage: Stage, slots: number): Promise<void> {
  for (let n = 0; n < slots; n++) await stage.listen();
}

function openListening(): { descriptor: number; address: Address } {
  const descriptor = sockets.openSocket("ipv4", true);
  assertOk(descriptor, "socket");
  assertOk(sockets.bindSocket(descriptor, LOOPBACK), "bind");
  assertOk(sockets.listenSocket(descriptor, 128), "listen");
  const address = sockets.localAddress(descriptor);
  assert.ok(typeof address === "object");
  return { descriptor, address };
}

function assertAllRefused(stage: Stage, handle: number): void {
  const { driver } = stage;
  const verbs: Record<string, () => unknown> = {
    send: () => driver.inner.send(handle, 0, 1),
    pause: () => driver.inner.pause(handle),
    resume: () => driver.inner.resume(handle),
    shutdown: () => driver.inner.shutdown(handle),
    close: () => driver.inner.close(handle, false),
    detach: () => driver.inner.detach(handle),
    configure: () => driver.inner.configure(handle, { noDelay: true }),
    localAddress: () => driver.inner.localAddress(handle),
    remoteAddress: () => driver.inner.remoteAddress(handle),
    tcpInfo: () => driver.inner.tcpInfo(handle),
    descriptor: () => driver.inner.descriptor(handle),
  };
  for (const [name, verb] of Object.entries(verbs)) {
    assert.equal(verb(), -EBADF, `${name} on handle ${handle}`);
  }
}
