// Threads as the system sees them: their names, the cores that they are bound to, and how evenly they are loaded.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, type TestContext, test } from "node:test";
import { statisticsLine } from "../../src/cli/live-statistics.ts";
import { OptionError } from "../../src/limits.ts";
import { COUNTER_STRIDE, MESSAGES } from "../../src/reactor/counters.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";
import { readStatistics, skewOf } from "../../src/server/statistics.ts";
import { allowedCores, pinThread } from "../../src/sys/affinity.ts";
import { EINVAL } from "../../src/sys/errno.ts";
import { nativeRefusal } from "../../src/sys/native-library.ts";
import { serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

const HANDLERS = new URL("../support/handlers/busy.ts", import.meta.url);
const COMPUTING = new URL("../support/handlers/versatile.ts", import.meta.url);
const skip = nativeRefusal() ?? false;

interface Thread {
  readonly name: string;
  /** As the kernel writes them: `0-3,5`. */
  readonly cores: string;
}

/** Those of this process whose name says that they are ours. */
function threads(): Thread[] {
  const found = readdirSync("/proc/self/task").map((id) => {
    const read = (file: string) => readFileSync(`/proc/self/task/${id}/${file}`, "utf8");
    const cores = /^Cpus_allowed_list:\s+(\S+)$/m.exec(read("status"))?.[1] ?? "";
    return { name: read("comm").trim(), cores };
  });
  return found
    .filter(({ name }) => name.startsWith("sluice"))
    .sort((a, b) => a.name.localeCompare(b.name));
}

async function threadsOf(
  t: TestContext,
  options: ServeOptions,
  handlers = HANDLERS,
): Promise<Thread[]> {
  const server = await serve(handlers, options);
  t.after(() => server.close({ drainMs: 50 }));
  // One that libuv has just started for one of them bears its name, until it has given itself its own.
  const names = () => threads().map(({ name }) => name);
  await until(
    () => new Set(names()).size === names().length,
    () => `a name each: ${names()}`,
  );
  return threads();
}

describe("threads, as the system sees them", { skip }, () => {
  const cores = skip === false ? (allowedCores() as number[]) : [];
  const first = cores[0] ?? 0;

  test("have names, and may run on every core that the process may", async (t) => {
    const all = /^Cpus_allowed_list:\s+(\S+)$/m.exec(
      readFileSync("/proc/self/status", "utf8"),
    )?.[1];
    const found = await threadsOf(t, { threads: 2 });
    assert.deepEqual(found, [
      { name: "sluice-r0", cores: all },
      { name: "sluice-r1", cores: all },
    ]);
  });

  test("those of other models too", async (t) => {
    const options = { model: "hybrid", threads: 1, computeThreads: 2 } as const;
    const found = await threadsOf(t, options, COMPUTING);
    const names = found.map(({ name }) => name);
    assert.deepEqual(names, ["sluice-c0", "sluice-c1", "sluice-r0"]);
  });

  test("run on the cores that they are pinned to, in turns", async (t) => {
    const found = await threadsOf(t, { threads: 2, pin: [first] });
    assert.deepEqual(found, [
      { name: "sluice-r0", cores: String(first) },
      { name: "sluice-r1", cores: String(first) },
    ]);
  });

  test("pin: true takes the cores of the process one after the other", async (t) => {
    const found = await threadsOf(t, { threads: 3, pin: true });
    assert.deepEqual(
      found.map((thread) => thread.cores),
      [0, 1, 2].map((seat) => String(cores[seat % cores.length])),
    );
  });

  test("a core that is not there is refused with those that are", async () => {
    const refused: readonly [ServeOptions["pin"], RegExp][] = [
      [[first, 4000], /^pin: core 4000 is none that this process may run on: \d+/],
      [[], /^pin must be true, false or a list of cores/],
      [[0.5], /^pin: core 0\.5 is none/],
    ];
    for (const [pin, message] of refused) {
      await assert.rejects(serve(HANDLERS, { threads: 1, ...(pin && { pin }) }), (error: Error) => {
        assert.ok(error instanceof OptionError);
        assert.match(error.message, message);
        return true;
      });
    }
    await assert.rejects(serve({ pin: true, message: () => undefined }), /pin that, or use multi/);
    assert.equal(pinThread(8191), -EINVAL);
    assert.equal(pinThread(100_000), -EINVAL);
  });
});

describe("skew", () => {
  test("is the largest as a multiple of the mean", () => {
    assert.equal(skewOf([5, 5, 5]), 1);
    assert.equal(skewOf([9, 0, 0]), 3);
    assert.equal(skewOf([3, 1]), 1.5);
    assert.equal(skewOf([0, 0]), 1);
    assert.equal(skewOf([7]), 1);
  });

  test("stands in the statistics, and in the live line when there are several threads", async (t) => {
    const counters = new Float64Array(2 * COUNTER_STRIDE);
    const before = readStatistics(counters, 2);
    counters[MESSAGES] = 30;
    counters[COUNTER_STRIDE + MESSAGES] = 10;
    const now = readStatistics(counters, 2);
    assert.deepEqual(now.skew, { connections: 1, messages: 1.5 });
    assert.match(statisticsLine(before, now, 1000), / {2}skew 1\.50/);
    assert.match(statisticsLine(now, now, 1000), / {2}skew 1\.00/);
    const server = await serveFor(t, { message: () => undefined });
    assert.deepEqual(server.statistics().skew, { connections: 1, messages: 1 });
    assert.doesNotMatch(statisticsLine(server.statistics(), server.statistics(), 1000), /skew/);
  });
});
