// More clients than descriptors: those who are in keep working, the others wait in the kernel's queue and lose nothing,
// and the server neither spins nor accepts to close.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Statistics } from "../../src/server/statistics.ts";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { cpuTicks, TICK_MS } from "../support/process-figures.ts";
import { settled, until } from "../support/until.ts";

const SERVER = fileURLToPath(new URL("../support/echo-server.ts", import.meta.url));
const DESCRIPTORS = 64;
const CLIENTS = 80;

for (const { name: driver, skip } of RAW_DRIVERS) {
  describe(`out of descriptors, ${driver}`, { skip }, () => {
    test("nobody is reset, nobody who is in is disturbed, nothing spins, all are served", async (t) => {
      const options = JSON.stringify({ driver, limits: { connections: 50 } });
      const child = Child.start(t, "sh", [
        "-c",
        `ulimit -n ${DESCRIPTORS}; exec "$0" "$@"`,
        process.execPath,
        SERVER,
        options,
      ]);
      const [, port] = await child.says(/port (\d+)/);
      const address = { family: "ipv4", host: "127.0.0.1", port: Number(port) } as const;

      const clients = Array.from({ length: CLIENTS }, () => Client.dial(t, address));
      for (const client of clients) client.write("hello");
      const served = () => clients.filter(({ receivedLength }) => receivedLength > 0);
      await until(() => served().length > 0, "the first ones");
      const inside = await settled(() => served().length, 500);
      const { connections, acceptErrors } = await child.ask<Statistics>("statistics");
      assert.ok(inside > 5 && inside < 50, `${inside} of ${CLIENTS} are served`);
      assert.equal(connections, inside);
      assert.ok(acceptErrors > 0, "it never ran out of descriptors");

      const before = cpuTicks(child.pid);
      const errorsBefore = acceptErrors;
      await sleep(1000);
      const busyMs = (cpuTicks(child.pid) - before) * TICK_MS;
      assert.ok(busyMs < 200, `${busyMs} ms of CPU in a second of waiting`);
      const tried = (await child.ask<Statistics>("statistics")).acceptErrors - errorsBefore;
      assert.ok(tried < 60, `accept was tried ${tried} times in a second`);

      const old = served();
      for (let round = 1; round <= 20; round++) {
        for (const client of old) client.write("again");
        for (const client of old) await client.bytes(5 + round * 5);
      }
      assert.equal(served().length, inside);

      const gone = new Set<Client>();
      while (gone.size < CLIENTS) {
        const leaving = served().filter((client) => !gone.has(client));
        for (const client of leaving) {
          assert.equal(client.text().slice(0, 5), "hello");
          client.socket.end();
          gone.add(client);
        }
        const next = Math.min(gone.size + 1, CLIENTS);
        await until(() => served().length >= next, `client ${next} of ${CLIENTS}`);
      }
      const errors = clients.map(({ error }) => error).filter((error) => error !== undefined);
      assert.deepEqual(errors, []);
      assert.equal(await child.ask<boolean>("close"), true);
      assert.equal((await child.exit()).code, 0, child.stderr);
    });
  });
}
