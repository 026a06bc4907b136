// fixedSize() against the obvious: the stream cut into pieces of that size.

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { fixedSize } from "../../src/codec/fixed-size.ts";
import {
  bytes,
  checkAgainst,
  checkEverySplit,
  checkRefused,
  checkRoundTrip,
  Feed,
  type Outcome,
} from "./streams.ts";

function oracle(size: number) {
  return (stream: Uint8Array): Outcome => {
    const text = Buffer.from(stream).toString("latin1");
    const count = Math.floor(text.length / size);
    const messages = Array.from({ length: count }, (_, index) =>
      text.slice(index * size, (index + 1) * size),
    );
    return { messages, error: undefined, pending: text.length - count * size };
  };
}

test("messages have the size, at every split", () => {
  const stream = bytes("abcdefghijklmnopqrstuvwxyz");
  for (const size of [1, 2, 5, 13, 26, 27]) {
    checkEverySplit(fixedSize(size), stream, oracle(size)(stream));
  }
});

test("random streams at random splits are as the oracle says", () => {
  for (const size of [1, 3, 64, 65, 100]) {
    checkAgainst(fixedSize(size), fc.uint8Array({ maxLength: 300 }), oracle(size));
  }
});

test("a borrowed message is a view only if it lies whole in the chunk", () => {
  const decoder = fixedSize(4).decoder();
  const feed = new Feed(100, true).put(bytes("1234ab"), bytes(""));
  assert.equal(decoder.next(feed)?.buffer, feed.bytes.buffer);
  assert.equal(decoder.next(feed), undefined);
  const message = decoder.next(feed.put(bytes("cd5678"), bytes("")));
  assert.equal(decoder.next(feed)?.buffer, feed.bytes.buffer);
  feed.overwrite();
  assert.equal(String(message), "abcd");
});

test("what is sent arrives as it was, another size is refused", () => {
  checkRoundTrip(fixedSize(3), [bytes("abc"), bytes("\0\xff\n")]);
  checkRoundTrip(fixedSize(3), ["abc"]);
  for (const message of ["", "ab", "abcd", "ééé", bytes("ab"), bytes("abcd")]) {
    checkRefused(fixedSize(3), message, /RangeError: a message must have exactly 3 bytes, not \d/);
  }
  checkRefused(fixedSize(2), null as unknown as string, TypeError);
});

test("bad sizes are refused with what would be right", () => {
  const message = /fixedSize\(\): size \(bytes\) must be an integer from 1 to 1073741824, not /;
  for (const size of [0, -1, 2.5, Number.NaN, 2 ** 30 + 1]) {
    assert.throws(() => fixedSize(size), { name: "RangeError", message });
  }
  assert.throws(() => fixedSize("4" as unknown as number), { name: "TypeError", message });
});
