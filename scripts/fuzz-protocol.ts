// The long fuzzing run of SWP/1's decoder: node scripts/fuzz-protocol.ts [FRAMES] [SEED]
//
// The fast decoder against the slow one, as in the tests, over 10 million frames unless told otherwise. What differs is
// told with its seed and bytes.

import { fuzz } from "../test/protocol/fuzz.ts";

const FRAMES = 10_000_000;
const CHUNK = 500_000;

const [frames = FRAMES, first = Math.floor(Math.random() * 2 ** 31)] = process.argv
  .slice(2)
  .map(Number);
if (!(frames > 0) || !Number.isInteger(first)) {
  throw new Error("usage: node scripts/fuzz-protocol.ts [FRAMES] [SEED]");
}

const started = performance.now();
let done = 0;
let errors = 0;
for (let seed = first; done < frames; seed++) {
  const result = fuzz(Math.min(CHUNK, frames - done), seed);
  done += result.frames;
  errors += result.errors;
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(
    `seed ${seed}: ${done} frames, ${errors} streams refused, 0 differences, ${seconds} s`,
  );
}
