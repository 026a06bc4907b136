// Publish and subscribe over real sockets: who gets what, who may, and what becomes of those who do not keep up.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { jsonCodec, rawCodec, utf8Codec } from "../../src/protocol/body-codec.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { SLOW_POLICY } from "../../src/protocol/codes.ts";
import { anything } from "../../src/protocol/schema.ts";
import { serve } from "../../src/server/serve.ts";
import type { ServiceOptions } from "../../src/service/options.ts";
import { call } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { serveFor } from "../support/server.ts";
import { settled, until } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

const OPEN: ServiceOptions = { authorize: () => true, onError: () => undefined };

async function start(t: TestContext, options: ServiceOptions = OPEN) {
  const routes = {
    publish: call(anything, anything, (input, { publish }) => {
      const { topic, count } = input as { topic: string; count: number };
      for (let n = 1; n <= count; n++) publish(topic, n);
      return null;
    }),
  };
  // `publish` is taken out of its context above, as people do.
  const server = await serveFor(t, service(routes, options));
  const connect = (given = {}) => SessionClient.connect(t, server, given);
  return { server, connect, client: await connect() };
}

/** Everything published before has been handled once this is answered. */
function settle(client: SessionClient): Promise<unknown> {
  return client.call("publish", { topic: "settled", count: 0 });
}

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error instanceof CallError ? error.code : String(error);
  }
}

describe("topics", () => {
  test("subscribers get what matches, in order, with its topic and number", async (t) => {
    const { client, connect } = await start(t);
    const other = await connect();
    const all = client.subscribe("room.>");
    const one = other.subscribe("room.*");
    const exact = other.subscribe("room.7");
    const none = other.subscribe("hall.7");
    await settle(other);
    await client.publish("room.7", { a: 1 });
    await client.publish("room.7.joined", "x");
    await client.publish("hall.8", "y");
    await settle(client);
    await settle(other);
    assert.deepEqual(all.heard, [
      { topic: "room.7", dropped: 0, seq: 1, value: { a: 1 } },
      { topic: "room.7.joined", dropped: 0, seq: 2, value: "x" },
    ]);
    assert.deepEqual([one.heard.length, exact.heard.length, none.heard.length], [1, 1, 0]);
  });

  test("nothing comes after a cancel, and the id is free again", async (t) => {
    const { client } = await start(t);
    const first = client.subscribe("a");
    await settle(client);
    first.stream.session.streams.cancel(first.stream, 1);
    await client.publish("a", 1);
    await settle(client);
    assert.deepEqual(first.heard, []);
    const second = client.subscribe("a");
    assert.equal(second.stream.id, first.stream.id);
    await client.publish("a", 2);
    await settle(client);
    assert.deepEqual([first.heard.length, second.heard.length], [0, 1]);
  });

  test("bad topics and patterns are refused", async (t) => {
    const { client } = await start(t);
    for (const pattern of ["", "a..b", "a.>.b", "$SYS", "a b", "a*"]) {
      assert.equal(await code(client.subscribe(pattern).over), "INVALID_ARGUMENT", pattern);
    }
    assert.equal(await code(client.publish("a.*", 1)), "INVALID_ARGUMENT");
  });

  test("clients subscribe and publish only where they may", async (t) => {
    const closed = await start(t, {});
    assert.equal(await code(closed.client.subscribe("a").over), "PERMISSION_DENIED");
    assert.equal(await code(closed.client.publish("a", 1)), "PERMISSION_DENIED");
    const some = await start(t, {
      authorize: (_identity, action, name) => action !== "publish" || name.startsWith("mine."),
    });
    assert.equal(await code(some.client.publish("mine.a", 1)), "none");
    assert.equal(await code(some.client.publish("yours.a", 1)), "PERMISSION_DENIED");
  });

  test("each subscriber in its codec", async (t) => {
    const { client } = await start(t);
    const json = client.subscribe("a", { codec: jsonCodec });
    const raw = client.subscribe("a", { codec: rawCodec });
    const text = client.subscribe("a", { codec: utf8Codec });
    await client.publish("a", { n: 1 });
    await settle(client);
    assert.deepEqual(json.heard[0]?.value, { n: 1 });
    assert.deepEqual(raw.heard[0]?.value, Buffer.from('{"n":1}'));
    assert.equal(text.heard[0]?.value, '{"n":1}');
  });
});

