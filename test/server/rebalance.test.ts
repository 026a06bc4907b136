// Live connections that move between threads: those of a server whose threads have very different numbers of them, in use
// while they move, byte for byte.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { Client, pattern } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { descriptorsOf } from "../support/process-figures.ts";
import { assertEmpty } from "../support/server.ts";
import { until } from "../support/until.ts";

const TRAVELLING = new URL("../support/handlers/travelling.ts", import.meta.url);

async function start(t: TestContext, options: ServeOptions): Promise<Server> {
  const server = await serve(TRAVELLING, { threads: 2, ...options });
  t.after(() => server.close({ drainMs: 50 }));
  return server;
}

function connectionsOf(server: Server): number[] {
  return server.statistics().threads.map(({ connections }) => connections);
}

/** Asks until the answer is whole; the client has had nothing else under way. */
async function ask(client: Client, line: string): Promise<string> {
  const before = client.text().length;
  client.write(`${line}\n`);
  await until(
    () => client.text().length > before && client.text().endsWith("\n"),
    `an answer to ${line}`,
  );
  return client.text().slice(before).trim();
}

/** Numbered lines without a pause, each of which must come back with its number. */
class Stream {
  readonly client: Client;
  #sent = 0;
  readonly #body: string;

  constructor(client: Client, seed: number) {
    this.client = client;
    this.#body = pattern(700, seed).toString("base64");
  }

  push(): void {
    for (let n = 0; n < 4; n++) {
      const line = `${this.#body}${this.#sent++}\n`;
      // Cut in two, so that there is always an unfinished one on its way.
      this.client.write(line.slice(0, 333));
      this.client.write(line.slice(333));
    }
  }

