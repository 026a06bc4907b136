// The specification says what the code does: its tables of numbers, and its bytes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { CODE, FRAME, GOAWAY, HELLO_KEY, PREFACE } from "../../src/protocol/codes.ts";
import { FIXED, WIRE_LIMITS } from "../../src/protocol/wire-limits.ts";
import { decodeFast } from "./fast-decoder.ts";

const PAGE = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");

function section(title: string): string {
  const start = PAGE.indexOf(title);
  assert.ok(start >= 0, title);
  const end = PAGE.indexOf("\n## ", start + 1);
  return PAGE.slice(start, end < 0 ? undefined : end);
}

/** Pairs of number and name in table cells. */
function cells(text: string): Map<string, number> {
  return new Map(
    [...text.matchAll(/\| (\d+) \| ([A-Z_]+)/g)].map((match) => [match[2] ?? "", Number(match[1])]),
  );
}

function number(text: string | undefined): number {
  return Number(text?.replaceAll(",", ""));
}

describe("docs/protocol.md", () => {
  test("has every frame type", () => {
    assert.deepEqual(
      new Map([...cells(section("## 2. Bytes"))].sort()),
      new Map(Object.entries(FRAME).sort()),
    );
  });

  test("has every error code", () => {
    assert.deepEqual(
      new Map([...cells(section("## 8. Errors"))].sort()),
      new Map(Object.entries(CODE).sort()),
    );
  });

  test("has every code of GOAWAY", () => {
    const listed = [...section("## 8. Errors").matchAll(/\b(\d\d) ([A-Z_]+)[,.]/g)];
    const found = listed.map((match) => [match[2], Number(match[1])]);
    for (const [name, code] of Object.entries(GOAWAY)) {
      assert.ok(
        found.some(([one, other]) => one === name && other === code),
        name,
      );
    }
  });

  test("has every key of HELLO and WELCOME", () => {
    const rows = [
      ...section("## 3. Handshake").matchAll(/^\| (\d+) \| (\w+) \|.*\| (both|WELCOME) \|/gm),
    ];
    assert.deepEqual(
      rows.map((match) => Number(match[1])),
      Object.values(HELLO_KEY),
    );
  });

  test("has the limits", () => {
    const rows = [
      ...section("## 11. Limits").matchAll(/^\| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$/gm),
    ];
    const said = rows.map(([, , ...numbers]) => numbers.map(number));
    const names = [
      "frameBytes",
      "messageBytes",
      "streams",
      "subscriptions",
      "windowBytes",
      "streamCredit",
      "keepaliveMs",
    ] as const;
    const real = names.map((name) => {
      const { default: usual, minimum, maximum } = WIRE_LIMITS[name];
      return [usual, minimum, maximum];
    });
    assert.deepEqual(said, real);
    const page = section("## 11. Limits");
    assert.match(
      page,
      new RegExp(`payload before READY \\| ${FIXED.handshakeFrameBytes.toLocaleString("en")}`),
    );
    assert.match(page, new RegExp(`metadata \\| ${FIXED.metaBytes.toLocaleString("en")}`));
    assert.match(page, new RegExp(`name, topic \\| ${FIXED.nameBytes} `));
    assert.match(page, new RegExp(`error text \\| ${FIXED.errorTextBytes.toLocaleString("en")}`));
  });

  test("its first example is what it says", () => {
    const lines = section("## 1. In one minute").split("\n");
    const hex = lines
      .map(
        (line) => /^ *((?:[0-9a-f]{2} {1,2})+) *(?:preface|HELLO|OPEN|call|"echo")/.exec(line)?.[1],
      )
      .filter((found) => found !== undefined)
      .join("");
    const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
    assert.deepEqual([...bytes.subarray(0, 8)], PREFACE);
    const { frames, rest, error } = decodeFast(bytes.subarray(8), 65_536);
    assert.deepEqual([rest, error], [0, undefined]);
    assert.deepEqual(
      frames.map(({ frame }) => frame),
      ["HELLO", "OPEN"],
    );
    assert.equal(frames[1]?.name, "echo");
    assert.equal(frames[1]?.body, Buffer.from('{"a":1}').toString("hex"));
    assert.equal(frames[1]?.deadline_ms, 250);
  });
});
