// Keeping what was received: large receives come to lie in memory that is never written to again.

import assert from "node:assert/strict";
import { ECONNRESET } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertSameBytes, MEBIBYTE, pattern, type Stage } from "../stage.ts";

/** A chunk that a sink keeps, as a codec of large messages would. */
const LARGE = 8192;

export function keepingBehaviours(behave: Behave): void {
  behave("never writes again to what was kept", async (stage) => {
    const { handle, peer } = await stage.pair();
    const bytes = pattern(4 * MEBIBYTE, 21);
    const kept = keepLarge(stage);
    stage.driver.resume(handle);
    peer.write(bytes);
    assertSameBytes(await stage.receives(handle, bytes.length), bytes);
    assert.ok(kept.length > 0, "nothing could be kept");
    for (const { at, view } of kept) assertSameBytes(view, bytes.subarray(at, at + view.length));
  });

  behave("receives large and small ones in turns, kept or not, through pauses", async (stage) => {
    const { handle, peer } = await stage.pair();
    const life = stage.log.life(handle);
    const kept = keepLarge(stage);
    stage.driver.resume(handle);
    const bytes = pattern(600_000, 22);
    let at = 0;
    const write = async (length: number) => {
      peer.write(bytes.subarray(at, at + length));
      at += length;
      await stage.receives(handle, at);
    };
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 4; n++) await write(40_000);
      stage.driver.pause(handle);
      stage.driver.resume(handle);
      for (let n = 0; n < 40; n++) await write(10);
      stage.driver.pause(handle);
      peer.write(bytes.subarray(at, at + 30_000));
      at += 30_000;
      await stage.linger();
      stage.driver.resume(handle);
      await stage.receives(handle, at);
    }
    assertSameBytes(stage.bytesOf(handle), bytes.subarray(0, life.receivedLength));
    for (const { at, view } of kept) assertSameBytes(view, bytes.subarray(at, at + view.length));
  });

  behave("keeps the order up to the end once nothing is kept any more", async (stage) => {
    const { handle, peer } = await stage.pair();
    keepLarge(stage);
    stage.driver.resume(handle);
    const bytes = pattern(8 * MEBIBYTE, 27);
    const first = 300_000;
    peer.write(bytes.subarray(0, first));
    await stage.receives(handle, first);
    stage.log.react = undefined;
    peer.write(bytes.subarray(first));
    peer.end();
    const life = stage.log.life(handle);
    await stage.until(() => life.ended, "the end");
    assertSameBytes(stage.bytesOf(handle), bytes);
  });

  behave("tells the end after what was kept", async (stage) => {
    const { handle, peer } = await stage.pair();
    keepLarge(stage);
    stage.driver.resume(handle);
    const bytes = pattern(300_000, 23);
    peer.write(bytes);
    await stage.receives(handle, bytes.length);
    peer.write(bytes);
    peer.end();
    const life = stage.log.life(handle);
    await stage.until(() => life.ended, "the end");
    assert.equal(life.receivedLength, 2 * bytes.length);
    assert.equal(stage.log.last("received", handle)?.result, 0);
    await stage.linger();
    assert.equal(stage.log.events.filter((e) => e.kind === "received" && e.result === 0).length, 1);
  });

  behave("tells a reset after what was kept", async (stage) => {
    const { handle, peer } = await stage.pair();
    keepLarge(stage);
    stage.driver.resume(handle);
    peer.write(pattern(300_000, 24));
    await stage.receives(handle, 300_000);
    peer.reset();
    const life = stage.log.life(handle);
    await stage.until(() => life.ended, "the reset");
    assert.equal(stage.log.last("received", handle)?.result, -ECONNRESET);
  });

  behave("closes from inside the `received` of what is kept", async (stage) => {
    const { handle, peer } = await stage.pair();
    keepLarge(stage);
    stage.driver.resume(handle);
    peer.write(pattern(300_000, 25));
    await stage.receives(handle, 300_000);
    const react = stage.log.react;
    stage.log.react = (event) => {
      react?.(event);
      if (event.kind === "received" && event.handle === handle) stage.driver.close(handle, false);
    };
    peer.write(pattern(300_000, 26));
    await stage.until(() => !stage.log.lives.has(handle), "closed");
    await stage.linger();
  });
}

/** Keeps every large chunk, where it may as a view: those, with their place in the stream. */
function keepLarge(stage: Stage): { at: number; view: Buffer }[] {
  const kept: { at: number; view: Buffer }[] = [];
  stage.log.react = (event) => {
    if (event.kind !== "received" || event.result < LARGE) return;
    const { driver, log } = stage;
    driver.inputKept = true;
    if (!driver.inputKeepable) return;
    const view = driver.input.subarray(log.offset, log.offset + event.result);
    kept.push({ at: log.life(event.handle).receivedLength - event.result, view });
  };
  return kept;
}
