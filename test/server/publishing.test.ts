// Messages between threads, with real clients: whoever is subscribed gets what is published, in whichever thread, in order;
// who is slow, full or dead is counted and harms nobody.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { DRIVERS } from "../support/drivers.ts";
import { LineClient } from "../support/line-client.ts";
import { assertEmpty } from "../support/server.ts";
import { until } from "../support/until.ts";

const ROOMS = new URL("../support/handlers/rooms.ts", import.meta.url);

async function start(t: TestContext, options: ServeOptions): Promise<Server> {
  const server = await serve(ROOMS, { onError: () => undefined, ...options });
  t.after(async () => {
    await server.close({ drainMs: 50 });
    assertEmpty(server);
    assert.equal(server.statistics().subscriptions, 0);
  });
  return server;
}

/** One client on each of so many threads, by the number of its thread. */
async function onEach(t: TestContext, server: Server, threads: number): Promise<LineClient[]> {
  const found = new Map<number, LineClient>();
  while (found.size < threads) {
    const client = await LineClient.connect(t, server.address);
    const thread = Number.parseInt(await client.ask("thread"), 10);
    if (found.has(thread)) client.client.destroy();
    else found.set(thread, client);
  }
  return Array.from({ length: threads }, (_, n) => found.get(n) as LineClient);
}

for (const { name: driver, skip } of DRIVERS) {
  for (const threads of [1, 2]) {
    describe(`publishing, ${driver}, ${threads} thread(s)`, { skip }, () => {
      const model = threads === 1 ? ({ model: "event-loop" } as const) : { threads };

      test("reaches the subscribers of all threads, and nobody else", async (t) => {
        const server = await start(t, { driver, ...model });
        const [one, ...others] = await onEach(t, server, threads);
        const two = others[0] ?? (await LineClient.connect(t, server.address));
        assert.ok(one);
        const silent = await LineClient.connect(t, server.address);
        for (const client of [one, two]) assert.equal(await client.ask("sub news.*"), "true");
        assert.equal(await two.ask("sub news.today"), "true");
        assert.equal(await two.ask("topics"), "news.* news.today");
        assert.equal(server.statistics().subscriptions, 3);

        assert.equal(await one.ask("pub news.today hello"), "true");
        await two.next((line) => line === "hello", 0, "what one published");
        assert.equal(await two.ask("all news.today world"), "true");
        await one.next((line) => line === "world", 0, "what two published");
        await two.next((line) => line === "world", 0, "its own");
        assert.equal(server.publish("news.server", "from the server\n"), true);
        for (const client of [one, two]) {
          await client.next((line) => line === "from the server", 0, "the server's");
        }
        const heard = (client: LineClient) =>
          client.lines.filter((line) => !/^(sub|pub|all|thread|topics) /.test(line));
        assert.deepEqual(
          heard(one),
          ["world", "from the server"],
          "its own publish does not come back",
        );
        assert.deepEqual(
          heard(two),
          ["hello", "world", "from the server"],
          "twice subscribed, once sent",
        );

        assert.equal(await two.ask("unsub news.*"), "true");
        assert.equal(await two.ask("unsub news.*"), "false");
        await one.ask("all news.other x");
        await one.ask("all news.today y");
        await two.next((line) => line === "y", 0, "the one it still has");
        assert.ok(!two.lines.includes("x"));
        assert.deepEqual(heard(silent), []);

        const { published, deliveries, deliveriesDropped, mailboxFull } = server.statistics();
        // What the server publishes from a thread without connections is no thread's own.
        assert.equal(published, threads === 1 ? 5 : 4);
        assert.deepEqual([deliveries, deliveriesDropped, mailboxFull], [8, 0, 0]);
        one.client.destroy();
        two.client.reset();
        await until(() => server.statistics().subscriptions === 0, "no subscriptions");
      });

      test("the messages of one publisher arrive in order, also when several publish", async (t) => {
        const server = await start(t, { driver, ...model });
        const publishers = await onEach(t, server, threads);
        const readers = await onEach(t, server, threads);
        for (const reader of readers) await reader.ask("sub a");
        const count = 500;
        const unreached = await Promise.all(publishers.map((each) => each.ask(`many a ${count}`)));
        assert.deepEqual(
          unreached,
          publishers.map(() => "0"),
        );
        for (const reader of readers) {
          const numbers = () => reader.lines.filter((line) => /^\d+:\d+$/.test(line));
          await until(
            () => numbers().length === count * publishers.length,
            () => `${numbers().length} messages`,
          );
          const last = new Map<string, number>();
          for (const line of numbers()) {
            const [publisher = "", n] = line.split(":");
            assert.equal(Number(n), (last.get(publisher) ?? -1) + 1);
            last.set(publisher, Number(n));
          }
        }
      });

      test("broadcast reaches every other thread, and the server's reaches all", async (t) => {
        const server = await start(t, { driver, ...model });
        const clients = await onEach(t, server, threads);
        for (const client of clients) await client.ask("listen");
        const [one, ...others] = clients;
        assert.ok(one);
        assert.equal(await one.ask("tell hello"), "true");
        for (const [n, other] of others.entries()) {
          await other.next((line) => line === `told ${n + 1} hello 0`, 0, "the broadcast");
        }
        assert.equal(server.broadcast({ text: "all", at: new Date(7) }), true);
        for (const [n, client] of clients.entries()) {
          await client.next((line) => line === `told ${n} all 7`, 0, "the server's broadcast");
        }
        assert.ok(!one.lines.includes("told 0 hello 0"), "one's own broadcast");
      });
    });
  }
}
