// Who gets in, where a service has several threads: to come back to another one gains a guesser nothing.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ScramClient } from "../../src/client/scram.ts";
import { AUTH_METHOD, GOAWAY, GOAWAY_KEY } from "../../src/protocol/codes.ts";
import { tlv } from "../../src/protocol/tlv.ts";
import { serve } from "../../src/server/serve.ts";
import { SessionClient } from "./session-client.ts";

const MODULE = new URL("../support/handlers/guarded-service.ts", import.meta.url);
const THREADS = 2;
const FREE = 5;

/** Connections go to its threads in turns. */
async function start(t: TestContext) {
  const server = await serve(MODULE, { threads: THREADS, balance: "round-robin" });
  t.after(() => server.close({ drainMs: 0 }));
  return server;
}

test("failures count for all threads", async (t) => {
  const server = await start(t);
  const method = AUTH_METHOD.TOKEN;
  const guess = async (data: string) =>
    (await SessionClient.connect(t, server, { auth: { method, data } })).said;
  let wrong = 0;
  for (let judged = true; judged; wrong++) {
    const goaway = await guess("open, sesame");
    assert.equal(goaway?.code, GOAWAY.AUTH);
    // Who must wait is not told how else to try.
    judged = tlv(goaway.tlvs, GOAWAY_KEY.AUTH_METHODS) !== undefined;
    // What one thread tells the other is on its way for a moment.
    assert.ok(wrong <= FREE + THREADS, `${wrong} wrong guesses`);
  }
  assert.ok(wrong > FREE, `${wrong} guesses`);
});

test("a user who does not exist has the same salt in all threads", async (t) => {
  const server = await start(t);
  const saltOf = async (user: string) => {
    let first = "";
    const exchange = new ScramClient(user, "a guess", "a-nonce-of-mine");
    await SessionClient.connect(t, server, {
      auth: { method: AUTH_METHOD.SCRAM_SHA_256, data: exchange.first() },
      answer: async ({ data }) => {
        first = String(data);
        return Buffer.from(await exchange.final(first));
      },
    });
    return first.replace(/^r=[^,]*,/, "");
  };
  const [zed, again, other] = [await saltOf("zed"), await saltOf("zed"), await saltOf("yan")];
  assert.match(zed, /^s=[A-Za-z0-9+/]{22}==,i=4096$/);
  assert.equal(again, zed);
  assert.notEqual(other, zed);
});
