// Sending at once: bytes from any memory, as many as there is room for, in order with every other send.

import assert from "node:assert/strict";
import { EALREADY, EBADF, ENOTCONN } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertOk, assertSameBytes, HELLO, MEBIBYTE, pattern, type Stage } from "../stage.ts";

const SENDS_NOW = { needs: ["sendNow"] } as const;

export function sendingNowBehaviours(behave: Behave): void {
  behave(
    "takes bytes that arrive in order with what is sent before and after them",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      const bytes = pattern(30_000, 3);
      await stage.sendAll(handle, bytes.subarray(0, 10_000));
      const rest = bytes.subarray(10_000, 20_000);
      const count = stage.driver.sendNow(handle, rest);
      assertOk(count, "sendNow");
      if (count < rest.length) await stage.sendAll(handle, rest.subarray(count));
      await stage.sendAll(handle, bytes.subarray(20_000));
      assertSameBytes(await stage.peerReceives(peer, bytes.length), bytes);
      await stage.linger();
      assert.equal(peer.receivedLength, bytes.length);
      const sends = count < rest.length ? 3 : 2;
      assert.equal(stage.log.count("sent", handle), sends, "what left at once is not told of");
    },
    SENDS_NOW,
  );

  behave(
    "lets go of the bytes before it answers",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      const bytes = pattern(20_000, 5);
      const scratch = Buffer.from(bytes);
      const count = stage.driver.sendNow(handle, scratch);
      assertOk(count, "sendNow");
      scratch.fill(0);
      if (count < bytes.length) await stage.sendAll(handle, bytes.subarray(count));
      assertSameBytes(await stage.peerReceives(peer, bytes.length), bytes);
    },
    SENDS_NOW,
  );

  behave(
    "takes no more than there is room for while the peer does not read",
    async (stage) => {
      const { handle, peer } = await stage.pair({ family: "unix", path: stage.host.unixPath() });
      peer.pause();
      const bytes = pattern(8 * MEBIBYTE, 9);
      const taken = await takeUntilFull(stage, handle, bytes);
      assert.ok(taken < bytes.length, `all of ${taken} bytes went to a peer that does not read`);
      peer.resume();
      await stage.sendAll(handle, bytes.subarray(taken, taken + MEBIBYTE));
      const whole = bytes.subarray(0, taken + MEBIBYTE);
      assertSameBytes(await stage.peerReceives(peer, whole.length), whole);
    },
    SENDS_NOW,
  );

  behave(
    "takes nothing while a send is under way",
    async (stage) => {
      const { handle, peer } = await stage.pair({ family: "unix", path: stage.host.unixPath() });
      peer.pause();
      const total = await stage.fill(handle);
      assert.equal(stage.driver.sendNow(handle, HELLO), -EALREADY);
      peer.resume();
      await stage.until(() => stage.log.life(handle).sendLength === 0, "the last sent");
      await stage.peerReceives(peer, total);
      await stage.linger();
      assert.equal(peer.receivedLength, total);
    },
    SENDS_NOW,
  );

  behave(
    "ends the stream after what was taken",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      const bytes = pattern(20_000, 8);
      const count = stage.driver.sendNow(handle, bytes);
      assertOk(count, "sendNow");
      assert.equal(stage.driver.shutdown(handle), 0);
      await stage.until(() => peer.ended, "the end");
      assertSameBytes(peer.received(), bytes.subarray(0, count));
    },
    SENDS_NOW,
  );

  behave(
    "tells at once that the peer has reset",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      peer.reset();
      await stage.until(() => stage.driver.sendNow(handle, HELLO) < 0, "an error");
    },
    SENDS_NOW,
  );

  behave(
    "refuses a listener and a handle that is gone",
    async (stage) => {
      const { listener, handle } = await stage.pair();
      assert.equal(stage.driver.sendNow(listener, HELLO), -ENOTCONN);
      await stage.close(handle);
      assert.equal(stage.driver.sendNow(handle, HELLO), -EBADF);
    },
    SENDS_NOW,
  );

  behave(
    "takes nothing where it cannot",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      assert.equal(stage.driver.sendNow(handle, HELLO), 0);
      await stage.linger();
      assert.equal(peer.receivedLength, 0);
    },
    { without: "sendNow" },
  );
}

/** Hands over bytes until none are taken any more: how many were. */
async function takeUntilFull(stage: Stage, handle: number, bytes: Buffer): Promise<number> {
  let taken = 0;
  for (let idle = 0; idle < 2 && taken < bytes.length; ) {
    const count = stage.driver.sendNow(handle, bytes.subarray(taken, taken + 65_536));
    assertOk(count, "sendNow");
    taken += count;
    idle = count === 0 ? idle + 1 : 0;
    if (count === 0) await stage.linger();
  }
  return taken;
}
