// Reloads under load: new threads with the file as it now is, on the same socket. Nobody is refused or reset, who talks to an
// old thread may go on for a while, and a file that cannot be loaded changes nothing and is named.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { Child, CLI } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { descriptorsOf } from "../support/process-figures.ts";
import { assertEmpty } from "../support/server.ts";
import { settled, until } from "../support/until.ts";
import { Visitors } from "../support/visitors.ts";

const CODEC = fileURLToPath(new URL("../../src/codec/lines.ts", import.meta.url));
const HEAVY = fileURLToPath(new URL("../../src/handlers.ts", import.meta.url));
const BROKEN = "export default { message() {} ;";
const GRACE_MS = 300;
const VISITORS = 6;

function version(number: number): string {
  return `import { lines } from ${JSON.stringify(CODEC)};
    export default {
      codec: lines(),
      message: (connection) => void connection.send("v${number}"),
    };`;
}

function moduleFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "sluice-reload-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "handlers.mjs");
  writeFileSync(file, version(1));
  return file;
}

async function start(t: TestContext, file: string, options: ServeOptions): Promise<Server> {
  const server = await serve(file, { onError: () => undefined, ...options });
  t.after(() => server.close({ drainMs: 50 }));
  return server;
}

interface Case {
  readonly name: string;
  readonly skip: string | false;
  readonly options: ServeOptions;
  /** For one client that stays, and for the visitors. */
  readonly threads: readonly [one: number, many: number];
}

const CASES: readonly Case[] = RAW_DRIVERS.map(({ name: driver, skip }) => {
  return { name: driver, skip, options: { driver }, threads: [1, 2] };
});
const skip = RAW_DRIVERS.find(({ name }) => name === "epoll")?.skip ?? false;
const BLOCKING: readonly Case[] = [
  // Who finds no thread waits in the queue.
  { name: "thread-pool", skip, options: { model: "thread-pool" }, threads: [1, VISITORS] },
  // A thread is started also for who comes again before his last connection has closed.
  {
    ...{ name: "thread-per-connection", skip, options: { model: "thread-per-connection" } },
    threads: [1, 64],
  },
];

for (const { name, skip: why, options, threads } of [...CASES, ...BLOCKING]) {
  const [one, many] = threads;
  describe(`reload, ${name}`, { skip: why }, () => {
    test("three reloads under load, a broken one between them: nobody is refused, reset or cut", async (t) => {
      const file = moduleFile(t);
      const server = await start(t, file, { ...options, threads: many });
      const before = await settled(() => descriptorsOf("self"));
      const visitors = new Visitors({ address: server.address, visitors: VISITORS, ask: "?\n" });
      const long = await Client.connect(t, server.address);
      long.write("?\n");
      await long.bytes(3);
      const seen = (answer: string) => (visitors.answers.get(answer) ?? 0) > 20;
      await until(() => seen("v1"), "visits to the first version");
      for (const next of [2, 3, 4]) {
        if (next === 3) {
          writeFileSync(file, BROKEN);
          await assert.rejects(server.reload({ graceMs: GRACE_MS }), (error: Error) => {
            assert.ok(
              error.message.includes(`${file} cannot be loaded: SyntaxError`),
              error.message,
            );
            return true;
          });
          const now = visitors.served;
          await until(() => visitors.served > now + 20, "the present threads going on");
        }
        writeFileSync(file, version(next));
        await server.reload({ graceMs: GRACE_MS });
        await until(() => seen(`v${next}`), `visits to version ${next}`);
        if (next !== 2) continue;
        // Who was there before talks to the old version until its grace is over.
        long.write("?\n");
        assert.equal((await long.bytes(6)).toString(), "v1\nv1\n");
        assert.equal((await long.end()).toString(), "v1\nv1\n");
        assert.equal(long.error, undefined, "it ends in order");
      }
      await until(() => visitors.leave(), "the last visitor leaving");
      assert.deepEqual([...visitors.failures], []);
      long.destroy();
      await until(() => server.statistics().connections === 0, "nobody");
      const { accepted, messages, acceptErrors } = server.statistics();
      assert.equal(accepted, visitors.served + 1, "connections of all generations");
      assert.equal(messages, visitors.served + 2);
      assert.equal(acceptErrors, 0);
      await until(
        // The mailboxes of a second generation keep their eventfds for the next one.
        () => descriptorsOf("self") <= before + many,
        () => `the old threads' descriptors: ${descriptorsOf("self")}, ${before} before`,
      );
      assert.equal(await server.close(), true);
      assertEmpty(server);
    });

    test("a second reload ends the first one's grace; a close ends it too, and drains both", async (t) => {
      const file = moduleFile(t);
      const server = await start(t, file, { ...options, threads: one });
      const first = await Client.connect(t, server.address);
      first.write("?\n");
      await first.bytes(3);
      await server.reload({ graceMs: 60_000 });
      const second = await Client.connect(t, server.address);
      second.write("?\n");
      await second.bytes(3);
      const again = server.reload({ graceMs: 60_000 });
      await first.end();
      first.destroy();
      await again;
      assert.equal(second.ended, false);
      const closed = server.close({ drainMs: 5000 });
      await second.end();
      second.destroy();
      assert.equal(await closed, true);
      await assert.rejects(server.reload(), /closing/);
    });
  });
}

