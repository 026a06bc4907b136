// The programs in the documents do what is said beside them: each is run as it stands, but for its ports, against this source
// and over real connections.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { client } from "../../src/client/client.ts";
import type { Handlers } from "../../src/handlers.ts";
import type { Server } from "../../src/server/serve.ts";
import { Child } from "../support/child.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";
import { exportedSources, type Program, programsOf } from "./document-programs.ts";

const DOCUMENTS = ["README.md", "docs/api.md", "docs/client.md", "docs/service.md"];
let folder = "";
/** What no test has run yet. */
const unrun = new Set<string>();

before(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-programs-"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const document of DOCUMENTS) {
    mkdirSync(join(folder, document), { recursive: true });
    for (const program of programsOf(document)) {
      write(document, program, 0);
      unrun.add(`${document} ${program.file}`);
    }
  }
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** As a file, with this source as the package that it imports and with another port. */
function write(document: string, { file, source }: Program, port: number): string {
  const exported = exportedSources();
  const path = join(folder, document, file);
  writeFileSync(
    path,
    source
      .replace(/(?<=from ")sluice[\w/-]*(?=")/g, (name) =>
        String(pathToFileURL(exported.get(name) ?? "")),
      )
      .replace(/(?<=\bport: )\d+/g, String(port)),
  );
  return path;
}

function program(document: string, file: string, port = 0): string {
  unrun.delete(`${document} ${file}`);
  const found = programsOf(document).find((one) => one.file === file);
  assert.ok(found, `${document} has no ${file}`);
  return write(document, found, port);
}

/** Serves a module of handlers. */
async function served(t: TestContext, document: string, file: string): Promise<Server> {
  const module: { readonly default: Handlers } = await import(
    String(pathToFileURL(program(document, file)))
  );
  return serveFor(t, module.default);
}

/** Sends, ends, and resolves with all that comes back. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.end(text);
  return Buffer.concat(await socket.toArray()).toString();
}

/** Runs a program that ends by itself. */
async function output(t: TestContext, path: string): Promise<string[]> {
  const child = Child.node(t, [path]);
  assert.equal((await child.exit()).code, 0, child.story());
  assert.equal(child.stderr, "", child.story());
  return child.stdoutLines;
}

test("README: the program that serves upper.ts on several threads", async (t) => {
  program("README.md", "upper.ts");
  const child = Child.node(t, [program("README.md", "program-2.ts")]);
  const [, port] = await child.says(/port: (\d+)/);
  assert.equal(await exchange(Number(port), "abc\n"), "hello\nABC\n");
  child.kill("SIGTERM");
  assert.equal((await child.exit()).code, 0, child.story());
  assert.match(child.stdout, /^connection \d+ ended: /m);
});

test("docs/api.md: serve; the codecs", async (t) => {
  const [served, codecs] = await Promise.all([
    output(t, program("docs/api.md", "serving.ts")),
    output(t, program("docs/api.md", "codecs.ts")),
  ]);
  assert.deepEqual([served, codecs], [[], []]);
});

test("docs/api.md: connect", async (t) => {
  const server = await served(t, "README.md", "upper.ts");
  const child = Child.node(t, [program("docs/api.md", "greeting.ts", portOf(server))]);
  await child.says(/^hello\nHELLO\n/);
  child.kill("SIGTERM");
  await child.exit();
});

for (const [file, sent, expected] of [
  ["heavy.ts", "hello\n12345\n", /^hello\n74535\d+\.\d+\n$/],
  ["digits.ts", "129", /^230$/],
  ["moving.ts", "abc\n", /^abc\n$/],
  ["names.ts", "ann\n", /^hello, ann\n$/],
  ["visits.ts", "ann\nbob\n", /^you are visitor 1\nyou are visitor 2\n$/],
] as const) {
  test(`docs/api.md: the handlers of ${file}`, async (t) => {
    const server = await served(t, "docs/api.md", file);
    assert.match(await exchange(portOf(server), sent), expected);
  });
}

test("docs/api.md: news", async (t) => {
  const server = await served(t, "docs/api.md", "news.ts");
  const reader = connect(portOf(server), "127.0.0.1");
  await once(reader, "connect");
  await until(() => server.statistics().connections === 1, "the reader's connection");
  assert.equal(await exchange(portOf(server), "rain\n"), "");
  const [news] = await once(reader, "data");
  assert.equal(String(news), "rain\n");
  reader.destroy();
});

test("docs/client.md: a visitor of the rooms", async (t) => {
  const server = await served(t, "docs/client.md", "rooms.ts");
  assert.deepEqual(await output(t, program("docs/client.md", "visitor.ts", portOf(server))), [
    "found ada",
    "t1",
    "t2",
    "1000 bytes",
    "ONE",
    "room.1.said hello",
  ]);
});

test("docs/service.md: the service, and who may use one", async (t) => {
  const server = await served(t, "docs/service.md", "my-service.ts");
  const api = client({ port: portOf(server) });
  t.after(() => api.close());
  assert.deepEqual(await api.call("echo", { n: 1 } as never), { n: 1 });
  assert.match(String(await api.call("user.find", "ada" as never)), /^found ada, \d+/);
  await assert.rejects(api.call("user.find", "" as never), { code: "NOT_FOUND" });
  for await (const tick of api.stream("ticks", undefined as never)) if (tick === 3) break;
  const said = api.subscribe("room.*.said");
  await api.notify("room.say", Buffer.from("hello") as never);
  assert.deepEqual((await said.next()).value, { topic: "room.1.said", body: "hello" });
  said.close();
  await api.close();
  assert.deepEqual(await output(t, program("docs/service.md", "who.ts")), []);
});

test("all of them have been run: one with no test is to get one", () => {
  assert.deepEqual([...unrun], []);
});
