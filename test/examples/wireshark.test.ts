// The Wireshark dissector over captures made of the protocol's own vectors: what tshark reads is what the vectors say.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type FrameGroup, readVectors } from "../protocol/vectors.ts";
import { Capture } from "../support/capture.ts";

const DISSECTOR = fileURLToPath(new URL("../../examples/wireshark/swp.lua", import.meta.url));
const PREFACE = Buffer.from("535750310d0a1a0a", "hex");
const PORT = 7000;
const FIRST_CLIENT = 50_000;

const directory = mkdtempSync(join(tmpdir(), "sluice-capture-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));

const found = spawnSync("tshark", ["--version"], { encoding: "utf8" });
const skip = found.status === 0 ? false : "tshark is not installed here";

/** Fields of every packet, as lists: one row a packet. */
function dissect(capture: Capture, fields: readonly string[]): string[][][] {
  const file = join(directory, "capture.pcap");
  writeFileSync(file, capture.bytes());
  const wanted = ["-E", "separator=|", "-E", "aggregator=;", ...fields.flatMap((f) => ["-e", f])];
  const how = ["-X", `lua_script:${DISSECTOR}`, "-o", "tcp.try_heuristic_first:TRUE"];
  const args = [...how, "-r", file, "-T", "fields", ...wanted];
  const output = execFileSync("tshark", args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const rows = output.trimEnd().split("\n");
  return rows.map((row) => row.split("|").map((cell) => (cell === "" ? [] : cell.split(";"))));
}

// What the vectors call a member, and what the dissector does.
const NUMBERS = [
  ["stream"],
  ["flags"],
  ["version_min"],
  ["version_max"],
  ["version"],
  ["method"],
  ["step"],
  ["last_open"],
  ["drain_ms"],
  ["reconnect_ms"],
  ["add"],
  ["seq"],
  ["kind"],
  ["codec"],
  ["route_id"],
  ["deadline_ms"],
  ["credit"],
  ["dropped"],
  ["eflags"],
  ["retry_after_ms"],
] as const;
const TEXTS = ["name", "topic", "message", "body", "data", "detail"] as const;
const FIELDS = [
  ...NUMBERS.map(([name]) => `swp.${name}`),
  ...TEXTS.map((name) => `swp.${name}`),
  "swp.code",
  "swp.goaway",
  "swp.tlv.key",
  "swp.tlv.value",
  "_ws.malformed",
  "swp.malformed",
];

/** The same order as FIELDS, out of a vector's frame. */
function expected(frame: Readonly<Record<string, unknown>>): string[][] {
  const text = (value: unknown) => (value === undefined || value === "" ? [] : [String(value)]);
  const tlvs = (frame.tlvs ?? frame.meta ?? []) as { key: number; value: string }[];
  const goaway = frame.frame === "GOAWAY";
  return [
    ...NUMBERS.map(([name]) => text(frame[name])),
    ...TEXTS.map((name) => text(frame[name])),
    text(goaway ? undefined : frame.code),
    text(goaway ? frame.code : undefined),
    tlvs.map(({ key }) => String(key)),
    tlvs.flatMap(({ value }) => (value === "" ? [] : [value])),
    [],
    [],
  ];
}

/** Numbers are compared as numbers: tshark shows some in hexadecimal. */
function plain(row: readonly (readonly string[])[]): string[][] {
  return row.map((cell, n) =>
    n < NUMBERS.length ? cell.map((one) => String(Number(one))) : [...cell],
  );
}

test("tshark reads every frame of the golden vectors as they say", { skip }, () => {
  const all = readVectors<FrameGroup>("golden").vectors.filter(
    ({ hex }) => hex.length / 2 < 60_000,
  );
  const capture = new Capture();
  for (const [n, { hex }] of all.entries()) {
    capture.segment(FIRST_CLIENT + n, PORT, PREFACE);
    capture.segment(FIRST_CLIENT + n, PORT, Buffer.from(hex, "hex"));
  }
  const rows = dissect(capture, ["swp.preface", ...FIELDS]);
  assert.equal(rows.length, 2 * all.length);
  for (const [n, vector] of all.entries()) {
    const [preface, frame] = [rows[2 * n] ?? [], rows[2 * n + 1] ?? []];
    assert.deepEqual(preface[0], [PREFACE.toString("hex")], vector.name);
    assert.equal(vector.frames.length, 1, vector.name);
    assert.deepEqual(plain(frame.slice(1)), expected(vector.frames[0] ?? {}), vector.name);
  }
});

test("it finds the frames wherever segments cut them", { skip }, () => {
  const all = readVectors<FrameGroup>("golden").vectors.filter(({ hex }) => hex.length / 2 < 1000);
  const bytes = Buffer.concat([PREFACE, ...all.map(({ hex }) => Buffer.from(hex, "hex"))]);
  const capture = new Capture();
  // The first segment holds the preface, which is what a connection is recognised by.
  for (let at = 0, size = 11; at < bytes.length; at += size, size = ((size * 7) % 13) + 1) {
    capture.segment(FIRST_CLIENT, PORT, bytes.subarray(at, at + size));
  }
  const streams = dissect(capture, ["swp.stream", "swp.malformed"]);
  const frames = all.flatMap((vector) => vector.frames);
  assert.deepEqual(
    streams.flatMap(([stream = []]) => stream.map(Number)),
    frames.map((frame) => frame.stream),
  );
});

test("it marks what is malformed, and says no more than is there", { skip }, () => {
  const capture = new Capture();
  capture.segment(FIRST_CLIENT, PORT, PREFACE);
  // An OPEN whose name is longer than its frame, a TLV that is cut off, a PING of 7 bytes.
  const hexes = [
    "100000100100000100000000000000000000000004000000",
    "070000010000000001010000010004",
    "0700000400000000" + "01020304050607",
  ];
  for (const hex of hexes) capture.segment(FIRST_CLIENT, PORT, Buffer.from(hex, "hex"));
  const rows = dissect(capture, ["swp.malformed"]);
  assert.deepEqual(
    rows.map(([marks = []]) => marks.length),
    [0, 1, 1, 1],
  );
});
