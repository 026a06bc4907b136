// Who a client is, and when it tries again: SCRAM by the RFC's own example and against the server, keys, waits.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { BackOff } from "../../src/client/back-off.ts";
import { type ClientOptions, client } from "../../src/client/client.ts";
import { ScramClient } from "../../src/client/scram.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { anything } from "../../src/protocol/schema.ts";
import { publicKey, scram } from "../../src/service/auth.ts";
import type { ServiceOptions } from "../../src/service/options.ts";
import { call } from "../../src/service/routes.ts";
import { scramSecret } from "../../src/service/scram.ts";
import { service } from "../../src/service/service.ts";
import { portOf, serveFor } from "../support/server.ts";

// RFC 7677, section 3.
const FIRST =
  "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL =
  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

test("SCRAM-SHA-256 as in RFC 7677", async () => {
  const exchange = new ScramClient("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
  assert.equal(exchange.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  assert.equal(exchange.isServer("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), false);
  assert.equal(await exchange.final(FIRST), FINAL);
  assert.equal(exchange.isServer("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), true);
  assert.equal(exchange.isServer("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), false);
  assert.equal(exchange.isServer("e=other-error"), false);
});

test("a server that wants too much, or answers somebody else, gets no proof", async () => {
  const refused: [string, RegExp][] = [
    ["r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /nonce/],
    ["r=mine,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /nonce/],
    ["r=mine1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=100", /iterations/],
    ["r=mine1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999", /iterations/],
    ["nothing", /malformed/],
  ];
  for (const [first, why] of refused) {
    await assert.rejects(new ScramClient("u", "p", "mine").final(first), why);
  }
});

/** Who the service says that a client with these credentials is, or why it is not let in. */
async function identify(
  t: TestContext,
  options: ServiceOptions,
  auth: NonNullable<ClientOptions["auth"]>,
): Promise<unknown> {
  const routes = { who: call(anything, anything, (_, context) => context.identity) };
  const server = await serveFor(t, service(routes, options));
  const api = client({ port: portOf(server), auth, onError: () => undefined });
  try {
    return await api.call("who", 1);
  } catch (error) {
    assert.ok(error instanceof CallError, String(error));
    return error.code;
  } finally {
    await api.close();
  }
}

test("a password, a key: the right ones let in, others do not", async (t) => {
  const secret = scramSecret("a, pass=word");
  const passwords = {
    auth: [scram((user) => (user === "ada, =" ? { secret, identity: "Ada" } : undefined))],
  };
  const ada = { user: "ada, =", password: "a, pass=word" };
  assert.equal(await identify(t, passwords, ada), "Ada");
  assert.equal(await identify(t, passwords, { ...ada, password: "x" }), "UNAUTHENTICATED");
  assert.equal(await identify(t, passwords, { ...ada, user: "eve" }), "UNAUTHENTICATED");
  const mine = generateKeyPairSync("ed25519");
  const other = generateKeyPairSync("ed25519");
  const raw = mine.publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  const keys = { auth: [publicKey((key) => (key.equals(raw) ? "me" : undefined))] };
  assert.equal(await identify(t, keys, { privateKey: mine.privateKey }), "me");
  assert.equal(await identify(t, keys, { privateKey: other.privateKey }), "UNAUTHENTICATED");
  assert.equal(await identify(t, keys, { token: "t" }), "UNAUTHENTICATED");
});

test("waits grow to their bound, and never beyond", () => {
  const limits = fc
    .tuple(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 0, max: 10_000 }))
    .map(([firstMs, more]) => ({ firstMs, mostMs: firstMs + more }));
  const chances = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(limits, chances, ({ firstMs, mostMs }, list) => {
      let at = 0;
      const backOff = new BackOff({ firstMs, mostMs }, () => list[at] ?? 0);
      for (at = 0; at < list.length; at++) {
        const bound = Math.min(firstMs * 2 ** at, mostMs);
        assert.equal(backOff.nextMs(), (list[at] ?? 0) * bound);
      }
      backOff.reset();
      at = 0;
      assert.equal(backOff.nextMs(), (list[0] ?? 0) * firstMs);
      assert.equal(backOff.nextMs(firstMs), (list[0] ?? 0) * Math.min(2 * firstMs, mostMs));
    }),
  );
});
