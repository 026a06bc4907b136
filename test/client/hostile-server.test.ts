// A client and a server that means no good: whatever it sends, the client ends that connection, tells whoever waits, and dials
// again, later each time; its process never notices.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { BackOff } from "../../src/client/back-off.ts";
import { client } from "../../src/client/client.ts";
import { Line } from "../../src/client/line.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { Wire } from "../../src/protocol/wire.ts";
import { type FrameGroup, type MalformedGroup, readVectors } from "../protocol/vectors.ts";
import { until } from "../support/until.ts";

const WELCOME = Buffer.from("0400000200000000" + "01000000", "hex");

/** Answers each connection's first bytes with the next of these, in order, and again. */
async function serving(t: TestContext, answers: readonly Buffer[]) {
  let connections = 0;
  const server = createServer((socket: Socket) => {
    const answer = answers[connections++ % answers.length] ?? WELCOME;
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

test("every vector, golden and malformed, from a server: the client lives on", async (t) => {
  const golden = readVectors<FrameGroup>("golden").vectors;
  const malformed = readVectors<MalformedGroup>("malformed").vectors;
  const bodies = [...golden, ...malformed].map(({ hex }) => Buffer.from(hex, "hex"));
  const answers = bodies.flatMap((bytes) => [Buffer.concat([WELCOME, bytes]), bytes]);
  const { port, connections } = await serving(t, answers);
  const errors: unknown[] = [];
  const api = client({
    port,
    backOff: { firstMs: 1, mostMs: 1 },
    onError: (error) => void errors.push(error),
  });
  t.after(() => api.close());
  const subscription = api.subscribe("room.>");
  const outcomes: string[] = [];
  const caller = async () => {
    while (connections() <= answers.length) {
      try {
        await api.call("echo", 1, { deadlineMs: 1000 });
        outcomes.push("answered");
      } catch (error) {
        outcomes.push(error instanceof CallError ? error.code : String(error));
      }
    }
  };
  await Promise.all([caller(), caller(), caller()]);
  const strange = outcomes.filter((one) => !/^(?:answered|[A-Z_]+|\d+)$/.test(one));
  assert.deepEqual(strange, [], "each is answered, or fails with a code");
  assert.ok(outcomes.length > 20, `only ${outcomes.length} outcomes`);
  assert.deepEqual(errors, []);
  subscription.close();
});

test("a line dials again after random times that double, and stops when it is closed", async () => {
  let nowMs = 0;
  const wire = new Wire({ now: () => nowMs, soon: () => undefined });
  const dialled: number[] = [];
  const states: string[] = [];
  const line = new Line({
    wire,
    backOff: new BackOff({ firstMs: 100, mostMs: 1000 }, () => 0.5),
    dial() {
      dialled.push(nowMs);
      return Promise.reject(new Error("nobody there"));
    },
    ready: () => assert.fail("it was never connected"),
    changed: (state) => void states.push(state),
  });
  line.start();
  const pass = async (untilMs: number) => {
    for (; nowMs < untilMs; nowMs += 10) {
      wire.agenda.run(nowMs);
      await Promise.resolve();
      await Promise.resolve();
    }
  };
  await pass(3000);
  assert.deepEqual(dialled, [0, 50, 150, 350, 750, 1250, 1750, 2250, 2750]);
  assert.deepEqual(states.slice(0, 4), ["connecting", "waiting", "connecting", "waiting"]);
  line.close(new CallError("CANCELLED", "closed"));
  await pass(10_000);
  assert.equal(dialled.length, 9);
  assert.equal(states.at(-1), "closed");
  await until(() => wire.agenda.size === 0, "an empty agenda");
});
