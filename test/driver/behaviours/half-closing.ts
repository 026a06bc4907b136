// Half-closing: each direction ends by itself.

import assert from "node:assert/strict";
import { EALREADY, EPIPE } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertOk, assertSameBytes, HELLO, MEBIBYTE, pattern } from "../stage.ts";

export function halfClosingBehaviours(behave: Behave): void {
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
