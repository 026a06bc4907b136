// Connections that are in no slot when their thread dies: on their way out of one, or waiting for one. Their peers must be told like
// all others, and would wait for ever if nobody knew of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../src/server/serve.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { until } from "../support/until.ts";

const LETHAL = new URL("../support/handlers/lethal.ts", import.meta.url);
const DYING_DEPARTED = new URL("../support/handlers/dying-departed.ts", import.meta.url);
const onError = () => undefined;

for (const { name: driver, skip } of RAW_DRIVERS) {
  test(`a connection whose thread dies in its departed handler ends: ${driver}`, {
    skip,
  }, async (t) => {
    // All connections of one address are one thread's: rebalance moves half of them.
    const options = { driver, threads: 2, balance: "address-hash", onError } as const;
    const server = await serve(DYING_DEPARTED, options);
    t.after(() => server.close({ drainMs: 50 }));
    const dial = () => Client.connect(t, server.address);
    const clients = await Promise.all(Array.from({ length: 8 }, dial));
    await until(() => server.statistics().connections === 8, "all of them");
    void server.rebalance();
    const left = () => clients.filter(({ ended, closed }) => !ended && !closed);
    await until(
      () => left().length === 0,
      () => `the end of ${left().length} connections`,
    );
  });
}

// Only a ring can bring more than there are slots for.
const ring = RAW_DRIVERS.find(({ name }) => name === "io_uring");
const noRing = ring?.skip ?? "there is no io_uring";
test("a connection that waits for a slot when its thread dies ends", {
  skip: noRing,
}, async (t) => {
  const server = await serve(LETHAL, {
    driver: "io_uring",
    threads: 1,
    onError,
    limits: { connections: 2 },
  });
  t.after(() => server.close({ drainMs: 50 }));
  const first = await Client.connect(t, server.address);
  // Whoever comes while it works is accepted at once afterwards, and there are slots for some of them.
  first.write("work\n".repeat(10));
  const waiting = await Promise.all(
    Array.from({ length: 60 }, () => Client.connect(t, server.address)),
  );
  await first.bytes(50);
  first.write("exit\n");
  await until(() => first.ended || first.closed, "the end of the thread");
  for (const client of waiting) client.write("hello\n");
  // Those that the kernel still had are served by the next thread, one after the other.
  const isAnswered = (client: Client) => client.receivedLength > 0;
  const isTold = (client: Client) => client.ended || client.closed || isAnswered(client);
  const unserved = () => {
    for (const client of waiting.filter(isAnswered)) client.destroy();
    return waiting.filter((client) => !isTold(client)).length;
  };
  await until(
    () => unserved() === 0,
    () => `an end or an answer for ${unserved()} of them`,
  );
  const cut = waiting.filter((client) => !isAnswered(client));
  t.diagnostic(`${cut.length} were cut off`);
  // The slots beside those two are sixteen.
  assert.ok(cut.length > 18, "nobody waited for a slot: it shows nothing");
});