  async finish(): Promise<void> {
    const answers = Array.from({ length: this.#sent }, (_, n) => `${n + 1} ${this.#body}${n}\n`);
    const expected = answers.join("");
    await this.client.bytes(expected.length);
    assert.ok(this.client.text() === expected, this.client.state());
  }
}

for (const { name: driver, skip } of RAW_DRIVERS) {
  describe(`rebalance, ${driver}`, { skip }, () => {
    test("connections under load move until each thread has as many, and nothing is lost or doubled", async (t) => {
      const server = await start(t, { driver, balance: "address-hash" });
      const before = descriptorsOf("self");
      const clients = await Promise.all(
        Array.from({ length: 40 }, () => Client.connect(t, server.address)),
      );
      await until(() => server.statistics().connections === 40, "all of them");
      assert.deepEqual(connectionsOf(server).sort(), [0, 40], "all of one address");
      const streams = clients.map((client, n) => new Stream(client, n + 1));
      let moved = 0;
      for (let round = 0; round < 4; round++) {
        for (const stream of streams) stream.push();
        const rebalancing = server.rebalance();
        for (const stream of streams) stream.push();
        moved += await rebalancing;
        // The next time there is something to do again.
        const [first] = connectionsOf(server);
        assert.ok(first !== undefined && Math.abs(first - 20) <= 1, `${connectionsOf(server)}`);
      }
      assert.ok(moved >= 19, `${moved}`);
      for (const stream of streams) await stream.finish();
      const { arrived, departed, accepted } = server.statistics();
      assert.deepEqual([arrived, departed, accepted], [moved, moved, 40]);
      for (const client of clients) client.socket.end();
      for (const client of clients) await client.end();
      await until(() => server.statistics().connections === 0, "the end of all");
      assert.equal(await server.close(), true);
      assertEmpty(server);
      await until(() => descriptorsOf("self") < before, "as many descriptors as before");
    });

    test("who moves keeps its id and state, is told of it, and is closed once", async (t) => {
      const errors: unknown[] = [];
      const server = await start(t, {
        driver,
        balance: "address-hash",
        onError: (error) => errors.push(error),
      });
      const clients = await Promise.all(
        Array.from({ length: 6 }, () => Client.connect(t, server.address)),
      );
      const first = await Promise.all(clients.map((client) => ask(client, "where")));
      assert.equal(new Set(first.map((answer) => answer.split(" ")[0])).size, 1, "one thread");
      assert.equal(new Set(first.map((answer) => answer.split(" ")[1])).size, 6, "six ids");
      // One whose state cannot be cloned, and one that thinks until long after it was asked for.
      assert.equal(await ask(clients[0] as Client, "stay"), "2 stay");
      const thinking = clients[1] as Client;
      thinking.write("think\n");
      assert.equal(await server.rebalance(), 3);
      assert.equal(await thinkingAnswer(thinking), "2 think");
      const then = await Promise.all(clients.map((client) => ask(client, "where")));
      for (const [n, answer] of then.entries()) {
        const [thread, id, arrivals] = answer.split(" ");
        const [threadBefore, idBefore] = (first[n] ?? "").split(" ");
        assert.equal(id, idBefore, "its id");
        if (n > 0) assert.equal(arrivals, String(Number(thread !== threadBefore)), answer);
        else assert.equal(thread, threadBefore, "it stays");
      }
      const threads = new Map<string, Set<string>>();
      for (const answer of then) {
        const [thread = "", , , here = ""] = answer.split(" ");
        threads.set(thread, (threads.get(thread) ?? new Set()).add(here));
      }
      assert.equal(threads.size, 2);
      for (const client of clients) client.destroy();
      await until(() => server.statistics().connections === 0, "the end of all");
      assert.ok(
        errors.every((error) => String(error).includes("could not be cloned")),
        `${errors}`,
      );
      assert.equal(server.statistics().handlerErrors, 0);
      assert.equal(await server.close(), true);
      assertEmpty(server);
    });

    test("threads that die while connections move: the others go on, nothing leaks", async (t) => {
      const server = await start(t, { driver, threads: 3, onError: () => undefined });
      const before = descriptorsOf("self");
      for (let round = 0; round < 3; round++) {
        const clients: Client[] = [];
        // Those who come last get to the thread that has just been replaced.
        while (clients.length < 30 || connectionsOf(server).some((count) => count < 5)) {
          clients.push(await Client.connect(t, server.address));
        }
        const victim = clients.pop() as Client;
        await ask(victim, "where");
        const ids = await Promise.all(
          clients.map(async (client) => (await ask(client, "where")).split(" ")[1]),
        );
        assert.equal(new Set(ids).size, clients.length, "every id once, over all threads");
        const rebalancing = server.rebalance();
        victim.write("exit\n");
        await rebalancing;
        await until(() => victim.ended || victim.closed, "the end of a thread");
        // Each one is served by some thread, or has ended with the one that died.
        for (const client of clients) {
          client.write("hello\n");
          await until(
            () => client.ended || client.closed || client.text().endsWith("\n2 hello\n"),
            client.state(),
          );
        }
        const served = clients.filter((client) => client.text().endsWith("\n2 hello\n"));
        assert.ok(served.length >= 10, `${served.length} of ${clients.length}`);
        for (const client of [...clients, victim]) client.destroy();
        await until(() => server.statistics().connections === 0, "the end of all");
      }
      const { accepted, closed } = server.statistics();
      assert.equal(accepted, closed);
      await until(
        () => descriptorsOf("self") <= before,
        () => `${descriptorsOf("self")} descriptors, ${before} before`,
      );
      assert.equal(await server.close(), true);
    });
  });
}

test("where nothing can be moved, nothing is: the portable driver, and the only thread", async (t) => {
  const portable = await start(t, { driver: "portable" });
  await Client.connect(t, portable.address);
  assert.equal(await portable.rebalance(), 0);
  const one = await serve({ message: () => undefined });
  assert.equal(await one.rebalance(), 0);
  await one.close();
});

async function thinkingAnswer(client: Client): Promise<string> {
  await until(() => client.text().includes("think\n"), "the thought");
  return client.text().trim().split("\n").at(-1) ?? "";
}
