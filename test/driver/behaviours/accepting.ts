// Accepting: only when wanted, and no one is lost, whatever there is no room for.

import assert from "node:assert/strict";
import { EMFILE } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertSameBytes, connectionsOf, HELLO } from "../stage.ts";

export function acceptingBehaviours(behave: Behave): void {
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
