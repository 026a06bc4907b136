// sluice decode and sluice tap, over the protocol's own vectors and a peer that says what it is told to.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { bytesText, frameLine, safeText } from "../../src/cli/frame-line.ts";
import { type FrameGroup, readVectors } from "../protocol/vectors.ts";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { until } from "../support/until.ts";

const PREFACE = Buffer.from("535750310d0a1a0a", "hex");
const PING = Buffer.from("08000004000000000102030405060708", "hex");
const LONE_TLV = "070000010000000001010000010004";

async function decode(t: TestContext, input: Buffer | string, ...args: string[]) {
  const child = Child.cli(t, "decode", ...args);
  child.process.stdin?.end(input);
  const { code } = await child.exit();
  return { code, child, lines: child.stdoutLines };
}

test("decode prints every golden vector with the specification's names", async (t) => {
  const { vectors } = readVectors<FrameGroup>("golden");
  const hex = vectors.map((vector) => `${vector.hex}\n`).join("");
  const { code, lines } = await decode(t, hex, "--json");
  const frames = lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    frames,
    vectors.flatMap((vector) => vector.frames),
  );
  assert.equal(code, 0);
});

test("decode takes raw bytes, with a preface, and prints lines for people", async (t) => {
  const open = "1b0000100100000100010000fa00000000000000040000006563686f7b2261223a317d";
  const raw = Buffer.concat([PREFACE, PING, Buffer.from(open, "hex")]);
  const { code, lines } = await decode(t, raw, "-");
  assert.equal(code, 0);
  assert.deepEqual(lines, [
    "preface",
    "PING 0 data=0102030405060708",
    'OPEN 1 END call codec=JSON deadline_ms=250 echo body={"a":1}',
  ]);
});

test("decode says what is malformed or cut off, and exits with 1", async (t) => {
  const bad = await decode(t, LONE_TLV + PING.toString("hex"));
  assert.equal(bad.code, 1);
  assert.match(bad.lines[0] ?? "", /^malformed: PROTOCOL in HELLO on stream 0: a TLV is cut off$/);
  assert.match(bad.lines[1] ?? "", /^PING/);
  const cut = await decode(t, PING.subarray(0, 12));
  assert.equal(cut.code, 1);
  assert.match(cut.child.stderr, /cut off: 12 bytes of it are there/);
  const odd = await decode(t, "080");
  assert.equal(odd.code, 1);
  assert.match(odd.child.stderr, /^sluice: an odd number of hexadecimal digits\n$/);
  const missing = Child.cli(t, "decode", "no-such-file");
  assert.equal((await missing.exit()).code, 1);
  assert.match(missing.stderr, /^sluice: there is no file no-such-file\n$/);
  const folder = Child.cli(t, "decode", ".");
  assert.equal((await folder.exit()).code, 1);
  assert.equal(folder.stderr, "sluice: . is a directory: decode takes a file\n");
});

test("what a peer sent cannot write to the terminal", () => {
  const sequence = Buffer.from("\x1b]0;owned\x07").toString("hex");
  assert.equal(bytesText(sequence), sequence);
  assert.equal(safeText("a\x1b[2J\u202e"), "a\\u{1b}[2J\\u{202e}");
  const frame = { frame: "ERROR", stream: 1, flags: 1, code: 13, message: "\x1b[2J" };
  assert.doesNotMatch(frameLine(frame, false), /\p{Cc}/u);
  const named = { frame: "MSG", stream: 1, flags: 0, topic: "a\x1b[2J\u202e", body: "" };
  assert.doesNotMatch(frameLine(named, false), /\p{Cc}|\p{Cf}/u);
});

interface Tapped {
  readonly child: Child;
  readonly client: Client;
  readonly peer: Client;
  events(): Record<string, unknown>[];
}

/** A client and a peer with a tap between them. */
async function tapped(t: TestContext, ...args: string[]): Promise<Tapped> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const accepted = once(server, "connection");
  const { port } = server.address() as AddressInfo;
  const child = Child.cli(t, "tap", "0", String(port), ...args);
  const [, at] = await child.says(/tapping 127\.0\.0\.1:(\d+)/);
  const client = await Client.connect(t, { family: "ipv4", host: "127.0.0.1", port: Number(at) });
  const [socket] = (await accepted) as [Socket];
  const peer = new Client(socket);
  t.after(() => peer.destroy());
  const events = () => child.stdoutLines.map((line) => JSON.parse(line));
  return { child, client, peer, events };
}

test("tap passes both directions on, and prints their frames", async (t) => {
  const { client, peer, events } = await tapped(t, "--json");
  client.write(PREFACE.subarray(0, 5));
  client.write(PREFACE.subarray(5));
  client.write(PING);
  assert.deepEqual(await peer.bytes(24), Buffer.concat([PREFACE, PING]));
  peer.write(PING.subarray(0, 9));
  await client.bytes(9);
  peer.write(PING.subarray(9));
  assert.deepEqual(await client.bytes(16), PING);
  await until(() => events().filter(({ frame }) => frame === "PING").length === 2, "both frames");
  const seen = events()
    .filter((event) => event.from !== undefined)
    .map(({ from, frame, preface, connection }) => ({ from, frame, preface, connection }));
  assert.deepEqual(seen, [
    { from: "client", frame: undefined, preface: true, connection: 1 },
    { from: "client", frame: "PING", preface: undefined, connection: 1 },
    { from: "server", frame: "PING", preface: undefined, connection: 1 },
  ]);
});

test("tap passes on what is malformed, foreign, or very much, and every kind of end", async (t) => {
  const { client, peer, child } = await tapped(t);
  const text = "-ERR SWP/1 (binary) here\n";
  peer.write(text);
  await client.bytes(text.length);
  const bad = Buffer.from(LONE_TLV, "hex");
  client.write(bad);
  await peer.bytes(bad.length);
  await child.says(/→ malformed: PROTOCOL in HELLO/);
  await child.says(/← malformed: no SWP\/1/);
  const much = Buffer.alloc(3_000_000, 0xff);
  client.write(much);
  await peer.bytes(bad.length + much.length);
  client.socket.end();
  await peer.end();
  peer.write("last words");
  await client.bytes(text.length + 10);
  peer.reset();
  await until(() => client.closed, "the reset on the other side");
  await child.says(/server gone: error/);
});

test("tap resets a client whose target is not there, and says why", async (t) => {
  const child = Child.cli(t, "tap", "0", "unix:/no/such/socket");
  const [, at] = await child.says(/tapping 127\.0\.0\.1:(\d+)/);
  const client = Client.dial(t, { family: "ipv4", host: "127.0.0.1", port: Number(at) });
  await child.says(/connect to unix:\/no\/such\/socket: no such file or directory \(ENOENT\)/);
  await until(() => client.closed, "the end");
  child.kill("SIGTERM");
  assert.equal((await child.exit()).code, 0);
});

test("tap and decode say how they are used", async (t) => {
  const mistakes: [string[], RegExp][] = [
    [["tap", "7000"], /tap takes two endpoints: LISTEN TARGET/],
    [["tap", "host", "7000"], /"host" is no endpoint: HOST:PORT, \[::1\]:PORT, PORT or unix:/],
    [["tap", "1:99999", "1"], /"1:99999" is no endpoint/],
    [["decode", "a", "b"], /decode takes one FILE/],
  ];
  for (const [args, says] of mistakes) {
    const child = Child.cli(t, ...args);
    assert.equal((await child.exit()).code, 2);
    assert.match(child.stderr, says);
    assert.equal(child.stderrLines.length, 1);
  }
});
