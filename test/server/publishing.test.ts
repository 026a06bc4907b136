// Messages between threads, with real clients: whoever is subscribed gets what is published, in whichever thread, in order;
// who is slow, full or dead is counted and harms nobody.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, type TestContext, test } from "node:test";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { DRIVERS, RAW_DRIVERS } from "../support/drivers.ts";
import { LineClient, onEachThread, onThread } from "../support/line-client.ts";
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

for (const { name: driver, skip } of DRIVERS) {
  for (const threads of [1, 2]) {
    describe(`publishing, ${driver}, ${threads} thread(s)`, { skip }, () => {
      const model = threads === 1 ? ({ model: "event-loop" } as const) : { threads };

      test("reaches the subscribers of all threads, and nobody else", async (t) => {
        const server = await start(t, { driver, ...model });
        const [one, ...others] = await onEachThread(t, server, threads);
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
        const publishers = await onEachThread(t, server, threads);
        const readers = await onEachThread(t, server, threads);
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
        const clients = await onEachThread(t, server, threads);
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

for (const { name: driver, skip } of DRIVERS) {
  describe(`publishing to threads that are busy or gone, ${driver}`, { skip }, () => {
    test("a full mailbox is an answer: what it could not take is counted, all else arrives in order", async (t) => {
      const server = await start(t, { driver, threads: 2, limits: { mailboxBytes: 1024 } });
      const [here, there] = await onEachThread(t, server, 2);
      assert.ok(here && there);
      await there.ask("sub a");
      there.client.write("block 300\n");
      const count = 200;
      const unreached = Number(await here.ask(`many a ${count}`));
      assert.ok(unreached > 0 && unreached < count, `${unreached} of ${count}`);
      assert.equal(server.statistics().mailboxFull, unreached);
      const came = () => there.lines.filter((line) => line.startsWith("0:"));
      await until(
        () => came().length === count - unreached,
        () => `${came().length} messages`,
      );
      const numbers = came().map((line) => Number(line.slice(2)));
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
      );
      assert.equal(await here.ask("pub a again"), "true", "there is room again");
      await there.next((line) => line === "again", 0, "what came later");
    });

    test("a thread that dies with messages in its mailbox: they are counted, nobody waits, its successor hears the next", async (t) => {
      const server = await start(t, { driver, threads: 2 });
      const [here, there] = await onEachThread(t, server, 2);
      assert.ok(here && there);
      await there.ask("sub a");
      await here.ask("sub b");
      const before = server.statistics().threads[1]?.accepted ?? 0;
      there.client.write("doom 200\n");
      assert.equal(await here.ask("many a 50"), "0", "there was room");
      await until(() => there.client.closed || there.client.ended, "the end of its connection");
      await until(
        () => server.statistics().threads[1]?.mailboxLost === 50,
        () => JSON.stringify(server.statistics().threads[1]),
      );
      assert.equal(server.statistics().subscriptions, 1, "its subscriptions went with it");
      await until(() => server.statistics().mailboxLost === 50, "the successor");
      const successor = await onThread(t, server, 1);
      assert.ok((server.statistics().threads[1]?.accepted ?? 0) > before);
      assert.equal(await successor.ask("sub a"), "true");
      await here.ask("pub a once more");
      await successor.next((line) => line === "once more", 0, "a publish to the successor");
      await successor.ask("pub b and back");
      await here.next((line) => line === "and back", 0, "a publish of the successor");
      assert.equal(await here.ask("set k v"), "set");
      assert.equal(await successor.ask("get k"), "v");
    });
  });

  test(`a slow reader harms nobody, ${driver}`, { skip }, async (t) => {
    for (const slowSubscriber of ["drop", "close"] as const) {
      const server = await start(t, { driver, threads: 2, slowSubscriber });
      const [here, there] = await onEachThread(t, server, 2);
      assert.ok(here && there);
      const slow = await LineClient.connect(t, server.address);
      await slow.ask("sub a");
      slow.client.socket.pause();
      await there.ask("sub a");
      const bytes = 100_000;
      const noted = () => server.statistics();
      for (let round = 0; noted().deliveriesDropped === 0; round++) {
        assert.ok(round < 2000, "nothing was dropped");
        const from = there.lines.length;
        assert.equal(await here.ask(`large a ${bytes}`), "true");
        await there.next((line) => line.length === bytes, from, `message ${round}`);
      }
      const { outputBytes, deliveriesDropped } = noted();
      assert.ok(outputBytes < 1024 * 1024, `${outputBytes} bytes wait`);
      assert.equal(deliveriesDropped, 1);
      if (slowSubscriber === "close") {
        await until(() => noted().connections === 2, "the end of the slow one");
      } else {
        // Once it reads on, it is served again.
        const from = slow.lines.length;
        slow.client.socket.resume();
        await until(() => noted().outputBytes === 0, "all that it was behind");
        await here.ask("pub a at last");
        await slow.next((line) => line === "at last", from, "the next one");
      }
    }
  });
}

test("limits of subscriptions, and topics that are none", async (t) => {
  const server = await start(t, {
    threads: 2,
    limits: { connectionSubscriptions: 3, subscriptions: 8 },
  });
  const [client, other] = [await onThread(t, server, 0), await onThread(t, server, 0)];
  for (const [topic, answer] of [
    ["a", "true"],
    ["b", "true"],
    ["a", "true"],
    ["c.*", "true"],
    ["d", "false"],
  ]) {
    assert.equal(await client.ask(`sub ${topic}`), answer, topic);
  }
  assert.equal(await other.ask("sub a"), "true");
  assert.equal(await other.ask("sub b"), "false", "half of 8 for each of two threads");
  await client.ask("unsub a");
  assert.equal(await other.ask("sub b"), "true");
  client.client.write("sub a..b\n");
  await until(() => client.client.ended || client.client.closed, "the end of a handler that threw");
  assert.throws(() => server.publish("a.*", "x"), /are for subscriptions/);
  assert.throws(() => server.publish("a", Buffer.alloc(300_000)), /do not fit a mailbox/);
  assert.throws(() => server.broadcast(() => 1), /can be cloned/);
});

for (const options of [
  { model: "thread-per-connection" },
  { model: "thread-pool", threads: 3 },
] as const) {
  test(`the same under ${options.model}`, { skip: RAW_DRIVERS[1]?.skip ?? false }, async (t) => {
    const server = await start(t, options);
    const [one, two, three] = await Promise.all(
      [1, 2, 3].map(() => LineClient.connect(t, server.address)),
    );
    assert.ok(one && two && three);
    for (const client of [one, two]) assert.equal(await client.ask("sub a"), "true");
    assert.equal(await three.ask("pub a hello"), "true");
    for (const client of [one, two]) await client.next((line) => line === "hello", 0, "hello");
    assert.equal(await one.ask("pub a there"), "true");
    await two.next((line) => line === "there", 0, "there");
    assert.equal(server.publish("a", "all\n"), true);
    for (const client of [one, two]) await client.next((line) => line === "all", 0, "all");
    assert.equal(await one.ask("set k v"), "set");
    assert.equal(await three.ask("get k"), "v");
    assert.equal(await two.ask("count n 2"), "2");
    assert.equal(await three.ask("count n 2"), "4");
  });
}
