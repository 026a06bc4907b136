// `node scripts/simulate.ts [--seeds N] [--from N] [--all]`: simulates whole reactors, one run a seed, up to the first
// that fails (`--all`: goes on and counts). `--seed N [--trace]` runs one, and prints everything that happens. Exits with
// 1 if any failed.

import { parseArgs } from "node:util";
import { noOccurrences, OCCURRENCES } from "../src/driver/simulated-faults.ts";
import { onEventLoop } from "../test/simulation/promises.ts";
import { type Outcome, simulate } from "../test/simulation/simulate.ts";

const PROGRESS_MS = 5000;
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "10000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
  },
});

if (values.seed !== undefined) await runOne(integer("seed", values.seed), values.trace);
else await runMany(integer("from", values.from), integer("seeds", values.seeds), values.all);

async function runOne(seed: number, traced: boolean): Promise<void> {
  const trace = (line: string) => process.stdout.write(`${line}\n`);
  const outcome = await onEventLoop(() => simulate({ seed, ...(traced && { trace }) }));
  console.log(outcome);
}

async function runMany(from: number, seeds: number, all: boolean): Promise<void> {
  const occurred = noOccurrences();
  const reasons: Record<string, number> = {};
  const sums = { operations: 0, messages: 0, bytes: 0, complete: 0, hours: 0, failed: 0 };
  const start = performance.now();
  let toldMs = start;
  const tell = (seed: number) => {
    const seconds = (performance.now() - start) / 1000;
    const rate = Math.round((seed - from) / seconds);
    console.log(
      `${seed - from} of ${seeds} seeds, ${rate}/s; ${sums.operations} operations, ${sums.messages} messages, ` +
        `${sums.bytes} bytes, ${sums.complete} clients complete, ${Math.round(sums.hours)} virtual hours, ` +
        `${sums.failed} failed`,
    );
  };
  for (let seed = from; seed < from + seeds; seed++) {
    const outcome = await outcomeOf(seed);
    if (outcome === undefined) {
      process.exitCode = 1;
      sums.failed++;
      if (all) continue;
      return;
    }
    for (const name of OCCURRENCES) occurred[name] += outcome.occurred[name];
    for (const [reason, count] of Object.entries(outcome.reasons)) {
      reasons[reason] = (reasons[reason] ?? 0) + count;
    }
    sums.operations += outcome.operations;
    sums.messages += outcome.messages;
    sums.bytes += outcome.bytes;
    sums.complete += outcome.complete;
    sums.hours += outcome.virtualMs / 3_600_000;
    if (performance.now() - toldMs < PROGRESS_MS) continue;
    toldMs = performance.now();
    tell(seed + 1);
  }
  tell(from + seeds);
  console.log(occurred, reasons);
}

/** Undefined when the seed fails. */
async function outcomeOf(seed: number): Promise<Outcome | undefined> {
  try {
    return await onEventLoop(() => simulate({ seed }));
  } catch (error) {
    console.log(`seed ${seed} FAILED: ${error instanceof Error ? error.stack : String(error)}`);
    console.log(`replay: node scripts/simulate.ts --seed ${seed} --trace`);
    return undefined;
  }
}

function integer(name: string, text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new Error(`--${name} must be a whole number, not ${text}`);
}
