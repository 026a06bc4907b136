// What only hybrid has: a pool of threads that compute, its bound, cancelling, and what becomes of tasks when a thread dies.

import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";
import { Client } from "../support/client.ts";
import { ENOUGH } from "../support/handlers/versatile.ts";
import { ModelServer } from "../support/models.ts";
import { until } from "../support/until.ts";

const LONG = 60_000;

/** One reactor and one compute thread, unless told otherwise: what waits is known. */
function start(t: TestContext, options: ServeOptions = {}): Promise<ModelServer> {
  const fixed = { threads: 1, computeThreads: 1 };
  return ModelServer.start(t, { model: "hybrid", driver: "auto" }, { ...fixed, ...options });
}

/** A file in which a computation says how it goes. */
function story(t: TestContext): { readonly path: string; read(): string; end(): void } {
  const directory = mkdtempSync(join(tmpdir(), "sluice-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "story");
  return {
    path,
    read: () => (existsSync(path) ? readFileSync(path, "utf8") : ""),
    // For one that is told when.
    end: () => appendFileSync(path, ENOUGH),
  };
}

describe("hybrid", () => {
  test("a connection that waits for its computation holds up nobody else", async (t) => {
    const own = await start(t);
    const file = story(t);
    const [slow, quick] = [
      await Client.connect(t, own.server.address),
      await Client.connect(t, own.server.address),
    ];
    slow.write(`heavy told,${file.path}\nafter\n`);
    await until(() => file.read() === "begun\n", "the computation's beginning");
    for (let n = 1; n <= 50; n++) {
      quick.write("x\n");
      await quick.bytes(2 * n);
    }
    file.end();
    const expected = `heavy told,${file.path} elsewhere\nafter\n`;
    assert.equal((await slow.bytes(expected.length)).toString(), expected);
  });

  test("cancels what is being computed when its connection ends, in a loop or asleep", async (t) => {
    const own = await start(t);
    const file = story(t);
    const client = await Client.connect(t, own.server.address);
    client.write(`heavy ${LONG},${file.path}\n`);
    await until(() => file.read() === "begun\n", "the computation's beginning");
    client.reset();
    await until(() => file.read() === "begun\naborted\n", "being cancelled");
    const asleep = await Client.connect(t, own.server.address);
    asleep.write("heavy async\nx\n");
    const next = await Client.connect(t, own.server.address);
    next.write("heavy 1\n");
    await next.bytes(18);
    asleep.reset();
    await until(() => own.told.length === 2, "both closed");
    // The pool is free again, and nothing is reported of what nobody waits for.
    next.write("heavy 2\n");
    assert.equal((await next.bytes(36)).toString(), "heavy 1 elsewhere\nheavy 2 elsewhere\n");
    assert.deepEqual(own.errors, []);
  });

  test("never begins what was cancelled before its turn", async (t) => {
    const own = await start(t);
    const [first, second] = [story(t), story(t)];
    const busy = await Client.connect(t, own.server.address);
    busy.write(`heavy told,${first.path}\n`);
    await until(() => first.read() === "begun\n", "the computation's beginning");
    const gone = await Client.connect(t, own.server.address);
    gone.write(`heavy ${LONG},${second.path}\n`);
    await until(() => own.server.statistics().messages === 2, "the second task");
    gone.reset();
    await until(() => own.told.length === 1, "its end");
    first.end();
    const last = await Client.connect(t, own.server.address);
    last.write("heavy 1\n");
    assert.equal((await last.bytes(18)).toString(), "heavy 1 elsewhere\n");
    assert.equal(second.read(), "");
  });

  test("refuses what its queue has no room for, and says so", async (t) => {
    const own = await start(t, { limits: { computeQueue: 2 } });
    const file = story(t);
    const clients = [];
    for (let n = 0; n < 4; n++) {
      const client = await Client.connect(t, own.server.address);
      client.write(n === 0 ? `heavy told,${file.path}\n` : "heavy 2\n");
      await until(() => own.server.statistics().messages === n + 1, "a task");
      clients.push(client);
    }
    const refused = "refused 2\n";
    for (const client of clients.slice(2)) await client.bytes(refused.length);
    file.end();
    const answers = [];
    for (const client of clients) answers.push((await client.bytes(refused.length)).toString());
    const first = `heavy told,${file.path} elsewhere\n`;
    assert.deepEqual(answers, [first, "heavy 2 elsewhere\n", refused, refused]);
    // Room again.
    clients[3]?.write("heavy 1\n");
    await clients[3]?.bytes(refused.length + 18);
    assert.equal(clients[3]?.text(), `${refused}heavy 1 elsewhere\n`);
  });

  test("spreads over the compute threads, from every reactor", async (t) => {
    const own = await start(t, { threads: 2, computeThreads: 2 });
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => Client.connect(t, own.server.address)),
    );
    for (let round = 1; round <= 20; round++) {
      for (const client of clients) client.write("heavy 1\n");
      for (const client of clients) await client.bytes(18 * round);
    }
    for (const client of clients) assert.equal(client.text(), "heavy 1 elsewhere\n".repeat(20));
    const each = own.server.statistics().threads.map(({ messages }) => messages);
    assert.ok(
      each.every((messages) => messages > 0),
      `${each}`,
    );
  });

  test("a compute thread that dies costs the connections that wait for it, and is replaced", async (t) => {
    const own = await start(t);
    const other = await Client.connect(t, own.server.address);
    const victim = await Client.connect(t, own.server.address);
    other.write("x\n");
    await other.bytes(2);
    const reason = own.reasonOf(victim);
    victim.write("heavy exit\n");
    await victim.end();
    victim.socket.end();
    assert.equal(await reason, "handler");
    await until(
      () => /compute 0 ended by itself with code 4/.test(own.errors.join()),
      () => `being told (${own.errors})`,
    );
    // It waits until there is a thread again.
    other.write("heavy 1\n");
    assert.equal((await other.bytes(20)).toString(), "x\nheavy 1 elsewhere\n");
  });

  test("a computation without an end is named, and its thread replaced", async (t) => {
    const own = await start(t, { limits: { computeMs: 500 } });
    const victim = await Client.connect(t, own.server.address);
    const other = await Client.connect(t, own.server.address);
    const reason = own.reasonOf(victim);
    victim.write("heavy loop\n");
    await victim.end();
    victim.socket.end();
    assert.equal(await reason, "handler");
    other.write("heavy 1\n");
    assert.equal((await other.bytes(18)).toString(), "heavy 1 elsewhere\n");
    const told = own.errors.join("\n");
    assert.match(told, /compute 0 has been blocked for .* by compute/);
    assert.match(told, /compute 0 was ended, blocked for .* by compute/);
  });

  test("many short computations in a row are no block", async (t) => {
    const own = await start(t, { limits: { computeMs: 2400 } });
    const clients = await Promise.all(
      Array.from({ length: 4 }, () => Client.connect(t, own.server.address)),
    );
    // Some 1,200 ms in which there is always one that waits.
    for (const client of clients) client.write("heavy 5\n".repeat(60));
    for (const client of clients) await client.bytes(18 * 60);
    assert.deepEqual(own.errors, []);
  });

  test("a reactor that dies leaves the pool to its successor", async (t) => {
    const own = await start(t);
    const file = story(t);
    const client = await Client.connect(t, own.server.address);
    client.write(`heavy ${LONG},${file.path}\n`);
    await until(() => file.read() === "begun\n", "the computation's beginning");
    const killer = await Client.connect(t, own.server.address);
    killer.write("die\n");
    await client.end();
    await until(() => file.read() === "begun\naborted\n", "being cancelled");
    const next = await Client.connect(t, own.server.address);
    next.write("heavy 1\n");
    assert.equal((await next.bytes(18)).toString(), "heavy 1 elsewhere\n");
  });

  test("has no compute threads for handlers that compute nothing", async (t) => {
    const lethal = new URL("../support/handlers/lethal.ts", import.meta.url);
    const server = await serve(lethal, { model: "hybrid", threads: 1 });
    t.after(() => server.close({ drainMs: 0 }));
    const client = await Client.connect(t, server.address);
    client.write("hello\n");
    assert.equal(String(await client.bytes(6)), "hello\n");
    const threads = readdirSync("/proc/self/task").map((id) =>
      readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim(),
    );
    assert.deepEqual(
      threads.filter((name) => name.startsWith("sluice")),
      ["sluice-r0"],
    );
  });

  test("needs compute in the module, and hybrid for compute threads", async () => {
    const lethal = new URL("../support/handlers/lethal.ts", import.meta.url);
    const idle = serve(lethal, { model: "hybrid", computeThreads: 1 });
    await assert.rejects(idle, /compute threads need compute and computed/);
    const refused = serve(lethal, { model: "multi-reactor", computeThreads: 2 });
    await assert.rejects(refused, /has no compute threads/);
    const half = { compute: () => 1, message: () => undefined };
    await assert.rejects(serve(half), /both compute and computed/);
  });
});
