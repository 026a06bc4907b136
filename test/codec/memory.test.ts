// What unfinished messages cost: work linear in the bytes, memory that follows the bytes, nothing when idle.

import assert from "node:assert/strict";
import test from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Codec, DecodeError } from "../../src/codec/codec.ts";
import { delimiter } from "../../src/codec/delimiter.ts";
import { fixedSize } from "../../src/codec/fixed-size.ts";
import { lengthPrefix } from "../../src/codec/length-prefix.ts";
import { lines } from "../../src/codec/lines.ts";
import { bytes, encode, Feed } from "./streams.ts";
import { countWork, type Work } from "./work.ts";

const LARGE = { maximumBytes: 2 ** 30 };
const NOTHING = bytes("");

/** Codecs for one message of `size` bytes, with how many bytes may be looked at for each byte that comes. */
const CODECS: [string, (size: number) => Codec<unknown, string>, searchedPerByte: number][] = [
  ["fixedSize", (size) => fixedSize(size), 0],
  ["lines", () => lines({ maximumBytes: 2 ** 28 }), 1],
  ["delimiter of 1 byte", () => delimiter("\0", LARGE), 1],
  ["delimiter of 3 bytes", () => delimiter("aab", LARGE), 4],
  ["delimiter of 64 bytes", () => delimiter("ab".repeat(32), LARGE), 66],
  ["lengthPrefix u32", () => lengthPrefix({ header: "u32", ...LARGE }), 0],
  ["lengthPrefix varint", () => lengthPrefix({ header: "varint", ...LARGE }), 0],
];

/** One message, fed in chunks of `step` bytes, in a buffer that is far larger than a chunk. */
function workOf(codec: Codec<unknown, string>, size: number, step: number): Work {
  const stream = encode(codec, ["a".repeat(size)]);
  const feed = new Feed(65_536);
  const decoder = codec.decoder();
  let messages = 0;
  const work = countWork(() => {
    for (let at = 0; at < stream.length; at += step) {
      feed.put(stream.subarray(at, at + step), NOTHING);
      while (decoder.next(feed) !== undefined) messages += 1;
    }
  });
  assert.equal(messages, 1);
  assert.equal(decoder.pending, 0);
  return work;
}

for (const [name, codecFor, searchedPerByte] of CODECS) {
  for (const step of [1, 7]) {
    test(`${name}: twice the bytes in chunks of ${step} are twice the work`, () => {
      const size = 8192;
      const once = workOf(codecFor(size), size, step);
      const twice = workOf(codecFor(2 * size), 2 * size, step);
      for (const kind of ["copied", "searched", "allocated"] as const) {
        const most = 2 * once[kind] + 256;
        assert.ok(twice[kind] <= most, `${kind}: ${once[kind]}, then ${twice[kind]}`);
      }
      const endings = 200;
      assert.ok(once.searched <= searchedPerByte * (size + endings), `searched ${once.searched}`);
      // Once into the kept bytes, at most twice more as they grow; the 64-byte delimiter's seam comes on top.
      const seam = name.startsWith("delimiter") ? searchedPerByte * size : 0;
      assert.ok(once.copied <= 3 * size + seam, `copied ${once.copied}`);
      assert.ok(once.allocated <= 4 * size, `allocated ${once.allocated}`);
    });
  }

  test(`${name}: many messages in a chunk are looked at and copied once`, () => {
    const codec = codecFor(16);
    const stream = encode(codec, Array<string>(1000).fill("-".repeat(16)));
    const feed = new Feed(2 * stream.length).put(stream, NOTHING);
    const decoder = codec.decoder();
    let messages = 0;
    const work = countWork(() => {
      while (decoder.next(feed) !== undefined) messages += 1;
    });
    assert.equal(messages, 1000);
    assert.ok(work.searched <= stream.length, `searched ${work.searched}`);
    assert.ok(work.copied <= stream.length, `copied ${work.copied}`);
    // They are cut from pieces of 64 KiB at most: one is begun at most for each 64 KiB.
    const pieces = Math.ceil(stream.length / 65_536) * 65_536;
    assert.ok(work.allocated <= stream.length + pieces, `allocated ${work.allocated}`);
  });

  test(`${name}: kept bytes take at most twice their number, and 64`, () => {
    const codec = codecFor(100_000);
    const stream = encode(codec, ["a".repeat(100_000)]);
    for (const size of [1, 10, 64, 65, 1000, 65_536]) {
      const feed = new Feed(65_536).put(stream.subarray(0, size), NOTHING);
      const decoder = codec.decoder();
      const work = countWork(() => assert.equal(decoder.next(feed), undefined));
      assert.equal(decoder.pending, size);
      assert.ok(work.allocated <= Math.max(64, 2 * size), `${work.allocated} for ${size}`);
    }
  });

  test(`${name}: what is kept is its own memory, and gone with the message`, async () => {
    const codec = codecFor(50);
    const stream = encode(codec, ["a".repeat(50)]);
    const feed = new Feed(200);
    const decoder = codec.decoder();
    const work = countWork(() => {
      assert.equal(decoder.next(feed.put(stream.subarray(0, 20), NOTHING)), undefined);
      assert.notEqual(decoder.next(feed.put(stream.subarray(20), NOTHING)), undefined);
    });
    assert.equal(work.pooled, 0);
    assert.equal(work.owned.length, 1);
    await collectGarbage();
    assert.equal(work.owned[0]?.deref(), undefined, "still held");
    assert.equal(decoder.pending, 0);
  });
}

