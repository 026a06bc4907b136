// Handles: a stale one answers −EBADF and touches no one else.

import assert from "node:assert/strict";
import { slotOf } from "../../../src/driver/handle.ts";
import { EBADF } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertAllRefused, assertSameBytes, HELLO } from "../stage.ts";

export function handleBehaviours(behave: Behave): void {
  behave(
    "gives the next user of a slot another handle",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const first = await stage.accept(listener, address);
      await stage.close(first.handle);
      const second = await stage.accept(listener, address);
      assert.equal(slotOf(second.handle), slotOf(first.handle));
      assert.notEqual(second.handle, first.handle);
    },
    { slots: 2 },
  );

  behave(
    "answers −EBADF to every verb on a stale handle, without effect",
    async (stage) => {
      const { listener, address } = await stage.listen();
      stage.driver.resume(listener);
      const { handle: stale } = await stage.accept(listener, address);
      await stage.close(stale);
      const { handle, peer } = await stage.accept(listener, address);
      assert.equal(slotOf(handle), slotOf(stale));
      stage.driver.resume(handle);
      assertAllRefused(stage, stale);
      await stage.linger();
      peer.write(HELLO);
      assertSameBytes(await stage.receives(handle, 5), HELLO);
      await stage.sendAll(handle, HELLO);
      assertSameBytes(await stage.peerReceives(peer, 5), HELLO);
    },
    { slots: 2 },
  );

  behave("answers −EBADF to every verb while it is closing", async (stage) => {
    const { handle } = await stage.pair();
    stage.driver.close(handle, false);
    assertAllRefused(stage, handle);
    await stage.event("closed", handle);
  });

  behave("answers −EBADF to every verb on handles that never were", async (stage) => {
    await stage.linger();
    for (const handle of [-1, -EBADF, 0, 5, 1 << 20, (1 << 30) - 1])
      assertAllRefused(stage, handle);
  });

  behave("refuses on a listener what only a connection can", async (stage) => {
    const { listener, address } = await stage.listen();
    assert.ok(stage.driver.send(listener, 0, 1) < 0);
    assert.ok(stage.driver.shutdown(listener) < 0);
    stage.driver.resume(listener);
    await stage.accept(listener, address);
    assert.equal(stage.log.count("sent"), 0);
  });
}