test("SIGHUP loads the file anew; a broken one is named and changes nothing", async (t) => {
  const file = moduleFile(t);
  const child = Child.node(t, [
    CLI,
    "serve",
    file,
    "--port",
    "0",
    "--threads",
    "2",
    "--grace-ms",
    "50",
  ]);
  const [, port] = await child.says(/listening on 127\.0\.0\.1:(\d+)/);
  const address = { family: "ipv4", host: "127.0.0.1", port: Number(port) } as const;
  const asked = async () => {
    const client = await Client.connect(t, address);
    client.write("?\n");
    return (await client.bytes(3)).toString();
  };
  assert.equal(await asked(), "v1\n");
  writeFileSync(file, BROKEN);
  child.kill("SIGHUP");
  await until(
    () => child.stderr.includes("not reloaded"),
    () => child.story(),
  );
  assert.ok(child.stderr.includes(`${file} cannot be loaded: SyntaxError`), child.story());
  assert.equal(await asked(), "v1\n");
  writeFileSync(file, version(2));
  child.kill("SIGHUP");
  await child.says(/reloaded: new threads serve/);
  assert.equal(await asked(), "v2\n");
  child.kill("SIGTERM");
  assert.equal((await child.exit()).code, 0, child.story());
});

test("a SIGHUP that comes while it starts is heard once it serves", async (t) => {
  const file = moduleFile(t);
  const mark = `${file}.started`;
  const once = [
    'import { existsSync, writeFileSync } from "node:fs";',
    `const mark = ${JSON.stringify(mark)};`,
    'if (!existsSync(mark)) { writeFileSync(mark, ""); process.kill(process.pid, "SIGHUP"); }',
  ];
  writeFileSync(file, `${once.join("\n")}\n${version(1)}`);
  const child = Child.cli(t, "serve", file, "--port", "0", "--threads", "1", "--grace-ms", "0");
  await child.says(/reloaded: new threads serve/);
  child.kill("SIGTERM");
  assert.equal((await child.exit()).code, 0, child.story());
});

test("hybrid reloads its reactors together with the threads that compute for them", async (t) => {
  const file = moduleFile(t);
  const table = (number: number) => `import { heavy } from ${JSON.stringify(HEAVY)};
    export default {
      message: () => heavy(null),
      compute: () => "v${number}",
      computed: (connection, result) => void connection.write(result),
    };`;
  writeFileSync(file, table(1));
  const server = await start(t, file, { model: "hybrid", threads: 1 });
  const asked = async () => {
    const client = await Client.connect(t, server.address);
    client.write("?");
    return (await client.bytes(2)).toString();
  };
  assert.equal(await asked(), "v1");
  writeFileSync(file, table(2));
  await server.reload({ graceMs: 50 });
  assert.equal(await asked(), "v2");
  assert.equal(await server.close({ drainMs: 5000 }), true);
});

test("event-loop cannot reload, and says what can", async (t) => {
  const server = await start(t, moduleFile(t), { model: "event-loop" });
  await assert.rejects(server.reload(), /event-loop cannot reload.*multi-reactor \(threads: 1/);
});
