// Who gets in, by each method; and that nothing of the service runs before that is settled.

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { ScramClient } from "../../src/client/scram.ts";
import { jsonCodec } from "../../src/protocol/body-codec.ts";
import { AUTH_METHOD, FRAME, GOAWAY, HELLO_KEY, KIND, PREFACE } from "../../src/protocol/codes.ts";
import { anything } from "../../src/protocol/schema.ts";
import { tlv } from "../../src/protocol/tlv.ts";
import {
  type AuthMethod,
  none,
  peerCredentials,
  publicKey,
  scram,
  token,
} from "../../src/service/auth.ts";
import { call, notify } from "../../src/service/routes.ts";
import { scramSecret } from "../../src/service/scram.ts";
import { service } from "../../src/service/service.ts";
import { Client } from "../support/client.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";
import { rawFrame } from "./raw-frame.ts";
import { type ClientOptions, SessionClient } from "./session-client.ts";

async function start(t: TestContext, auth: readonly AuthMethod[], path?: string) {
  let handled = 0;
  const table = service(
    {
      who: call(anything, anything, (_input, { identity }) => {
        handled++;
        return identity ?? null;
      }),
      tell: notify(anything, () => {
        handled++;
      }),
    },
    { auth, onError: () => undefined, authorize: () => true },
  );
  const server = await serveFor(t, { ...table, ...(path !== undefined && { path }) });
  const connect = (options: ClientOptions = {}) => SessionClient.connect(t, server, options);
  return { server, connect, handled: () => handled };
}

const TOKENS = token((secret) => (secret === "let me in" ? { name: "ann" } : undefined));

describe("token", () => {
  test("the right one is somebody, a wrong one and none are nobody", async (t) => {
    const { connect } = await start(t, [TOKENS]);
    const method = AUTH_METHOD.TOKEN;
    const ann = await connect({ auth: { method, data: "let me in" } });
    assert.deepEqual(await ann.call("who", 0), { name: "ann" });
    for (const options of [{ auth: { method, data: "let me" } }, {}]) {
      const other = await connect(options);
      assert.equal(other.end?.code, GOAWAY.AUTH);
      const methods = tlv(other.said?.tlvs ?? [], 8);
      assert.deepEqual([...(methods ?? [])], [method]);
    }
  });

  test("a hook that takes its time, and one that throws", async (t) => {
    const slow = token(async (secret) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (secret === "throw") throw new Error("the database is gone");
      return secret;
    });
    const { connect } = await start(t, [slow]);
    const method = AUTH_METHOD.TOKEN;
    const good = await connect({ auth: { method, data: "ann" } });
    assert.equal(await good.call("who", 0), "ann");
    assert.equal((await connect({ auth: { method, data: "throw" } })).end?.code, GOAWAY.AUTH);
  });

  test("calls sent in advance wait for the verdict, and run only after a good one", async (t) => {
    const verdict = Promise.withResolvers<string | undefined>();
    const { server, handled } = await start(t, [token(() => verdict.promise)]);
    const options = { auth: { method: AUTH_METHOD.TOKEN, data: "x" } };
    const good = SessionClient.dial(t, server, options);
    const answers = [good.call("who", 1), good.call("who", 2)];
    good.notify("tell", 1);
    await until(() => server.statistics().messages > 0, "the server has read something");
    assert.equal(handled(), 0);
    verdict.resolve("ann");
    assert.deepEqual(await Promise.all(answers), ["ann", "ann"]);
    await until(() => handled() === 3, "the notification");
  });

  test("a fresh token replaces the identity; a bad one ends it", async (t) => {
    const { connect } = await start(t, [
      token((secret) => (secret === "bad" ? undefined : secret)),
    ]);
    const method = AUTH_METHOD.TOKEN;
    const client = await connect({ auth: { method, data: "ann" } });
    client.session.handshake.answer({ method, step: 0, data: Buffer.from("ann again") });
    assert.equal(await client.call("who", 0), "ann again");
    client.session.handshake.answer({ method, step: 0, data: Buffer.from("bad") });
    await until(() => client.end !== undefined, "the end");
    assert.equal(client.end?.code, GOAWAY.AUTH);
  });

  test("what the new identity may not hear ends", async (t) => {
    const table = service(
      {},
      {
        auth: [token((secret) => secret)],
        authorize: (identity, _action, name) => name.startsWith(String(identity)),
      },
    );
    const server = await serveFor(t, table);
    const method = AUTH_METHOD.TOKEN;
    const client = await SessionClient.connect(t, server, { auth: { method, data: "ann" } });
    const own = client.subscribe("ann.>");
    client.session.handshake.answer({ method, step: 0, data: Buffer.from("bob") });
    await assert.rejects(own.over, { code: "PERMISSION_DENIED" });
    await assert.rejects(client.subscribe("ann.>").over, { code: "PERMISSION_DENIED" });
    const other = client.subscribe("bob.>");
    await client.publish("bob.x", 1);
    assert.equal(other.heard.length, 1);
  });

  test("after some wrong ones an address waits, whatever it sends", async (t) => {
    let asked = 0;
    const counting = token(() => {
      asked++;
      return undefined;
    });
    const { connect } = await start(t, [counting]);
    const options = { auth: { method: AUTH_METHOD.TOKEN, data: "guess" } };
    for (let n = 0; n < 12; n++) await connect(options);
    assert.equal(asked, 5);
  });
});

