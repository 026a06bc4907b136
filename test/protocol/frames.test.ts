// The wire: every published vector through both decoders, at every cut, and back through the encoders; and the two
// decoders against each other on a million frames of well-meant and ill-meant bytes.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { patternFault, topicFault } from "../../src/protocol/topic.ts";
import { TopicTree } from "../../src/topics.ts";
import { encodeDescribed } from "./described-frames.ts";
import { decodeFast } from "./fast-decoder.ts";
import { fuzz } from "./fuzz.ts";
import { decodeSlowly } from "./slow-decoder.ts";
import { type FrameGroup, type MalformedGroup, readVectors, type TopicGroup } from "./vectors.ts";

const GATE_FRAMES = 1_000_000;

function bytes(hex: string): Buffer {
  return Buffer.from(hex, "hex");
}

/** Every single cut, and one byte at a time, where that is not absurd. */
function* everyCut(length: number): Generator<number[]> {
  const most = Math.min(length, 300);
  for (let cut = 1; cut < most; cut++) yield [cut];
  if (length < 5000) yield Array.from({ length: length - 1 }, (_, index) => index + 1);
}

for (const name of ["golden", "chunking", "grease"]) {
  describe(`vectors: ${name}`, () => {
    const group = readVectors<FrameGroup>(name);
    for (const vector of group.vectors) {
      test(vector.name, () => {
        const input = bytes(vector.hex);
        const expected = { frames: vector.frames, rest: 0, error: undefined };
        assert.deepEqual(decodeSlowly(input, group.max_frame), expected, "the slow decoder");
        assert.deepEqual(decodeFast(input, group.max_frame, vector.cuts), expected);
        for (const cuts of everyCut(input.length)) {
          assert.deepEqual(decodeFast(input, group.max_frame, cuts), expected, `cut at ${cuts}`);
        }
      });
    }
  });
}

describe("vectors: the encoders", () => {
  for (const vector of readVectors<FrameGroup>("golden").vectors) {
    test(vector.name, () => {
      const [frame] = vector.frames;
      assert.ok(frame !== undefined);
      assert.equal(encodeDescribed(frame).toString("hex"), vector.hex);
    });
  }
});

test("every frame is whole, also when the writer has to grow for it", () => {
  for (const { frames } of readVectors<FrameGroup>("golden").vectors) {
    const [frame] = frames;
    assert.ok(frame !== undefined);
    const alone = encodeDescribed(frame);
    for (let room = 0; room < 24; room++) {
      assert.deepEqual(
        encodeDescribed(frame, room),
        alone,
        `${frame.frame}, room for ${room} bytes`,
      );
    }
  }
});

describe("vectors: malformed", () => {
  const group = readVectors<MalformedGroup>("malformed");
  for (const vector of group.vectors) {
    test(vector.name, () => {
      const input = bytes(vector.hex);
      const slow = decodeSlowly(input, group.max_frame);
      assert.deepEqual([slow.error, slow.frames.length], [vector.error, vector.frames_before]);
      for (const cuts of [[], ...everyCut(input.length)]) {
        const fast = decodeFast(input, group.max_frame, cuts);
        assert.deepEqual([fast.error, fast.frames], [slow.error, slow.frames], `cut at ${cuts}`);
      }
    });
  }
});

describe("vectors: topics", () => {
  const group = readVectors<TopicGroup>("topics");
  test("which names are patterns and topics", () => {
    for (const { name, topic, pattern, publish } of group.names) {
      assert.equal(patternFault(topic) === undefined, pattern, `${name} as a pattern`);
      assert.equal(topicFault(topic) === undefined, publish, `${name} as a topic`);
    }
  });
  test("which topics a pattern stands for", () => {
    for (const { pattern, topic, matches: expected } of group.matches) {
      const tree = new TopicTree<string>();
      tree.add(pattern, pattern);
      assert.equal(
        tree.matching(topic)?.has(pattern) ?? false,
        expected,
        `${pattern} and ${topic}`,
      );
    }
  });
});

describe("fuzzing", () => {
  test(`the decoders agree on ${GATE_FRAMES} frames`, () => {
    const { frames, errors, kinds } = fuzz(GATE_FRAMES, 1);
    assert.ok(frames >= GATE_FRAMES);
    // The mistakes were made, and every frame was there.
    assert.ok(errors > 1000, `only ${errors} errors`);
    assert.equal(kinds, 13, "frame types that were seen, and ignorable ones");
  });
});

test("a length that is announced takes no memory", () => {
  const header = bytes("ffff001101000000");
  const before = process.memoryUsage().arrayBuffers;
  const kept = Array.from({ length: 1000 }, () => decodeFast(header, 16_777_215));
  assert.equal(kept.length, 1000);
  const each = (process.memoryUsage().arrayBuffers - before) / kept.length;
  assert.ok(each < 4096, `${each} bytes for each announcement of 64 KiB`);
});
