// What the start of a thread costs: each loads what it runs on anew, so it loads nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../src/server/serve.ts";
import { Client } from "../support/client.ts";
import { TESTED_MODELS } from "../support/models.ts";
import { until } from "../support/until.ts";

const LOADING = new URL("../support/handlers/loading.ts", import.meta.url);
const NEEDED = "NativeModule worker_threads";
/** Node's client for HTTP: a third of the start of a thread, for whoever makes an event of a message. */
const NEEDLESS = "NativeModule internal/deps/undici/undici";

for (const { title, model, driver, skip } of TESTED_MODELS) {
  if (model !== "multi-reactor" && model !== "thread-pool") continue;
  test(`a thread loads no client for HTTP: ${title}`, { skip }, async (t) => {
    const server = await serve(LOADING, { model, driver, threads: 1 });
    t.after(() => server.close({ drainMs: 50 }));
    const client = await Client.connect(t, server.address);
    client.write("?\n");
    await until(() => client.text().endsWith("\n"), "what is loaded");
    const loaded = client.text().trim().split(",");
    assert.ok(loaded.includes(NEEDED), client.text());
    assert.ok(!loaded.includes(NEEDLESS), "it has loaded one");
  });
}
