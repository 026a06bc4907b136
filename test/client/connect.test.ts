// connect() on every driver: connected, refused, timed out, given up; the rules of a connection hold on this side too.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, connect as netConnect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "../../src/client/connect.ts";
import { lines } from "../../src/codec/lines.ts";
import { openListener } from "../../src/driver/listening-socket.ts";
import type { Connection } from "../../src/handlers.ts";
import { nativeRefusal } from "../../src/sys/native-library.ts";
import { closeDescriptor, localAddress } from "../../src/sys/socket-calls.ts";
import { Child } from "../support/child.ts";
import { pattern } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { Endings } from "../support/ending.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

const ENDING = fileURLToPath(new URL("../support/connecting-process.ts", import.meta.url));
const ignore = () => undefined;

for (const { name: driver, skip } of DRIVERS) {
  const on = (what: string, run: (t: TestContext) => Promise<void>) =>
    test(`${driver}: ${what}`, { skip }, run);

  on("speaks through its own codec, and is told once how it ended", async (t) => {
    const server = await serveFor(t, { message: (peer, bytes) => void peer.write(bytes) });
    const told = new Endings();
    const got: string[] = [];
    const connection = await connect({
      driver,
      port: portOf(server),
      codec: lines(),
      ...told.handlers,
      message: (_, line) => void got.push(line),
    });
    assert.equal(told.opened, 1);
    connection.send("one");
    connection.send("two");
    await until(() => got.length === 2, "two lines");
    assert.deepEqual(got, ["one", "two"]);
    assert.deepEqual(connection.remoteAddress, server.address);
    connection.close();
    assert.equal((await told.only()).reason, "closed");
  });

  on("keeps the handlers and codecs of several connections apart", async (t) => {
    const server = await serveFor(t, { message: (peer, bytes) => void peer.write(bytes) });
    const port = portOf(server);
    const asLines: string[] = [];
    const asBytes: Buffer[] = [];
    const first = await connect({
      driver,
      port,
      codec: lines(),
      message: (_, line) => void asLines.push(line),
    });
    const second = await connect({
      driver,
      port,
      message: (_, bytes: Buffer) => void asBytes.push(bytes),
    });
    first.send("text");
    second.write("a\nb\n");
    const done = () => asLines.length === 1 && Buffer.concat(asBytes).length === 4;
    await until(done, "both answers");
    assert.deepEqual(asLines, ["text"]);
    assert.equal(Buffer.concat(asBytes).toString(), "a\nb\n");
    first.close();
    second.close();
  });

  on("makes a hundred connections at once", async (t) => {
    const server = await serveFor(t, { message: (peer, bytes) => void peer.write(bytes) });
    const answers = new Map<number, string>();
    const dial = (n: number) =>
      connect<Buffer, string, number>({
        driver,
        port: portOf(server),
        state: () => n,
        message: (self, bytes) => void answers.set(self.state, bytes.toString()),
      });
    const all = await Promise.all(Array.from({ length: 100 }, (_, n) => dial(n)));
    for (const [n, connection] of all.entries()) connection.write(`I am ${n}`);
    await until(() => answers.size === 100, "all answers");
    for (const [n, text] of answers) assert.equal(text, `I am ${n}`);
    for (const connection of all) connection.close();
  });

  on("is held back by a peer that does not read, and goes on when it does", async (t) => {
    const peer = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
    await once(peer, "listening");
    t.after(() => peer.close());
    const accepted = once(peer, "connection");
    const bytes = pattern(65_536);
    const connection = await connect({
      driver,
      port: (peer.address() as AddressInfo).port,
      limits: { highWaterBytes: 262_144 },
      message: ignore,
    });
    let written = 0;
    for (let more = true; more; written++) {
      more = connection.write(bytes);
      await new Promise(setImmediate);
    }
    const drained = connection.drained();
    const [socket] = await accepted;
    let received = 0;
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    socket.resume();
    await drained;
    await until(() => received === written * bytes.length, "everything that was written");
    socket.destroy();
    await until(() => !connection.open, "the end");
  });

  on("goes over a Unix socket, and says when its path is not there", async (t) => {
    const path = join(tmpdir(), `sluice-connect-${process.pid}-${driver}.sock`);
    const server = await serveFor(t, { path, message: (peer, bytes) => void peer.write(bytes) });
    assert.equal(server.address.family, "unix");
    let got = "";
    const connection = await connect({
      driver,
      path,
      message: (_, bytes: Buffer) => {
        got += bytes.toString();
      },
    });
    connection.write("hello");
    await until(() => got === "hello", "the answer");
    connection.close();
    await assert.rejects(connect({ driver, path: `${path}.not`, message: ignore }), {
      name: "SystemError",
      code: "ENOENT",
      message: `connect to unix:${path}.not: no such file or directory (ENOENT)`,
    });
  });

  on("says when it is refused, also many times at once", async () => {
    const port = await silentPort();
    const attempts = Array.from({ length: 20 }, () => connect({ driver, port, message: ignore }));
    for (const attempt of await Promise.allSettled(attempts)) {
      assert.equal(attempt.status, "rejected");
      assert.equal(attempt.reason.name, "SystemError");
      assert.equal(attempt.reason.code, "ECONNREFUSED");
    }
  });

  on("finds a name, whichever of its addresses answers", async (t) => {
    const server = await serveFor(t, { message: (peer, bytes) => void peer.write(bytes) });
    const connection = await connect({
      driver,
      host: "localhost",
      port: portOf(server),
      message: ignore,
    });
    assert.deepEqual(connection.remoteAddress, server.address);
    connection.close();
    const unknown = connect({ driver, host: "no-such-host.invalid", port: 1, message: ignore });
    await assert.rejects(unknown, (error: NodeJS.ErrnoException) =>
      ["ENOTFOUND", "EAI_AGAIN"].includes(error.code ?? ""),
    );
  });

  on("costs the connection when its handler throws, and tells onError", async (t) => {
    const server = await serveFor(t, { message: (peer, bytes) => void peer.write(bytes) });
    const told = new Endings();
    const errors: unknown[] = [];
    const mistake = new Error("mine");
    const connection = await connect({
      driver,
      port: portOf(server),
      onError: (error) => void errors.push(error),
      ...told.handlers,
      message() {
        throw mistake;
      },
    });
    connection.write("x");
    const ending = await told.only();
    assert.equal(ending.reason, "handler");
    assert.equal(ending.error, mistake);
    assert.deepEqual(errors, [mistake]);
  });

  on("can be connected again from `closed`", async (t) => {
    const server = await serveFor(t, { message: (peer) => peer.close() });
    let again: Promise<Connection> | undefined;
    const first = await connect({
      driver,
      port: portOf(server),
      message: ignore,
      closed() {
        again = connect({ driver, port: portOf(server), message: ignore });
      },
    });
    first.write("end, please");
    await until(() => again !== undefined, "the end");
    (await again)?.close();
  });

  const noBacklog = skip || (nativeRefusal() ?? false);
  test(`${driver}: times out when nobody answers`, { skip: noBacklog }, async (t) => {
    const port = await fullBacklog(t);
    const before = performance.now();
    await assert.rejects(connect({ driver, port, connectMs: 200, message: ignore }), {
      name: "SystemError",
      code: "ETIMEDOUT",
    });
    assert.ok(performance.now() - before >= 199);
  });

  test(`${driver}: can be given up by its signal`, { skip: noBacklog }, async (t) => {
    const port = await fullBacklog(t);
    const control = new AbortController();
    const { signal } = control;
    const attempt = connect({ driver, port, signal, message: ignore });
    setImmediate(() => control.abort());
    await assert.rejects(attempt, { name: "SystemError", code: "ECANCELED" });
    const late = connect({ driver, port, signal, message: ignore });
    await assert.rejects(late, { code: "ECANCELED" });
  });

  on("lets its process end with its last connection, or its last failure", async (t) => {
    const server = await serveFor(t, { message: (peer, bytes) => void peer.write(bytes) });
    const ports = [String(portOf(server)), String(await silentPort())];
    const child = Child.node(t, [ENDING, driver, ...ports]);
    assert.deepEqual(await child.exit(), { code: 0, signal: null });
    assert.deepEqual(child.stdoutLines, ["answered", "ECONNREFUSED", "answered"]);
  });
}

