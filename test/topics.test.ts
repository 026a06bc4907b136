// The tree of topics against an oracle that is slow and obvious: every pattern is compared with every topic, token by token.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { checkPattern, checkTopic, TopicTree } from "../src/topics.ts";

/** Whether a pattern matches, by reading the grammar aloud. */
function matches(pattern: string, topic: string): boolean {
  const wanted = pattern.split(".");
  const given = topic.split(".");
  for (const [at, token] of wanted.entries()) {
    if (token === ">") return given.length > at;
    if (given[at] === undefined || (token !== "*" && token !== given[at])) return false;
  }
  return wanted.length === given.length;
}

const WORD = fc.constantFrom("a", "b", "c");
const TOPIC = fc.array(WORD, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
const PATTERN = fc
  .tuple(fc.array(fc.oneof(WORD, fc.constant("*")), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([tokens, rest]) => [...tokens, ...(rest ? [">"] : [])].join("."));
const STEP = fc.record({ add: fc.boolean(), pattern: PATTERN, value: fc.nat(3) });

describe("topics", () => {
  test("whatever is subscribed and unsubscribed, the tree finds who the oracle finds", () => {
    fc.assert(
      fc.property(
        fc.array(STEP, { maxLength: 40, size: "max" }),
        fc.array(TOPIC),
        (steps, topics) => {
          const tree = new TopicTree<number>();
          const oracle = new Set<string>();
          for (const { add, pattern, value } of steps) {
            const key = `${value} ${pattern}`;
            const changed = add ? !oracle.has(key) : oracle.has(key);
            assert.equal(add ? tree.add(pattern, value) : tree.delete(pattern, value), changed);
            if (add) oracle.add(key);
            else oracle.delete(key);
            assert.equal(tree.size, oracle.size);
          }
          for (const topic of topics) {
            const wanted = [...oracle]
              .map((key) => key.split(" ") as [string, string])
              .filter(([, pattern]) => matches(pattern, topic))
              .map(([value]) => Number(value));
            const found = [...(tree.matching(topic) ?? [])];
            assert.deepEqual(found.toSorted(), [...new Set(wanted)].toSorted(), topic);
          }
          // What is gone leaves nothing behind: a tree like new.
          for (const key of oracle) {
            const [value, pattern = ""] = key.split(" ");
            assert.equal(tree.delete(pattern, Number(value)), true);
          }
          assert.deepEqual([tree.size, tree.matching("a")], [0, undefined]);
        },
      ),
    );
  });

  test("a topic or a subscription that is none is refused with what is wrong", () => {
    const refused: [(topic: string) => void, string, RegExp][] = [
      [checkTopic, "", /no token between dots may be empty/],
      [checkTopic, "a..b", /no token between dots may be empty/],
      [checkTopic, "a.*", /are for subscriptions/],
      [checkTopic, "a.>", /are for subscriptions/],
      [checkTopic, "a b", /whitespace/],
      [checkTopic, "a\0", /whitespace/],
      [checkTopic, "é".repeat(128), /at most 255 bytes/],
      [checkTopic, Array(17).fill("a").join("."), /at most 16 tokens/],
      [checkPattern, "a.>.b", /must be the last token/],
      [checkPattern, ".", /may be empty/],
    ];
    for (const [check, topic, message] of refused) {
      assert.throws(
        () => check(topic),
        (error) => error instanceof RangeError && message.test(error.message),
        topic,
      );
    }
    checkTopic("a*.b>");
    checkTopic("é".repeat(127));
    checkTopic(Array(16).fill("a").join("."));
    checkPattern("*.a.>");
    checkPattern(">");
  });
});
