// Calls with an idempotency key where threads end: killed while one is executed, killed once it is answered, replaced by a reload.
// What was answered is answered again by whoever is asked, and what was not is executed again.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, type TestContext, test } from "node:test";
import { jsonCodec } from "../../src/protocol/body-codec.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { KIND, META_KEY } from "../../src/protocol/codes.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { DRIVERS } from "../support/drivers.ts";
import { NEVER_MS, until, within } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

const MODULE = new URL("../support/handlers/keyed-service.ts", import.meta.url);

async function start(t: TestContext, options: ServeOptions): Promise<Server> {
  const server = await serve(MODULE, { onError: () => undefined, ...options });
  t.after(() => server.close({ drainMs: 50 }));
  return server;
}

function ask(client: SessionClient, route: string): Promise<unknown> {
  const meta = [{ key: META_KEY.IDEMPOTENCY_KEY, value: Buffer.from("key") }];
  return client.open({ kind: KIND.CALL, codec: jsonCodec.id, name: route, meta }, 0).over;
}

/** The answer, or the code of the error. */
async function outcome(promise: Promise<unknown>): Promise<unknown> {
  const told = promise.catch((error: unknown) =>
    error instanceof CallError ? error.code : String(error),
  );
  return within(told, "an outcome");
}

/** One client on each of two threads. */
async function onBothThreads(
  t: TestContext,
  server: Server,
): Promise<[SessionClient, SessionClient]> {
  const one = await SessionClient.connect(t, server);
  for (;;) {
    const other = await SessionClient.connect(t, server);
    if ((await other.call("thread", 0)) !== (await one.call("thread", 0))) return [one, other];
  }
}

/** Asks until nobody executes it any more. */
async function askUntilAnswered(client: SessionClient, route: string): Promise<unknown> {
  for (const until = performance.now() + NEVER_MS; performance.now() < until; ) {
    const answer = await outcome(ask(client, route));
    if (answer !== "UNAVAILABLE") return answer;
  }
  throw new Error("this never happened: the key of an execution that has died is free again");
}

for (const { name: driver, skip } of DRIVERS) {
  describe(`idempotency keys where threads end, ${driver}`, { skip }, () => {
    const begun = (server: Server, count: number) =>
      until(() => server.counter("executed").value === count, "the handler");

    test("a thread killed while it executes: others are told to come back until then, and the next one executes", async (t) => {
      const server = await start(t, { driver, threads: 2 });
      const [victim, other] = await onBothThreads(t, server);
      void outcome(ask(victim, "stuck"));
      await begun(server, 1);
      assert.equal(await outcome(ask(other, "stuck")), "UNAVAILABLE");
      void outcome(victim.call("die", 0));
      assert.equal(await askUntilAnswered(other, "stuck"), 2);
      assert.equal(await outcome(ask(other, "stuck")), 2, "that one's result is kept");
    });

    test("a thread killed once it has answered: its result is given by the others and by its successor", async (t) => {
      const server = await start(t, { driver, threads: 2 });
      const [victim, other] = await onBothThreads(t, server);
      assert.equal(await outcome(ask(victim, "count")), 1);
      void outcome(victim.call("die", 0));
      await until(() => victim.end !== undefined, "the thread's end");
      assert.equal(await askUntilAnswered(other, "count"), 1);
      for (const client of await onBothThreads(t, server)) {
        assert.equal(await outcome(ask(client, "count")), 1);
      }
    });

    test("a reload: results are kept, and what the old threads never answered is executed once they are gone", async (t) => {
      const server = await start(t, { driver, threads: 2 });
      const before = await SessionClient.connect(t, server);
      void outcome(ask(before, "stuck"));
      await begun(server, 1);
      assert.equal(await outcome(ask(before, "count")), 2);
      await server.reload({ graceMs: 200, drainMs: 200 });
      const after = await SessionClient.connect(t, server);
      assert.equal(await askUntilAnswered(after, "count"), 2);
      assert.equal(await askUntilAnswered(after, "stuck"), 3);
    });
  });
}
