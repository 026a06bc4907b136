// Descriptors: noted for whoever cleans up, given and taken, shared.

import assert from "node:assert/strict";
import { slotOf } from "../../../src/driver/handle.ts";
import { NOTES_AHEAD } from "../../../src/driver/thread-notes.ts";
import type { Address } from "../../../src/sys/address.ts";
import { EALREADY, EBADF, ENOTSUP } from "../../../src/sys/errno.ts";
import * as sockets from "../../../src/sys/socket-calls.ts";
import type { Behave } from "../behaviour.ts";
import type { WatchedDriver } from "../event-log.ts";
import { assertAllRefused, assertOk, assertSameBytes, HELLO, LOOPBACK, pattern } from "../stage.ts";

export function descriptorBehaviours(behave: Behave): void {
  const descriptors = { needs: ["descriptors"] } as const;

  behave(
    "notes each descriptor in its slot, and clears it",
    async (stage) => {
      const { listener, handle } = await stage.pair();
      const noted = (of: number) => stage.descriptors[NOTES_AHEAD + slotOf(of)];
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
      const own = [...stage.descriptors.subarray(0, 6)].filter((d) => d >= 0);
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
      assert.equal(stage.descriptors[NOTES_AHEAD + slotOf(handle)], -1);
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
    "delivers what it has already read of a connection that is being detached",
    async (stage) => {
      const first = await stage.pair();
      const second = await stage.pair();
      const rounds = 8;
      const other = stage.another();
      stage.driver.resume(first.handle);
      let owner = second.handle;
      let driver: WatchedDriver = stage.driver;
      const got: Buffer[] = [];
      // Both become readable in one turn: the first one's event detaches the second.
      stage.log.react = ({ kind, handle }) => {
        if (kind === "received" && handle === first.handle && driver === stage.driver) {
          driver.detach(owner);
        }
      };
      for (let n = 0; n < rounds; n++) {
        driver.resume(owner);
        await stage.linger();
        const life = driver.log.life(owner);
        first.peer.write(HELLO);
        second.peer.write(pattern(3000, n + 1));
        if (driver !== stage.driver) {
          await stage.until(() => life.receivedLength > 0, "some bytes");
          driver.detach(owner);
        }
        await stage.until(() => !driver.log.lives.has(owner), "detached");
        got.push(...life.chunks);
        const descriptor = driver.log.last("detached", owner)?.result ?? -1;
        driver = driver === other ? stage.driver : other;
        owner = stage.mustTake(driver.adopt(descriptor));
      }
      driver.resume(owner);
      const expected = Buffer.concat(
        Array.from({ length: rounds }, (_, n) => pattern(3000, n + 1)),
      );
      const sum = got.reduce((length, chunk) => length + chunk.length, 0);
      if (sum < expected.length)
        got.push(await stage.receives(owner, expected.length - sum, driver));
      assertSameBytes(Buffer.concat(got), expected);
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

function openListening(): { descriptor: number; address: Address } {
  const descriptor = sockets.openSocket("ipv4", true);
  assertOk(descriptor, "socket");
  assertOk(sockets.bindSocket(descriptor, LOOPBACK), "bind");
  assertOk(sockets.listenSocket(descriptor, 128), "listen");
  const address = sockets.localAddress(descriptor);
  assert.ok(typeof address === "object");
  return { descriptor, address };
}
