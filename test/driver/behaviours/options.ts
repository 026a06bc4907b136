// Options: what a driver can set it sets, what it cannot it refuses.

import assert from "node:assert/strict";
import { ENOTSUP } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertOk, HELLO, LOOPBACK, listening } from "../stage.ts";

export function optionBehaviours(behave: Behave): void {
  behave("takes TCP_NODELAY and keep-alive for a connection", async (stage) => {
    const { handle, peer } = await stage.pair();
    const keepAlive = { idleSeconds: 30, intervalSeconds: 10, count: 3 };
    assert.equal(stage.driver.configure(handle, { noDelay: true, keepAlive }), 0);
    assert.equal(stage.driver.configure(handle, { noDelay: false, keepAlive: false }), 0);
    assert.equal(stage.driver.configure(handle, {}), 0);
    await stage.sendAll(handle, HELLO);
    await stage.peerReceives(peer, 5);
  });

  behave("takes TCP_NODELAY and keep-alive for a listener and for connecting", async (stage) => {
    const keepAlive = { idleSeconds: 30, intervalSeconds: 10, count: 3 };
    const { listener, address } = await stage.listen(LOOPBACK, { noDelay: true, keepAlive });
    stage.driver.resume(listener);
    await stage.accept(listener, address);
    const server = await stage.serve();
    const handle = stage.driver.connect(server.address, { noDelay: true, keepAlive });
    assertOk(await stage.event("connected", stage.mustTake(handle)), "connected");
  });

  behave(
    "takes the options beyond those",
    async (stage) => {
      const { handle } = await stage.pair();
      const options = {
        userTimeoutMs: 5000,
        receiveBufferBytes: 100_000,
        sendBufferBytes: 100_000,
      };
      assert.equal(stage.driver.configure(handle, options), 0);
    },
    { needs: ["socketOptions"] },
  );

  behave(
    "refuses the options beyond those, and never ignores them",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.configure(handle, { userTimeoutMs: 5000 }), -ENOTSUP);
      const target = listening(LOOPBACK, { receiveBufferBytes: 100_000 });
      assert.equal(stage.driver.listen(target), -ENOTSUP);
      const server = await stage.serve();
      assert.equal(stage.driver.connect(server.address, { quickAck: true }), -ENOTSUP);
    },
    { without: "socketOptions" },
  );

  behave(
    "resets when it closes a connection with `resetOnClose`",
    async (stage) => {
      const { handle, peer } = await stage.pair();
      assert.equal(stage.driver.configure(handle, { resetOnClose: true }), 0);
      await stage.close(handle, false);
      await stage.until(() => peer.error !== undefined || peer.ended, "the peer's reset");
      assert.equal(peer.error, "ECONNRESET");
    },
    { needs: ["reset"] },
  );

  behave(
    "tells what the kernel knows of a connection",
    async (stage) => {
      const { handle } = await stage.pair();
      const known = stage.driver.tcpInfo(handle);
      assert.ok(typeof known === "object" && known.segmentBytes > 0);
    },
    { needs: ["descriptors"] },
  );

  behave(
    "answers −ENOTSUP where there is no kernel to ask",
    async (stage) => {
      const { handle } = await stage.pair();
      assert.equal(stage.driver.tcpInfo(handle), -ENOTSUP);
      assert.equal(stage.driver.descriptor(handle), -ENOTSUP);
    },
    { without: "descriptors" },
  );
}
