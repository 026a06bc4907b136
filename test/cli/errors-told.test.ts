// What a running server tells of errors: its own conditions in one line, a handler's throw with the handler's own frames.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { until } from "../support/until.ts";

const HANDLERS = `export default {
  message(_, bytes) {
    if (bytes.toString() === "exit") process.exit(3);
    setImmediateThrow(bytes.toString());
  },
};
function setImmediateThrow(what) {
  if (what === "later") queueMicrotask(() => { throw new RangeError("thrown later"); });
  else throw new TypeError("thrown at once", { cause: new Error("the cause") });
}
`;

async function serving(t: TestContext, ...args: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), "sluice-errors-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "careless.mjs");
  writeFileSync(file, HANDLERS);
  const child = Child.cli(t, "serve", file, "--port", "0", ...args);
  const [, port] = await child.says(/listening on 127\.0\.0\.1:(\d+)/);
  const connect = () =>
    Client.connect(t, { family: "ipv4", host: "127.0.0.1", port: Number(port) });
  const says = async (word: string) => {
    const before = child.stderr.length;
    (await connect()).write(word);
    await until(
      () => child.stderr.length > before && child.stderr.endsWith("\n"),
      () => child.story(),
    );
    return child.stderr.slice(before);
  };
  return { child, connect, says };
}

test("no thread is free: one line, with the flag that helps", async (t) => {
  const { child, connect } = await serving(t, "--model", "thread-per-connection", "--threads", "1");
  await connect();
  // Reset at once, which it may learn while it still connects.
  await connect().then(
    (second) => second.end(),
    () => undefined,
  );
  await until(
    () => child.stderr.endsWith("\n"),
    () => child.story(),
  );
  assert.match(child.stderr, /^sluice: all 1 threads serve a connection: .*Raise --threads, .*\n$/);
});

for (const model of ["multi-reactor", "event-loop", "thread-pool"]) {
  test(`started throws: one line with its place, exit code 1, ${model}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-errors-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, "unready.mjs");
    writeFileSync(
      file,
      'export default { started() { throw new Error("no database"); }, message() {} };\n',
    );
    const child = Child.cli(t, "serve", file, "--port", "0", "--model", model, "--threads", "1");
    assert.deepEqual(await child.exit(), { code: 1, signal: null });
    assert.match(
      child.stderr,
      /^sluice: the handler started failed: no database \(at .*unready\.mjs:1:\d+\)+\n$/,
    );
  });
}

for (const model of ["multi-reactor", "event-loop"]) {
  test(`a handler throws: its message, its cause and its own frames, ${model}`, async (t) => {
    const { says } = await serving(t, "--model", model, "--threads", "1");
    const told = await says("throw");
    assert.match(
      told,
      /^sluice: TypeError: thrown at once\n {4}at setImmediateThrow \(file:.*careless\.mjs:9:/,
    );
    assert.match(told, /\[cause\]: Error: the cause\n +at /);
    assert.doesNotMatch(told, /node:internal|\/src\//);
  });
}

test("a thread ends: one line, and where it threw", async (t) => {
  const { says } = await serving(t, "--threads", "1");
  assert.match(await says("exit"), /^sluice: sluice reactor 0 ended by itself with code 3; .*\n$/);
  const told = await says("later");
  assert.match(
    told,
    /^sluice: sluice reactor 0 ended by itself: thrown later; .*\n +at .*careless\.mjs:8:.*\n$/,
  );
});
