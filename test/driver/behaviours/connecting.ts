// Connecting: taken, refused, given up.

import assert from "node:assert/strict";
import type { Address } from "../../../src/sys/address.ts";
import { EBADF, ECONNREFUSED, ENOENT } from "../../../src/sys/errno.ts";
import type { Behave } from "../behaviour.ts";
import { assertOk, assertSameBytes, HELLO, pattern } from "../stage.ts";

export function connectingBehaviours(behave: Behave): void {
  behave("connects and echoes", async (stage) => {
    const { handle, peer } = await stage.connect();
    stage.driver.resume(handle);
    await stage.sendAll(handle, HELLO);
    peer.write(await stage.peerReceives(peer, HELLO.length));
    assertSameBytes(await stage.receives(handle, HELLO.length), HELLO);
  });

  behave("hands over a connected connection paused", async (stage) => {
    const { handle, peer } = await stage.connect();
    peer.write(HELLO);
    await stage.linger();
    assert.equal(stage.log.count("received", handle), 0);
    stage.driver.resume(handle);
    assertSameBytes(await stage.receives(handle, HELLO.length), HELLO);
  });

  behave("reports both addresses of a connection it made", async (stage) => {
    const { handle, peer, server } = await stage.connect();
    assert.deepEqual(stage.driver.remoteAddress(handle), server.address);
    const local = stage.driver.localAddress(handle);
    assert.ok(typeof local === "object" && local.family === "ipv4" && local.port > 0);
    assert.deepEqual(peer.localAddress(), server.address);
  });

  behave("reports a refused port through `connected`, and the handle is gone", async (stage) => {
    const handle = stage.mustTake(stage.driver.connect(await stage.host.silentAddress(), {}));
    assert.equal(await stage.event("connected", handle), -ECONNREFUSED);
    assert.equal(stage.driver.close(handle, false), -EBADF);
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), ["connected −ECONNREFUSED"]);
  });

  behave("reports a Unix path that does not exist", async (stage) => {
    const address: Address = { family: "unix", path: stage.host.unixPath() };
    const handle = stage.mustTake(stage.driver.connect(address, {}));
    assert.equal(await stage.event("connected", handle), -ENOENT);
  });

  behave("connects over a Unix path", async (stage) => {
    const path = stage.host.unixPath();
    const { handle, peer } = await stage.connect({ family: "unix", path });
    assert.deepEqual(stage.driver.remoteAddress(handle), { family: "unix", path });
    await stage.sendAll(handle, HELLO);
    assertSameBytes(await stage.peerReceives(peer, HELLO.length), HELLO);
  });

  behave("says only `closed` of a connection that is closed while connecting", async (stage) => {
    const server = await stage.serve();
    const handle = stage.mustTake(stage.driver.connect(server.address, {}));
    await stage.close(handle);
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), ["closed"]);
  });

  behave("says only `closed` when the connecting was about to fail", async (stage) => {
    const address: Address = { family: "unix", path: stage.host.unixPath() };
    const handle = stage.mustTake(stage.driver.connect(address, {}));
    await stage.close(handle);
    const refused = stage.mustTake(stage.driver.connect(await stage.host.silentAddress(), {}));
    await stage.close(refused);
    await stage.linger();
    assert.deepEqual(stage.log.traceOf(handle), ["closed"]);
    assert.deepEqual(stage.log.traceOf(refused), ["closed"]);
  });

  behave("refuses to send before it is connected", async (stage) => {
    const server = await stage.serve();
    const handle = stage.mustTake(stage.driver.connect(server.address, {}));
    assert.ok(stage.send(handle, HELLO) < 0);
    assert.ok(stage.driver.shutdown(handle) < 0);
    assertOk(await stage.event("connected", handle), "connected");
    await stage.sendAll(handle, HELLO);
  });

  behave("connects from inside an event", async (stage) => {
    const server = await stage.serve();
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    let outbound = -1;
    stage.log.react = (event) => {
      if (event.kind === "accepted") outbound = stage.driver.connect(server.address, {});
    };
    await stage.accept(listener, address);
    assertOk(await stage.event("connected", stage.mustTake(outbound)), "connected");
  });

  behave("makes several connections at once, each to its own peer", async (stage) => {
    const servers = await Promise.all(Array.from({ length: 5 }, () => stage.serve()));
    const handles = servers.map((server) =>
      stage.mustTake(stage.driver.connect(server.address, {})),
    );
    await stage.until(() => stage.log.count("connected") === 5, "five connections");
    for (const [n, handle] of handles.entries()) {
      assert.equal(stage.log.last("connected", handle)?.result, 0);
      assert.deepEqual(stage.driver.remoteAddress(handle), servers[n]?.address);
    }
  });

  behave("connects two of its own handles with each other", async (stage) => {
    const { listener, address } = await stage.listen();
    stage.driver.resume(listener);
    const near = stage.mustTake(stage.driver.connect(address, {}));
    const far = stage.mustTake(await stage.event("accepted", listener));
    assertOk(await stage.event("connected", near), "connected");
    stage.driver.resume(far);
    const bytes = pattern(100_000);
    await stage.sendAll(near, bytes);
    assertSameBytes(await stage.receives(far, bytes.length), bytes);
  });
}
