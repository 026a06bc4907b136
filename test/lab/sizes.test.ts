// Sizes of messages: drawn as they were asked for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../src/driver/random.ts";
import { parseSizes } from "../../src/lab/sizes.ts";

const DRAWS = 20_000;

function drawn(text: string): { readonly mean: number; readonly sizes: Set<number> } {
  const { draw, least, most } = parseSizes(text);
  const random = new Random(1);
  const sizes = new Set<number>();
  let sum = 0;
  for (let n = 0; n < DRAWS; n++) {
    const size = draw(random);
    assert.ok(Number.isInteger(size) && size >= least && size <= most, `${size} of ${text}`);
    sizes.add(size);
    sum += size;
  }
  return { mean: sum / DRAWS, sizes };
}

test("each form draws what it says, and knows its mean", () => {
  for (const [text, mean, kinds] of [
    ["64", 64, 1],
    ["16-1024", 520, 1009],
    ["exp:512", 512, 1000],
    ["64:9,4096:1", 467.2, 2],
    ["5:0,7:1", 7, 1],
  ] as const) {
    const parsed = parseSizes(text);
    assert.equal(parsed.text, text);
    assert.equal(parsed.mean, mean);
    const seen = drawn(text);
    assert.ok(Math.abs(seen.mean / mean - 1) < 0.03, `${text}: ${seen.mean}`);
    assert.ok(seen.sizes.size >= kinds * 0.99, `${text}: ${seen.sizes.size} sizes`);
  }
});

test("the same seed draws the same", () => {
  const row = () => {
    const random = new Random(3);
    return Array.from({ length: 50 }, () => parseSizes("exp:100").draw(random));
  };
  assert.deepEqual(row(), row());
});

test("anything else is refused", () => {
  for (const text of ["", "x", "0", "1-0", "0-5", "exp:0", "1:1,", "4:0", "1e3", "99999999999"]) {
    assert.throws(() => parseSizes(text), { name: "OptionError" }, text);
  }
});