describe("slow subscribers", () => {
  /** Two get through, then there is no credit; `count` are published. */
  async function slow(t: TestContext, policy: number, count: number, topic = "a") {
    const { client } = await start(t, { ...OPEN, limits: { subscriptionQueue: 4 } });
    const subscription = client.subscribe(topic, { credit: 2, policy });
    await client.call("publish", { topic: "a", count });
    return { client, ...subscription };
  }

  async function go(client: SessionClient, stream: Parameters<typeof client.session.grant>[0]) {
    client.session.grant(stream, 100);
    await settle(client);
  }

  test("drop-oldest: the newest wait, and what is left out is counted", async (t) => {
    const { client, stream, heard } = await slow(t, SLOW_POLICY.DROP_OLDEST, 10);
    assert.deepEqual(
      heard.map(({ value }) => value),
      [1, 2],
    );
    await go(client, stream);
    assert.deepEqual(
      heard.map(({ value }) => value),
      [1, 2, 7, 8, 9, 10],
    );
    assert.deepEqual(
      heard.map(({ dropped }) => dropped),
      [0, 0, 4, 0, 0, 0],
    );
    assert.deepEqual(
      heard.map(({ seq }) => seq),
      [1, 2, 7, 8, 9, 10],
    );
  });

  test("drop-new: the oldest wait", async (t) => {
    const { client, stream, heard } = await slow(t, SLOW_POLICY.DROP_NEW, 10);
    await go(client, stream);
    assert.deepEqual(
      heard.map(({ value }) => value),
      [1, 2, 3, 4, 5, 6],
    );
    await client.call("publish", { topic: "a", count: 1 });
    assert.equal(heard.at(-1)?.dropped, 0);
    assert.equal(
      heard.reduce((sum, { dropped }) => sum + dropped, 0),
      4,
    );
  });

  test("latest: one of each topic waits", async (t) => {
    const { client } = await start(t);
    const { stream, heard } = client.subscribe("*", { credit: 1, policy: SLOW_POLICY.LATEST });
    for (const topic of ["first", "a", "b"]) await client.call("publish", { topic, count: 5 });
    await go(client, stream);
    assert.deepEqual(
      heard.map(({ topic, value }) => [topic, value]),
      [
        ["first", 1],
        ["first", 5],
        ["a", 5],
        ["b", 5],
      ],
    );
  });

  test("close: the subscription ends, nothing else does", async (t) => {
    const { client, over } = await slow(t, SLOW_POLICY.CLOSE, 10);
    assert.equal(await code(over), "SLOW_CONSUMER");
    await settle(client);
    assert.equal(client.end, undefined);
  });

  test("one that never reads its socket costs its queue, and others nothing", async (t) => {
    const { client, connect, server } = await start(t);
    const lazy = await connect();
    lazy.subscribe("a", { credit: 1_000_000 });
    const eager = client.subscribe("a", { credit: 1_000_000 });
    await settle(lazy);
    lazy.socket.pause();
    const large = "x".repeat(10_000);
    for (let n = 0; n < 1500; n++) await client.publish("a", large);
    await until(
      () => eager.heard.length === 1500,
      () => `${eager.heard.length} messages`,
    );
    // Everybody else's are sent; what waits here is one client's share.
    assert.ok(
      server.statistics().outputBytes < 1_000_000,
      `${server.statistics().outputBytes} bytes wait`,
    );
    assert.equal(lazy.end, undefined);
  });
});

describe("queue groups", () => {
  test("one of each group gets a message, everybody outside gets all", async (t) => {
    const { client, connect } = await start(t);
    const others = await Promise.all([connect(), connect(), connect()]);
    const members = others.map((other) => other.subscribe("work.*", { group: "g" }).heard);
    const second = others[0]?.subscribe("work.a", { group: "h" }).heard ?? [];
    const all = client.subscribe("work.>").heard;
    for (const other of others) await settle(other);
    await client.call("publish", { topic: "work.a", count: 30 });
    await Promise.all(others.map(settle));
    await settle(client);
    assert.deepEqual([all.length, second.length], [30, 30]);
    assert.deepEqual(
      members.map(({ length }) => length),
      [10, 10, 10],
    );
    others[0]?.socket.destroy();
    await until(() => others[0]?.end !== undefined, "one leaves");
    // The server may not know yet.
    for (let round = 0; round < 1000 && (members[1]?.length ?? 0) < 15; round++) {
      await client.call("publish", { topic: "work.b", count: 1 });
    }
    assert.equal(members[1]?.length, 15);
  });

  test("a member that does not keep up is passed over", async (t) => {
    const { client, connect } = await start(t);
    const slow = client.subscribe("a", { group: "g", credit: 1 });
    const other = await connect();
    const quick = other.subscribe("a", { group: "g" });
    await settle(other);
    await client.call("publish", { topic: "a", count: 20 });
    await settle(other);
    await settle(client);
    assert.equal(slow.heard.length, 1);
    // One more waits for the slow one, which was not known to be slow.
    assert.equal(quick.heard.length, 18);
  });
});

test("a queue group over two threads: each message once", { timeout: 60_000 }, async (t) => {
  const server = await serve(new URL("../support/handlers/topics-service.ts", import.meta.url), {
    threads: 2,
    balance: "round-robin",
  });
  t.after(() => server.close({ drainMs: 100 }));
  const clients = await Promise.all(
    Array.from({ length: 6 }, () => SessionClient.connect(t, server)),
  );
  const heard = clients.map((client) => client.subscribe("work", { group: "g" }).heard);
  const threads = new Set(await Promise.all(clients.map((client) => client.call("thread", 0))));
  assert.equal(threads.size, 2, "clients are on both threads");
  const count = () => heard.reduce((sum, { length }) => sum + length, 0);
  // What threads know of each other's members needs a moment to get around.
  for (let round = 0; round < 1000 && heard.some(({ length }) => length === 0); round++) {
    await clients[0]?.publish("work", "warm up");
  }
  await Promise.all(clients.map((client) => client.call("thread", 0)));
  const before = await settled(count);
  for (let n = 0; n < 120; n++) await clients[n % 6]?.publish("work", n);
  await until(
    () => count() === before + 120,
    () => `${count() - before} of 120`,
  );
  const numbers = heard.flatMap((list) => list.map(({ value }) => value)).filter(Number.isInteger);
  assert.deepEqual(
    numbers.sort((a, b) => Number(a) - Number(b)),
    Array.from({ length: 120 }, (_, n) => n),
  );
});