describe("Ed25519", () => {
  function rawPublicKey(key: KeyObject): Buffer {
    return key.export({ format: "der", type: "spki" }).subarray(-32);
  }

  test("the owner of a known key is let in, others are not", async (t) => {
    const ann = generateKeyPairSync("ed25519");
    const bob = generateKeyPairSync("ed25519");
    const known = rawPublicKey(ann.publicKey);
    const { connect } = await start(t, [
      publicKey((key) => (key.equals(known) ? "ann" : undefined)),
    ]);
    const method = AUTH_METHOD.ED25519;
    const tryWith = (key: Buffer, signer: KeyObject) =>
      connect({
        auth: { method, data: key },
        answer: ({ data }) =>
          sign(null, Buffer.concat([Buffer.from("SWP/1 Ed25519\0"), data]), signer),
      });
    assert.equal(await (await tryWith(known, ann.privateKey)).call("who", 0), "ann");
    assert.equal((await tryWith(known, bob.privateKey)).end?.code, GOAWAY.AUTH);
    assert.equal(
      (await tryWith(rawPublicKey(bob.publicKey), bob.privateKey)).end?.code,
      GOAWAY.AUTH,
    );
    assert.equal((await tryWith(Buffer.alloc(5), ann.privateKey)).end?.code, GOAWAY.AUTH);
  });
});

describe("SCRAM-SHA-256", () => {
  test("RFC 7677's example gives its signature", () => {
    const secret = scramSecret("pencil", Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"), 4096);
    assert.equal(
      secret.storedKey.toString("base64"),
      "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    );
    assert.equal(
      secret.serverKey.toString("base64"),
      "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    );
  });

  test("who knows the password is let in, and knows that the server does too", async (t) => {
    const ann = { secret: scramSecret("open, sesame"), identity: { name: "ann" } };
    const { connect } = await start(t, [scram((user) => (user === "a=n,n" ? ann : undefined))]);
    const tryWith = async (user: string, password: string) => {
      const exchange = new ScramClient(user, password, randomUUID());
      const client = await connect({
        auth: { method: AUTH_METHOD.SCRAM_SHA_256, data: exchange.first() },
        answer: async ({ data }) => Buffer.from(await exchange.final(String(data))),
      });
      const last = Buffer.from(tlv(client.welcome ?? [], HELLO_KEY.AUTH) ?? []);
      return { client, trusted: exchange.isServer(String(last.subarray(1))) };
    };
    const good = await tryWith("a=n,n", "open, sesame");
    assert.deepEqual(await good.client.call("who", 0), { name: "ann" });
    assert.ok(good.trusted);
    for (const [user, password] of [
      ["a=n,n", "wrong"],
      ["nobody", "open, sesame"],
    ] as const) {
      assert.equal((await tryWith(user, password)).client.end?.code, GOAWAY.AUTH, user);
    }
  });
});

describe("Unix peer credentials", () => {
  test("the kernel says who it is", async (t) => {
    if (process.platform !== "linux") return t.skip("no such sockets here");
    const own = peerCredentials(({ uid, pid }) =>
      uid === process.getuid?.() ? { pid } : undefined,
    );
    const { connect, server } = await start(t, [own], `\0sluice-auth-${process.pid}`);
    if (server.driver === "portable") return t.skip("the driver has no descriptors");
    const client = await connect({ auth: { method: AUTH_METHOD.EXTERNAL, data: "" } });
    assert.deepEqual(await client.call("who", 0), { pid: process.pid });
  });

  test("on TCP there is nobody to ask about", async (t) => {
    const { connect } = await start(t, [peerCredentials(() => "ann"), none("guest")]);
    const external = await connect({ auth: { method: AUTH_METHOD.EXTERNAL, data: "" } });
    assert.equal(external.end?.code, GOAWAY.AUTH);
    assert.equal(await (await connect()).call("who", 0), "guest");
  });
});

describe("before the verdict", () => {
  /** Every frame type in every phase before READY, over a real socket. */
  const hello = rawFrame(FRAME.HELLO, 0, 0, Buffer.from([1, 1, 0, 0]));
  const token1 = Buffer.from([8, 0, 2, 0, AUTH_METHOD.TOKEN, 0x78]);
  const phases = {
    "before HELLO": Buffer.alloc(0),
    "while a hook decides": rawFrame(
      FRAME.HELLO,
      0,
      0,
      Buffer.concat([Buffer.from([1, 1, 0, 0]), token1]),
    ),
    "in the middle of a challenge": rawFrame(
      FRAME.HELLO,
      0,
      0,
      Buffer.concat([
        Buffer.from([1, 1, 0, 0]),
        Buffer.from([8, 0, 33, 0, AUTH_METHOD.ED25519]),
        Buffer.alloc(32),
      ]),
    ),
    "after being refused": hello,
  };

  const open = Buffer.alloc(16 + 3);
  open[0] = KIND.CALL;
  open[1] = jsonCodec.id;
  open.writeUInt16LE(3, 12);
  open.write("who", 16);

  for (const [phase, first] of Object.entries(phases)) {
    test(`no frame runs a handler: ${phase}`, async (t) => {
      const never = token(() => new Promise(() => undefined));
      const { server, handled } = await start(t, [never, publicKey(() => "ann")]);
      for (const type of [...Object.values(FRAME), 8, 15, 21, 31, 32, 127]) {
        const payload = type === FRAME.OPEN ? open : Buffer.alloc(16);
        const client = await Client.connect(t, server.address);
        client.write(Buffer.concat([Buffer.from(PREFACE), first, rawFrame(type, 1, 1, payload)]));
        if (phase === "while a hook decides") client.socket.end();
        else await client.end();
        client.destroy();
      }
      assert.equal(handled(), 0);
      assert.ok(portOf(server) > 0);
    });
  }
});
