// The io_uring driver keeps the contract, or says why this machine refuses it.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { behaveOn } from "./behaviour.ts";
import { driverConformance } from "./conformance.ts";
import { nativeHost } from "./real-hosts.ts";
import { HELLO } from "./stage.ts";

const host = nativeHost("io_uring");
driverConformance(host);

const skip = host.refused === undefined ? false : `refused here: ${host.refused}`;
describe("io_uring: sends of a quiet turn", { skip }, () => {
  behaveOn(host)("leave without another turn", async (stage) => {
    const { handle, peer } = await stage.pair();
    stage.driver.resume(handle);
    peer.write(HELLO);
    await stage.receives(handle, HELLO.length);
    stage.send(handle, HELLO);
    const waits = stage.driver.counters.waits;
    const arrived = () => peer.receivedLength === HELLO.length;
    await host.until([], arrived, () => "the answer did not leave by itself");
    assert.equal(stage.driver.counters.waits, waits);
    assert.equal(await stage.event("sent", handle), HELLO.length);
  });
});
