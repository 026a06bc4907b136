// Threads that do not get on: the watchdog says early who blocks which thread, ends it at the limit, and leaves those alone
// that wait, that work much in small pieces, or that were held up together with the whole process.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { Limits } from "../../src/limits.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { ThreadBlockedError, ThreadEndedError } from "../../src/server/thread-ended.ts";
import { Client } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { until } from "../support/until.ts";

const LETHAL = new URL("../support/handlers/lethal.ts", import.meta.url);
const BLOCKED_MS = 1000;

async function start(
  t: TestContext,
  driver: (typeof DRIVERS)[number]["name"],
  limits: Partial<Limits>,
): Promise<{ server: Server; told: unknown[] }> {
  const told: unknown[] = [];
  const server = await serve(LETHAL, {
    driver,
    threads: 1,
    limits,
    onError: (error) => void told.push(error),
  });
  t.after(() => server.close({ drainMs: 50 }));
  return { server, told };
}

/** Where each thread listens for itself, nobody does until the dead one is replaced. */
async function answers(t: TestContext, server: Server): Promise<void> {
  for (;;) {
    const client = Client.dial(t, server.address);
    client.write("still there\n");
    const answer = (await client.bytes(12)).toString();
    if (answer === "still there\n") return;
    assert.equal(client.error, "ECONNREFUSED");
  }
}

for (const { name: driver, skip } of DRIVERS) {
  describe(`blocked threads, ${driver}`, { skip }, () => {
    test("a handler that loops is named early, and its thread is ended at the limit", async (t) => {
      const { server, told } = await start(t, driver, { blockedMs: BLOCKED_MS });
      const client = await Client.connect(t, server.address);
      const address = client.socket.address();
      assert.ok("port" in address);
      const peer = driver === "portable" ? "" : ` (127.0.0.1:${address.port})`;
      client.write("loop\n");
      const began = performance.now();
      await until(() => told.length === 1, "the warning");
      const [warning] = told;
      assert.ok(warning instanceof ThreadBlockedError, String(warning));
      assert.ok(
        warning.message.includes(`by the message handler of connection 1${peer}`),
        warning.message,
      );
      assert.match(warning.message, /in message \(.*lethal\.ts:\d+\)/);
      await until(() => client.closed || client.ended, "the end of the connection");
      const tookMs = performance.now() - began;
      assert.ok(tookMs >= BLOCKED_MS * 0.9, `ended after ${tookMs} ms`);
      await until(() => told.length === 2, "being told of the end");
      const end = told[1];
      assert.ok(end instanceof ThreadEndedError, String(end));
      assert.deepEqual([end.reason, end.thread, end.connections], ["blocked", 0, 1]);
      await until(() => server.statistics().threads[0]?.connections === 0, "its place");
      await answers(t, server);
    });

    test("a thread that is ended while its end is being told takes nobody along", async (t) => {
      const { server, told } = await start(t, driver, { blockedMs: BLOCKED_MS });
      const client = await Client.connect(t, server.address);
      client.write("throw and linger\n");
      await until(() => told.some((each) => each instanceof ThreadEndedError), "the end");
      await answers(t, server);
    });

    test("idle threads, and one that works for long in small pieces, are left alone", async (t) => {
      const { server, told } = await start(t, driver, { blockedMs: BLOCKED_MS });
      const idle = await Client.connect(t, server.address);
      const busy = await Client.connect(t, server.address);
      // Each message takes 20 ms of computing: longer than the limit in all, and the thread never waits.
      busy.write("work\n".repeat(60));
      await busy.bytes(5 * 60);
      idle.write("x\n");
      assert.equal((await idle.bytes(2)).toString(), "x\n");
      assert.deepEqual(
        told.filter((error) => error instanceof ThreadEndedError),
        [],
      );
    });
  });
}
