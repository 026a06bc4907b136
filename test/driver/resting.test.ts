// Death in the middle of a turn's events: which connections are at rest then, as whoever cleans up finds it. A connection may
// have lost nothing that way, wherever its bytes were: in the kernel, in a completion that nobody has looked at, in a handler.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { makeDriver } from "../../src/driver/choose-driver.ts";
import type { Driver, DriverEvents, Handle } from "../../src/driver/driver.ts";
import { slotOf } from "../../src/driver/handle.ts";
import { notesLength, takeResting } from "../../src/driver/thread-notes.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { until } from "../support/until.ts";

const SLOTS = 16;
const LISTEN = {
  address: { family: "ipv4", host: "127.0.0.1", port: 0 },
  backlog: 16,
  options: {},
} as const;
const ignore = () => {
  // Nothing of that happens here, or nobody asks.
};

for (const { name, skip } of RAW_DRIVERS) {
  test(`who has lost bytes with a thread does not rest, who has none does: ${name}`, {
    skip,
  }, async (t) => {
    const handles: Handle[] = [];
    let dying = false;
    const events: DriverEvents = {
      listening: ignore,
      connected: ignore,
      sent: ignore,
      closed: ignore,
      detached: ignore,
      accepted(_, handle) {
        handles.push(handle);
        driver.resume(handle);
      },
      received() {
        if (dying) throw new Error("the thread dies here");
      },
    };
    const notes = new Int32Array(new SharedArrayBuffer(notesLength(SLOTS) * 4));
    const rests = new Int32Array(new SharedArrayBuffer(SLOTS * 4));
    const driver: Driver = makeDriver(name, {
      events,
      slots: SLOTS,
      outputBytes: 1024 * 1024,
      notes,
      rests,
    });
    t.after(() => driver.dispose());
    const listener = driver.listen(LISTEN);
    driver.turn(0);
    driver.resume(listener);
    const bound = driver.localAddress(listener);
    assert.ok(typeof bound === "object" && bound.family !== "unix");
    const clients: Socket[] = [];
    for (let n = 1; n <= 4; n++) {
      const client = connect(bound.port, "127.0.0.1");
      t.after(() => client.destroy());
      clients.push(client);
      await until(() => driver.turn(0) >= 0 && handles.length === n, "a connection");
    }
    // Every receive is under way.
    driver.turn(0);
    for (const [n, handle] of handles.entries()) rests[slotOf(handle)] = n + 1;
    for (const client of clients.slice(0, 3)) {
      await new Promise((resolve) => client.write("lost?", resolve));
    }
    dying = true;
    assert.throws(() => driver.turn(1000), /dies here/);
    const resting = takeResting(notes, rests);
    const ids = resting.map(({ id }) => id).sort();
    // The ring has taken the bytes of all three; without one, those of the two that were not looked at are in the kernel.
    assert.deepEqual(ids, name === "io_uring" ? [4] : [2, 3, 4]);
    assert.ok(rests.every((entry) => entry === 0));
  });
}
