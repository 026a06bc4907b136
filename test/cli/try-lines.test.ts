// What `serve` suggests to try: a module's own lines, what a service is asked with, or nc.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { tryLines } from "../../src/cli/try-lines.ts";

test("by what the module says, and by what it imports", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-try-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const lines = (source: string) => {
    const file = join(folder, "module.ts");
    writeFileSync(file, source);
    return tryLines(pathToFileURL(file), { family: "ipv4", host: "0.0.0.0", port: 7001 });
  };
  assert.deepEqual(lines("// try: redis-cli -p {port} ping\n// try: x {address}\n"), [
    "redis-cli -p 7001 ping",
    "x localhost:7001",
  ]);
  const asked = lines('import { call, service } from "sluice/service";\n');
  assert.match(
    asked.join("\n"),
    /^\S.* routes localhost:7001\n\S.* call localhost:7001 ROUTE BODY$/,
  );
  assert.deepEqual(lines('import { handlers } from "sluice";\n'), [
    "printf 'hello\\n' | nc -q 1 localhost 7001",
  ]);
});