test("refuses what cannot be, with what would be right", async () => {
  const message = ignore;
  await assert.rejects(connect({ message }), /connect needs a port, or the path of a socket/);
  await assert.rejects(connect({ port: 0, message }), /port must be an integer from 1 to 65535/);
  await assert.rejects(connect({ port: 1, path: "x", message }), /exclude each other/);
  await assert.rejects(connect({ port: 1, connectMs: 0, message }), /connectMs must be/);
  const unknown = { port: 1, message, timeout: 5 };
  await assert.rejects(connect(unknown), /there is no handler timeout/);
});

/** A port at which nobody listens. */
async function silentPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A listener whose queue is full: the kernel drops what comes, as a host does that has gone. */
async function fullBacklog(t: TestContext): Promise<number> {
  const descriptor = openListener({ family: "ipv4", host: "127.0.0.1", port: 0 }, 1, {}, true);
  t.after(() => closeDescriptor(descriptor));
  const address = localAddress(descriptor);
  assert.ok(typeof address === "object" && address.family !== "unix");
  const fillers = Array.from({ length: 4 }, () => netConnect(address.port, "127.0.0.1"));
  t.after(() => {
    for (const filler of fillers) filler.destroy();
  });
  await until(() => fillers.filter((socket) => !socket.connecting).length === 2, "a full queue");
  return address.port;
}
