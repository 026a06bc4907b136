// Handlers that no stream counts: those whose stream has ended before them go on counting as one, however it ended, until they
// settle; of notifications no more run at a time than there may be streams.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Context } from "../../src/handlers.ts";
import { anything } from "../../src/protocol/schema.ts";
import { call, clientStream, duplex, notify } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { decodeFast } from "../protocol/fast-decoder.ts";
import { PREFACE } from "./fuzz/frames.ts";
import { MemoryConnection } from "./fuzz/memory-connection.ts";
import { rawFrame } from "./raw-frame.ts";

const STREAMS = 2;

function start() {
  const finish: (() => void)[] = [];
  const heard: unknown[] = [];
  const routes = {
    heed: notify(anything, (value) => {
      heard.push(value);
      return new Promise<void>((resolve) => finish.push(resolve));
    }),
    // Heeds nothing.
    deaf: clientStream(
      anything,
      anything,
      () => new Promise<null>((r) => finish.push(() => r(null))),
    ),
    // Whether its input is right shows later.
    checked: call(slowly(finish), anything, (value) => value),
    noted: notify(slowly(finish), (value) => void heard.push(value)),
    brief: duplex(anything, anything, async function* () {
      yield 1;
      await new Promise<void>((resolve) => finish.push(resolve));
    }),
  };
  const limits = { streams: STREAMS, messageBytes: 1024 };
  const context = { thread: 0, threads: 1 } as Context;
  const connection = new MemoryConnection(1, context, service(routes, { limits }));
  const say = async (...frames: Buffer[]) => {
    connection.receive(Buffer.concat(frames));
    while (connection.readable) connection.read();
    await new Promise(setImmediate);
    const written = Buffer.concat(connection.written.splice(0));
    return decodeFast(written, 65_536).frames.filter(({ frame }) => frame !== "WELCOME");
  };
  const zombies = () => connection.state?.session.handlers.outliving;
  return { connection, finish, say, zombies, heard };
}

/** A schema that takes time, and refuses everything. */
function slowly(finish: (() => void)[]): typeof anything {
  const validate = () =>
    new Promise((resolve) => {
      finish.push(() => resolve({ issues: [{ message: "no" }] }));
    });
  return { "~standard": { version: 1, vendor: "test", validate } } as typeof anything;
}

function open(id: number, name: string, credit: number): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.set([name === "deaf" ? 2 : 3, 1]);
  fixed.writeUInt32LE(credit, 8);
  fixed.writeUInt16LE(name.length, 12);
  return rawFrame(16, id, 0, Buffer.concat([fixed, Buffer.from(name)]));
}

const HELLO = rawFrame(1, 0, 0, Buffer.from([1, 1, 0, 0]));

test("a message that is too large ends the stream, and its handler still counts", async () => {
  const { finish, say, zombies } = start();
  await say(PREFACE, HELLO);
  const large = Buffer.from(JSON.stringify("x".repeat(2000)));
  for (let n = 1; n <= STREAMS; n++) {
    const [error] = await say(open(1, "deaf", 0), rawFrame(17, 1, 0, large));
    assert.deepEqual([error?.frame, error?.code, zombies()], ["ERROR", 33, n]);
  }
  const [refused] = await say(open(1, "deaf", 0));
  assert.deepEqual([refused?.frame, refused?.code], ["ERROR", 32]);
  for (const one of finish) one();
  assert.deepEqual([await say(), zombies()], [[], 0]);
  assert.deepEqual(await say(open(1, "deaf", 0)), [], "there is room again");
});

test("a handler that has settled is none, though its end still waits to be sent", async () => {
  const { connection, finish, say, zombies } = start();
  await say(PREFACE, HELLO);
  const [message] = await say(open(1, "brief", 1));
  assert.equal(message?.frame, "DATA");
  // From here on the client reads nothing, so the END waits.
  connection.reads(false);
  for (const one of finish) one();
  assert.deepEqual(await say(), []);
  await say(rawFrame(17, 1, 0, Buffer.from("no JSON")));
  connection.reads(true);
  assert.equal((await say())[0]?.stream, 1, "its end");
  assert.equal(zombies(), 0);
});

/** Of the kind notify on stream 0, of the kind call on another one. */
function request(id: number, name: string, value: unknown, deadlineMs = 0): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.set([id === 0 ? 4 : 0, 1]);
  fixed.writeUInt32LE(deadlineMs, 4);
  fixed.writeUInt16LE(name.length, 12);
  return rawFrame(16, id, 1, Buffer.concat([fixed, Buffer.from(name + JSON.stringify(value))]));
}

test("no more notifications are under way than there may be streams, and none is lost", async () => {
  const { finish, say, heard } = start();
  await say(PREFACE, HELLO);
  await say(...[1, 2, 3, 4, 5].map((n) => request(0, "heed", n)));
  assert.deepEqual(heard, [1, 2]);
  for (let settled = 1; settled <= 3; settled++) {
    finish.shift()?.();
    await say();
    // It reads on once the handler has settled.
    await say();
    assert.deepEqual(heard, [1, 2, 3, 4, 5].slice(0, STREAMS + settled));
  }
  await say(request(0, "heed", 6));
  assert.equal(heard.length, 5, "two are under way");
});

test("a call whose input is judged after its deadline counts until then, and not for ever", async () => {
  const { connection, finish, say, zombies } = start();
  await say(PREFACE, HELLO);
  for (let n = 1; n <= STREAMS; n++) {
    await say(request(1, "checked", n, 50));
    const wire = connection.state?.hub.wire;
    wire?.agenda.run(wire.now() + 100);
    wire?.flush();
    const [error] = await say();
    assert.deepEqual([error?.frame, error?.code, zombies()], ["ERROR", 4, n]);
  }
  for (const one of finish.splice(0)) one();
  assert.deepEqual([await say(), zombies()], [[], 0]);
  await say(request(1, "checked", 0));
  finish[0]?.();
  const [refused] = await say();
  assert.deepEqual([refused?.frame, refused?.code], ["ERROR", 35], "there is room again");
});

test("a notification that is refused late is under way no more", async () => {
  const { connection, finish, say, heard } = start();
  await say(PREFACE, HELLO);
  await say(...[1, 2, 3].map((n) => request(0, "noted", n)));
  assert.equal(finish.length, STREAMS);
  for (let n = 0; n < 3; n++) {
    finish[n]?.();
    await say();
    await say();
  }
  await say(request(0, "heed", "more"));
  assert.deepEqual([heard, connection.state?.session.handlers.any], [["more"], true]);
});
