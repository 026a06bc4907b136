// Listening: on which addresses, how a failure is told, when an address is free again.

import assert from "node:assert/strict";
import { type Address, AddressError } from "../../../src/sys/address.ts";
import { EADDRINUSE, EADDRNOTAVAIL, EBADF, EMFILE } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertSameBytes, fillSlots, HELLO, LOOPBACK, listening } from "../stage.ts";

const LOOPBACK6: Address = { family: "ipv6", host: "::1", port: 0 };
const LONG_PATH: Address = { family: "unix", path: `/tmp/${"x".repeat(200)}` };

export function listeningBehaviours(behave: Behave): void {
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
