// Whole reactors in a simulated network, over many seeds; and bugs planted in them, which must be found.
//
// For a long run: `node scripts/simulate.ts --seeds 200000`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FAULT_NAMES, noOccurrences, OCCURRENCES } from "../../src/driver/simulated-faults.ts";
import type { CloseReason } from "../../src/handlers.ts";
import { PLANTS } from "./plants.ts";
import { onEventLoop } from "./promises.ts";
import { assertReproducible } from "./reproducible.ts";
import { firstFound, traced } from "./seeds.ts";
import { type Outcome, simulate } from "./simulate.ts";

const SEEDS = 500;
/** Of the planted bugs, so many may be missed. */
const MISSED = 0.1;
const REASONS: readonly CloseReason[] = [
  "peer-ended",
  "closed",
  "reset",
  "error",
  "first-byte",
  "idle",
  "write",
  "overflow",
  "memory",
  "protocol",
  "handler",
  "shutdown",
];

describe("reactors, simulated", () => {
  const occurred = noOccurrences();
  const reasons = new Map<CloseReason, number>();
  const sums = { sessions: 0, messages: 0, bytes: 0, operations: 0, complete: 0 };

  it(`keeps every byte, order and count over ${SEEDS} seeds`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = await onEventLoop(() => simulateSeed(seed));
      for (const name of OCCURRENCES) occurred[name] += outcome.occurred[name];
      for (const reason of REASONS) {
        reasons.set(reason, (reasons.get(reason) ?? 0) + (outcome.reasons[reason] ?? 0));
      }
      sums.sessions += outcome.sessions;
      sums.messages += outcome.messages;
      sums.bytes += outcome.bytes;
      sums.operations += outcome.operations;
      sums.complete += outcome.complete;
    }
    assert.ok(sums.complete > SEEDS, "many clients were shown to have read everything");
  });

  it("really had each kind of fault, and each reason to close", (test) => {
    for (const name of OCCURRENCES) assert.ok(occurred[name] > 0, `${name} never happened`);
    for (const reason of REASONS) assert.ok((reasons.get(reason) ?? 0) > 0, `${reason} never was`);
    const shown = [
      ...Object.entries(sums).map(([name, count]) => `${count} ${name}`),
      ...FAULT_NAMES.map((name) => `${name} ${occurred[name]}`),
      ...REASONS.map((reason) => `${reason} ${reasons.get(reason)}`),
    ];
    test.diagnostic(shown.join(", "));
  });

  it("gives the same trace for the same seed, and different ones for different seeds", async () => {
    await assertReproducible((seed) => traced(simulate, seed));
  });
});

describe("reactors, simulated: planted bugs", () => {
  it(`finds at least nine of ten within ${SEEDS} seeds`, async (test) => {
    const found: string[] = [];
    const missed: string[] = [];
    for (const { name, plant, planted } of PLANTS) {
      const run = ({ seed }: { readonly seed: number }) =>
        simulate({ seed, ...(planted && { plant: planted }) });
      const seed = await firstFound(plant, SEEDS, run);
      if (seed === undefined) missed.push(name);
      else found.push(`seed ${seed}: ${name}`);
    }
    assert.ok(PLANTS.length >= 20);
    assert.ok(missed.length <= PLANTS.length * MISSED, `missed: ${missed.join("; ")}`);
    test.diagnostic(`${found.length} of ${PLANTS.length} found: ${found.join("; ")}`);
  });
});

/** A seed that fails is named, with the command that shows it. */
function simulateSeed(seed: number): Outcome {
  try {
    return simulate({ seed });
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const replay = `node scripts/simulate.ts --seed ${seed} --trace`;
    throw new Error(`seed ${seed}: ${what}\nreplay: ${replay}`, { cause: error });
  }
}
