// Several reactors: each thread gets connections, and one that dies costs its own and nothing else. What a dead thread
// left open is closed by the server, another takes its place, and everybody else's bytes stay right.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { OptionError } from "../../src/limits.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { ThreadEndedError, type ThreadEndReason } from "../../src/server/thread-ended.ts";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { DRIVERS, RAW_DRIVERS } from "../support/drivers.ts";
import { assertHarmless, Load, threadOf } from "../support/load.ts";
import { descriptorsOf } from "../support/process-figures.ts";
import { assertEmpty } from "../support/server.ts";
import { NEVER_MS, settled, until } from "../support/until.ts";

const LETHAL = new URL("../support/handlers/lethal.ts", import.meta.url);

async function start(t: TestContext, options: ServeOptions): Promise<Server> {
  const server = await serve(LETHAL, { onError: () => undefined, ...options });
  t.after(() => server.close({ drainMs: 50 }));
  return server;
}

for (const { name: driver, skip } of DRIVERS) {
  describe(`threads, ${driver}`, { skip }, () => {
    test("both threads get connections, statistics are their sum, and all comes back to zero", async (t) => {
      const before = descriptorsOf("self");
      const server = await start(t, { driver, threads: 2 });
      assert.deepEqual([server.model, server.threads], ["multi-reactor", 2]);
      const clients: Client[] = [];
      for (let n = 0; n < 10; n++) {
        const some = Array.from({ length: 20 }, () => Client.dial(t, server.address));
        clients.push(...some);
        for (const client of some) client.write("hello\n");
        for (const client of some) assert.equal((await client.bytes(6)).toString(), "hello\n");
      }
      const statistics = server.statistics();
      const each = statistics.threads.map(({ connections }) => connections);
      assert.equal(each.length, 2);
      assert.ok(
        each.every((count) => count > 0),
        `connections of each thread: ${each}`,
      );
      assert.deepEqual(
        [statistics.connections, statistics.accepted, statistics.messages],
        [200, 200, 200],
      );
      assert.equal(statistics.bytesReceived, 1200);
      // A send is counted in the turn after the one in which its bytes left.
      await until(() => server.statistics().bytesSent === 1200, "every answer counted");
      const half = clients.splice(0, 100);
      for (const client of half) client.destroy();
      await until(() => server.statistics().connections === 100, "half of them gone");
      for (const client of clients) client.destroy();
      await until(() => server.statistics().connections === 0, "all of them gone");
      assert.equal(await server.close(), true);
      assertEmpty(server);
      await until(
        () => descriptorsOf("self") <= before,
        () => `${descriptorsOf("self")} descriptors`,
      );
    });
  });
}

/** What lethal.ts is told, as what it is reported, and how often. */
const WAYS_TO_DIE: readonly (readonly [string, ThreadEndReason, number])[] = [
  ["throw", "error", 3],
  ["throw at once", "error", 2],
  ["exit", "exit", 3],
  ["heap", "heap", 2],
  ["loop", "blocked", 1],
  ["loop later", "blocked", 1],
];
const TERMINATIONS = 3;

/** The replacement is there when connections land on both threads again. */
async function bothAccept(t: TestContext, server: Server): Promise<void> {
  const seats = () => server.statistics().threads.map(({ accepted }) => accepted);
  const before = seats();
  const deadline = performance.now() + NEVER_MS;
  while (!seats().every((accepted, n) => accepted > (before[n] ?? 0))) {
    assert.ok(performance.now() < deadline, `accepted before ${before}, now ${seats()}`);
    const some = Array.from({ length: 20 }, () => Client.dial(t, server.address));
    for (const client of some) client.write("x\n");
    for (const client of some) {
      assert.equal((await client.bytes(2)).toString(), "x\n", "a client that is not served");
      client.destroy();
    }
  }
}

