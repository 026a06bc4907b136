// Input that waits for its handler: whatever is appended and taken in whatever order, what is left is what one Buffer of
// everything would show, and the work stays linear in the bytes.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { UnreadInput } from "../../src/reactor/unread-input.ts";

const step = fc.oneof(
  fc.record({ append: fc.uint8Array({ maxLength: 700 }), before: fc.nat(9), behind: fc.nat(9) }),
  fc.record({ take: fc.double({ min: 0, max: 1, noNaN: true }) }),
);

test("what is left is what was appended behind what was taken", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, borrow) => {
      const unread = new UnreadInput(borrow);
      assert.equal(unread.borrow, borrow);
      let left = Buffer.alloc(0);
      for (const one of steps) {
        if ("append" in one) {
          const { append, before, behind } = one;
          // Only a part of the source is meant, and the source is overwritten afterwards, as a receive buffer is.
          const source = Buffer.concat([Buffer.alloc(before, 1), append, Buffer.alloc(behind, 2)]);
          unread.append(source, before, before + append.length);
          source.fill(0xdb);
          left = Buffer.concat([left, append]);
        } else {
          const taken = Math.floor(one.take * left.length);
          unread.offset += taken;
          left = left.subarray(taken);
        }
        assert.equal(unread.length, left.length);
        assert.deepEqual(unread.bytes.subarray(unread.offset, unread.end), left);
      }
    }),
  );
});

/** Bytes that the input copies inside itself while `total` bytes go through it with `kept` always waiting. */
function movedBytes(total: number, chunk: number, kept: number): number {
  const unread = new UnreadInput(false);
  const source = Buffer.alloc(chunk, 7);
  let moved = 0;
  for (let done = 0; done < total; done += chunk) {
    const waiting = unread.length;
    const { bytes, offset } = unread;
    unread.append(source, 0, chunk);
    if (unread.bytes !== bytes || unread.offset !== offset) moved += waiting;
    if (unread.length > kept) unread.offset += chunk;
  }
  return moved;
}

test("bytes are moved a bounded number of times each, however they come", () => {
  for (const [chunk, kept] of [
    [1, 0],
    [1, 4090],
    [1, 4096],
    [1, Number.POSITIVE_INFINITY],
    [100, 5000],
    [1000, Number.POSITIVE_INFINITY],
  ] as const) {
    const total = 200_000;
    const moved = movedBytes(total, chunk, kept);
    assert.ok(moved <= 3 * total, `${moved} bytes moved for ${total} in chunks of ${chunk}`);
  }
});

test("memory follows what waits, not what has passed", () => {
  const unread = new UnreadInput(false);
  const source = Buffer.alloc(1000);
  for (let n = 0; n < 1000; n++) {
    unread.append(source, 0, 1000);
    unread.offset += 1000;
  }
  assert.ok(unread.bytes.length <= 4096, `${unread.bytes.length}`);
});
