// What /proc tells: held against what is known by other means.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  commandOf,
  listeningProcesses,
  ownThreadTimes,
  processesOfSession,
  readProcess,
} from "../../src/lab/proc.ts";
import { Child } from "../support/child.ts";
import { until } from "../support/until.ts";

const skip = process.platform === "linux" ? false : "there is no /proc here";
/** Burns 300 ms of its CPU, and tells what it has used and holds. */
const BUSY = `
  const { openSync } = require("node:fs");
  const files = Array.from({ length: 20 }, () => openSync("/dev/null"));
  const used = () => process.cpuUsage().user + process.cpuUsage().system;
  const memory = Buffer.alloc(50e6, 1);
  while (used() < 3e5);
  console.log("ready");
  process.on("message", () => process.send({ cpuMs: used() / 1000, held: files.length, memory: memory.length }));
`;

async function listening(t: TestContext, where: { path: string } | { host: string }) {
  const server: Server = createServer();
  await new Promise<void>((resolve) =>
    server.listen("path" in where ? where : { ...where, port: 0 }, resolve),
  );
  t.after(() => server.close());
  const address = server.address();
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}

describe("/proc", { skip }, () => {
  test("CPU time, memory, descriptors and threads of a process", async (t) => {
    const child = Child.node(t, ["-e", BUSY]);
    await child.says(/ready/);
    const reading = readProcess(child.pid);
    const { cpuMs } = await child.ask<{ cpuMs: number }>("?");
    assert.ok(reading);
    // Ticks of the kernel, and what it used to answer, apart.
    assert.ok(reading.cpuMs > 280 && reading.cpuMs < cpuMs + 20, `${reading.cpuMs} of ${cpuMs}`);
    assert.ok(reading.memoryBytes > 50e6 && reading.peakMemoryBytes >= reading.memoryBytes);
    assert.ok(reading.descriptors > 20, `${reading.descriptors}`);
    assert.ok(reading.threads.length > 3);
    const main = reading.threads.find(({ id }) => id === child.pid);
    assert.ok((main?.cpuMs ?? 0) > 100, "most of it is the main thread's");
    assert.match(reading.command, /node.* -e/);
    child.kill("SIGKILL");
    await child.exit();
    await until(() => readProcess(child.pid) === undefined, "the end of a process");
    assert.equal(commandOf(child.pid), "");
  });

  test("who listens, over TCP and Unix sockets", async (t) => {
    const host = "127.0.0.1";
    const ipv4 = await listening(t, { host });
    const all = await listening(t, { host: "0.0.0.0" });
    const path = `\0sluice-proc-${process.pid}`;
    await listening(t, { path });
    assert.deepEqual(listeningProcesses({ family: "ipv4", host, port: ipv4 }), [process.pid]);
    assert.deepEqual(listeningProcesses({ family: "ipv4", host, port: all }), [process.pid]);
    assert.deepEqual(listeningProcesses({ family: "unix", path }), [process.pid]);
    assert.deepEqual(listeningProcesses({ family: "unix", path: `${path}x` }), []);
    assert.deepEqual(listeningProcesses({ family: "ipv4", host, port: 1 }), []);
  });

  test("the calling thread's own CPU time", () => {
    const before = ownThreadTimes().cpuMs;
    const from = process.threadCpuUsage();
    const used = () => {
      const { user, system } = process.threadCpuUsage(from);
      return (user + system) / 1000;
    };
    while (used() < 60);
    const measured = ownThreadTimes().cpuMs - before;
    assert.ok(Math.abs(measured - used()) < 25, `${measured} of ${used()} ms`);
  });

  test("a session's processes are those of who leads it", async (t) => {
    const leads = fileURLToPath(new URL("./stubborn-server.mjs", import.meta.url));
    const child = Child.start(t, "setsid", [process.execPath, leads, "0", "parent"]);
    // setsid forks only where it leads a group already: the session is then its child's.
    await until(() => processesOfSession(child.pid).length === 2, "two processes");
    assert.ok(processesOfSession(child.pid).includes(child.pid));
    for (const pid of processesOfSession(child.pid)) process.kill(pid, "SIGKILL");
  });
});
