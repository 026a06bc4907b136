// Sessions that survive their connection: cut again and again, in the middle of publishing and being published to, nothing is
// lost and nothing comes twice.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, Socket } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { AUTH_METHOD, GOAWAY, HELLO_KEY } from "../../src/protocol/codes.ts";
import { isAfter, Replay } from "../../src/protocol/replay.ts";
import { anything } from "../../src/protocol/schema.ts";
import { completeWireLimits, FIXED, type WireLimits } from "../../src/protocol/wire-limits.ts";
import { serve } from "../../src/server/serve.ts";
import { token } from "../../src/service/auth.ts";
import { call, notify } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

async function start(t: TestContext, limits: Partial<WireLimits> = {}) {
  const noted: unknown[] = [];
  const table = service(
    {
      note: notify(anything, (value) => {
        noted.push(value);
      }),
      publish: call(anything, anything, (value, { publish }) => publish("news", value)),
    },
    { authorize: () => true, limits },
  );
  const server = await serveFor(t, table);
  const replay = new Replay(completeWireLimits(limits));
  const client = await SessionClient.connect(t, server, { resume: { replay } });
  const other = await SessionClient.connect(t, server);
  const again = (from: SessionClient) =>
    SessionClient.connect(t, server, { resume: { replay, from } });
  return { server, replay, client, other, again, noted };
}

