// The SWP workload against a real service: every call is answered, and a wrong answer is found.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, call, service } from "../../src/service/service.ts";
import { serveFor } from "../support/server.ts";
import { errorCodes, load, onlyStage } from "./load.ts";

test("calls are answered, each with its own body", async (t) => {
  const server = await serveFor(t, service({ echo: call(bytes, bytes, (input) => input) }));
  const result = await load(server, { workload: "swp", depth: 100, size: "1-3000" });
  assert.deepEqual(errorCodes(result), []);
  assert.ok(onlyStage(result).messages > 1000);
});

test("a service that changes a byte is caught", async (t) => {
  let answered = 0;
  const echo = call(bytes, bytes, (input) => {
    if (++answered === 500) input[0] = (input[0] ?? 0) ^ 1;
    return input;
  });
  const server = await serveFor(t, service({ echo }));
  const result = await load(server, { workload: "swp", depth: 4 });
  assert.deepEqual(errorCodes(result), ["1 × WRONG_CONTENT"]);
});

test("an echo of bytes is told that SWP/1 is spoken here", async (t) => {
  const server = await serveFor(t, service({}));
  const [error] = onlyStage(await load(server, { durationMs: 50 })).errors;
  assert.match(error?.text ?? "", /^"-ERR SWP\/1 .*" came instead of an echo: .*--workload swp/);
});

test("errors of the service are counted", async (t) => {
  const server = await serveFor(t, service({}));
  const result = await load(server, { workload: "swp", durationMs: 50 });
  assert.match(String(errorCodes(result)), /^\d+ × ERROR_ANSWER$/);
});
