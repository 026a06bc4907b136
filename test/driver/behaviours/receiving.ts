// Receiving: every byte in order, only while wanted; one end.

import assert from "node:assert/strict";
import { ECONNRESET } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertSameBytes, HELLO, MEBIBYTE, pattern } from "../stage.ts";

export function receivingBehaviours(behave: Behave): void {
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