test("a length beyond the maximum is refused before any memory is taken", () => {
  const codec = lengthPrefix({ header: "u32" });
  for (const hex of ["ffffffff", "00100001"]) {
    const header = Buffer.from(hex, "hex");
    const feed = new Feed(100).put(header, NOTHING);
    const decoder = codec.decoder();
    const work = countWork(() => {
      assert.throws(
        () => decoder.next(feed),
        (error) => error instanceof DecodeError && error.code === "EMSGSIZE",
      );
    });
    assert.equal(work.allocated, 0);
  }
});

test("an announced length costs nothing: 1 GiB and 10 bytes take 64", () => {
  const codec = lengthPrefix({ header: "u32", ...LARGE });
  const feed = new Feed(100).put(bytes("\x40\0\0\0ten bytes!"), NOTHING);
  const decoder = codec.decoder();
  const work = countWork(() => assert.equal(decoder.next(feed), undefined));
  assert.equal(work.allocated, 64);
  assert.equal(decoder.pending, 14);
});

test("a message too long is refused before it is copied", () => {
  for (const codec of [lines({ maximumBytes: 1000 }), delimiter("--", { maximumBytes: 1000 })]) {
    for (const text of ["x".repeat(5000), `${"x".repeat(1001)}--\n`]) {
      const decoder = codec.decoder();
      const feed = new Feed(65_536).put(bytes(text), NOTHING);
      const work = countWork(() => assert.throws(() => decoder.next(feed), DecodeError));
      assert.equal(work.allocated, 0);
      assert.equal(work.copied, 0);
    }
  }
});

test("memory grows to the longest message allowed at most", () => {
  const cases: [Codec<unknown, never>, number][] = [
    [fixedSize(100), 100],
    [lines({ maximumBytes: 99 }), 100],
    [delimiter("--", { maximumBytes: 99 }), 100],
    [lengthPrefix({ header: "u8" }), 0x61],
  ];
  for (const [codec, most] of cases) {
    const decoder = codec.decoder();
    const feed = new Feed(100).put(bytes("a".repeat(70)), NOTHING);
    const work = countWork(() => {
      decoder.next(feed);
      decoder.next(feed.put(bytes("a".repeat(20)), NOTHING));
    });
    assert.ok(work.allocated <= 70 + most, `${codec.name}: ${work.allocated}`);
  }
});

/** Without a flag on the command line. A WeakRef holds its target until the task ends, so that comes first. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  for (let round = 0; round < 2; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
}
