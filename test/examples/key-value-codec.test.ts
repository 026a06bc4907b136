// The key-value example's codec against an oracle that is slow and obvious: it has the whole stream as a string.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Failure, type Reply } from "../../examples/key-value/reply.ts";
import { readInteger } from "../../examples/key-value/request.ts";
import { resp } from "../../examples/key-value/resp-codec.ts";

interface Decoded {
  readonly commands: string[][];
  readonly error: string;
  /** Bytes at the end belong to a command that is not whole. */
  readonly isCut: boolean;
}

const LIMITS = { maximumBytes: 4000, maximumArguments: 40 };
const DEFAULT_BYTES = 4 * 1024 * 1024;

/** The oracle. */
function decodeSlowly(stream: string, limits = LIMITS): Decoded {
  const commands: string[][] = [];
  let rest = stream;
  const failed = (error: string): Decoded => ({ commands, error, isCut: false });
  const cut = (): Decoded => ({ commands, error: "", isCut: true });
  while (rest !== "") {
    const whole = rest;
    if (!rest.startsWith("*")) {
      const lineEnd = rest.indexOf("\n");
      if (lineEnd > 65_536 || (lineEnd < 0 && rest.length > 65_536)) {
        return failed("Protocol error: too big inline request");
      }
      if (lineEnd < 0) return cut();
      const words = splitSlowly(rest.slice(0, lineEnd).replace(/\r$/, "").replace(/\0.*$/s, ""));
      if (words === undefined) return failed("Protocol error: unbalanced quotes in request");
      if (words.length > 0) commands.push(words);
      rest = rest.slice(lineEnd + 1);
      continue;
    }
    const count = header(rest.slice(1));
    if (count === "more") return cut();
    if (count === "malformed" || count > limits.maximumArguments) {
      return failed("Protocol error: invalid multibulk length");
    }
    rest = rest.slice(`*${count}\r\n`.length);
    const command: string[] = [];
    while (command.length < count) {
      if (rest === "") return cut();
      if (!rest.startsWith("$")) return failed(`Protocol error: expected '$', got '${rest[0]}'`);
      const length = header(rest.slice(1));
      if (length === "more") return cut();
      if (length === "malformed") return failed("Protocol error: invalid bulk length");
      rest = rest.slice(`$${length}\r\n`.length);
      if (whole.length - rest.length + length + 2 > limits.maximumBytes) {
        return failed("Protocol error: invalid bulk length");
      }
      if (rest.length < length + 2) return cut();
      if (rest.slice(length, length + 2) !== "\r\n") {
        return failed("Protocol error: expected a line's end behind a bulk string");
      }
      command.push(rest.slice(0, length));
      rest = rest.slice(length + 2);
    }
    if (count > 0) commands.push(command);
  }
  return { commands, error: "", isCut: false };
}

function header(text: string): number | "more" | "malformed" {
  const found = /^(0|[1-9]\d{0,9})\r\n/.exec(text);
  if (found !== null) return Number(found[1]);
  return /^((0|[1-9]\d{0,9})\r?)?$/.test(text) ? "more" : "malformed";
}

