// Commands whose reader has gone: what only prints ends quietly, and a server goes on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { anything } from "../../src/protocol/schema.ts";
import { serverStream } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

/** 128 and the number of SIGPIPE. */
const NO_READER = { code: 141, signal: null };

for (const json of [[], ["--json"]]) {
  test(`serve ${json.join(" ")} goes on without a reader, and drains`, async (t) => {
    const child = Child.cli(t, "serve", "--port", "0", ...json);
    const [, port] = await child.says(/(?:127\.0\.0\.1:|"port":)(\d+)/);
    child.process.stdout?.destroy();
    const address = { family: "ipv4", host: "127.0.0.1", port: Number(port) } as const;
    const client = await Client.connect(t, address);
    client.write("hello");
    assert.equal((await client.bytes(5)).toString(), "hello");
    child.kill("SIGTERM");
    client.socket.end();
    assert.deepEqual(await child.exit(), { code: 0, signal: null }, child.story());
    assert.doesNotMatch(child.stderr, /EPIPE| at /);
  });
}

test("sub, call --stream and tap end quietly without one", async (t) => {
  const ticks = serverStream(anything, anything, async function* () {
    for (let n = 0; ; n++) {
      yield n;
      await until(() => true, "the next turn");
    }
  });
  const server = await serveFor(t, service({ ticks }, { authorize: () => true }));
  const at = `127.0.0.1:${portOf(server)}`;
  const call = Child.cli(t, "call", at, "ticks", "--stream");
  await call.says(/^0$/m);
  call.process.stdout?.destroy();
  assert.deepEqual(await call.exit(), NO_READER, call.story());

  const subscriber = Child.cli(t, "sub", at, "room.>");
  const publish = async (body: string) => {
    const publisher = Child.cli(t, "pub", at, "room.1", body);
    assert.equal((await publisher.exit()).code, 0, publisher.story());
  };
  await until(() => server.statistics().connections > 0, "the subscriber");
  while (!subscriber.stdout.includes("room.1")) await publish("1");
  subscriber.process.stdout?.destroy();
  await publish("2");
  assert.deepEqual(await subscriber.exit(), NO_READER, subscriber.story());

  const tap = Child.cli(t, "tap", "0", at);
  const [, tapped] = await tap.says(/tapping 127\.0\.0\.1:(\d+)/);
  tap.process.stdout?.destroy();
  Child.cli(t, "routes", `127.0.0.1:${tapped}`);
  assert.deepEqual(await tap.exit(), NO_READER, tap.story());
  for (const child of [call, subscriber, tap]) assert.equal(child.stderr, "");
});