/** What a client that wants to go on with this session says first. */
async function helloOf(replay: Replay, from: SessionClient): Promise<Buffer> {
  const said: Buffer[] = [];
  const socket = new Socket();
  socket.write = (bytes: Uint8Array | string) => said.push(Buffer.from(bytes as Uint8Array)) > 0;
  SessionClient.over(socket, { resume: { replay, from } });
  await until(() => said.length > 0, "HELLO");
  return Buffer.concat(said);
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

describe("resuming", () => {
  test("what was published while the connection was gone comes when it is back", async (t) => {
    const { client, other, again, server } = await start(t);
    const { heard } = client.subscribe("news");
    await client.call("publish", 0);
    client.socket.destroy();
    await until(() => server.statistics().connections === 1, "the cut");
    for (const n of [1, 2, 3]) await other.call("publish", n);
    const back = await again(client);
    assert.ok(back.resumed);
    await back.call("publish", 4);
    assert.deepEqual(
      heard.map(({ value }) => value),
      numbers(5),
    );
  });

  test("hundreds of cuts: nothing is lost, nothing comes twice, both ways", {
    timeout: 60_000,
  }, async (t) => {
    const { client, other, again, noted } = await start(t);
    const { heard } = client.subscribe("news");
    await client.call("publish", 0);
    let current = client;
    let published = 1;
    let told = 0;
    for (let round = 0; round < 200; round++) {
      for (let n = 0; n < 3; n++) current.notify("note", told++);
      const publishing = [other.call("publish", published++), other.call("publish", published++)];
      // Sometimes what was written is still here, sometimes it is on its way, sometimes it has come.
      if (round % 3 === 1) await new Promise((resolve) => setImmediate(resolve));
      if (round % 3 === 2) await Promise.all(publishing);
      current.socket.destroy();
      await Promise.all(publishing);
      // Written into a connection that is gone, before this side knows.
      if (!current.session.closed) current.notify("note", told++);
      current = await again(current);
      assert.ok(current.resumed, `round ${round}: ${current.end?.reason}`);
    }
    await current.call("publish", published++);
    assert.deepEqual(noted, numbers(told));
    await until(
      () => heard.length >= published,
      () => `${heard.length} of ${published}`,
    );
    assert.deepEqual(
      heard.map(({ value }) => value),
      numbers(published),
    );
  });

  test("a client that is back before its cut was noticed replaces its old connection", async (t) => {
    const { client, again } = await start(t);
    const { heard } = client.subscribe("news");
    await client.call("publish", 0);
    const back = await again(client);
    assert.ok(back.resumed);
    await until(() => client.end !== undefined, "the old one's end");
    assert.equal(client.end?.code, GOAWAY.SESSION_REPLACED);
    await back.call("publish", 1);
    assert.deepEqual(
      heard.map(({ value }) => value),
      [0, 1],
    );
  });

  test("a full ring, another secret, an unknown id: a new session, and it says so", async (t) => {
    const { client, other, again, server, replay } = await start(t, { replayMessages: 5 });
    client.subscribe("news");
    await client.call("publish", 0);
    client.socket.destroy();
    await until(() => server.statistics().connections === 1, "the cut");
    for (const n of numbers(10)) await other.call("publish", n);
    const full = await again(client);
    assert.equal(full.resumed, false);
    const { secret } = replay;
    full.socket.destroy();
    await until(() => server.statistics().connections === 1, "the second cut");
    replay.secret = Buffer.alloc(32);
    const stranger = await again(full);
    assert.equal(stranger.resumed, false);
    assert.notDeepEqual(replay.secret, secret);
  });

  test("a cut at any byte of HELLO, or before WELCOME is read, takes no session away", {
    timeout: 60_000,
  }, async (t) => {
    const { client, other, again, server, replay } = await start(t);
    const { heard } = client.subscribe("news");
    await client.call("publish", 0);
    let current = client;
    const { length } = await helloOf(replay, client);
    for (let cut = 1; cut <= length; cut++) {
      // Every other time the server learns of the cut from the client that comes back.
      if (cut % 2 === 0) current.socket.destroy();
      const hello = await helloOf(replay, current);
      const socket = connect(portOf(server));
      socket.write(hello.subarray(0, cut));
      await once(socket, cut === length ? "readable" : "connect");
      socket.destroy();
      await other.call("publish", cut);
      current = await again(current);
      assert.ok(current.resumed, `cut at ${cut} of ${length}: ${current.reason}`);
    }
    await until(
      () => heard.length > length,
      () => `${heard.length} of ${length + 1}`,
    );
    assert.deepEqual(
      heard.map(({ value }) => value),
      numbers(length + 1),
    );
  });

  test("cut before WELCOME again and again: the secret is the one that was shown", {
    timeout: 10_000,
  }, async (t) => {
    const { client, again, server, replay } = await start(t);
    const { heard } = client.subscribe("news");
    await client.call("publish", 0);
    for (let n = 0; n < 10; n++) {
      const socket = connect(portOf(server));
      socket.write(await helloOf(replay, client));
      await once(socket, "readable");
      socket.destroy();
    }
    const back = await again(client);
    assert.ok(back.resumed, `${back.reason}`);
    await back.call("publish", 1);
    assert.equal(heard.length, 2);
  });

  test("a HELLO that was overheard is worth nothing once its WELCOME was acknowledged", {
    timeout: 10_000,
  }, async (t) => {
    const { client, again, server, replay } = await start(t);
    client.subscribe("news");
    await client.call("publish", 0);
    client.socket.destroy();
    const overheard = await helloOf(replay, client);
    const back = await again(client);
    assert.ok(back.resumed);
    // As many as are acknowledged at once; what is asked after them is answered after that.
    for (const n of numbers(FIXED.ackMessages)) await back.call("publish", n);
    await back.call("publish", "the last one");
    const socket = connect(portOf(server));
    t.after(() => socket.destroy());
    socket.write(overheard);
    const [welcome] = (await once(socket, "data")) as [Buffer];
    assert.equal(welcome.includes(replay.id), false, "it got a session of its own");
    await back.call("publish", "still here");
    assert.equal(back.end, undefined);
  });

  test("nor once its client has answered the PING behind WELCOME, with nothing to acknowledge", {
    timeout: 10_000,
  }, async (t) => {
    const { client, again, server, replay } = await start(t);
    client.socket.destroy();
    const overheard = await helloOf(replay, client);
    const back = await again(client);
    // Asked behind the answer, and so answered after it was heard.
    await back.call("publish", 0);
    const socket = connect(portOf(server));
    t.after(() => socket.destroy());
    socket.write(overheard);
    const [welcome] = (await once(socket, "data")) as [Buffer];
    assert.equal(welcome.includes(replay.id), false, "it got a session of its own");
    assert.equal(back.end, undefined);
  });

  test("a stranger who makes a thousand sessions pushes out his own", {
    timeout: 30_000,
  }, async (t) => {
    const { client, again, server } = await start(t);
    client.socket.destroy();
    await until(() => server.statistics().connections === 1, "the cut");
    for (let n = 0; n < 1001; n++) {
      const from = { port: portOf(server), host: "127.0.0.1", localAddress: "127.0.0.2" };
      const resume = { replay: new Replay(completeWireLimits()) };
      const stranger = SessionClient.over(connect(from), { resume });
      await until(() => stranger.session.ready, "its handshake");
      stranger.socket.destroy();
    }
    await until(() => server.statistics().connections === 1, "their cuts");
    assert.ok((await again(client)).resumed);
  });

  test("a verdict that comes after the client was given up takes no session away", async (t) => {
    const verdicts: PromiseWithResolvers<boolean>[] = [];
    const judge = () => {
      const verdict = Promise.withResolvers<boolean>();
      verdicts.push(verdict);
      return verdict.promise;
    };
    const limits = { handshakeMs: 50 };
    const auth = [token((word) => word === "at once" || judge())];
    const server = await serveFor(t, service({}, { auth, authorize: () => true, limits }));
    const replay = new Replay(completeWireLimits(limits));
    const connect = (data: string, from?: SessionClient) => {
      const resume = from === undefined ? { replay } : { replay, from };
      const { TOKEN } = AUTH_METHOD;
      return SessionClient.connect(t, server, { auth: { method: TOKEN, data }, resume });
    };
    const client = await connect("at once");
    const { heard } = client.subscribe("news");
    await client.publish("news", 0);
    client.socket.destroy();
    await until(() => server.statistics().connections === 0, "the cut");
    const late = await connect("later", client);
    assert.equal(late.end?.code, GOAWAY.HANDSHAKE_TIMEOUT);
    verdicts[0]?.resolve(true);
    await new Promise((resolve) => setImmediate(resolve));
    const back = await connect("at once", late);
    assert.ok(back.resumed);
    await back.publish("news", 1);
    await until(() => heard.length === 2, "what was published");
  });

  test("what should be numbers in HELLO is looked at before any session is", async (t) => {
    const { server } = await start(t);
    for (const key of [HELLO_KEY.LAST_SEQ, HELLO_KEY.REPLAY_TO]) {
      const tlvs = [{ key, value: Uint8Array.of(1) }];
      const client = await SessionClient.connect(t, server, { tlvs });
      assert.equal(client.end?.code, GOAWAY.PROTOCOL);
    }
  });

  test("a session is forgotten after its time, and its subscriptions with it", async (t) => {
    const { client, again, server } = await start(t, { sessionMs: 30 });
    client.subscribe("news");
    await client.call("publish", 0);
    client.socket.destroy();
    await until(() => server.statistics().connections === 1, "the cut");
    await new Promise((resolve) => setTimeout(resolve, 80));
    assert.equal((await again(client)).resumed, false);
  });
});

test("from thread to thread: nothing is lost, nothing comes twice", {
  timeout: 60_000,
}, async (t) => {
  const module = new URL("../support/handlers/topics-service.ts", import.meta.url);
  const server = await serve(module, { threads: 3, balance: "round-robin" });
  t.after(() => server.close({ drainMs: 100 }));
  const replay = new Replay(completeWireLimits());
  const others = await Promise.all(
    Array.from({ length: 3 }, () => SessionClient.connect(t, server)),
  );
  let current = await SessionClient.connect(t, server, { resume: { replay } });
  const { heard } = current.subscribe("news");
  const threads = new Set([await current.call("thread", 0)]);
  const published: string[] = [];
  const publish = (n: number) => {
    published.push(`${n}`);
    return others[n % 3]?.publish("news", `${n}`);
  };
  for (let round = 0; round < 40; round++) {
    const publishing = [0, 1, 2].map((n) => publish(4 * round + n));
    if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
    current.socket.destroy();
    const back = SessionClient.connect(t, server, { resume: { replay, from: current } });
    await publish(4 * round + 3);
    await Promise.all(publishing);
    current = await back;
    assert.ok(current.resumed, `round ${round}: ${current.reason}`);
    threads.add(await current.call("thread", 0));
  }
  assert.equal(threads.size, 3, "it has been on every thread");
  await until(
    () => heard.length >= published.length,
    () => `${heard.length} of ${published.length}`,
  );
  assert.deepEqual(heard.map(({ value }) => String(value)).sort(), published.sort());
});

describe("sequence numbers", () => {
  test("go round at 2^32", () => {
    assert.ok(isAfter(1, 0) && !isAfter(0, 1) && !isAfter(5, 5));
    assert.ok(isAfter(0, 0xffff_ffff) && !isAfter(0xffff_ffff, 0));
    const replay = new Replay(completeWireLimits());
    replay.sent = 0xffff_fffe;
    replay.received = 0xffff_ffff;
    assert.deepEqual([replay.next(), replay.next()], [0xffff_ffff, 0]);
    assert.deepEqual(
      [replay.take(0xffff_ffff), replay.take(0), replay.take(0)],
      [false, true, false],
    );
  });
});