function splitSlowly(line: string): string[] | undefined {
  const words: string[] = [];
  let rest = line.replace(/^[\s]+/, "");
  while (rest !== "") {
    const pattern =
      /^[^ \t\n\r"']*(?:"(?:\\.|[^"\\])*"(?=\s|$)|'(?:\\'|[^'\\]|\\(?!'))*'(?=\s|$)|(?=[ \t\n\r]|$))/s;
    const found = pattern.exec(rest);
    if (found === null) return undefined;
    words.push(unquoteSlowly(found[0]));
    rest = rest.slice(found[0].length).replace(/^[\s]+/, "");
  }
  return words;
}

function unquoteSlowly(word: string): string {
  const [, plain = "", quoted = ""] = /^([^"']*)(.*)$/s.exec(word) ?? [];
  const body = quoted.slice(1, -1);
  if (quoted.startsWith("'")) return plain + body.replaceAll("\\'", "'");
  const escapes: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };
  return (
    plain +
    body.replace(/\\(x[0-9a-fA-F]{2}|.)/gs, (_all, code: string) =>
      code.length === 3
        ? String.fromCharCode(Number.parseInt(code.slice(1), 16))
        : (escapes[code] ?? code),
    )
  );
}

/** The codec, given the stream in these pieces. */
function decode(pieces: readonly string[], borrow: boolean, limits = LIMITS): Decoded {
  const decoder = resp(limits).decoder();
  const commands: string[][] = [];
  let error = "";
  for (const piece of pieces) {
    // Around it lie bytes that are none of the decoder's business.
    const bytes = Buffer.from(`\n*${piece}1\r\n`, "latin1");
    const input = { bytes, offset: 2, end: 2 + piece.length, borrow };
    while (true) {
      const request = decoder.next(input);
      if (request === undefined) break;
      assert.equal(error, "", "nothing follows an error");
      error = request.error;
      if (!borrow) bytes.fill(0x21);
      const words = Array.from({ length: request.count }, (_, index) => request.text(index));
      if (error === "") commands.push(words);
      if (!borrow) bytes.set(Buffer.from(`\n*${piece}1\r\n`, "latin1"));
    }
    assert.equal(input.offset, input.end, "all of the input is taken");
  }
  return { commands, error, isCut: decoder.pending > 0 };
}

function assertSame(pieces: readonly string[], borrow: boolean): void {
  assert.deepEqual(decode(pieces, borrow), decodeSlowly(pieces.join("")));
}

function multibulk(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

const STREAM = [
  multibulk(["SET", "key", "value"]),
  "PING\r\n",
  "\r\n",
  "*0\r\n",
  "  set  'it\\'s' \"a\\x41\\n\\q\"\n",
  multibulk(["", "\r\n", "*1\r\n$1\r\n", "\xff\x00"]),
  multibulk(Array.from({ length: 33 }, (_, index) => String(index))),
  multibulk(["SET", "long", "x".repeat(1234)]),
  multibulk(["GET", "k"]),
].join("");

const MALFORMED = [
  "*\r\n",
  "*x\r\n",
  "*-1\r\n",
  "*+1\r\n",
  "*01\r\n",
  "*41\r\n",
  "*99999999999\r\n",
  "*1\r*",
  "*1\r\nx",
  "*1\r\n$x\r\n",
  "*1\r\n$-1\r\n",
  "*1\r\n$4000\r\n",
  "*1\r\n$12345678901",
  "*1\r\n$1\r\nab\r\n",
  "*1\r\n$1\r\na\rb",
  'get "a\r\n',
  'get "a"b\r\n',
  "get 'a\n",
];

suite("the codec of the key-value example", () => {
  for (const borrow of [true, false]) {
    test(`decodes a stream cut anywhere, borrow ${borrow}`, () => {
      assertSame([STREAM], borrow);
      for (let at = 0; at <= STREAM.length; at++) {
        assertSame([STREAM.slice(0, at), STREAM.slice(at)], borrow);
      }
    });

    test(`decodes a stream that comes byte by byte, borrow ${borrow}`, () => {
      assertSame([...STREAM], borrow);
    });
  }

  test("decodes a stream cut in three", () => {
    const short = STREAM.slice(0, 120);
    for (let first = 0; first <= short.length; first++) {
      for (let second = first; second <= short.length; second++) {
        assertSame([short.slice(0, first), short.slice(first, second), short.slice(second)], true);
      }
    }
  });

  test("tells what is malformed, wherever it's cut, and skips the rest", () => {
    for (const malformed of MALFORMED) {
      assert.notEqual(decodeSlowly(malformed).error, "", malformed);
      const stream = `${multibulk(["PING"])}${malformed}PING\r\n`;
      for (let at = 0; at <= stream.length; at++) {
        assertSame([stream.slice(0, at), stream.slice(at)], true);
      }
      assertSame([...stream], false);
    }
  });

  test("agrees with the oracle on random streams in random pieces", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "B", "\r", "\n", "$", "*", "1", "\xff") });
    const inlineText = fc.string({
      unit: fc.constantFrom("a", "b", " ", '"', "'", "\\", "x", "4", "n", "\t", "\v", "\0"),
      maxLength: 12,
    });
    const part = fc.oneof(
      { weight: 4, arbitrary: fc.array(word, { maxLength: 6 }).map(multibulk) },
      { weight: 2, arbitrary: inlineText.map((text) => `${text}\r\n`) },
      { weight: 1, arbitrary: fc.constantFrom(...MALFORMED, "\n", "\r\n", "*0\r\n", "*1\r\n") },
    );
    const cuts = fc.array(fc.nat(200), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), cuts, fc.boolean(), (parts, cutsAt, borrow) => {
        const stream = parts.join("");
        const places = [0, ...cutsAt.filter((at) => at < stream.length), stream.length];
        places.sort((a, b) => a - b);
        const pieces = places.slice(1).map((end, index) => stream.slice(places[index], end));
        assertSame(pieces, borrow);
      }),
      { numRuns: 3000 },
    );
  });

  test("refuses by what is announced, before it has taken memory for it", () => {
    const decoder = resp().decoder();
    const feed = (text: string) => {
      const bytes = Buffer.from(text, "latin1");
      return decoder.next({ bytes, offset: 0, end: bytes.length, borrow: true });
    };
    assert.equal(feed(`*2\r\n$3\r\nGET\r\n$${DEFAULT_BYTES - 100}\r\nabc`), undefined);
    assert.ok(decoder.pending > 0 && decoder.pending < 1024, `${decoder.pending} bytes`);
    assert.equal(resp().decoder().pending, 0);
    const { error } = decode([`*2\r\n$3\r\nGET\r\n$${DEFAULT_BYTES}\r\n`], true, {
      ...LIMITS,
      maximumBytes: DEFAULT_BYTES,
    });
    assert.equal(error, "Protocol error: invalid bulk length");
  });

  test("counts all arguments together against the longest command", () => {
    const fits = multibulk(["SET", "x".repeat(1900), "y".repeat(2000)]);
    const tooLong = multibulk(["SET", "x".repeat(2000), "y".repeat(2000)]);
    assert.equal(decode([fits], true).commands.length, 1);
    assert.equal(decode([tooLong], true).error, "Protocol error: invalid bulk length");
  });

  test("refuses an inline command without end", () => {
    const pieces = Array.from({ length: 70 }, () => "x".repeat(1000));
    assert.equal(decode(pieces, true).error, "Protocol error: too big inline request");
  });

  test("holds nothing between two commands", () => {
    const decoder = resp().decoder();
    for (const piece of ["*1\r\n$4\r\nPI", "NG\r\n"]) {
      const bytes = Buffer.from(piece);
      decoder.next({ bytes, offset: 0, end: bytes.length, borrow: true });
    }
    assert.equal(decoder.pending, 0);
  });

  test("takes time linear in the bytes when they come one by one", () => {
    const time = (bytes: number): number => {
      const stream = Buffer.from(multibulk(["SET", "k", "v".repeat(bytes)]));
      const decoder = resp().decoder();
      const input = { bytes: stream, offset: 0, end: 0, borrow: true };
      const started = performance.now();
      let found = 0;
      while (input.end < stream.length) {
        input.end++;
        if (decoder.next(input) !== undefined) found++;
      }
      assert.equal(found, 1);
      return performance.now() - started;
    };
    time(100_000);
    const least = (bytes: number) => Math.min(time(bytes), time(bytes), time(bytes));
    const [short, long] = [least(100_000), least(1_600_000)];
    // 16 times the bytes: 16 times the time, or 256 if it were quadratic.
    assert.ok(long < 80 * short, `${short} ms for 100 kB, ${long} ms for 1.6 MB`);
  });

  test("decoders that share a parser don't disturb each other", () => {
    const codec = resp();
    const [one, other] = [codec.decoder(), codec.decoder()];
    const feed = (decoder: typeof one, text: string) => {
      const bytes = Buffer.from(text);
      const request = decoder.next({ bytes, offset: 0, end: bytes.length, borrow: true });
      return request === undefined ? undefined : [request.text(0), request.text(1)];
    };
    assert.equal(feed(one, "*2\r\n$3\r\nGET\r\n$5\r\nab"), undefined);
    assert.equal(feed(other, "*2\r\n$4\r\nECHO\r\n$2\r\nx"), undefined);
    assert.deepEqual(feed(one, "cde\r\n"), ["GET", "abcde"]);
    assert.deepEqual(feed(other, "y\r\n"), ["ECHO", "xy"]);
  });

  test("refuses limits that are none", () => {
    for (const value of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      assert.throws(() => resp({ maximumBytes: value }), RangeError);
      assert.throws(() => resp({ maximumArguments: value }), RangeError);
    }
  });

  test("encodes replies", () => {
    const encoded = (reply: Reply): string => {
      const parts: Buffer[] = [];
      resp().encode(reply, {
        bytes: (data) => void parts.push(Buffer.from(data)),
        text: (data) => void parts.push(Buffer.from(data)),
        uint: () => assert.fail("RESP has no binary integers"),
      });
      return Buffer.concat(parts).toString("latin1");
    };
    assert.equal(encoded(null), "$-1\r\n");
    assert.equal(encoded(-7), ":-7\r\n");
    assert.equal(encoded(2n ** 63n - 1n), ":9223372036854775807\r\n");
    assert.equal(encoded("ü"), "$2\r\n\xc3\xbc\r\n");
    assert.equal(encoded(Buffer.from([0xff, 0])), "$2\r\n\xff\0\r\n");
    assert.equal(encoded(new Failure("ERR a\r\nb\xff")), "-ERR a  b\xff\r\n");
    assert.equal(encoded([1, ["a", []], null]), "*3\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n$-1\r\n");
    assert.throws(() => encoded([1, [0.5]]), RangeError);
  });

  test("reads integers of 64 bits in the one form that Redis takes", () => {
    const read = (text: string) => readInteger(Buffer.from(text, "latin1"), 0, text.length);
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        assert.equal(BigInt(read(String(value)) ?? "none"), value);
      }),
    );
    for (const text of ["9223372036854775808", "-9223372036854775809", "12345678901234567890"]) {
      assert.equal(read(text), undefined, text);
    }
    for (const text of ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "0x1", "1e3", "-01"]) {
      assert.equal(read(text), undefined, text);
    }
    assert.equal(read("-9223372036854775808"), -(2n ** 63n));
    assert.equal(read("-999999999999999"), -999_999_999_999_999);
  });
});
