// Closing: from anywhere, in any state; `closed` once and last, and nothing stays behind.

import assert from "node:assert/strict";
import { EBADF } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import type { WatchedDriver } from "../event-log.ts";
import { assertOk, assertSameBytes, connectionsOf, HELLO, pattern } from "../stage.ts";

export function closingBehaviours(behave: Behave): void {
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
