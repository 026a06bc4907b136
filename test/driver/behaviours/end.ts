// The end of a driver.

import assert from "node:assert/strict";
import type { Behave } from "../behaviour.ts";
import { LOOPBACK, MEBIBYTE, type Stage } from "../stage.ts";

export function endBehaviours(behave: Behave): void {
  behave("closes everything when it is disposed of, without a word", async (stage) => {
    const before = stage.host.openDescriptors();
    const { handle, peer, driver } = await secondDriverWithPair(stage);
    const connecting = driver.connect(await stage.host.silentAddress(), {});
    assert.ok(connecting >= 0);
    driver.resume(handle);
    driver.send(handle, 0, MEBIBYTE);
    const events = driver.log.events.length;
    stage.dispose(driver);
    await stage.until(() => peer.ended || peer.error !== undefined, "the peer's end");
    assert.equal(driver.log.events.length, events);
    peer.close();
    const same = () => stage.host.openDescriptors() === before;
    await stage.until(same, "the descriptors' return to the baseline");
    assert.deepEqual(driver.log.breaches, []);
  });
}

async function secondDriverWithPair(stage: Stage) {
  const driver = stage.another();
  const { listener, address } = await stage.listen(LOOPBACK, {}, driver);
  driver.resume(listener);
  return { driver, ...(await stage.accept(listener, address, driver)) };
}
