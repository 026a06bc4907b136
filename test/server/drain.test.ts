// SIGTERM under load: what was executed is answered, whole and once; then the process ends by itself, with 0. Both
// ledgers are compared: the server's file of what it executed, and what each client saw acknowledged.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Address } from "../../src/sys/address.ts";
import { Child, CLI } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { FILLER } from "../support/handlers/acknowledging.ts";
import { assertSame, Requests } from "../support/requests.ts";
import { until } from "../support/until.ts";

const HANDLERS = fileURLToPath(new URL("../support/handlers/acknowledging.ts", import.meta.url));
const CONNECTIONS = 40;
/** Where a connection takes a thread: forty threads take a busy machine longer to start than they have here. */
const THREADS = 16;
const IN_FLIGHT = 8;
const ROUNDS = 3;

interface Listening {
  readonly child: Child;
  readonly address: Address;
  /** What the server has executed. */
  ledger(): string[];
}

async function start(t: TestContext, ...options: string[]): Promise<Listening> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "ledger");
  writeFileSync(file, "");
  const args = [CLI, "serve", HANDLERS, "--port", "0", ...options];
  const child = Child.node(t, args, { LEDGER: file });
  const [, port] = await child.says(/listening on 127\.0\.0\.1:(\d+)/);
  return {
    child,
    address: { family: "ipv4", host: "127.0.0.1", port: Number(port) },
    ledger: () => readFileSync(file, "utf8").split("\n").slice(0, -1),
  };
}

interface Load {
  readonly connections: number;
  /** SIGTERM comes once so many were executed. */
  readonly requests: number;
}

async function drainUnderLoad(t: TestContext, load: Load, ...options: string[]) {
  const { connections, requests } = load;
  const { child, address, ledger } = await start(t, ...options);
  const all = Array.from(
    { length: connections },
    (_, n) => new Requests(Client.dial(t, address), `${n}`, IN_FLIGHT),
  );
  await until(() => ledger().length > requests, "a running load");
  const atSignal = ledger().length;
  child.kill("SIGTERM");
  const signalled = performance.now();
  for (const { client } of all) {
    client.socket.on("end", () => client.socket.end());
    await until(
      () => client.ended || client.closed,
      () => `the end (${client.state()})`,
    );
    if (client.ended) client.socket.end();
  }
  const { code } = await child.exit();
  assert.equal(code, 0, child.story());
  const tookMs = performance.now() - signalled;
  assert.match(child.stdout, /all finished/, `after ${tookMs} ms`);
  assert.ok(tookMs < 9000, `${tookMs} ms, which is no better than the deadline`);
  const executed = ledger();
  assert.ok(executed.length >= atSignal);
  assertSame(
    executed,
    all.flatMap((each) => each.acknowledged()),
  );
}

/** Their threads block, or compute: the drivers' rounds are those of multi-reactor. */
const OTHER_MODELS = ["event-loop", "hybrid", "thread-pool", "thread-per-connection"];

for (const model of OTHER_MODELS) {
  test(`SIGTERM under load loses nothing that was executed, model ${model}`, async (t) => {
    // A thread each, where a connection takes one.
    const blocking = model.startsWith("thread-");
    const connections = blocking ? THREADS : CONNECTIONS;
    const threads = blocking ? THREADS : model === "hybrid" ? 2 : 1;
    const load = { connections, requests: CONNECTIONS };
    await drainUnderLoad(t, load, "--model", model, "--threads", `${threads}`);
  });
}

for (const { name: driver, skip } of DRIVERS) {
  describe(`drain, ${driver}`, { skip }, () => {
    for (let round = 1; round <= ROUNDS; round++) {
      test(`SIGTERM under load loses nothing that was executed, round ${round}`, async (t) => {
        const threads = round === 1 ? "1" : "2";
        const load = { connections: CONNECTIONS, requests: CONNECTIONS * round };
        await drainUnderLoad(t, load, "--driver", driver, "--threads", threads);
      });
    }

    test("a connection that never finishes is cut off at the deadline", async (t) => {
      const { child, address } = await start(t, "--driver", driver, "--drain-ms", "400");
      const stuck = await Client.connect(t, address);
      const quick = await Client.connect(t, address);
      stuck.write("hang\n");
      quick.write("quick\n");
      await quick.bytes(FILLER.length + 7);
      child.kill("SIGTERM");
      const signalled = performance.now();
      await quick.end();
      quick.socket.end();
      const { code } = await child.exit();
      const tookMs = performance.now() - signalled;
      assert.equal(code, 0, child.story());
      assert.ok(tookMs >= 390, `cut off after ${tookMs} ms`);
      assert.match(child.stdout, /some were cut off/);
      await stuck.end();
    });

    test("new clients are refused as soon as it drains, and do not hang until its end", async (t) => {
      const { child, address } = await start(t, "--driver", driver);
      const stuck = await Client.connect(t, address);
      stuck.write("hang\n");
      await until(() => stuck.takenLength === 5, "a request that is never done");
      child.kill("SIGTERM");
      await child.says(/closing/);
      // It may take a moment until every thread has been told.
      let late = Client.dial(t, address);
      await until(() => {
        if (late.ended || (late.connected && late.closed)) late = Client.dial(t, address);
        return late.error !== undefined;
      }, "a refusal");
      assert.equal(late.error, "ECONNREFUSED");
      assert.equal(child.ended, undefined, "it still drains");
      child.kill("SIGTERM");
      await child.exit();
    });

    test("a second signal ends it at once", async (t) => {
      const { child, address } = await start(t, "--driver", driver);
      const stuck = await Client.connect(t, address);
      stuck.write("hang\n");
      const other = await Client.connect(t, address);
      other.write("x\n");
      await other.bytes(FILLER.length + 3);
      child.kill("SIGTERM");
      await child.says(/closing/);
      child.kill("SIGTERM");
      assert.deepEqual(await child.exit(), { code: null, signal: "SIGTERM" });
    });
  });
}
