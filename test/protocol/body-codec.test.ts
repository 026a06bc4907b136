// Bodies in JSON: what is nested too deep, or hides a key that is not allowed, in short ones and in long ones.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, type TestContext, test } from "node:test";
import { BodyError, jsonCodec } from "../../src/protocol/body-codec.ts";

/** Levels below the outermost one. */
const DEEPEST = 64;
/** Makes a body one of the long ones, which are looked at before they are parsed. */
const PADDING = " ".repeat(5000);

function decode(text: string): unknown {
  // Not alone in its memory, as bodies lie in what was received.
  const all = Buffer.from(`[[[${text}]]]`);
  return jsonCodec.decode(all, 3, all.length - 3);
}

function nested(levels: number, inner: string): string {
  return `${'{"a":['.repeat(levels / 2)}${inner}${"]}".repeat(levels / 2)}`;
}

/** How often the text was parsed. */
function parses(t: TestContext): () => number {
  const parse = t.mock.method(JSON, "parse");
  return () => parse.mock.callCount();
}

for (const [length, padding] of [
  ["short", ""],
  ["long", PADDING],
] as const) {
  describe(`a ${length} body in JSON`, () => {
    test("64 levels below the outermost are the most", () => {
      assert.doesNotThrow(() => decode(`${padding}[${nested(DEEPEST, "1")}]`));
      const deeper = () => decode(`${padding}[[${nested(DEEPEST, "1")}]]`);
      assert.throws(deeper, new BodyError("nested deeper than 64 levels"));
    });

    test("brackets in strings are no levels, also behind escapes", () => {
      const text = JSON.stringify([`${"[".repeat(200)}"\\`, "{".repeat(200), '\\"[', "\\"]);
      assert.deepEqual(decode(`${padding}${text}`), JSON.parse(text));
    });

    test("many levels one after the other are few", () => {
      assert.doesNotThrow(() => decode(`${padding}[${"[{}],".repeat(500)}1]`));
    });

    test("a key that is not allowed is found anywhere", () => {
      for (const key of ["__proto__", "constructor", "prototype", "\\u005f_proto__"]) {
        for (const many of ["", "[],".repeat(100)]) {
          const text = `${padding}[${many}{"a":{"${key}":1}}]`;
          assert.throws(() => decode(text), new BodyError("a key that is not allowed"), key);
        }
      }
    });

    test("these words may stand where they are no keys", () => {
      const text = `[${"[],".repeat(100)}"constructor","prototype","__proto__"]`;
      assert.deepEqual(decode(`${padding}${text}`), JSON.parse(text));
    });
  });
}

test("a long body that is nothing but brackets is not parsed", (t) => {
  const count = parses(t);
  assert.throws(() => decode("[".repeat(1_048_576)), new BodyError("nested deeper than 64 levels"));
  assert.throws(() => decode(`${PADDING}${'{"a":'.repeat(100)}`), BodyError);
  assert.equal(count(), 0);
});

test("a string that does not end is no JSON", () => {
  assert.throws(
    () => decode(`${PADDING}${"[],".repeat(100)}"${"\\\\".repeat(3)}\\`),
    new BodyError("not JSON"),
  );
});
