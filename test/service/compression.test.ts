// Compressed bodies: fewer bytes on the wire, the same messages; and bodies that lie about their size.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type TestContext, test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { rawCodec } from "../../src/protocol/body-codec.ts";
import { CODEC, FLAG, HELLO_KEY, KIND } from "../../src/protocol/codes.ts";
import { encodeHello } from "../../src/protocol/connection-frames.ts";
import { FrameWriter } from "../../src/protocol/frame-writer.ts";
import { bytes } from "../../src/protocol/schema.ts";
import { encodeOpen } from "../../src/protocol/stream-frames.ts";
import { call } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { decodeFast } from "../protocol/fast-decoder.ts";
import { Client } from "../support/client.ts";
import { serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

function start(t: TestContext, compression = true) {
  const echo = call(bytes, bytes, (input) => input);
  return serveFor(t, service({ echo }, { compression, authorize: () => true }));
}

test("large bodies travel small, both ways, and arrive whole", async (t) => {
  const server = await start(t);
  const client = await SessionClient.connect(t, server, { compression: true });
  for (const size of [0, 4095, 4096, 100_000, 1_000_000]) {
    const body = Buffer.alloc(size, "all work and no play ");
    const before = client.socket.bytesWritten + client.socket.bytesRead;
    assert.deepEqual(await client.call("echo", body, rawCodec), body);
    const travelled = client.socket.bytesWritten + client.socket.bytesRead - before;
    if (size >= 4096) assert.ok(travelled < 1000, `${travelled} bytes for ${size}`);
  }
});

test("published messages too, once for all", async (t) => {
  const server = await start(t);
  const small = await SessionClient.connect(t, server, { compression: true });
  const plain = await SessionClient.connect(t, server);
  const heard = [small, plain].map((client) => client.subscribe("a").heard);
  await plain.call("echo", Buffer.alloc(1), rawCodec);
  await small.call("echo", Buffer.alloc(1), rawCodec);
  const value = "x".repeat(50_000);
  const before = small.socket.bytesRead;
  await plain.publish("a", value);
  await until(() => heard.every(({ length }) => length === 1), "both");
  assert.deepEqual(
    heard.map(([one]) => one?.value),
    [value, value],
  );
  assert.ok(small.socket.bytesRead - before < 1000);
});

test("without it on either side nothing is compressed", async (t) => {
  const server = await start(t, false);
  const client = await SessionClient.connect(t, server, { compression: true });
  const before = client.socket.bytesRead;
  await client.call("echo", Buffer.alloc(50_000), rawCodec);
  assert.ok(client.socket.bytesRead - before > 50_000);
});

test("bodies that are larger than they say, or than is allowed, fail their stream", async (t) => {
  const server = await start(t);
  const attacker = await Client.connect(t, server.address);
  const bomb = zstdCompressSync(Buffer.alloc(10_000_000));
  const sized = (size: number, body: Uint8Array) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(size);
    return Buffer.concat([head, body]);
  };
  const bodies = [
    sized(10_000_000, bomb),
    sized(1000, bomb),
    sized(1000, zstdCompressSync(Buffer.alloc(999))),
    sized(10, Buffer.from("no zstd")),
    Buffer.from([1, 2]),
  ];
  const writer = new FrameWriter();
  const zip = { key: HELLO_KEY.COMPRESSIONS, value: Uint8Array.of(1) };
  encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs: [zip] });
  bodies.forEach((body, index) => {
    const open = { kind: KIND.CALL, codec: CODEC.RAW, name: "echo" };
    encodeOpen(writer, 2 * index + 1, FLAG.END | FLAG.ZIP, open, body, 0, body.length);
  });
  attacker.write(
    Buffer.concat([Buffer.from("SWP1\r\n\x1a\n", "latin1"), writer.bytes.subarray(0, writer.end)]),
  );
  const errors = () =>
    decodeFast(attacker.received(), 1_000_000).frames.filter(({ frame }) => frame === "ERROR");
  await until(
    () => errors().length === bodies.length,
    () => `${errors().length} errors`,
  );
  assert.deepEqual(
    errors().map(({ code }) => code),
    [33, 34, 34, 34, 34],
  );
  assert.equal(attacker.ended, false);
});

test("a chunk full of bodies that become large holds nobody up", async (t) => {
  const bombs = 100;
  let handled = 0;
  const swallow = call(bytes, bytes, () => {
    handled++;
    return Buffer.alloc(0);
  });
  const echo = call(bytes, bytes, (input) => input);
  const server = await serveFor(t, service({ echo, swallow }, { authorize: () => true }));
  const good = await SessionClient.connect(t, server);
  const attacker = await Client.connect(t, server.address);
  const writer = new FrameWriter();
  const zip = { key: HELLO_KEY.COMPRESSIONS, value: Uint8Array.of(1) };
  encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs: [zip] });
  const large = Buffer.alloc(1 << 20);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(large.length);
  const body = Buffer.concat([size, zstdCompressSync(large)]);
  for (let n = 0; n < bombs; n++) {
    const open = { kind: KIND.CALL, codec: CODEC.RAW, name: "swallow" };
    encodeOpen(writer, 1, FLAG.END | FLAG.ZIP, open, body, 0, body.length);
  }
  attacker.write(
    Buffer.concat([Buffer.from("SWP1\r\n\x1a\n", "latin1"), writer.bytes.subarray(0, writer.end)]),
  );
  await until(() => handled > 0, "the first");
  await good.call("echo", Buffer.alloc(1), rawCodec);
  assert.ok(handled < bombs, "the good client was answered after all of them");
  await until(() => handled === bombs, "all of them, in the end");
  assert.equal(attacker.ended, false);
});
