// What the commands say of servers that are none of ours, and of an output that is full: one line that tells what is wrong, and
// the exit code.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { Child } from "../support/child.ts";
import { portOf, serveFor } from "../support/server.ts";

const CLI = new URL("../../src/cli/main.ts", import.meta.url).pathname;

async function said(t: TestContext, ...args: string[]) {
  const child = Child.node(t, [CLI, ...args]);
  const { code } = await child.exit();
  assert.equal(child.stderrLines.length, 1, child.stderr);
  return { code, line: child.stderr.trim() };
}

test("a server that echoes speaks no SWP/1", async (t) => {
  const server = await serveFor(t, {
    message: (connection, bytes) => void connection.write(bytes),
  });
  const at = `127.0.0.1:${portOf(server)}`;
  const { code, line } = await said(t, "call", at, "echo", "1");
  assert.equal(code, 1);
  assert.match(line, /what answers there does not speak SWP\/1/);
  const tested = await said(t, "conform", at);
  assert.equal(tested.code, 1);
  assert.match(tested.line, /this is no SWP\/1 server: it answers HELLO with HELLO/);
});

test("who accepts and says nothing is waited for until the deadline", async (t) => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    // Long after the deadline, and before a client's own patience is at its end.
    setTimeout(() => socket.destroy(), 3000);
  }).listen(0, "127.0.0.1");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const at = `127.0.0.1:${address.port}`;
  const { code, line } = await said(t, "call", "--deadline-ms", "200", at, "echo", "1");
  assert.equal(code, 1);
  assert.match(line, /HANDSHAKE_TIMEOUT/);
});

test("a full disk is told, and is a failure", { skip: !existsSync("/dev/full") }, () => {
  const full = openSync("/dev/full", "w");
  const { status, stderr } = spawnSync(process.execPath, [CLI, "doctor"], {
    stdio: ["ignore", full, "pipe"],
    encoding: "utf8",
  });
  closeSync(full);
  assert.equal(status, 1, stderr);
  assert.match(stderr, /^sluice: standard output: ENOSPC.*\n$/);
});
