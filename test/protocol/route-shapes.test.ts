// What routes are, on the wire and back; and what of it is believed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { HELLO_KEY, KIND } from "../../src/protocol/codes.ts";
import { readShapes, shapesTlv } from "../../src/protocol/route-shapes.ts";
import { anything, bytes, nothing, text } from "../../src/protocol/schema.ts";

const ROUTES = [
  { kind: KIND.CALL, input: z.string(), output: nothing },
  { kind: KIND.SERVER_STREAM, input: text, output: bytes },
  { kind: KIND.NOTIFY, input: anything, output: nothing },
];

test("three bytes a route, as docs/protocol.md has them", () => {
  const { key, value } = shapesTlv(ROUTES);
  assert.equal(key, HELLO_KEY.ROUTE_SHAPES);
  assert.deepEqual([...value], [0, 0, 1, 1, 3, 2, 4, 4, 1]);
  assert.deepEqual(readShapes(value, ["a", "b", "c"]), [
    { name: "a", kind: "call", input: "value", output: "nothing" },
    { name: "b", kind: "serverStream", input: "text", output: "bytes" },
    { name: "c", kind: "notify", input: "anything", output: "nothing" },
  ]);
});

test("a list of other routes, none, and numbers of a later version say nothing", () => {
  const untold = { name: "a", kind: undefined, input: undefined, output: undefined };
  assert.deepEqual(readShapes(new Uint8Array(), ["a"]), [untold]);
  assert.deepEqual(readShapes(shapesTlv(ROUTES).value, ["a"]), [untold]);
  assert.deepEqual(readShapes(Uint8Array.of(9, 1, 200), ["a"]), [{ ...untold, input: "nothing" }]);
  assert.deepEqual(readShapes(new Uint8Array(), []), []);
});
