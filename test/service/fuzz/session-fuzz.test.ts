// A bounded number of sessions of the fuzz with every change (scripts/fuzz-sessions.ts runs more); and that it finds what it is
// there to find.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { Allowance } from "../../../src/protocol/allowance.ts";
import { IncomingStreams } from "../../../src/protocol/incoming-streams.ts";
import { OutgoingStreams } from "../../../src/protocol/outgoing-streams.ts";
import { Session } from "../../../src/protocol/session.ts";
import { type Result, Results } from "../../../src/service/results.ts";
import { ServerSession } from "../../../src/service/server-session.ts";
import { MemoryMap } from "./memory-map.ts";
import { fuzzSessions } from "./session-fuzz.ts";

const GATE_SESSIONS = 400;

type Mock = Parameters<NonNullable<Parameters<typeof test>[0]>>[0]["mock"];

type Put = Parameters<MemoryMap<unknown>["set"]>;

const MISTAKES: Readonly<Record<string, (mock: Mock) => void>> = {
  "CANCEL is never a flood": (mock) => void mock.method(Allowance.prototype, "cancel", () => {}),
  "a flow's credit is not granted for what was taken back": (mock) =>
    void mock.method(Session.prototype, "grant", function (this: Session, stream: { id: number }) {
      this.sendCredit(stream.id, 100);
    }),
  "CREDIT may go as far as it likes": (mock) =>
    void mock.method(IncomingStreams.prototype, "credit", () => {}),
  "a stream that fails is not told": (mock) =>
    void mock.method(OutgoingStreams.prototype, "fail", () => {}),
  "a call with an idempotency key is always executed": (mock) =>
    void mock.method(Results.prototype, "begin", async () => undefined),
  "results of calls with a key are not kept": (mock) =>
    void mock.method(Results.prototype, "store", function (this: Results, key: string) {
      this.forget(key);
    }),
  "they are given to somebody else": (mock) => {
    const { add, set } = MemoryMap.prototype;
    const anybodys = (key: string) => key.replace(/\n.*\n/, "\n");
    mock.method(
      MemoryMap.prototype,
      "add",
      function (this: MemoryMap<unknown>, ...[key, ...more]: Put) {
        return add.call(this, anybodys(key), ...more);
      },
    );
    mock.method(
      MemoryMap.prototype,
      "set",
      function (this: MemoryMap<unknown>, ...[key, ...more]: Put) {
        return set.call(this, anybodys(key), ...more);
      },
    );
  },
  "another result is given": (mock) => {
    const { store } = Results.prototype;
    mock.method(Results.prototype, "store", function (this: Results, key: string, result: Result) {
      store.call(this, key, { ...result, message: "#0", body: Buffer.from('"#0"') });
    });
  },
  "everybody is let in": (mock) =>
    void mock.method(ServerSession.prototype, "hello", function (this: ServerSession) {
      this.session.handshake.accept([]);
    }),
};

test(`${GATE_SESSIONS} sessions: every outcome is one that the specification has`, async () => {
  const result = await fuzzSessions(GATE_SESSIONS, 1);
  const { welcomed, resumed, frames, handled, repeated, endings } = result;
  // It got everywhere.
  assert.ok(
    welcomed > GATE_SESSIONS / 2 && resumed > 10,
    `${welcomed} welcomed, ${resumed} resumed`,
  );
  assert.ok(frames > 10 * GATE_SESSIONS && handled > GATE_SESSIONS, `${frames}, ${handled}`);
  assert.ok(repeated > 50, `${repeated} answers given once more`);
  for (const code of [65, 66, 67, 68, 69, 70, 71, 72, 73]) {
    assert.ok(endings.has(code), `nothing ended with GOAWAY ${code}`);
  }
});

test("the same seed gives the same sessions", async () => {
  assert.deepEqual(await fuzzSessions(40, 7), await fuzzSessions(40, 7));
});

describe("a mistake is found", () => {
  for (const [name, plant] of Object.entries(MISTAKES)) {
    test(name, async (t) => {
      plant(t.mock);
      await assert.rejects(
        fuzzSessions(GATE_SESSIONS, 1),
        /^Error: seed 1, world \d+, session \d+/,
      );
    });
  }
});
