// delimiter() against an oracle that takes one byte at a time, at every split; with delimiters whose beginning repeats.

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { delimiter } from "../../src/codec/delimiter.ts";
import {
  bytes,
  checkAgainst,
  checkEverySplit,
  checkRefused,
  checkRoundTrip,
  encode,
  Feed,
  type Outcome,
  streamsOf,
} from "./streams.ts";

function oracle(ending: string, maximum: number) {
  return (stream: Uint8Array): Outcome => {
    const messages: string[] = [];
    let message = "";
    for (const byte of stream) {
      message += String.fromCharCode(byte);
      const found = message.endsWith(ending);
      const most = maximum + ending.length - (found ? 0 : 1);
      if (message.length > most) return { messages, error: "EMSGSIZE", pending: 0 };
      if (!found) continue;
      messages.push(message.slice(0, -ending.length));
      message = "";
    }
    return { messages, error: undefined, pending: message.length };
  };
}

const ENDINGS = ["\0", "\r\n", "aab", "aba", "aaaa", "abcabd", "ab".repeat(31)];

test("the first place where the delimiter fits ends a message, at every split", () => {
  const stream = bytes("aaaab-aab--aaabaabaabrestaa");
  const expected: Outcome = {
    messages: ["aa", "-", "--a", "", ""],
    error: undefined,
    pending: 6,
  };
  assert.deepEqual(oracle("aab", 100)(stream), expected);
  checkEverySplit(delimiter("aab"), stream, expected);
  const overlapping = bytes("ababa-aba");
  checkEverySplit(delimiter("aba"), overlapping, oracle("aba", 100)(overlapping));
});

test("random streams at random splits are as the oracle says, around the maximum", () => {
  for (const ending of ENDINGS) {
    const half = ending.slice(0, Math.ceil(ending.length / 2));
    const streams = streamsOf(ending, half, ending.slice(0, -1), "a", "b", "ab", "\r", "x");
    for (const maximumBytes of [3, 60, 5000]) {
      checkAgainst(delimiter(ending, { maximumBytes }), streams, oracle(ending, maximumBytes));
    }
  }
});

test("a message of the maximum passes, one byte more is EMSGSIZE", () => {
  for (const ending of ["\0", "aab", "\r\n"]) {
    const codec = delimiter(ending, { maximumBytes: 5 });
    const passed = { messages: ["12345"], error: undefined, pending: 0 };
    checkEverySplit(codec, bytes(`12345${ending}`), passed);
    const refused = { messages: [], error: "EMSGSIZE", pending: 0 };
    checkEverySplit(codec, bytes(`123456${ending}`), refused);
    const width = ending.length;
    checkEverySplit(codec, bytes("1".repeat(5 + width)), refused);
    checkEverySplit(codec, bytes("1".repeat(4 + width)), {
      ...refused,
      error: undefined,
      pending: 4 + width,
    });
  }
});

test("a borrowed message is a view only if it lies whole in the chunk", () => {
  const decoder = delimiter("--").decoder();
  const feed = new Feed(100, true).put(bytes("whole--cu"), bytes(""));
  assert.equal(decoder.next(feed)?.buffer, feed.bytes.buffer);
  assert.equal(decoder.next(feed), undefined);
  const cut = decoder.next(feed.put(bytes("t-"), bytes("")));
  assert.equal(cut, undefined);
  const message = decoder.next(feed.put(bytes("-"), bytes("")));
  assert.notEqual(message?.buffer, feed.bytes.buffer);
  feed.overwrite();
  assert.equal(String(message), "cut");
});

test("what is sent arrives as it was", () => {
  assert.deepEqual(encode(delimiter("€"), ["é", Uint8Array.of(1)]), Buffer.from("é€\x01€"));
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 12 });
  for (const ending of ENDINGS) {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), (sent) => {
        const allowed = sent.filter((text) => (text + ending).indexOf(ending) === text.length);
        checkRoundTrip(delimiter(ending), allowed.map(bytes));
        for (const text of sent) {
          if (!allowed.includes(text)) checkRefused(delimiter(ending), text, RangeError);
        }
      }),
    );
  }
});

test("a message in which the delimiter would be found too early is refused", () => {
  checkRefused(delimiter("aab"), "xaabx", /RangeError: the delimiter would be found/);
  checkRefused(delimiter("aba"), bytes("ab"), RangeError);
  checkRefused(delimiter("aba"), 5 as unknown as string, TypeError);
});

test("a bad delimiter and bad options are refused with what would be right", () => {
  const length = /length of the delimiter \(bytes\) must be an integer from 1 to 64, not /;
  for (const ending of ["", "x".repeat(65), "é".repeat(33), new Uint8Array()]) {
    assert.throws(() => delimiter(ending), { name: "RangeError", message: length });
  }
  delimiter("x".repeat(64));
  assert.throws(
    () => delimiter(10 as unknown as string),
    /TypeError: expected a Uint8Array or a s/,
  );
  assert.throws(() => delimiter("x", { maximumBytes: 0 }), /RangeError: .* from 1 to 1073741824/);
  const misspelt: object = { maximum: 1 };
  assert.throws(() => delimiter("x", misspelt), /TypeError: delimiter\(\) has no option "maximum"/);
});

test("the delimiter is a copy: its source may change", () => {
  const source = Buffer.from("--");
  const codec = delimiter(source);
  source.fill("x");
  assert.deepEqual(encode(codec, ["m"]), Buffer.from("m--"));
});
