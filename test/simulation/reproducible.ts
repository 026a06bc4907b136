// That a seed is a run: the same one each time.

import assert from "node:assert/strict";

const SEEDS = [1, 2, 3, 17, 4711];

/** `traced` gives everything that happens in the run of a seed, in order. */
export async function assertReproducible(
  traced: (seed: number) => Promise<readonly string[]>,
): Promise<void> {
  const traces = new Set<string>();
  for (const seed of SEEDS) {
    const [one, other] = [await traced(seed), await traced(seed)];
    assert.ok(one.length > 10);
    assert.deepEqual(other, one);
    traces.add(one.join("\n"));
  }
  assert.equal(traces.size, SEEDS.length);
}
