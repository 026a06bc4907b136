// A line there, a line back: the same one, or with --no-verify any. Sizes count the line's ending.

import { lines as linesCodec } from "../../codec/lines.ts";
import { CountedAnswers } from "./counted-answers.ts";
import { KnownAnswers } from "./known-answers.ts";
import { randomText, Tape } from "./tape.ts";
import type { Workload, WorkloadContext } from "./workload.ts";

const LONGEST_ANSWER = 16 * 1024 * 1024;

export function lines({ sizes, random, verify }: WorkloadContext): Workload {
  const requests = Tape.fill(sizes, () => {
    const line = randomText(random, sizes.draw(random));
    line[line.length - 1] = 10;
    return line;
  });
  if (verify) return new KnownAnswers({ requests, answers: requests, verify });
  return new CountedAnswers(requests, linesCodec({ maximumBytes: LONGEST_ANSWER }));
}
