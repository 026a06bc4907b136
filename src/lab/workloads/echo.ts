// Bytes there and back: the target echoes whatever it gets. Nothing frames them, so every echo server will do.

import { EchoedAnswers } from "./echoed-answers.ts";
import { randomBytes, Tape } from "./tape.ts";
import type { WorkloadContext } from "./workload.ts";

export function echo({ sizes, random, verify }: WorkloadContext): EchoedAnswers {
  const varies = sizes.least !== sizes.most;
  const tape = Tape.fill(sizes.mean, varies, () => randomBytes(random, sizes.draw(random)));
  return new EchoedAnswers(tape, verify);
}
