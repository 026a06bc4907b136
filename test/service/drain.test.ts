// Closing a service under load: everything that was acknowledged was executed, nothing was executed twice, and what was
// not executed is said to be so.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CallError } from "../../src/protocol/call-error.ts";
import { anything } from "../../src/protocol/schema.ts";
import { serve } from "../../src/server/serve.ts";
import { call } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { until } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

const CLIENTS = 10;
const IN_FLIGHT = 16;

for (const round of [1, 2, 3]) {
  test(`drain under load, round ${round}`, { timeout: 60_000 }, async (t) => {
    const executed = new Map<string, number>();
    const routes = {
      // Half answer at once, half later.
      run: call(anything, anything, async (id) => {
        const name = String(id);
        if (name.endsWith("1")) await new Promise((resolve) => setTimeout(resolve, 2));
        executed.set(name, (executed.get(name) ?? 0) + 1);
        return name;
      }),
    };
    const server = await serve(service(routes, { authorize: () => true }));
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => SessionClient.connect(t, server)),
    );
    const acknowledged: string[] = [];
    const notProcessed: string[] = [];
    const unknown: string[] = [];
    let sent = 0;
    const work = clients.flatMap((client, c) =>
      Array.from({ length: IN_FLIGHT }, async (_, lane) => {
        for (let n = 0; ; n++) {
          const id = `${c}-${lane}-${n}`;
          sent++;
          try {
            assert.equal(await client.call("run", id), id);
            acknowledged.push(id);
          } catch (error) {
            assert.ok(error instanceof CallError, String(error));
            (error.notProcessed ? notProcessed : unknown).push(id);
            return;
          }
        }
      }),
    );
    await until(() => acknowledged.length > 500 * round, "some load");
    const subscription = clients[0]?.subscribe("news");
    assert.equal(await server.close({ drainMs: 10_000 }), true, "all finished in time");
    await Promise.all(work);
    assert.deepEqual(
      acknowledged.filter((id) => executed.get(id) !== 1),
      [],
    );
    assert.deepEqual(
      notProcessed.filter((id) => executed.has(id)),
      [],
    );
    assert.deepEqual(unknown, [], "every call has a certain outcome");
    assert.equal(acknowledged.length + notProcessed.length, sent);
    await assert.rejects(subscription?.over ?? Promise.resolve(), /closing|cut|draining/);
  });
}
