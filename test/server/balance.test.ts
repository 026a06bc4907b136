// Which thread gets a connection, with real threads and sockets: a fair share each, also when one of them is busy, and
// nothing lost when one ends while connections are on their way to it.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { OptionError } from "../../src/limits.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { descriptorsOf } from "../support/process-figures.ts";
import { assertEmpty, portOf } from "../support/server.ts";
import { until } from "../support/until.ts";

const BUSY = new URL("../support/handlers/busy.ts", import.meta.url);
const CROWD = fileURLToPath(new URL("../support/crowd.ts", import.meta.url));

async function start(t: TestContext, options: ServeOptions): Promise<Server> {
  const server = await serve(BUSY, { onError: () => undefined, ...options });
  t.after(() => server.close({ drainMs: 50 }));
  return server;
}

function connectionsOf(server: Server): number[] {
  return server.statistics().threads.map(({ connections }) => connections);
}

for (const { name: driver, skip } of RAW_DRIVERS) {
  describe(`balance, ${driver}`, { skip }, () => {
    test("least connections: 1,000 in bursts, to idle threads and with a busy one: max/min ≤ 1.5", async (t) => {
      const server = await start(t, { driver, threads: 3 });
      const crowd = Child.node(t, [CROWD, String(portOf(server))]);
      const fair = (counts: readonly number[]) =>
        assert.ok(Math.max(...counts) / Math.min(...counts) <= 1.5, `${counts}`);
      await crowd.ask("open 1000 100");
      fair(connectionsOf(server));
      await crowd.ask("close");
      await until(() => server.statistics().connections === 0, "none");
      const busy = await Client.connect(t, server.address);
      busy.write("busy\n");
      await busy.bytes(5);
      await crowd.ask("open 1000 100");
      assert.equal(server.statistics().connections, 1001);
      fair(connectionsOf(server));
      await crowd.ask("close");
      busy.destroy();
      await until(() => server.statistics().connections === 0, "none");
      assert.equal(await server.close(), true);
      assertEmpty(server);
    });

    test("round-robin gives each thread as many; by address, one thread has all of one", async (t) => {
      const turns = await start(t, { driver, threads: 3, balance: "round-robin" });
      const some = Array.from({ length: 30 }, () => Client.dial(t, turns.address));
      await until(() => turns.statistics().connections === 30, "all of them");
      assert.deepEqual(connectionsOf(turns), [10, 10, 10]);
      for (const client of some) client.destroy();
      const hashed = await start(t, { driver, threads: 2, balance: "address-hash" });
      for (let n = 0; n < 30; n++) Client.dial(t, hashed.address);
      await until(() => hashed.statistics().connections === 30, "all of them");
      assert.deepEqual(connectionsOf(hashed).sort(), [0, 30]);
    });

    test("a thread that ends with connections on their way to it: others serve them, nothing leaks", async (t) => {
      const server = await start(t, { driver, threads: 2, balance: "round-robin" });
      const first = await Client.connect(t, server.address);
      first.write("hello\n");
      await first.bytes(6);
      const before = descriptorsOf("self");
      let computing = 0;
      const channel = new BroadcastChannel("doom");
      t.after(() => channel.close());
      channel.onmessage = () => computing++;
      for (let round = 0; round < 3; round++) {
        const victim = await Client.connect(t, server.address);
        const other = await Client.connect(t, server.address);
        // Half of those who come while it computes wait in its inbox when it ends.
        const doomed = round === 0 ? victim : other;
        doomed.write("doom\n");
        await until(() => computing === round + 1, "a thread that computes");
        const late = Array.from({ length: 40 }, () => Client.dial(t, server.address));
        for (const client of late) client.write("hello\n");
        await until(() => doomed.ended || doomed.closed, "the end of the thread");
        for (const client of late) {
          assert.equal((await client.bytes(6)).toString(), "hello\n", client.state());
        }
        for (const client of [...late, victim, other]) client.destroy();
        await until(() => server.statistics().connections <= 1, "nobody but the first");
        await until(() => connectionsOf(server).length === 2, "both threads");
      }
      first.destroy();
      await until(() => server.statistics().connections === 0, "nobody");
      await until(
        () => descriptorsOf("self") <= before,
        () => `${descriptorsOf("self")} descriptors, ${before} before`,
      );
      assert.equal(await server.close(), true);
      assertEmpty(server);
    });
  });
}

test("what cannot be balanced is refused in words, and reusePort leaves it to the kernel", async () => {
  const portable = serve(BUSY, { driver: "portable", threads: 2, balance: "round-robin" });
  await assert.rejects(portable, (error: Error) => {
    assert.ok(error instanceof OptionError);
    assert.match(error.message, /portable driver cannot hand connections over/);
    return true;
  });
  const unknown = { balance: "fair" } as unknown as ServeOptions;
  await assert.rejects(serve(BUSY, unknown), /balance must be one of kernel, least-connections/);
});
