// A service under every concurrency model and driver: calls, streams, topics, and a drain.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { jsonCodec } from "../../src/protocol/body-codec.ts";
import { KIND } from "../../src/protocol/codes.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";
import { DRIVERS } from "../support/drivers.ts";
import { until, within } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

const MODULE = new URL("../support/handlers/topics-service.ts", import.meta.url);
const WAYS: Record<string, ServeOptions> = {
  "event-loop": { model: "event-loop" },
  "multi-reactor": { model: "multi-reactor", threads: 2 },
  hybrid: { model: "hybrid", threads: 2 },
  "thread-pool": { model: "thread-pool", threads: 3 },
  "thread-per-connection": { model: "thread-per-connection" },
};
for (const { name, skip } of DRIVERS) {
  if (skip === false || skip === undefined)
    WAYS[`the driver ${name}`] = { driver: name, threads: 1 };
}

describe("a service", () => {
  for (const [name, options] of Object.entries(WAYS)) {
    test(`under ${name}`, { timeout: 60_000 }, async (t) => {
      const server = await serve(MODULE, options);
      const closed = { now: false };
      t.after(async () => {
        if (!closed.now) await server.close({ drainMs: 50 });
      });
      const one = await SessionClient.connect(t, server);
      const other = await SessionClient.connect(t, server);
      assert.equal(typeof (await one.call("thread", 0)), "number");
      const { heard } = one.subscribe("a.*");
      await one.call("thread", 0);
      await other.publish("a.b", { n: 1 });
      await until(() => heard.length === 1, "what another connection published");
      const flow = other.open(
        { kind: KIND.SERVER_STREAM, codec: jsonCodec.id, name: "count", credit: 4 },
        100,
      );
      let sum = 0;
      for await (const value of flow.messages) sum += Number(value);
      assert.equal(sum, 4950);
      const large = "x".repeat(300_000);
      assert.equal(await one.call("echo", large), large);
      assert.equal(await within(server.close({ drainMs: 5000 }), "the drain"), true);
      closed.now = true;
      await until(() => one.end !== undefined && other.end !== undefined, "both ends");
      assert.equal(one.said?.code, 64);
    });
  }
});
