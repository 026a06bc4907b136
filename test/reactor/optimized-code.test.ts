// Code that was compiled for connections outlives them: the next client of a server that had none must not begin slowly.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DRIVERS } from "../support/drivers.ts";

const SERVER = fileURLToPath(new URL("optimized-server.ts", import.meta.url));
/** Each message passes through these, and they are compiled for the hidden class of connections. */
const HOT = new Set(["#handle", "#list", "#sendHead"]);

for (const { name, skip } of DRIVERS) {
  test(`code that served connections outlives the last of them (${name})`, { skip }, async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--trace-opt", "--trace-deopt", SERVER, name],
      { maxBuffer: 1 << 26, timeout: 60_000 },
    );
    assert.ok(/^collected$/m.test(stdout), "it did not come to its end");
    const compiled = namesIn(stdout, /completed (?:compiling|optimizing) \S+ <JSFunction (\S+) /g);
    assert.deepEqual(HOT.difference(compiled), new Set(), "never compiled: the test shows nothing");
    const lost = namesIn(stdout, /<SharedFunctionInfo (\S+)>.*embedded weak objects cleared/g);
    assert.deepEqual(HOT.intersection(lost), new Set());
  });
}

function namesIn(text: string, pattern: RegExp): Set<string> {
  return new Set([...text.matchAll(pattern)].map(([, name]) => name ?? ""));
}
