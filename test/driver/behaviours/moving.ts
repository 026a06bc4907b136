// Moving: a connection that one driver lets go of and another one takes, without a byte lost or doubled.

import assert from "node:assert/strict";
import { EALREADY, EBADF, ECONNRESET, EINVAL, EMFILE, ENOTSUP } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import type { WatchedDriver } from "../event-log.ts";
import {
  assertAllRefused,
  assertOk,
  assertSameBytes,
  fillSlots,
  HELLO,
  pattern,
  type Stage,
} from "../stage.ts";

export function movingBehaviours(behave: Behave): void {
  const moves = { needs: ["moves"] } as const;

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
    moves,
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
    moves,
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
        // Late bytes must not detach it again.
        await stage.receives(first.handle, HELLO.length * (n + 1));
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
    moves,
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
      assertOk(stage.host.closeDescriptor(descriptor), "close");
    },
    moves,
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
      assertOk(stage.host.closeDescriptor(descriptor), "close");
    },
    moves,
  );

  behave(
    "refuses to detach what is no connection, or none yet",
    async (stage) => {
      const { listener } = await stage.listen();
      assert.equal(stage.driver.detach(listener), -EINVAL);
      const server = await stage.serve();
      const connecting = stage.mustTake(stage.driver.connect(server.address, {}));
      assert.equal(stage.driver.detach(connecting), -EINVAL);
      assertOk(await stage.event("connected", connecting), "connected");
      await stage.until(() => server.peers.length === 1, "the peer's accepting");
    },
    moves,
  );

  behave(
    "leaves what comes while it is with no driver to the one that adopts it, up to the end",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      stage.driver.resume(handle);
      const descriptor = await detached(stage, handle);
      const bytes = pattern(50_000, 31);
      peer.write(bytes);
      peer.end();
      await stage.linger();
      const other = stage.another();
      const adopted = stage.mustTake(other.adopt(descriptor));
      other.resume(adopted);
      const life = other.log.life(adopted);
      await stage.until(() => life.ended, "the end");
      assertSameBytes(stage.bytesOf(adopted, other), bytes);
      assert.equal(other.log.last("received", adopted)?.result, 0);
      await stage.sendAll(adopted, HELLO, other);
      assertSameBytes(await stage.peerReceives(peer, 5), HELLO);
    },
    moves,
  );

  behave(
    "tells a reset that came while it was with no driver",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      const descriptor = await detached(stage, handle);
      peer.reset();
      await stage.linger();
      const adopted = stage.mustTake(stage.driver.adopt(descriptor));
      stage.driver.resume(adopted);
      assert.equal(await stage.event("received", adopted), -ECONNRESET);
    },
    moves,
  );

  behave(
    "does not adopt without a free slot; it is then still whose it was",
    async (stage) => {
      const { handle } = await stage.pair();
      const descriptor = await detached(stage, handle);
      const other = stage.another({ slots: 1 });
      await stage.listen(undefined, {}, other);
      assert.equal(other.adopt(descriptor), -EMFILE);
      const adopted = stage.mustTake(stage.driver.adopt(descriptor));
      await stage.sendAll(adopted, HELLO);
    },
    moves,
  );

  behave(
    "frees the slot of what it has detached",
    async (stage) => {
      const { handle } = await stage.pair();
      const descriptor = await detached(stage, handle);
      await fillSlots(stage, 2);
      assert.equal(stage.driver.adopt(descriptor), -EMFILE);
      assertOk(stage.host.closeDescriptor(descriptor), "close");
    },
    { needs: ["moves"], slots: 3 },
  );

  behave(
    "takes the option to reset on close along",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      assert.equal(stage.driver.configure(handle, { resetOnClose: true }), 0);
      const other = stage.another();
      const adopted = stage.mustTake(other.adopt(await detached(stage, handle)));
      await stage.close(adopted, false, other);
      await stage.until(() => peer.error !== undefined || peer.ended, "the peer's reset");
      assert.equal(peer.error, "ECONNRESET");
    },
    { needs: ["moves", "reset"] },
  );

  behave(
    "refuses to detach and to adopt with −ENOTSUP",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.adopt(0), -ENOTSUP);
      assert.equal(stage.driver.detach(handle), -ENOTSUP);
      await stage.sendAll(handle, HELLO);
    },
    { without: "moves" },
  );
}

/** Lets the driver let go of a connection: its descriptor. */
async function detached(stage: Stage, handle: number): Promise<number> {
  assert.equal(stage.driver.detach(handle), 0);
  const descriptor = await stage.event("detached", handle);
  assertOk(descriptor, "detached");
  return descriptor;
}
