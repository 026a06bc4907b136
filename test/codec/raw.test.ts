// raw(): every chunk is a message; and the one decoder that all connections share has no state.

import assert from "node:assert/strict";
import test from "node:test";
import { raw } from "../../src/codec/raw.ts";
import { bytes, checkRefused, cutAt, decode, encode, Feed } from "./streams.ts";

const STREAM = bytes("some\nbytes\0\xff\r\nof any kind");

test("each chunk, as it came, is one message", () => {
  for (let first = 0; first <= STREAM.length; first++) {
    for (let second = first; second <= STREAM.length; second++) {
      const chunks = cutAt(STREAM, [first, second]);
      const messages = chunks
        .filter((chunk) => chunk.length > 0)
        .map((chunk) => Buffer.from(chunk).toString("latin1"));
      const expected = { messages, error: undefined, pending: 0 };
      assert.deepEqual(decode(raw(), chunks, false), expected);
      assert.deepEqual(decode(raw(), chunks, true), expected);
    }
  }
});

test("a message is a Buffer of its own unless the handler borrows", () => {
  for (const borrow of [false, true]) {
    const feed = new Feed(STREAM.length, borrow).put(STREAM, bytes(""));
    const message = raw().decoder().next(feed);
    assert.ok(Buffer.isBuffer(message));
    assert.equal(message.buffer === feed.bytes.buffer, borrow);
    feed.overwrite();
    assert.equal(message.equals(STREAM), !borrow);
  }
});

test("all connections share one decoder", () => {
  assert.equal(raw().decoder(), raw().decoder());
});

test("bytes are sent as they are and strings as UTF-8", () => {
  assert.deepEqual(encode(raw(), [Uint8Array.of(0, 255), "é", ""]), Buffer.from("00ffc3a9", "hex"));
});

test("what is neither bytes nor a string is refused", () => {
  checkRefused(raw(), 7 as unknown as string, TypeError);
});
