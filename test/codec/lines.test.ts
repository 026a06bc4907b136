// lines() against an oracle that takes one byte at a time, at every split.

import assert from "node:assert/strict";
import { constants } from "node:buffer";
import test from "node:test";
import fc from "fast-check";
import { lines } from "../../src/codec/lines.ts";
import {
  bytes,
  checkAgainst,
  checkEverySplit,
  checkRefused,
  checkRoundTrip,
  decode,
  encode,
  type Outcome,
  streamsOf,
} from "./streams.ts";

function oracle(maximum: number, encoding: "utf8" | "latin1" = "utf8") {
  return (stream: Uint8Array): Outcome => {
    const messages: string[] = [];
    let line: number[] = [];
    for (const byte of stream) {
      if (byte !== 10) line.push(byte);
      const content = line.at(-1) === 13 ? line.slice(0, -1) : line;
      if (content.length > maximum) return { messages, error: "EMSGSIZE", pending: 0 };
      if (byte !== 10) continue;
      messages.push(Buffer.from(content).toString(encoding));
      line = [];
    }
    return { messages, error: undefined, pending: line.length };
  };
}

test("LF and CRLF end a line, a CR elsewhere is content, at every split", () => {
  const stream = bytes("one\n\r\n\ntwo\r\r\nth\rree\r\n\r\rrest\r");
  const expected: Outcome = {
    messages: ["one", "", "", "two\r", "th\rree"],
    error: undefined,
    pending: 7,
  };
  assert.deepEqual(oracle(100)(stream), expected);
  checkEverySplit(lines(), stream, expected);
});

test("random lines at random splits are as the oracle says, around the maximum", () => {
  const streams = streamsOf("\n", "\r", "\r\n", "a", "bc", "defg", "\xc3\xa9", "\xff");
  checkAgainst(lines({ maximumBytes: 4 }), streams, oracle(4));
  checkAgainst(lines({ maximumBytes: 1000 }), streams, oracle(1000));
  checkAgainst(lines({ maximumBytes: 9, encoding: "latin1" }), streams, oracle(9, "latin1"));
});

test("a line of the maximum passes, with either ending; one byte more is EMSGSIZE", () => {
  const codec = lines({ maximumBytes: 5 });
  const passed = { messages: ["12345"], error: undefined, pending: 0 };
  const refused = { messages: [], error: "EMSGSIZE", pending: 0 };
  checkEverySplit(codec, bytes("12345\n"), passed);
  checkEverySplit(codec, bytes("12345\r\n"), passed);
  checkEverySplit(codec, bytes("123456\n"), refused);
  checkEverySplit(codec, bytes("123456\r\n"), refused);
  checkEverySplit(codec, bytes("1234\r\r\n"), { ...passed, messages: ["1234\r"] });
  checkEverySplit(codec, bytes("12345\r\r\n"), refused);
});

test("too long is told without waiting for the end of the line", () => {
  const codec = lines({ maximumBytes: 5 });
  checkEverySplit(codec, bytes("12345"), { messages: [], error: undefined, pending: 5 });
  checkEverySplit(codec, bytes("12345\r"), { messages: [], error: undefined, pending: 6 });
  checkEverySplit(codec, bytes("123456"), { messages: [], error: "EMSGSIZE", pending: 0 });
  checkEverySplit(codec, bytes("12345\rx"), { messages: [], error: "EMSGSIZE", pending: 0 });
});

test("the maximum is 65,536 bytes unless told otherwise", () => {
  const longest = "x".repeat(65_536);
  assert.deepEqual(decode(lines(), [bytes(`${longest}\r\n`)]).messages, [longest]);
  assert.equal(decode(lines(), [bytes(`${longest}x\n`)]).error, "EMSGSIZE");
});

test("characters cut anywhere arrive; what is not UTF-8 becomes U+FFFD", () => {
  const stream = Buffer.concat([Buffer.from("é€😀\n"), bytes("a\xffb\xe2\x82\n")]);
  checkEverySplit(lines(), stream, {
    messages: ["é€😀", "a\ufffdb\ufffd"],
    error: undefined,
    pending: 0,
  });
});

test("with `fatal` what is not UTF-8 is EBADMSG", () => {
  const codec = lines({ fatal: true });
  checkEverySplit(codec, Buffer.from("é€\nok\n"), {
    messages: ["é€", "ok"],
    error: undefined,
    pending: 0,
  });
  checkEverySplit(codec, bytes("ok\na\xffb\nok\n"), {
    messages: ["ok"],
    error: "EBADMSG",
    pending: 0,
  });
});

test("what is sent arrives as it was", () => {
  checkRoundTrip(lines(), ["", "a", "\rb", "c\rd", "é€😀", "\u2028", "x".repeat(300)]);
  checkRoundTrip(lines({ encoding: "latin1" }), ["", "a\0\x7f\x80\xff\rb"]);
  assert.deepEqual(encode(lines(), ["é", ""]), Buffer.from("é\n\n"));
  assert.deepEqual(encode(lines({ encoding: "latin1" }), ["é"]), bytes("\xe9\n"));
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 8 }),
      (sent) => {
        const allowed = sent.filter((line) => !line.includes("\n") && !line.endsWith("\r"));
        checkRoundTrip(lines(), allowed);
      },
    ),
  );
});

test("what would not arrive as it was is refused, and nothing of it sent", () => {
  const latin = lines({ encoding: "latin1" });
  for (const codec of [lines(), latin]) {
    checkRefused(codec, "two\nlines", /RangeError: a line must not contain a newline/);
    checkRefused(codec, "end\n", RangeError);
    checkRefused(codec, "end\r", /RangeError: a line must not end with a carriage return/);
    checkRefused(codec, 5 as unknown as string, TypeError);
  }
  checkRefused(latin, "€", /RangeError: .*latin1/);
});

test("bad options are refused with what would be right", () => {
  const wanted = /maximumBytes must be an integer from 1 to \d+, not /;
  for (const maximumBytes of [0, -1, 1.5, Number.NaN, Infinity, constants.MAX_STRING_LENGTH + 1]) {
    assert.throws(() => lines({ maximumBytes }), { name: "RangeError", message: wanted });
  }
  const wrong: [object, RegExp][] = [
    [{ maximumBytes: "9" }, wanted],
    [{ encoding: "utf-8" }, /encoding must be one of "utf8", "latin1", not 'utf-8'/],
    [{ fatal: 1 }, /fatal must be true or false, not 1/],
    [{ fatal: true, encoding: "latin1" }, /every byte is valid latin1/],
    [
      { maxBytes: 9 },
      /lines\(\) has no option "maxBytes"; there are: maximumBytes, encoding, fatal/,
    ],
    [9 as unknown as object, /options must be an object, not 9/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => lines(options), { name: "TypeError", message });
  }
  lines({ maximumBytes: constants.MAX_STRING_LENGTH });
});
