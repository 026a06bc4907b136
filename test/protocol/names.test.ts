// Names are found by their bytes as a Map finds them by their text.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Names } from "../../src/protocol/names.ts";

// Few letters and short, so that many names share their length, first, middle and last byte.
const name = fc.string({ unit: fc.constantFrom("a", "b", "ß", "\u{1f600}"), maxLength: 6 });

test("names are found by their bytes, wherever these lie, and nothing else is", () => {
  fc.assert(
    fc.property(fc.uniqueArray(name), fc.array(name), fc.nat(9), (known, asked, before) => {
      const names = new Names<string>();
      for (const one of known) names.add(one, one);
      for (const one of [...known, ...asked]) {
        const bytes = Buffer.from(`${"a".repeat(before)}${one}ab`);
        const found = names.at(bytes, before, bytes.length - 2);
        assert.equal(found, known.includes(one) ? one : undefined);
      }
    }),
  );
});

test("names that differ in nothing but a byte that no group looks at are told apart", () => {
  const names = new Names<number>();
  names.add("a-xb-z", 1);
  names.add("axxb-z", 2);
  const at = (text: string) => names.at(Buffer.from(text), 0, text.length);
  assert.deepEqual([at("a-xb-z"), at("axxb-z"), at("ayxb-z")], [1, 2, undefined]);
});
