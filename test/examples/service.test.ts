// The example service as it is served: in a process of its own, on two threads, by several clients at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { jsonCodec } from "../../src/protocol/body-codec.ts";
import { KIND } from "../../src/protocol/codes.ts";
import { serve } from "../../src/server/serve.ts";
import { SessionClient } from "../service/session-client.ts";
import { Child } from "../support/child.ts";
import { until } from "../support/until.ts";

test("echo, a map and rooms, the same in all threads", { timeout: 60_000 }, async (t) => {
  const module = new URL("../../examples/service.ts", import.meta.url);
  const server = await serve(module, { threads: 2 });
  t.after(() => server.close({ drainMs: 100 }));
  const clients = await Promise.all(
    Array.from({ length: 8 }, () => SessionClient.connect(t, server)),
  );
  const [first, second] = clients;
  assert.ok(first !== undefined && second !== undefined);

  await Promise.all(
    clients.map(async (client, n) => assert.equal(await client.call("echo", n), n)),
  );

  await first.call("map.set", { key: "a", value: { n: 1 } });
  for (const client of clients) assert.deepEqual(await client.call("map.get", "a"), { n: 1 });
  await assert.rejects(first.call("map.set", { key: "a", value: "x".repeat(100_000) }), {
    code: "INVALID_SCHEMA",
  });
  assert.equal(await second.call("map.delete", "a"), true);
  await assert.rejects(first.call("map.get", "a"), { code: "NOT_FOUND" });

  const ears = clients.map((client) => client.subscribe("room.lobby.*").heard);
  await Promise.all(clients.map((client) => client.call("echo", 0)));
  const joins = clients.map((client, n) =>
    client.open(
      { kind: KIND.SERVER_STREAM, codec: jsonCodec.id, name: "room.join", credit: 4 },
      { room: "lobby", name: `c${n}` },
    ),
  );
  const heardBy = (what: string) => () =>
    ears.every((heard) => heard.filter(({ topic }) => topic === what).length === clients.length);
  await until(heardBy("room.lobby.joined"), "everybody hears who joined");
  const members = await first.call("room.members", "lobby");
  assert.deepEqual(
    (members as string[]).sort(),
    clients.map((_, n) => `c${n}`),
  );

  await second.call("room.say", { room: "lobby", name: "c1", text: "hello" });
  await until(
    () => ears.every((heard) => heard.at(-1)?.topic === "room.lobby.said"),
    "everybody hears it",
  );
  for (const join of joins) join.cancel();
  await until(heardBy("room.lobby.left"), "everybody hears who left");
  assert.deepEqual(await first.call("room.members", "lobby"), []);
});

test("npm start tells three things to try, and they work", { timeout: 60_000 }, async (t) => {
  const file = fileURLToPath(new URL("../../examples/service.ts", import.meta.url));
  const child = Child.cli(t, "serve", file, "--port", "0", "--threads", "2");
  await child.says(/try it: .* pub /);
  const lines = child.stdoutLines
    .filter((line) => line.startsWith("try it: npm run --silent sluice -- "))
    .map((line) => line.replace("try it: npm run --silent sluice -- ", ""));
  assert.equal(lines.length, 3);
  // As a shell would take them apart.
  const [call = [], subscribe = [], publish = []] = lines.map((line) =>
    [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? ""),
  );
  const ear = Child.cli(t, ...subscribe);
  const called = Child.cli(t, ...call);
  assert.equal((await called.exit()).code, 0, called.stderr);
  // The subscription may not be there yet.
  for (let round = 0; round < 20 && !ear.stdout.includes("hello"); round++) {
    assert.equal((await Child.cli(t, ...publish).exit()).code, 0);
  }
  await until(() => ear.stdout.includes("hello"), "what was published");
  ear.kill("SIGTERM");
  child.kill("SIGTERM");
  assert.equal((await child.exit()).code, 0);
});

test("who was there by way of a thread that died is there no more", {
  timeout: 60_000,
}, async (t) => {
  const module = new URL("../support/handlers/mortal-rooms.ts", import.meta.url);
  const server = await serve(module, {
    threads: 2,
    balance: "round-robin",
    onError: () => undefined,
  });
  t.after(() => server.close({ drainMs: 100 }));
  const clients = await Promise.all(
    Array.from({ length: 4 }, () => SessionClient.connect(t, server)),
  );
  for (const [n, client] of clients.entries()) {
    const open = { kind: KIND.SERVER_STREAM, codec: jsonCodec.id, name: "room.join", credit: 4 };
    client.open(open, { room: "lobby", name: `c${n}` });
  }
  /** As one sees it who is still there. */
  const isMembers = async (count: number) => {
    const one = clients.find(({ end }) => end === undefined);
    for (let seen = -1; seen !== count; ) {
      const members = await one?.call("room.members", "lobby");
      seen = (members as string[]).length;
    }
  };
  await isMembers(4);
  server.broadcast({ die: 1 });
  await until(() => clients.filter(({ end }) => end !== undefined).length === 2, "two being cut");
  await isMembers(2);
});
