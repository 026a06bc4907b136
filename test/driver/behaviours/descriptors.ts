// Descriptors: noted for whoever cleans up, given, shared.

import assert from "node:assert/strict";
import { slotOf } from "../../../src/driver/handle.ts";
import { NOTES_AHEAD } from "../../../src/driver/thread-notes.ts";
import type { Address } from "../../../src/sys/address.ts";
import { ENOTSUP } from "../../../src/sys/errno.ts";
import * as sockets from "../../../src/sys/socket-calls.ts";
import type { Behave } from "../behaviour.ts";
import { assertOk, assertSameBytes, HELLO, LOOPBACK } from "../stage.ts";

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
    "clears the note of a descriptor that is detached, and notes one that is adopted",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.detach(handle), 0);
      const descriptor = await stage.event("detached", handle);
      assert.equal(stage.descriptors[NOTES_AHEAD + slotOf(handle)], -1);
      const adopted = stage.mustTake(stage.driver.adopt(descriptor));
      assert.equal(stage.descriptors[NOTES_AHEAD + slotOf(adopted)], descriptor);
      assert.equal(stage.driver.descriptor(adopted), descriptor);
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
    "refuses to listen on a descriptor with −ENOTSUP",
    async (stage) => {
      assert.equal(stage.driver.listen({ descriptor: 0, shared: false }), -ENOTSUP);
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
