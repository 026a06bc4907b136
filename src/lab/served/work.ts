// CPU work in steps. Not "until so much time is over": a thread that others keep from its core would then do less of it, and
// many threads would look better than they are.

/** Multiplies and adds, `steps` times; the result is there so that nobody can leave the work out. */
export function work(steps: number): number {
  let value = 1;
  for (let step = 0; step < steps; step++)
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) | 0;
  return value;
}

/** Steps that take a µs on this machine when nobody is in the way: the best of several tries. */
export function stepsPerUs(): number {
  const steps = 2_000_000;
  let best = Number.POSITIVE_INFINITY;
  for (let tried = 0; tried < 8; tried++) {
    const from = performance.now();
    work(steps);
    best = Math.min(best, performance.now() - from);
  }
  return steps / (best * 1000);
}
