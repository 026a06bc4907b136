// lengthPrefix() against its oracle, at every split and in every layout.

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type LengthPrefixOptions, lengthPrefix } from "../../src/codec/length-prefix.ts";
import { framed, oracle } from "./length-prefix-oracle.ts";
import {
  bytes,
  checkAgainst,
  checkEverySplit,
  checkRefused,
  checkRoundTrip,
  decode,
  encode,
  Feed,
} from "./streams.ts";

const HEADERS = ["u8", "u16", "u32", "varint"] as const;

const LAYOUTS: LengthPrefixOptions[] = [false, true].flatMap((includesHeader) => [
  ...HEADERS.map((header) => ({ header, includesHeader })),
  { header: "u16", littleEndian: true, includesHeader },
  { header: "u32", littleEndian: true, includesHeader },
]);

function title(options: LengthPrefixOptions): string {
  const { header, littleEndian, includesHeader } = options;
  return `${header}${littleEndian ? " LE" : ""}${includesHeader ? " with header" : ""}`;
}

for (const options of LAYOUTS) {
  const codec = lengthPrefix(options);

  test(`${title(options)}: messages, also empty ones, at every split`, () => {
    const stream = Buffer.concat([
      ...["", "a", "", "seven 7", "ten bytes!"].map((body) => framed(options, body)),
      framed(options, "the last one").subarray(0, -2),
    ]);
    const expected = oracle(options)(stream);
    assert.equal(expected.messages.length, 5);
    checkEverySplit(codec, stream, expected);
  });

  test(`${title(options)}: random streams at random splits are as the oracle says`, () => {
    const limited = { ...options, maximumBytes: 150 };
    const bodies = fc.string({ unit: fc.constantFrom("a", "\0", "\xff"), maxLength: 160 });
    const pieces = fc.oneof(
      { weight: 9, arbitrary: bodies.map((body) => framed(options, body)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 6 }) },
    );
    const streams = fc.array(pieces, { maxLength: 6 }).map((parts) => Buffer.concat(parts));
    checkAgainst(lengthPrefix(limited), streams, oracle(limited));
    checkAgainst(lengthPrefix(limited), fc.uint8Array({ maxLength: 40 }), oracle(limited));
  });

  test(`${title(options)}: what is sent arrives as it was, and is laid out as it should`, () => {
    const sizes = [0, 1, 2, 125, 126, 127, 128, 129, 250];
    const bodies = sizes.map((size) => bytes("x".repeat(size)));
    checkRoundTrip(codec, bodies);
    const expected = sizes.map((size) => framed(options, "x".repeat(size)));
    assert.deepEqual(encode(codec, bodies), Buffer.concat(expected));
    assert.deepEqual(encode(codec, ["é"]), framed(options, "\xc3\xa9"));
  });

  test(`${title(options)}: a body of the maximum passes, one byte more is EMSGSIZE at its header`, () => {
    const limited = lengthPrefix({ ...options, maximumBytes: 9 });
    const stream = framed(options, "123456789");
    checkEverySplit(limited, stream, { messages: ["123456789"], error: undefined, pending: 0 });
    const header = framed(options, "1234567890").subarray(0, -10);
    checkEverySplit(limited, header, { messages: [], error: "EMSGSIZE", pending: 0 });
  });
}

test("varint: bodies whose length takes 1 to 4 bytes are laid out as they should", () => {
  for (const includesHeader of [false, true]) {
    const options: LengthPrefixOptions = {
      header: "varint",
      includesHeader,
      maximumBytes: 2 ** 22,
    };
    for (const edge of [2 ** 7, 2 ** 14, 2 ** 21]) {
      for (let size = edge - 5; size <= edge + 1; size++) {
        const body = "x".repeat(size);
        const stream = encode(lengthPrefix(options), [body]);
        assert.ok(stream.equals(framed(options, body)), `${size} bytes`);
        assert.deepEqual(decode(lengthPrefix(options), [stream]).messages, [body]);
      }
    }
  }
});

