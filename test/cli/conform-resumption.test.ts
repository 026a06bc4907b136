// sluice conform, the group resumption: each of a number of mistakes in our own server is found, and called by its rule.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Acknowledging } from "../../src/protocol/acknowledging.ts";
import { Replay } from "../../src/protocol/replay.ts";
import { SessionTime } from "../../src/protocol/session-time.ts";
import { ServerSession } from "../../src/service/server-session.ts";
import { service } from "../../src/service/service.ts";
import { Child } from "../support/child.ts";
import { portOf, serveFor } from "../support/server.ts";

interface Mistake {
  readonly name: string;
  /** Puts something else in the place of a method of the server's. */
  readonly plant: (mock: Mock) => void;
  /** The beginnings of the rules that are broken then, and no others. */
  readonly breaks: readonly string[];
}

type Mock = Parameters<NonNullable<Parameters<typeof test>[0]>>[0]["mock"];

const MISTAKES: readonly Mistake[] = [
  {
    name: "any secret opens a session",
    plant: (mock) => void mock.method(Replay.prototype, "isOurs", () => true),
    breaks: [
      "a wrong secret gets another session",
      "a secret that was used is worthless once a PING",
      "a secret that was used is worthless once a connection",
    ],
  },
  {
    name: "a secret that was used goes on to be one",
    plant: (mock) => void mock.method(Replay.prototype, "welcomeArrived", () => undefined),
    breaks: [
      "a secret that was used is worthless once a PING",
      "a secret that was used is worthless once a connection",
    ],
  },
  {
    name: "a secret is used up before its successor was read",
    plant: (mock) =>
      void mock.method(Replay.prototype, "renew", function (this: Replay, _: Buffer, next: Buffer) {
        this.secret = next;
      }),
    breaks: ["the secret that was shown is taken again"],
  },
  {
    name: "the secret is always the same",
    plant: (mock) => void mock.method(Replay.prototype, "renew", () => undefined),
    breaks: [
      "shown with its secret a session goes on",
      "a secret that was used is worthless once a PING",
      "a secret that was used is worthless once a connection",
    ],
  },
  {
    name: "nobody is asked whether WELCOME was read",
    plant: (mock) => void mock.method(SessionTime.prototype, "ask", () => undefined),
    breaks: ["a PING stands behind the WELCOME", "a secret that was used is worthless once a PING"],
  },
  {
    name: "a connection whose session goes on elsewhere is not told",
    plant: (mock) =>
      void mock.method(ServerSession.prototype, "replaced", function (this: ServerSession) {
        this.session.disconnected("replaced");
      }),
    breaks: ["a connection whose session is resumed elsewhere"],
  },
  {
    name: "nothing is sent again",
    plant: (mock) => void mock.method(Replay.prototype, "after", () => []),
    breaks: ["what is beyond last_seq is sent again", "what was published during the cut"],
  },
  {
    name: "everything is sent again, whatever last_seq says",
    plant: (mock) => void mock.method(Replay.prototype, "acknowledged", () => undefined),
    breaks: ["what is beyond last_seq is sent again", "what was published during the cut"],
  },
  {
    name: "what comes twice is taken twice",
    plant: (mock) =>
      void mock.method(Replay.prototype, "take", function (this: Replay, seq: number) {
        this.received = seq;
        this.unacknowledged++;
        return true;
      }),
    breaks: ["what has come is named by last_seq, and dropped"],
  },
  {
    name: "nothing is acknowledged",
    plant: (mock) => void mock.method(Acknowledging.prototype, "send", () => undefined),
    breaks: ["a message with SEQ is acknowledged"],
  },
];

for (const { name, plant, breaks } of MISTAKES) {
  test(`${name}: found`, async (t) => {
    plant(t.mock);
    const server = await serveFor(t, service({}, { authorize: () => true }));
    const args = [`${portOf(server)}`, "--group", "resumption", "--wait-ms", "2000", "--json"];
    const child = Child.cli(t, "conform", ...args);
    const { code } = await child.exit();
    const broken = child.stdoutLines
      .map((line): { rule: string; result: string } => JSON.parse(line))
      .filter(({ result }) => result === "broken")
      .map(({ rule }) => rule);
    assert.equal(code, 1);
    assert.equal(broken.length, breaks.length, `${broken}`);
    for (const [n, beginning] of breaks.entries()) {
      assert.ok(broken[n]?.startsWith(`section 9: ${beginning}`), `${broken}`);
    }
  });
}

test("what a server does not let its clients publish breaks no rule", async (t) => {
  const server = await serveFor(
    t,
    service({}, { authorize: (_identity, action) => action !== "publish" }),
  );
  const args = [`${portOf(server)}`, "--group", "resumption", "--wait-ms", "2000", "--json"];
  const child = Child.cli(t, "conform", ...args);
  const { code } = await child.exit();
  const results = child.stdoutLines.map((line): string => JSON.parse(line).result);
  assert.equal(code, 0, child.story());
  assert.equal(results.filter((result) => result === "skipped").length, 3, `${results}`);
});
