// Frames behind their length, four bytes big-endian: the same one comes back, or with --no-verify any. Sizes are those of
// the content.

import { lengthPrefix as lengthPrefixCodec } from "../../codec/length-prefix.ts";
import { CountedAnswers } from "./counted-answers.ts";
import { KnownAnswers } from "./known-answers.ts";
import { randomBytes, Tape } from "./tape.ts";
import type { Workload, WorkloadContext } from "./workload.ts";

const HEADER_BYTES = 4;
const LONGEST_ANSWER = 16 * 1024 * 1024;

export function lengthPrefix({ sizes, random, verify }: WorkloadContext): Workload {
  const requests = Tape.fill(sizes, () => {
    const size = sizes.draw(random);
    const frame = randomBytes(random, HEADER_BYTES + size);
    frame.writeUInt32BE(size);
    return frame;
  });
  if (verify) return new KnownAnswers({ requests, answers: requests, verify });
  const codec = lengthPrefixCodec({ header: "u32", maximumBytes: LONGEST_ANSWER });
  return new CountedAnswers(requests, codec);
}
