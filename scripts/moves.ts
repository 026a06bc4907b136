// `node scripts/moves.ts [--moves N] [--connections N] [--seed N]`: moves connections between two reactors under load and
// checks every byte, on each raw driver, round after round with seeds of their own. Prints a line a round; a round that fails
// says its seed, and ends with 1.

import { parseArgs } from "node:util";
import { CHOICES, sharesDescriptors } from "../src/driver/choices.ts";
import { makeDriver, probeDriver } from "../src/driver/choose-driver.ts";
import { moveUnderLoad } from "../test/support/moving-reactors.ts";

const OUTPUT_BYTES = 16 * 1024 * 1024;
const PER_ROUND = 10_000;
const { values } = parseArgs({
  options: {
    moves: { type: "string", default: "100000" },
    connections: { type: "string", default: "24" },
    seed: { type: "string", default: "1" },
  },
});
const connections = Number(values.connections);

for (const driver of CHOICES) {
  if (!sharesDescriptors(driver) || probeDriver(driver) !== undefined) continue;
  let seed = Number(values.seed);
  for (let left = Number(values.moves); left > 0; seed++) {
    const moves = Math.min(left, PER_ROUND);
    try {
      const done = await moveUnderLoad(
        (events, slots) => makeDriver(driver, { events, slots, outputBytes: OUTPUT_BYTES }),
        { connections, moves, seed },
      );
      left -= done.moved;
      console.log(`${driver} seed ${seed}: ${JSON.stringify(done)}`);
    } catch (error) {
      console.error(`${driver} seed ${seed} failed`);
      throw error;
    }
  }
}
