// Sending: one at a time, all of it or an error, and told exactly once.

import assert from "node:assert/strict";
import { EALREADY, ECONNRESET, EPIPE, errnoName } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertOk, assertSameBytes, HELLO, MEBIBYTE, pattern, type Stage } from "../stage.ts";

export function sendingBehaviours(behave: Behave): void {
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
