// The primes example: the same answers under every model, and under hybrid light questions that do not wait for heavy ones.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Child, CLI } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { TESTED_MODELS } from "../support/models.ts";
import { until } from "../support/until.ts";

const PRIMES = fileURLToPath(new URL("../../examples/primes.ts", import.meta.url));
const QUESTIONS = "2\n100\n1000000\n1\n20000\nx\n-1\n";
const ANSWERS = [
  "1",
  "25",
  "78498",
  "0",
  "2262",
  ...Array(2).fill("a number from 0 to 50000000, please"),
];
const HEAVY_MS = 120_000;

describe("primes", () => {
  for (const model of new Set(TESTED_MODELS.map((tested) => tested.model))) {
    const skip = TESTED_MODELS.find((tested) => tested.model === model)?.skip ?? false;
    test(`${model}: counts, in order`, { skip }, async (t) => {
      const threads = model === "event-loop" ? "1" : "2";
      const options = ["--port", "0", "--model", model, "--threads", threads];
      const child = Child.node(t, [CLI, "serve", PRIMES, ...options]);
      const [, port] = await child.says(/listening on 127\.0\.0\.1:(\d+)/);
      const address = { family: "ipv4", host: "127.0.0.1", port: Number(port) } as const;
      const client = await Client.connect(t, address);
      client.socket.end(QUESTIONS);
      assert.deepEqual((await client.end()).toString().split("\n"), [...ANSWERS, ""]);
      if (model !== "hybrid") return;
      const [heavy, light] = [await Client.connect(t, address), await Client.connect(t, address)];
      heavy.write("5000000\n");
      for (let n = 1; n <= 20; n++) {
        light.write("10\n");
        await light.bytes(2 * n);
      }
      assert.equal(heavy.receivedLength, 0, "twenty light answers took longer than the heavy one");
      // On a machine that does ten other things it takes as many times as long.
      await until(() => heavy.receivedLength === 7, "the heavy answer", HEAVY_MS);
      assert.equal(heavy.text(), "348513\n");
    });
  }
});
