// Copies of messages: the very bytes whatever their place, nobody else's bytes, and Buffers like any other.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { copyMessage, LEAST_LARGE } from "../../src/codec/message-memory.ts";

const INPUT = Buffer.from(Array.from({ length: 8192 }, (_, at) => 1 + (at % 251)));

test("a copy has the bytes of its place: every small size at every alignment, and the borders", () => {
  const sizes = [...Array(300).keys(), 1023, 1024, LEAST_LARGE - 1, LEAST_LARGE, LEAST_LARGE + 1];
  for (const size of sizes) {
    for (let offset = 0; offset < 9; offset++) {
      const copy = copyMessage(INPUT, offset, size);
      assert.deepEqual(copy, INPUT.subarray(offset, offset + size), `${size} at ${offset}`);
    }
  }
});

test("an input that begins anywhere in its memory, and ends there", () => {
  for (const start of [0, 1, 2, 3, 4, 63, 64]) {
    const input = INPUT.subarray(start, start + 70);
    for (const size of [1, 4, 63, 64, 66, 70]) {
      const offset = input.length - size;
      assert.deepEqual(
        copyMessage(input, offset, size),
        input.subarray(offset),
        `${start} ${size}`,
      );
    }
  }
});

test("copies stay what they are when thousands follow, and when their input is overwritten", () => {
  const input = Buffer.alloc(128);
  const copies: Buffer[] = [];
  for (let n = 0; n < 5000; n++) {
    input.fill(n & 255);
    copies.push(copyMessage(input, 4 * (n % 8), 1 + (n % 96)));
  }
  input.fill(0);
  copies.forEach((copy, n) => {
    assert.equal(copy.length, 1 + (n % 96));
    assert.ok(copy.equals(Buffer.alloc(copy.length, n & 255)), `copy ${n}`);
  });
});

test("what lies behind a message in the input is not to be found behind its copy", () => {
  const input = Buffer.from(`${"m".repeat(61)}${"secret".repeat(10)}`);
  const copy = copyMessage(input, 0, 61);
  assert.ok(!Buffer.from(copy.buffer, copy.byteOffset, 64).includes("s"));
});

test("a copy is a Buffer like any other, and cannot be transferred away from its neighbours", () => {
  const copy = copyMessage(INPUT, 0, 64);
  assert.equal(Object.getPrototypeOf(copy), Buffer.prototype);
  assert.deepStrictEqual(copy, Buffer.from(INPUT.subarray(0, 64)));
  assert.throws(() => structuredClone(copy, { transfer: [copy.buffer] }), {
    name: "DataCloneError",
  });
  assert.ok(structuredClone(copy).every((byte, at) => byte === INPUT[at]));
});
