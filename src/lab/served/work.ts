// CPU work in steps, a step being a byte that is hashed. Not "until so much time is over": a thread that others keep from its core
// would then do less of it, and many threads would look better than they are. And not a loop of our own: how fast that runs
// depends on how far the compiler has come in each thread, which for short messages takes seconds.

import { hash } from "node:crypto";

const BLOCK = Buffer.alloc(64 * 1024);

/** Hashes so many bytes. */
export function work(steps: number): void {
  for (let left = steps; left > 0; left -= BLOCK.length) {
    hash("sha256", left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK, "buffer");
  }
}

/** Steps that take a µs on this machine when nobody is in the way: the best of several tries. */
export function stepsPerUs(): number {
  const steps = 32 * BLOCK.length;
  let best = Number.POSITIVE_INFINITY;
  for (let tried = 0; tried < 12; tried++) {
    const from = performance.now();
    work(steps);
    best = Math.min(best, performance.now() - from);
  }
  return steps / (best * 1000);
}
