// Large messages out of memory that may be kept: views without a copy, said to whoever owns the memory.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Input } from "../../src/codec/codec.ts";
import { fixedSize } from "../../src/codec/fixed-size.ts";
import { raw } from "../../src/codec/raw.ts";
import { freshSlab, SLAB_BYTES } from "../../src/slabs.ts";

function inputOf(bytes: Buffer, keepable: boolean): Input {
  return { bytes, offset: 0, end: bytes.length, borrow: false, keepable, kept: false };
}

test("a large message is a view on memory that may be kept, and says so", () => {
  const input = inputOf(Buffer.alloc(16_384, 7), true);
  const message = raw().decoder().next(input);
  assert.equal(message?.buffer, input.bytes.buffer);
  assert.equal(input.kept, true);
});

test("out of other memory it is a copy, and says that it would have been kept", () => {
  const input = inputOf(Buffer.alloc(16_384, 7), false);
  const message = raw().decoder().next(input);
  assert.notEqual(message?.buffer, input.bytes.buffer);
  assert.deepEqual(message, input.bytes);
  assert.equal(input.kept, true);
});

test("a small message never keeps the memory around it", () => {
  const input = inputOf(Buffer.alloc(16_384, 7), true);
  const decoder = fixedSize(1024).decoder();
  for (let message = decoder.next(input); message; message = decoder.next(input)) {
    assert.notEqual(message.buffer, input.bytes.buffer);
  }
  assert.equal(input.kept, false);
});

test("who borrows keeps nothing", () => {
  const input = { ...inputOf(Buffer.alloc(16_384, 7), true), borrow: true };
  raw().decoder().next(input);
  assert.equal(input.kept, false);
});

test("slabs are collected in time, each is its own, and none can be transferred", () => {
  const before = process.memoryUsage().arrayBuffers;
  const kept = freshSlab();
  kept.fill(1);
  for (let n = 0; n < 4000; n++) freshSlab().fill(2);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 400 * SLAB_BYTES, `${grown} bytes of 4000 slabs are still there`);
  assert.ok(kept.every((byte) => byte === 1));
  const buffer = kept.buffer as ArrayBuffer;
  assert.throws(() => structuredClone(buffer, { transfer: [buffer] }), /transfer/i);
});
