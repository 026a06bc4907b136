// The load generator against targets that are known: it must say what they do, all of it, and nothing else.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { DRIVERS } from "../support/drivers.ts";
import { type Behaviour, knownTarget } from "./known-targets.ts";
import { errorCodes, load, onlyStage } from "./load.ts";

for (const { name, skip } of DRIVERS) {
  describe(`on the ${name} driver`, { skip, concurrency: 4 }, () => {
    test("a closed loop counts every message, and its bytes", async (t) => {
      const target = await knownTarget(t, "echo");
      const result = await load(target, { driver: name, connections: 5, depth: 3, size: "10-500" });
      const stage = onlyStage(result);
      assert.deepEqual(stage.errors, []);
      assert.ok(result.ok);
      assert.equal(stage.connections, 5);
      assert.ok(stage.messages > 10, `${stage.messages} messages`);
      assert.equal(stage.response.count, stage.messages);
      assert.equal(
        stage.slices.reduce((sum, { messages }) => sum + messages, 0),
        stage.messages,
      );
      assert.equal(target.counts().accepted, 5);
    });

    test("an open loop keeps its rate within 1 %", async (t) => {
      const target = await knownTarget(t, "echo");
      const result = await load(target, { driver: name, rate: 2000, durationMs: 1000 });
      const stage = onlyStage(result);
      assert.deepEqual(stage.errors, []);
      assert.ok(Math.abs(stage.messagesPerSecond / 2000 - 1) <= 0.01, `${stage.messagesPerSecond}`);
      // What the target itself has read: those of the window, and of the moment before it.
      const read = target.counts().bytes / 64;
      assert.ok(read >= 1980 && read < 2200, `${read}`);
      assert.ok(stage.service.p50 <= stage.response.p50);
    });

    for (const behaviour of ["drop", "corrupt", "reorder"] satisfies Behaviour[]) {
      test(`a target that does not echo truly is caught: ${behaviour}`, async (t) => {
        const target = await knownTarget(t, behaviour);
        // It ends with the last connection.
        const result = await load(target, { driver: name, durationMs: 60_000 });
        assert.deepEqual(errorCodes(result), ["2 × WRONG_CONTENT"]);
        const [error] = onlyStage(result).errors;
        assert.match(error?.text ?? "", /byte \d+ of a stream is 0x[0-9a-f]{2}, not 0x[0-9a-f]{2}/);
        assert.equal(result.ok, false);
      });
    }

    test("a refused connection", async (t) => {
      const target = { address: await nobody(t) };
      assert.deepEqual(errorCodes(await load(target, { driver: name })), ["2 × ECONNREFUSED"]);
      const churn = await load(target, { driver: name, mode: "churn", durationMs: 50 });
      assert.match(errorCodes(churn).join(), /^\d+ × ECONNREFUSED$/);
    });

    test("a silent target", async (t) => {
      const target = await knownTarget(t, "silent");
      const result = await load(target, { driver: name, timeoutMs: 100, durationMs: 60_000 });
      assert.deepEqual(errorCodes(result), ["2 × TIMEOUT"]);
      assert.match(onlyStage(result).errors[0]?.text ?? "", /100 ms, 1 message unanswered/);
    });

    test("a target that ends its side", async (t) => {
      const target = await knownTarget(t, "half-close");
      assert.deepEqual(errorCodes(await load(target, { driver: name, durationMs: 60_000 })), [
        "2 × END_OF_STREAM",
      ]);
    });

    test("a target that resets", async (t) => {
      const target = await knownTarget(t, "reset");
      assert.deepEqual(errorCodes(await load(target, { driver: name, durationMs: 60_000 })), [
        "2 × ECONNRESET",
      ]);
    });
  });
}

test("a target that stalls shows in an open loop, and is hidden by a closed one", async (t) => {
  const target = await knownTarget(t, "stall");
  const times = { connections: 1, durationMs: 2000 };
  const open = onlyStage(await load(target, { ...times, rate: 500 }));
  assert.deepEqual(open.errors, []);
  assert.ok(open.response.p99 > 50_000, `p99 of the open loop: ${open.response.p99} µs`);
  const closed = onlyStage(await load(target, times));
  assert.deepEqual(closed.errors, []);
  assert.ok(closed.response.max > 50_000, `it stalled all the same: ${closed.response.max} µs`);
  assert.ok(
    closed.response.p99 < open.response.p99 / 2,
    `p99 of the closed loop: ${closed.response.p99} µs`,
  );
});

test("service times leave out what waited to be sent, response times do not", async (t) => {
  const target = await knownTarget(t, "late");
  // The first message does not fit into the kernel's buffers: those behind it wait until the target reads.
  const large = { size: String(8 * 1024 * 1024), rate: 20, durationMs: 300, connections: 1 };
  const { errors, messages, response, service } = onlyStage(await load(target, large));
  assert.deepEqual(errors, []);
  assert.equal(messages, 6);
  assert.ok(response.min > 100_000, `${response.min} µs after the last one was due`);
  assert.ok(service.p50 < response.p50 / 2, `${service.p50} of ${response.p50} µs`);
  assert.ok(response.max > 300_000 && service.max > 300_000, "the first one left at once");
});

test("several threads share connections, rate and errors", async (t) => {
  const target = await knownTarget(t, "echo");
  const two = { threads: 2, connections: 5, idle: 3, rate: 999, durationMs: 500 };
  const stage = onlyStage(await load(target, two));
  assert.deepEqual(stage.errors, []);
  assert.equal(stage.connections, 8);
  assert.equal(target.counts().accepted, 8);
  assert.equal(stage.generator.threads.length, 2);
  assert.ok(Math.abs(stage.messages - 499.5) <= 1, `${stage.messages} messages`);
  const spoiled = await knownTarget(t, "corrupt");
  const closed = { threads: 2, connections: 5, durationMs: 60_000 };
  assert.deepEqual(errorCodes(await load(spoiled, closed)), ["5 × WRONG_CONTENT"]);
});

test("over a Unix socket", async (t) => {
  const address = { family: "unix", path: `\0sluice-load-${process.pid}` } as const;
  const server = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(address.path, resolve));
  t.after(() => server.close());
  const stage = onlyStage(await load({ address }));
  assert.deepEqual(stage.errors, []);
  assert.ok(stage.messages > 10);
});

test("a target that says more than it was asked", async (t) => {
  const target = await knownTarget(t, "babble");
  const result = await load(target, { verify: false, durationMs: 60_000 });
  assert.deepEqual(errorCodes(result), ["2 × UNEXPECTED_BYTES"]);
});

/** An address at which nobody listens. */
async function nobody(t: { after(fn: () => void): void }) {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  await new Promise((resolve) => server.close(resolve));
  t.after(() => server.close());
  return { family: "ipv4", host: "127.0.0.1", port: address.port } as const;
}
