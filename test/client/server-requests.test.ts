// What a server calls on its client: answered or refused as the handlers say, and no more notifications under way than the
// client allows streams, of which none is lost.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { type ServerHandlers, ServerRequests } from "../../src/client/server-requests.ts";
import { jsonCodec } from "../../src/protocol/body-codec.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { CODE, CODEC, KIND } from "../../src/protocol/codes.ts";
import { Notes, TwoSessions } from "../protocol/two-sessions.ts";

const STREAMS = 2;

function start(handlers: ServerHandlers) {
  const reported: unknown[] = [];
  const two = new TwoSessions({ client: { streams: STREAMS } }).start();
  const requests = new ServerRequests(
    handlers,
    new Map([[jsonCodec.id, jsonCodec]]),
    (error) => void reported.push(error),
  );
  const { client, server } = two;
  client.onOpened = (stream, open, body) =>
    requests.opened(client.session, stream, open, body, 0, body.length);
  /** Handlers settle, and what they say is delivered. */
  const settle = async () => {
    for (let turn = 0; turn < 3; turn++) {
      two.settle();
      await new Promise(setImmediate);
    }
  };
  const ask = async (
    name: string,
    body: string,
    kind: number = KIND.CALL,
    codec: number = CODEC.JSON,
  ) => {
    const notes = new Notes();
    server.session.streams.open({ kind, codec, name }, Buffer.from(body), notes);
    await settle();
    return notes.error === undefined
      ? String(notes.messages[0])
      : [notes.error.code, notes.error.message];
  };
  const notify = (name: string, body: string) =>
    server.session.streams.announce(
      { kind: KIND.NOTIFY, codec: CODEC.JSON, name },
      Buffer.from(body),
    );
  return { client, server, ask, notify, settle, reported };
}

test("calls are answered by their handlers, and refused where there is none", async () => {
  const { ask, reported } = start({
    double: (n: number) => 2 * n,
    later: async (n: number) => n + 1,
    refuses: () => {
      throw new CallError("NOT_FOUND", "no such thing");
    },
    breaks: () => {
      throw new Error("a secret");
    },
  });
  assert.equal(await ask("double", "21"), "42");
  assert.equal(await ask("later", "1"), "2");
  assert.deepEqual(await ask("refuses", "1"), [CODE.NOT_FOUND, "no such thing"]);
  assert.deepEqual(reported, []);
  assert.deepEqual(await ask("breaks", "1"), [CODE.INTERNAL, "the client's handler failed"]);
  assert.match(String(reported), /a secret/);
  for (const name of ["nobody", "__proto__", "constructor", "toString"]) {
    assert.deepEqual(await ask(name, "1"), [CODE.NOT_FOUND, "no such route"], name);
  }
  assert.equal(((await ask("double", "{")) as [number])[0], CODE.BAD_CODEC);
  assert.deepEqual(await ask("double", "1", KIND.CALL, 77), [
    CODE.BAD_CODEC,
    "there is no codec 77",
  ]);
  const subscribed = await ask("double", "", KIND.SUBSCRIBE);
  assert.equal((subscribed as [number])[0], CODE.UNIMPLEMENTED);
});

test("no more notifications are under way than there may be streams, and none is lost", async () => {
  const finish: (() => void)[] = [];
  const heard: number[] = [];
  const { client, notify, settle, reported } = start({
    heed: (n: number) => {
      heard.push(n);
      return new Promise<void>((resolve, reject) =>
        // One that fails has settled, too.
        finish.push(n % 2 === 0 ? resolve : () => reject(new Error(`${n} failed`))),
      );
    },
  });
  for (let n = 1; n <= 5; n++) notify("heed", String(n));
  await settle();
  assert.deepEqual([heard, client.paused], [[1, 2], true]);
  for (let settled = 1; settled <= 3; settled++) {
    finish.shift()?.();
    await settle();
    assert.deepEqual(heard, [1, 2, 3, 4, 5].slice(0, STREAMS + settled));
  }
  for (const one of finish) one();
  await settle();
  assert.deepEqual([client.paused, client.session.handlers.any], [false, false]);
  assert.deepEqual(reported.map(String), ["Error: 1 failed", "Error: 3 failed", "Error: 5 failed"]);
});

test("calls under way are counted by their streams alone", async () => {
  const finish: (() => void)[] = [];
  const { client, ask, notify, settle } = start({
    wait: () => new Promise<void>((resolve) => finish.push(resolve)),
  });
  for (let n = 0; n < STREAMS; n++) await ask("wait", "1");
  assert.deepEqual([client.paused, client.session.handlers.any], [false, false]);
  notify("wait", "1");
  await settle();
  assert.deepEqual([finish.length, client.paused], [STREAMS + 1, false]);
});
