// A process that ends while V8 compiles calls of native functions in the background can die of it (../../src/reactor/compilation.ts).
// One of seven did that had cleaned up after threads right before; that is a matter of chance, so what is tested is that it waits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Child } from "../support/child.ts";
import { TESTED_MODELS } from "../support/models.ts";

const SERVE = new URL("../../src/server/serve.ts", import.meta.url).href;
const MODULE = new URL("../support/handlers/versatile.ts", import.meta.url).href;

for (const { title, model, driver, skip } of TESTED_MODELS) {
  if (driver === "portable") continue;
  const name = `who serves waits for compilations before its process ends: ${title}`;
  test(name, { skip }, async (t) => {
    const handlers = model === "event-loop" ? "{ message() {} }" : `new URL("${MODULE}")`;
    const options = JSON.stringify({ model, driver, threads: model === "event-loop" ? 1 : 2 });
    const script = `import("${SERVE}").then(async ({ serve }) => {
      const server = await serve(${handlers}, ${options});
      await server.close({ drainMs: 0 });
      console.log("at exit:", process.listeners("exit").map(({ name }) => name).join());
    });`;
    const child = Child.node(t, ["--eval", script]);
    const [, listeners = ""] = await child.says(/at exit: (.*)/);
    assert.ok(listeners.split(",").includes("settleCompilation"), `only: ${listeners}`);
  });
}
