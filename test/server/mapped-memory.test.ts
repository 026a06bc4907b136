// What a thread has mapped (../../src/sys/native-memory.ts) is unmapped when it is gone, whichever way: a process may have 65,530
// mappings, and each thread brings a dozen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { type Server, serve } from "../../src/server/serve.ts";
import { ThreadEndedError } from "../../src/server/thread-ended.ts";
import { nativeRefusal } from "../../src/sys/native-library.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { until } from "../support/until.ts";

const LETHAL = new URL("../support/handlers/lethal.ts", import.meta.url);
/** The next thread may be given the addresses of the one before; not that often. */
const TIMES = 6;
const GUARD = 4096;

const SUBJECTS = [
  ...RAW_DRIVERS.map(({ name, skip }) => ({ title: name, options: { driver: name }, skip })),
  { title: "blocking", options: { model: "thread-pool" as const }, skip: nativeRefusal() ?? false },
];

for (const { title, options, skip } of SUBJECTS) {
  test(`what dead threads had mapped is unmapped: ${title}`, { skip }, async (t) => {
    let ended = 0;
    const onError = (error: unknown) => {
      if (error instanceof ThreadEndedError) ended++;
    };
    const server = await serve(LETHAL, { threads: 1, onError, ...options });
    t.after(() => server.close({ drainMs: 50 }));
    const kill = async () => {
      const before = ended;
      const client = Client.dial(t, server.address);
      client.write("exit\n");
      await until(() => ended > before, "the end of the thread");
      await answer(t, server);
    };
    await assertNothingStays(kill);
  });

  test(`what reloaded threads had mapped is unmapped: ${title}`, { skip }, async (t) => {
    const server = await serve(LETHAL, { threads: 1, ...options });
    t.after(() => server.close({ drainMs: 50 }));
    const reload = async () => {
      await server.reload({ graceMs: 0, drainMs: 0 });
      await answer(t, server);
    };
    await assertNothingStays(reload);
  });
}

async function answer(t: TestContext, server: Server): Promise<void> {
  const client = Client.dial(t, server.address);
  client.write("hello\n");
  assert.equal((await client.bytes(6)).toString(), "hello\n");
  client.destroy();
}

/** After the first time all is there that stays as long as the server. */
async function assertNothingStays(act: () => Promise<void>): Promise<void> {
  await act();
  const before = guardPages();
  for (let n = 0; n < TIMES; n++) await act();
  await until(
    () => guardPages() - before < TIMES,
    () => `${guardPages() - before} more guard pages`,
  );
}

/** Pages of this process that nobody may touch, in pieces no larger than those between two of our mappings. */
function guardPages(): number {
  const lines = readFileSync("/proc/self/maps", "latin1").split("\n");
  const pieces = lines.flatMap((line) => {
    const [, from = "", to = ""] = /^(\w+)-(\w+) ---p/.exec(line) ?? [];
    return from === "" ? [] : [Number.parseInt(to, 16) - Number.parseInt(from, 16)];
  });
  return pieces
    .filter((bytes) => bytes <= 2 * GUARD)
    .reduce((sum, bytes) => sum + bytes / GUARD, 0);
}
