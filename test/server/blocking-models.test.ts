// What only the models with blocking threads have: their bounds, whom they starve, and that nothing which blocks can hold up
// the end of a server.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { describe, type TestContext, test } from "node:test";
import { OptionError } from "../../src/limits.ts";
import type { ModelName, ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";
import { nativeRefusal } from "../../src/sys/native-library.ts";
import { Client } from "../support/client.ts";
import { ModelServer } from "../support/models.ts";
import { descriptorsOf } from "../support/process-figures.ts";
import { until } from "../support/until.ts";

/** Threads that start at a time. */
const STARTING = availableParallelism();

/** Names of this process's threads that serve. */
function startedThreads(): string[] {
  const names = readdirSync("/proc/self/task").map((task) =>
    readFileSync(`/proc/self/task/${task}/comm`, "utf8").trim(),
  );
  return names.filter((name) => name.startsWith("sluice-r"));
}

const skip = nativeRefusal() ?? false;

function start(t: TestContext, model: ModelName, options: ServeOptions): Promise<ModelServer> {
  return ModelServer.start(t, { model, driver: "auto" }, options);
}

async function served(t: TestContext, { server }: ModelServer): Promise<Client> {
  const client = await Client.connect(t, server.address);
  client.write("x\n");
  assert.equal((await client.bytes(2)).toString(), "x\n");
  return client;
}

async function refused(t: TestContext, { server }: Pick<ModelServer, "server">): Promise<void> {
  const client = Client.dial(t, server.address);
  client.write("x\n");
  await until(
    () => client.closed,
    () => `being refused (${client.state()})`,
  );
  assert.equal(client.error, "ECONNRESET");
}

describe("thread-per-connection", { skip }, () => {
  test("refuses who is one too many, counts them, says so once, and goes on", async (t) => {
    const own = await start(t, "thread-per-connection", { threads: 2 });
    const [first] = [await served(t, own), await served(t, own)];
    for (let n = 0; n < 3; n++) await refused(t, own);
    assert.equal(own.server.statistics().refused, 3);
    assert.match(own.errors.join(), /^Error: all 2 threads serve a connection: .*Raise threads/);
    first?.destroy();
    await until(() => own.server.statistics().connections === 1, "one place");
    await served(t, own);
  });

  /** A server whose threads never start, but for the first and the last; a client for each of them, and one too many. */
  async function neverStarting(t: TestContext, when: "loading" | "started") {
    const module = new URL(`../support/handlers/never-starting.ts?while=${when}`, import.meta.url);
    const server = await serve(module, {
      model: "thread-per-connection",
      threads: STARTING + 2,
      onError: () => undefined,
    });
    t.after(() => server.close({ drainMs: 50 }));
    const clients: Client[] = [];
    for (let n = 0; n < STARTING + 2; n++) {
      const client = await Client.connect(t, server.address);
      client.write("x");
      clients.push(client);
    }
    // It comes last: all others have been given a place.
    await refused(t, { server });
    return clients;
  }

  test("starts as many threads at a time as there are processors", async (t) => {
    await neverStarting(t, "loading");
    await until(() => startedThreads().length > STARTING, "threads that start");
    assert.equal(startedThreads().length, 1 + STARTING);
  });

  test("a thread that waits for something else at its start holds up no other one", async (t) => {
    const clients = await neverStarting(t, "started");
    const answered = () => clients.filter((client) => client.text() === "x").length;
    await until(() => answered() === 2, "an answer by a thread that was started later");
  });

  test("keeps a thread for the next connection", async (t) => {
    const own = await start(t, "thread-per-connection", { threads: 8 });
    for (let n = 1; n <= 5; n++) {
      const client = await served(t, own);
      client.destroy();
      await until(() => own.told.length === n, "closed");
    }
    assert.equal(new Set(own.told.map(({ thread }) => thread)).size, 1);
  });
});

describe("thread-pool", { skip }, () => {
  test("idle connections starve those behind them, until one ends", async (t) => {
    const own = await start(t, "thread-pool", { threads: 2 });
    const idle = [await served(t, own), await served(t, own)];
    const starving = await Client.connect(t, own.server.address);
    starving.write("x\n");
    // Long after everybody else has been answered.
    idle[1]?.write("wait 200\n");
    await idle[1]?.bytes(11);
    assert.equal(starving.receivedLength, 0);
    idle[0]?.destroy();
    assert.equal((await starving.bytes(2)).toString(), "x\n");
  });

  test("refuses whom the queue has no room for, counts them, and says so once", async (t) => {
    const own = await start(t, "thread-pool", { threads: 1, limits: { queuedConnections: 3 } });
    const serving = await served(t, own);
    const waiting = [];
    for (let n = 0; n < 3; n++) waiting.push(await Client.connect(t, own.server.address));
    for (const client of waiting) client.write("x\n");
    for (let n = 0; n < 3; n++) await refused(t, own);
    assert.equal(own.server.statistics().refused, 3);
    assert.match(own.errors.join(), /^Error: all 1 threads .* 3 wait: .*queuedConnections/);
    serving.destroy();
    // In the order in which they came, one after the other.
    for (const client of waiting) {
      assert.equal((await client.bytes(2)).toString(), "x\n");
      client.destroy();
    }
  });

  test("who still waits when the server ends is refused", async (t) => {
    const own = await start(t, "thread-pool", { threads: 1 });
    await served(t, own);
    const waiting = await Client.connect(t, own.server.address);
    await own.server.close({ drainMs: 1000 });
    await until(() => waiting.closed, "being refused");
    assert.equal(waiting.error, "ECONNRESET");
  });
});

for (const model of ["thread-per-connection", "thread-pool"] as const) {
  describe(`${model}, blocked`, { skip }, () => {
    test("a peer that never reads holds up neither a deadline nor the end", async (t) => {
      const before = descriptorsOf("self");
      const own = await start(t, model, { threads: 3, limits: { writeMs: 300 } });
      const deaf = await Client.silent(t, own.server.address);
      deaf.write("stream 100000\n");
      assert.equal(await own.reasonOf(deaf), "write");
      const patient = await start(t, model, { threads: 3, limits: { writeMs: 60_000 } });
      const blocking = await Client.silent(t, patient.server.address);
      blocking.write("stream 100000\n");
      await until(() => patient.server.statistics().bytesSent > 100_000, "a full peer");
      const began = performance.now();
      assert.equal(await patient.server.close({ drainMs: 100 }), false);
      const took = performance.now() - began;
      assert.ok(took < 5000, `closing took ${took} ms`);
      await own.server.close();
      for (const client of [deaf, blocking]) client.destroy();
      await until(
        () => descriptorsOf("self") <= before,
        () => `${descriptorsOf("self")} descriptors, ${before} before`,
      );
    });

    test("a thread that dies costs its own connection, and another takes its place", async (t) => {
      const own = await start(t, model, { threads: 3 });
      const other = await served(t, own);
      const victim = await served(t, own);
      victim.write("die\n");
      await victim.end();
      other.write("y\n");
      assert.equal((await other.bytes(4)).toString(), "x\ny\n");
      await until(() => own.errors.length > 0, "being told");
      assert.match(String(own.errors[0]), /nobody can catch it/);
      victim.destroy();
      const [a, b] = [await served(t, own), await served(t, own)];
      for (const client of [a, b, other]) client.destroy();
      await until(() => own.server.statistics().connections === 0, "nobody");
      const { accepted, closed } = own.server.statistics();
      assert.equal(accepted, closed);
    });

    test("needs a module, and has a driver of its own", async () => {
      const message = () => undefined;
      await assert.rejects(serve({ model, message }), /functions do not cross threads/);
      const module = new URL("../support/handlers/versatile.ts", import.meta.url);
      await assert.rejects(serve(module, { model, driver: "epoll" }), (error: Error) => {
        assert.ok(error instanceof OptionError);
        assert.match(error.message, /leave out driver/);
        return true;
      });
      await assert.rejects(serve(module, { model, threads: 5000 }), /threads must be an integer/);
    });
  });
}
