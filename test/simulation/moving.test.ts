// Connections that move between reactors in a simulated network, over many seeds; and bugs planted in moves, which must be
// found. (With real sockets: test/reactor/moving.test.ts.)
//
// For a long run: `SLUICE_SEEDS=100000 node --test --test-name-pattern 'every byte' test/simulation/moving.test.ts`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FAULT_NAMES, noOccurrences, OCCURRENCES } from "../../src/driver/simulated-faults.ts";
import { MOVING_PLANTS } from "./moving-plants.ts";
import { simulateMoves } from "./moving-run.ts";
import { assertReproducible } from "./reproducible.ts";
import { RESTING_PLANTS } from "./resting-plants.ts";
import { firstFound, simulateSeed, traced } from "./seeds.ts";

const SEEDS = Number(process.env.SLUICE_SEEDS ?? 300);
const FIRST_SEED = Number(process.env.SLUICE_FIRST_SEED ?? 1);
/** A planted bug is found by then. */
const PLANTED_SEEDS = 300;

describe("moves, simulated", () => {
  it(`keeps every byte, order and count over ${SEEDS} seeds`, async (test) => {
    const occurred = noOccurrences();
    const sums = {
      ...{ connections: 0, messages: 0, moved: 0, stayed: 0, lost: 0, complete: 0 },
      ...{ withInput: 0, withOutput: 0, withPause: 0, deaths: 0, died: 0, orphaned: 0 },
    };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const outcome = await simulateSeed(simulateMoves, seed);
      for (const name of OCCURRENCES) occurred[name] += outcome.occurred[name];
      for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += outcome[name];
    }
    for (const name of FAULT_NAMES) assert.ok(occurred[name] > 0, `${name} never happened`);
    for (const [name, count] of Object.entries(sums)) assert.ok(count > 0, `${name}: none`);
    assert.ok(sums.moved > 10 * SEEDS, "connections have moved");
    assert.ok(sums.complete > SEEDS / 4, "clients were shown to have read everything");
    const shown = Object.entries(sums).map(([name, count]) => `${count} ${name}`);
    test.diagnostic(shown.join(", "));
  });

  it("gives the same trace for the same seed, and different ones for different seeds", async () => {
    await assertReproducible((seed) => traced(simulateMoves, seed));
  });

  for (const { name, plant, alter } of [...MOVING_PLANTS, ...RESTING_PLANTS]) {
    it(`finds a planted bug: ${name}`, async (test) => {
      const planted = ({ seed }: { readonly seed: number }) =>
        simulateMoves({ seed, ...(alter && { alter }) });
      const seed = await firstFound(plant, PLANTED_SEEDS, planted);
      assert.ok(seed !== undefined, `not within ${PLANTED_SEEDS} seeds`);
      test.diagnostic(`seed ${seed}`);
    });
  }
});
