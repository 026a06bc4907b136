// The kernel tells one of the threads that share a listener of each connection. When that one dies before it has accepted, the
// others must not wait for the next connection to find it, nor for a new thread.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "../../src/server/serve.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { until } from "../support/until.ts";

const IRREPLACEABLE = new URL("../support/handlers/irreplaceable.ts", import.meta.url);
/** More than are needed until the kernel tells the thread that is blocked. */
const CLIENTS = 20;
const BLOCKED_MS = 3000;
/** Nobody who is not waiting for that thread takes so long. */
const PATIENCE_MS = 300;

/** Clients that have come one after the other, until one is not answered soon. */
async function comeUntilOneWaits(t: TestContext, dial: () => Client): Promise<Client[]> {
  const clients: Client[] = [];
  for (let n = 0; n < CLIENTS; n++) {
    const client = dial();
    clients.push(client);
    client.write("here\n");
    const answered = client.bytes(5).then(() => true);
    if (!(await Promise.race([answered, sleep(PATIENCE_MS, false)]))) break;
  }
  t.diagnostic(`${clients.length} came`);
  return clients;
}

for (const { name: driver, skip } of RAW_DRIVERS) {
  test(`who was meant for a thread that dies is accepted by another one, ${driver}`, {
    skip,
  }, async (t) => {
    const limits = { blockedMs: BLOCKED_MS };
    const server = await serve(IRREPLACEABLE, {
      ...{ driver, threads: 2, limits },
      onError: () => undefined,
    });
    t.after(() => server.close({ drainMs: 50 }));
    const killer = await Client.connect(t, server.address);
    killer.write("loop\n");
    // Who comes before that may be accepted by this very thread, and is cut off with it.
    await until(() => server.statistics().messages === 1, "the thread being blocked");
    const clients = await comeUntilOneWaits(t, () => Client.dial(t, server.address));
    for (const client of clients) {
      assert.equal((await client.bytes(5)).toString(), "here\n", client.state());
    }
  });
}
