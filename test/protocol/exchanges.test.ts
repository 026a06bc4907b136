// The published exchanges: what a session sends, tells and ends with, step by step, in both roles where the rules are the same.

import { describe, test } from "node:test";
import { type Exchange, play } from "./exchange.ts";
import { readVectors } from "./vectors.ts";

for (const group of ["traces", "credit", "session", "abuse"]) {
  describe(group, () => {
    const { vectors } = readVectors<{ readonly vectors: readonly Exchange[] }>(group);
    for (const vector of vectors) {
      for (const role of vector.roles) test(`${vector.rule}: ${role}`, () => play(vector, role));
    }
  });
}
