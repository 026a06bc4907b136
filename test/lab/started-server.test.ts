// Servers that the lab starts: found with all their processes, measured, and ended in every case.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readProcess } from "../../src/lab/proc.ts";
import { StartedServer, splitCommand } from "../../src/lab/started-server.ts";
import { Child } from "../support/child.ts";
import { until } from "../support/until.ts";
import { load, onlyStage } from "./load.ts";

const STUBBORN = fileURLToPath(new URL("./stubborn-server.mjs", import.meta.url));
const STARTING = fileURLToPath(new URL("./starting-program.ts", import.meta.url));
const COMMAND = [process.execPath, STUBBORN, "{port}", "parent"];
const skip = process.platform === "linux" ? false : "processes are found in /proc";

function gone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    // ESRCH: there is no such process.
    return true;
  }
}

async function assertGone(pids: readonly number[]): Promise<void> {
  await until(() => pids.every(gone), `the end of ${pids.join(", ")}`);
}

describe("a server that is started", { skip, concurrency: true }, () => {
  test("is measured with its children, and ended although it will not", async (t) => {
    const server = await StartedServer.start({ command: COMMAND, stopMs: 100 });
    t.after(() => server.stop());
    const watch = server.watch();
    const pids = watch.read()?.processes.map(({ pid }) => pid) ?? [];
    assert.equal(pids.length, 2);
    assert.ok(pids.includes(server.pid));
    const result = await load(server, { durationMs: 1500 }, {}, watch);
    const figures = onlyStage(result).server;
    assert.ok(figures !== null && figures.cpuMs > 0 && figures.cpuUsPerMessage > 0);
    assert.equal(figures.processes.length, 2);
    assert.ok(figures.threads >= 4, "two Nodes have several threads each");
    assert.ok(figures.memoryBytes > 20e6 && figures.peakMemoryBytes >= figures.memoryBytes);
    assert.ok(figures.descriptors > 10 && figures.voluntarySwitches > 0);
    assert.ok(onlyStage(result).slices.some(({ serverCpuMs }) => (serverCpuMs ?? 0) > 0));
    await server.stop();
    assert.match(server.output, /not yet/);
    assert.match(server.ended ?? "", /SIGKILL/);
    await assertGone(pids);
  });

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`ends with whoever started it, also by ${signal}`, async (t) => {
      const starter = Child.node(t, [STARTING, ...COMMAND]);
      const [line] = await starter.says(/\{.*\}/);
      const { processes }: { processes: number[] } = JSON.parse(line);
      assert.equal(processes.length, 2);
      assert.ok(processes.every((pid) => readProcess(pid) !== undefined));
      starter.kill(signal);
      await starter.exit();
      await assertGone(processes);
    });
  }

  test("that nobody waits for any more is ended", async () => {
    const stop = new AbortController();
    const command = [process.execPath, "-e", "setInterval(() => {}, 1000)"];
    const start = StartedServer.start({ command, startMs: 600_000, signal: stop.signal });
    stop.abort();
    await assert.rejects(start, /interrupted before it served/);
  });

  test("that cannot be: says why", async () => {
    const start = (startMs: number, ...command: string[]) =>
      StartedServer.start({ command, startMs });
    await assert.rejects(
      start(10_000, "no-such-program"),
      /could not be started: no-such-program ENOENT/,
    );
    const dies = start(60_000, process.execPath, "-e", "console.log('sorry'); process.exit(3)");
    await assert.rejects(dies, /could not be started: it ended with 3; it said: sorry/);
    const deaf = start(300, process.execPath, "-e", "setInterval(() => {}, 1000)");
    await assert.rejects(deaf, /does not accept connections at 127\.0\.0\.1:\d+/);
  });
});

test("a command line is split as a shell would", () => {
  assert.deepEqual(splitCommand(`a "b c" 'd "e' f\\ g --x="1 2" ''`), [
    "a",
    "b c",
    'd "e',
    "f g",
    "--x=1 2",
    "",
  ]);
  assert.throws(() => splitCommand('a "b'), /a quote is not closed in: a "b/);
  assert.throws(() => splitCommand("  "), /names a program/);
});