for (const { name: driver, skip } of RAW_DRIVERS) {
  describe(`threads that die, ${driver}`, { skip }, () => {
    for (const [death, reason, deaths] of WAYS_TO_DIE) {
      test(`${death}, under load, ${deaths} times: only its own connections end`, async (t) => {
        const ends: ThreadEndedError[] = [];
        const server = await start(t, {
          driver,
          threads: 2,
          // A heap that is almost full holds its thread up too.
          limits: { blockedMs: reason === "blocked" ? 1000 : 10_000, heapBytes: 24 * 1024 * 1024 },
          onError: (error) => error instanceof ThreadEndedError && ends.push(error),
        });
        const warm = await Client.connect(t, server.address);
        await threadOf(warm);
        warm.destroy();
        await until(() => server.statistics().connections === 0, "nobody");
        const before = descriptorsOf("self");
        for (let round = 1; round <= deaths; round++) {
          const load = Array.from({ length: 12 }, (_, n) => new Load(t, server.address, n + 1));
          await until(() => load.every(({ rounds }) => rounds > 3), "a running load");
          const victim = await Client.connect(t, server.address);
          const thread = await threadOf(victim);
          victim.write(`${death}\n`);
          await until(() => victim.closed || victim.ended, "the end of the one that killed");
          victim.destroy();
          await assertHarmless(load, thread);
          await Promise.all(load.map((each) => each.stop()));
          for (const each of load) each.client.destroy();
          await until(() => ends.length >= round, "being told");
          await bothAccept(t, server);
        }
        await until(() => server.statistics().connections === 0, "no connections");
        const { accepted, closed, inputBytes, outputBytes } = server.statistics();
        assert.deepEqual([closed, inputBytes, outputBytes], [accepted, 0, 0]);
        await until(
          () => descriptorsOf("self") === before,
          () => `${descriptorsOf("self")} descriptors, ${before} before`,
        );
        assert.deepEqual(
          ends.map((end) => end.reason),
          new Array(deaths).fill(reason),
        );
        const lost = ends.reduce((sum, end) => sum + end.connections, 0);
        assert.ok(lost >= deaths, `${lost} connections ended with their threads`);
        assert.equal(await server.close(), true);
      });
    }
  });
}

for (const { name: driver, skip } of RAW_DRIVERS) {
  test(`who was accepted by a thread that did not live to see it is not left waiting: ${driver}`, {
    skip,
  }, async (t) => {
    const server = await start(t, { driver, threads: 1 });
    const busy = await Client.connect(t, server.address);
    const killer = await Client.connect(t, server.address);
    await Promise.all([threadOf(busy), threadOf(killer)]);
    // While the thread computes, its death and new clients come in, to be looked at together, the death first.
    busy.write("work\n".repeat(10));
    await until(() => busy.takenLength === 7 + 50, "work being on its way");
    // It computes for 200 ms: somewhere in the middle of that.
    await sleep(20);
    killer.write("exit\n");
    await until(() => killer.takenLength === 12, "the command being on its way");
    const others = Array.from({ length: 8 }, () => Client.dial(t, server.address));
    for (const client of others) client.write("x\n");
    await until(
      () => others.every((client) => client.closed || client.ended || client.receivedLength === 2),
      () => `an answer or an end for all: ${others.map((client) => client.state())}`,
    );
  });
}

const TERMINATING = fileURLToPath(new URL("../support/terminating-server.ts", import.meta.url));

for (const { name: driver, skip } of RAW_DRIVERS) {
  test(`terminate() of a thread, idle and under load: ${driver}`, { skip }, async (t) => {
    const child = Child.node(t, [TERMINATING, driver]);
    const [, port] = await child.says(/port (\d+)/);
    const address = { family: "ipv4", host: "127.0.0.1", port: Number(port) } as const;
    let before = -1;
    for (let round = 1; round <= TERMINATIONS; round++) {
      const idle = await Client.connect(t, address);
      const thread = await threadOf(idle);
      assert.equal(await child.ask(`terminate ${thread}`), "replaced");
      await idle.end();
      idle.destroy();

      const load = Array.from({ length: 12 }, (_, n) => new Load(t, address, n + 1));
      await until(() => load.every(({ rounds }) => rounds > 3), "a running load");
      const busy = load[0]?.thread ?? "";
      const replaced = child.ask(`terminate ${busy}`);
      await assertHarmless(load, busy);
      assert.equal(await replaced, "replaced");
      await Promise.all(load.map((each) => each.stop()));
      for (const each of load) each.client.destroy();
      if (before < 0) before = await settled(() => descriptorsOf(child.pid));
    }
    assert.equal(await settled(() => descriptorsOf(child.pid)), before, "descriptors");
    assert.equal(child.ended, undefined, child.story());
    child.kill("SIGKILL");
  });
}

test("threads are no more than there may be connections, or an error says that they cannot be", async (t) => {
  const limits = { connections: 1 };
  const server = await start(t, { limits });
  assert.equal(server.threads, 1);
  const message = /limits.connections is 1: that is too few for 2 threads/;
  await assert.rejects(serve(LETHAL, { limits, threads: 2 }), message);
});

test("a thread that keeps dying at its start ends serve() with its error", async () => {
  const broken = new URL("../support/handlers/throws-at-import.ts", import.meta.url);
  await assert.rejects(serve(broken, { threads: 2 }), /no good/);
  await sleep(1);
});

test("a table of functions cannot be served by several threads, and the error says what can", async () => {
  const refused = serve({ model: "multi-reactor", message: () => undefined });
  await assert.rejects(refused, (error: Error) => {
    assert.ok(error instanceof OptionError);
    assert.match(error.message, /functions do not cross threads/);
    return true;
  });
});
