// Hostile clients beside a good one, over real sockets: each flood ends the attacker by its rule, what it can hold is
// bounded, and the good client notices nothing.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, type TestContext, test } from "node:test";
import { CODEC, FLAG, FRAME, GOAWAY, KIND } from "../../src/protocol/codes.ts";
import { encodeCredit, encodeHello, encodePing } from "../../src/protocol/connection-frames.ts";
import { FrameWriter } from "../../src/protocol/frame-writer.ts";
import { anything, bytes } from "../../src/protocol/schema.ts";
import { encodeCancel, encodeData, encodeOpen } from "../../src/protocol/stream-frames.ts";
import type { WireLimits } from "../../src/protocol/wire-limits.ts";
import { call, clientStream } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { decodeFast } from "../protocol/fast-decoder.ts";
import { Client } from "../support/client.ts";
import { serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

const NOTHING = Buffer.alloc(0);
const PREFACE = Buffer.from("SWP1\r\n\x1a\n", "latin1");

/** Frames as an attacker writes them. */
function frames(write: (writer: FrameWriter) => void): Buffer {
  const writer = new FrameWriter();
  write(writer);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}

const HELLO = frames((writer) => encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs: [] }));

function openFrame(
  writer: FrameWriter,
  stream: number,
  flags: number,
  name: string,
  body = NOTHING,
  kind: number = KIND.CALL,
) {
  encodeOpen(writer, stream, flags, { kind, codec: CODEC.RAW, name }, body, 0, body.length);
}

async function start(t: TestContext, limits: Partial<WireLimits> = {}) {
  let running = 0;
  let most = 0;
  const table = service(
    {
      echo: call(bytes, bytes, (input) => input),
      later: call(bytes, bytes, async (input) => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return input;
      }),
      good: call(anything, anything, (input) => input),
      slow: call(bytes, bytes, async (input, { signal }) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        running--;
        return input;
      }),
      swallow: clientStream(bytes, bytes, async (messages) => {
        for await (const _message of messages);
        return NOTHING;
      }),
      stuck: clientStream(bytes, bytes, async (_messages, { signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        return NOTHING;
      }),
    },
    { limits, onError: () => undefined },
  );
  const server = await serveFor(t, table);
  const good = await SessionClient.connect(t, server);
  const attacker = await Client.connect(t, server.address);
  attacker.socket.on("error", () => undefined);
  attacker.write(Buffer.concat([PREFACE, HELLO]));
  /** The good client goes on meanwhile, and is answered. */
  const goodCalls = async (count = 50) => {
    for (let n = 0; n < count; n++) assert.equal(await good.call("good", n), n);
    assert.equal(good.end, undefined);
  };
  /** The code of GOAWAY with which the attacker was sent away. */
  const sentAway = async () => {
    await until(() => attacker.ended || attacker.closed, "the attacker's end");
    const found = decodeFast(attacker.received(), 16_777_215).frames;
    return found.find(({ frame }) => frame === "GOAWAY")?.code;
  };
  return { server, good, attacker, goodCalls, sentAway, most: () => most, running: () => running };
}

describe("floods", () => {
  const floods: Record<string, (writer: FrameWriter) => void> = {
    PING: (writer) => encodePing(writer, 1, 2, false),
    CREDIT: (writer) => encodeCredit(writer, 0, 1),
    "ignorable frames": (writer) => void writer.frame(0, 200, 0, 0),
    "empty DATA": (writer) => encodeData(writer, 1, 0, NOTHING, 0, 0),
    CANCEL: (writer) => encodeCancel(writer, 1, 1),
  };
  for (const [name, one] of Object.entries(floods)) {
    test(`${name}: CALM`, async (t) => {
      const { attacker, goodCalls, sentAway } = await start(t);
      attacker.write(
        frames((writer) => {
          openFrame(writer, 1, 0, "stuck", NOTHING, KIND.CLIENT_STREAM);
          for (let n = 0; n < 1000; n++) one(writer);
        }),
      );
      await goodCalls();
      assert.equal(await sentAway(), GOAWAY.CALM);
    });
  }

  test("open and cancel: no more handlers than streams, then CALM", async (t) => {
    const { attacker, goodCalls, sentAway, most, running } = await start(t, { streams: 20 });
    attacker.write(
      frames((writer) => {
        for (let n = 0; n < 1000; n++) {
          const stream = 2 * (n % 20) + 1;
          openFrame(writer, stream, FLAG.END, "slow");
          encodeCancel(writer, stream, 1);
        }
      }),
    );
    await goodCalls();
    // Twenty handlers cannot settle within one chunk: an id in use is opened again, or the cancels are too many.
    assert.ok([GOAWAY.CALM, GOAWAY.PROTOCOL].includes((await sentAway()) as 73 | 65));
    assert.ok(most() <= 20, `${most()} handlers at once`);
    await until(() => running() === 0, "all handlers' ends");
  });

  test("too many streams are refused", async (t) => {
    const { attacker, goodCalls, most } = await start(t, { streams: 10 });
    attacker.write(
      frames((writer) => {
        for (let n = 0; n < 500; n++) openFrame(writer, 2 * n + 1, FLAG.END, "slow");
      }),
    );
    await goodCalls();
    await until(() => attacker.receivedLength > 490 * 20, "the refusals");
    const found = decodeFast(attacker.received(), 65_536).frames;
    assert.equal(found.filter(({ code }) => code === 32).length, 490);
    assert.equal(most(), 10);
  });
});

