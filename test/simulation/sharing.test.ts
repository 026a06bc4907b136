// Reactors that share a listener in a simulated network, over many seeds; and bugs planted in how they share it, which must be
// found. (With real sockets: test/server.)
//
// For a long run: `SLUICE_SEEDS=20000 node --test --test-name-pattern 'nobody' test/simulation/sharing.test.ts`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertReproducible } from "./reproducible.ts";
import { firstFound, simulateSeed, traced } from "./seeds.ts";
import { SHARING_PLANTS } from "./sharing-plants.ts";
import { simulateSharing } from "./sharing-run.ts";

const SEEDS = Number(process.env.SLUICE_SEEDS ?? 200);
const FIRST_SEED = Number(process.env.SLUICE_FIRST_SEED ?? 1);
/** A planted bug is found by then. */
const PLANTED_SEEDS = 200;

describe("a shared listener, simulated", () => {
  it(`forgets nobody, and keeps every byte and count over ${SEEDS} seeds`, async (test) => {
    const sums = {
      ...{ connections: 0, messages: 0, deaths: 0, died: 0, successions: 0 },
      ...{ first: 0, accepting: 0, unheard: 0, complete: 0 },
    };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const outcome = await simulateSeed(simulateSharing, seed);
      for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += outcome[name];
    }
    for (const [name, count] of Object.entries(sums)) assert.ok(count > 0, `${name}: none`);
    assert.ok(sums.accepting > sums.first / 2, "connections are spread");
    assert.ok(sums.complete > SEEDS, "clients were shown to have read everything");
    const shown = Object.entries(sums).map(([name, count]) => `${count} ${name}`);
    test.diagnostic(shown.join(", "));
  });

  it("gives the same trace for the same seed, and different ones for different seeds", async () => {
    await assertReproducible((seed) => traced(simulateSharing, seed));
  });

  for (const { name, plant } of SHARING_PLANTS) {
    it(`finds a planted bug: ${name}`, async (test) => {
      const seed = await firstFound(plant, PLANTED_SEEDS, simulateSharing);
      assert.ok(seed !== undefined, `not within ${PLANTED_SEEDS} seeds`);
      test.diagnostic(`seed ${seed}`);
    });
  }
});