test("varint: more than 32 bits, and longer than need be, are EBADMSG", () => {
  const codec = lengthPrefix({ header: "varint", maximumBytes: 2 ** 30 });
  const outcomes: [string, string | undefined][] = [
    ["8000", "EBADMSG"],
    ["ff00", "EBADMSG"],
    ["8080808000", "EBADMSG"],
    ["8080808010", "EBADMSG"],
    ["ffffffff7f", "EBADMSG"],
    ["8080808081", "EBADMSG"],
    ["808080808001", "EBADMSG"],
    ["ffffffff0f", "EMSGSIZE"],
    ["8180808004", "EMSGSIZE"],
    ["8080808004", undefined],
  ];
  for (const [hex, error] of outcomes) {
    const pending = error === undefined ? 5 : 0;
    checkEverySplit(codec, Buffer.from(hex, "hex"), { messages: [], error, pending });
  }
});

test("a length that is less than the header it includes is EBADMSG", () => {
  const cases: [LengthPrefixOptions, string][] = [
    [{ header: "u8", includesHeader: true }, "00"],
    [{ header: "u16", includesHeader: true }, "0001"],
    [{ header: "u16", includesHeader: true, littleEndian: true }, "0100"],
    [{ header: "u32", includesHeader: true }, "00000003"],
    [{ header: "varint", includesHeader: true }, "00"],
  ];
  for (const [options, hex] of cases) {
    const stream = Buffer.from(hex, "hex");
    checkEverySplit(lengthPrefix(options), stream, { messages: [], error: "EBADMSG", pending: 0 });
  }
});

test("a borrowed message is a view only if it lies whole in the chunk", () => {
  const decoder = lengthPrefix({ header: "u8" }).decoder();
  const feed = new Feed(100, true).put(bytes("\x03abc\x04"), bytes(""));
  assert.equal(decoder.next(feed)?.buffer, feed.bytes.buffer);
  assert.equal(decoder.next(feed), undefined);
  assert.equal(decoder.next(feed.put(bytes("cu"), bytes(""))), undefined);
  const message = decoder.next(feed.put(bytes("t."), bytes("")));
  assert.notEqual(message?.buffer, feed.bytes.buffer);
  feed.overwrite();
  assert.equal(String(message), "cut.");
});

test("a body that the header cannot announce is refused, and nothing of it sent", () => {
  const cases: [LengthPrefixOptions, number][] = [
    [{ header: "u8" }, 255],
    [{ header: "u8", includesHeader: true }, 254],
    [{ header: "u16" }, 65_535],
    [{ header: "u16", includesHeader: true }, 65_533],
  ];
  for (const [options, longest] of cases) {
    const codec = lengthPrefix(options);
    checkRoundTrip(codec, [Buffer.alloc(longest)]);
    checkRefused(
      codec,
      Buffer.alloc(longest + 1),
      /RangeError: a message of \d+ bytes is too long/,
    );
    checkRefused(codec, "x".repeat(longest + 1), RangeError);
  }
  checkRefused(lengthPrefix({ header: "u8" }), {} as unknown as string, TypeError);
});

test("bad options are refused with what would be right", () => {
  const wrong: [object, RegExp][] = [
    [{}, /header must be one of "u8", "u16", "u32", "varint", not undefined/],
    [{ header: "u24" }, /header must be one of/],
    [{ header: "u16", littleEndian: "yes" }, /littleEndian must be true or false, not 'yes'/],
    [{ header: "u16", includesHeader: 1 }, /includesHeader must be true or false, not 1/],
    [{ header: "varint", littleEndian: true }, /varint has no byte order: leave out littleEndian/],
    [{ header: "u8", littleEndian: true }, /u8 has no byte order/],
    [{ header: "u8", maximumBytes: "1" }, /maximumBytes must be an integer from 1 to 1073741824/],
    [{ header: "u8", maximum: 1 }, /lengthPrefix\(\) has no option "maximum"/],
    [undefined as unknown as object, /options must be an object, not undefined/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => lengthPrefix(options as LengthPrefixOptions), {
      name: "TypeError",
      message,
    });
  }
  for (const maximumBytes of [0, -1, 0.5, Number.NaN, 2 ** 30 + 1]) {
    assert.throws(() => lengthPrefix({ header: "u8", maximumBytes }), RangeError);
  }
});
