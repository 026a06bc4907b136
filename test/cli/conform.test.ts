// sluice conform: finds nothing at our own server, and says what is wrong with one that is careless.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { anything } from "../../src/protocol/schema.ts";
import { token } from "../../src/service/auth.ts";
import { call } from "../../src/service/routes.ts";
import { ServerSession } from "../../src/service/server-session.ts";
import { service } from "../../src/service/service.ts";
import { Child } from "../support/child.ts";
import { portOf, serveFor } from "../support/server.ts";

interface Outcome {
  readonly group: string;
  readonly rule: string;
  readonly result: string;
  readonly why: string;
}

test("our server keeps every rule", async (t) => {
  const routes = { echo: call(anything, anything, (value) => value) };
  const limits = { handshakeMs: 300 };
  const server = await serveFor(t, service(routes, { authorize: () => true, limits }));
  const child = Child.cli(t, "conform", `${portOf(server)}`, "--echo", "echo", "--json");
  const { code } = await child.exit();
  const outcomes: Outcome[] = child.stdoutLines.map((line) => JSON.parse(line));
  assert.deepEqual(
    outcomes.filter(({ result }) => result === "broken"),
    [],
  );
  assert.equal(code, 0);
  const skipped = outcomes.filter(({ result, group }) => result === "skipped" && group !== "auth");
  assert.ok(outcomes.length > 190 && skipped.length <= 5, `${outcomes.length}, ${skipped.length}`);
  const groups = [...new Set(outcomes.map(({ group }) => group))];
  assert.deepEqual(groups, [
    "golden",
    "chunking",
    "malformed",
    "grease",
    "topics",
    "conversations",
    "traces",
    "credit",
    "session",
    "abuse",
    "resumption",
    "auth",
  ]);
});

test("our server keeps every rule with a token too, and no more is skipped", async (t) => {
  const routes = { echo: call(anything, anything, (value) => value) };
  const limits = { handshakeMs: 300 };
  const auth = [token((word) => word === "open sesame")];
  const server = await serveFor(t, service(routes, { auth, authorize: () => true, limits }));
  const args = [`${portOf(server)}`, "--echo", "echo", "--json", "--token", "open sesame"];
  const child = Child.cli(t, "conform", ...args);
  const { code } = await child.exit();
  const outcomes: Outcome[] = child.stdoutLines.map((line) => JSON.parse(line));
  assert.deepEqual(
    outcomes.filter(({ result }) => result === "broken"),
    [],
  );
  assert.equal(code, 0);
  const skipped = outcomes.filter(({ result }) => result === "skipped");
  assert.ok(outcomes.length > 190 && skipped.length <= 5, `${outcomes.length}, ${skipped.length}`);
  assert.equal(outcomes.filter(({ group }) => group === "auth").length, 3);
});

test("a server that wants a token lets no tester in without one, or with another", async (t) => {
  const auth = [token((word) => word === "open sesame")];
  const server = await serveFor(t, service({}, { auth }));
  const without = Child.cli(t, "conform", `${portOf(server)}`);
  const wrong = Child.cli(t, "conform", `${portOf(server)}`, "--token", "open barley");
  assert.deepEqual([(await without.exit()).code, (await wrong.exit()).code], [1, 1]);
  const start = "sluice: the server does not let the tester in: ";
  assert.equal(without.stderr, `${start}say who you are with --token T\n`);
  assert.equal(wrong.stderr, `${start}another token?\n`);
});

test("a server that takes any token in READY breaks a rule", async (t) => {
  const auth = [token((word) => word === "open sesame")];
  t.mock.method(ServerSession.prototype, "auth", () => undefined);
  const server = await serveFor(t, service({}, { auth }));
  const args = ["--token", "open sesame", "--group", "auth", "--wait-ms", "500"];
  const child = Child.cli(t, "conform", `${portOf(server)}`, ...args);
  assert.equal((await child.exit()).code, 1);
  assert.match(child.stdout, /^broken {2}auth: section 3: a wrong token in READY is GOAWAY AUTH$/m);
  assert.match(child.stdout, /^2 kept, 1 broken, 0 skipped$/m);
});

test("a server that welcomes everybody and never minds breaks rules, and is told which", async (t) => {
  const welcome = Buffer.from("0400000200000000" + "01000000", "hex");
  const server = createServer((socket) => {
    socket.on("error", () => undefined).write(welcome);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const args = ["conform", String(port), "--wait-ms", "100", "--group", "conversations"];
  const child = Child.cli(t, ...args, "--verbose");
  const { code } = await child.exit();
  assert.equal(code, 1);
  assert.match(
    child.stdout,
    /^broken {2}conversations: section 2: PING is answered .*\n +nothing came$/m,
  );
  assert.match(child.stdout, /^kept {4}conversations: section 3: preface and HELLO are answered/m);
  assert.match(child.stdout, /^skipped conversations: section 5: .*\n +needs --echo ROUTE/m);
  assert.match(child.stdout, /^\d+ kept, \d+ broken, \d+ skipped$/m);
});

test("who speaks something else is told so, and not which rules it breaks", async (t) => {
  const server = createServer((socket) => {
    socket.on("error", () => undefined).write("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const child = Child.cli(t, "conform", String(port));
  assert.equal((await child.exit()).code, 1);
  assert.equal(
    child.stderr,
    'sluice: this is no SWP/1 server: it answers "HTTP/1.1 400 Bad Request"\n',
  );
  assert.equal(child.stdout, "");
});
