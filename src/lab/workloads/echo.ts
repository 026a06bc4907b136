// Bytes there and back: the target echoes whatever it gets. Nothing frames them, so every echo server will do.

import { KnownAnswers } from "./known-answers.ts";
import { randomBytes, Tape } from "./tape.ts";
import type { WorkloadContext } from "./workload.ts";

export function echo({ sizes, random, verify }: WorkloadContext): KnownAnswers {
  const requests = Tape.fill(sizes, () => randomBytes(random, sizes.draw(random)));
  return new KnownAnswers({ requests, answers: requests, verify });
}