describe("names", () => {
  test("a route's that is no text: PROTOCOL", async (t) => {
    const { attacker, goodCalls, sentAway } = await start(t);
    const open = frames((writer) => openFrame(writer, 1, FLAG.END, "no-route"));
    open[open.length - 1] = 0xff;
    attacker.write(open);
    await goodCalls();
    assert.equal(await sentAway(), GOAWAY.PROTOCOL);
  });
});

describe("memory", () => {
  test("half messages: bounded, the newest fail", async (t) => {
    const { attacker, goodCalls, server } = await start(t, { messageBytes: 100_000 });
    const half = Buffer.alloc(60_000);
    for (let n = 0; n < 200; n++) {
      attacker.write(frames((writer) => openFrame(writer, 2 * n + 1, FLAG.MORE, "echo", half)));
    }
    await goodCalls();
    const failed = () =>
      decodeFast(attacker.received(), 65_536).frames.filter(({ code }) => code === 8).length;
    // 400,000 bytes hold six of them.
    await until(
      () => failed() === 194,
      () => `${failed()} failures`,
    );
    assert.ok(server.statistics().inputBytes < 200_000, `${server.statistics().inputBytes}`);
    assert.equal(attacker.ended, false);
  });

  test("a length that is announced is refused at its header", async (t) => {
    const { attacker, goodCalls, sentAway } = await start(t);
    attacker.write(Buffer.from([0xff, 0xff, 0xff, FRAME.DATA, 1, 0, 0, 0]));
    assert.equal(await sentAway(), GOAWAY.FRAME_SIZE);
    await goodCalls(5);
  });

  test("one that asks and never reads: its answers wait up to a bound", async (t) => {
    const { attacker, goodCalls, server } = await start(t);
    attacker.socket.pause();
    const body = Buffer.alloc(50_000);
    for (let n = 0; n < 400; n++) {
      attacker.write(
        frames((writer) => openFrame(writer, 2 * (n % 200) + 1, FLAG.END, "echo", body)),
      );
    }
    await goodCalls(200);
    assert.ok(server.statistics().outputBytes < 8_000_000, `${server.statistics().outputBytes}`);
  });

  test("unread messages of a stream: credit, then what may be held", async (t) => {
    const { attacker, goodCalls } = await start(t, { streamCredit: 4 });
    attacker.write(
      frames((writer) => {
        openFrame(writer, 1, 0, "stuck", NOTHING, KIND.CLIENT_STREAM);
        for (let n = 0; n < 5; n++) encodeData(writer, 1, 0, Buffer.alloc(1000), 0, 1000);
      }),
    );
    await goodCalls();
    await until(
      () => decodeFast(attacker.received(), 65_536).frames.some(({ code }) => code === 36),
      "FLOW",
    );
  });
});

describe("stalling", () => {
  test("silence, and one byte at a time: gone by the handshake's deadline", async (t) => {
    const { server, goodCalls } = await start(t, { handshakeMs: 100 });
    const silent = await Client.connect(t, server.address);
    const slow = await Client.connect(t, server.address);
    let at = 0;
    const dribble = setInterval(() => slow.write(PREFACE.subarray(at, ++at)), 20);
    t.after(() => clearInterval(dribble));
    await until(() => silent.ended && slow.ended, "both ends");
    await goodCalls(5);
  });

  test("a half-open peer is found by silence", async (t) => {
    const { attacker, goodCalls, sentAway } = await start(t, { keepaliveMs: 1000 });
    // It answers no PING; the good one does.
    assert.equal(await sentAway(), GOAWAY.KEEPALIVE);
    await goodCalls(5);
    assert.ok(attacker.ended);
  });

  test("a client that ends its side is answered first", async (t) => {
    const { server } = await start(t);
    const client = await Client.connect(t, server.address);
    const body = Buffer.from("last words");
    const calls = frames((writer) => {
      openFrame(writer, 1, FLAG.END, "later", body);
      openFrame(writer, 3, FLAG.END, "echo", body);
      openFrame(writer, 5, 0, "swallow", NOTHING, KIND.CLIENT_STREAM);
    });
    client.write(Buffer.concat([PREFACE, HELLO, calls]));
    client.socket.end();
    const found = decodeFast(await client.end(), 65_536).frames;
    const answers = found.filter(({ frame }) => frame === "DATA").map(({ stream }) => stream);
    assert.deepEqual(answers.sort(), [1, 3]);
    assert.ok(found.some(({ frame, stream }) => frame === "ERROR" && stream === 5));
  });

  test("a person with nc reads a line", async (t) => {
    const { server } = await start(t);
    const person = await Client.connect(t, server.address);
    person.write("hello\n");
    assert.match(String(await person.end()), /^-ERR SWP\/1 \(binary\) here; try: .*\r\n$/);
  });
});
