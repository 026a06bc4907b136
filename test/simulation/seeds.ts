// Runs of a simulation by their seeds: what a failing one tells, and the first one that sees a planted bug.

import { onEventLoop } from "./promises.ts";

/** One run. @throws Error when an oracle is violated */
export type Simulation<Outcome> = (options: {
  readonly seed: number;
  /** Told of everything that happens, in order. */
  readonly trace?: (line: string) => void;
}) => Outcome;

const LINES_TOLD = 40;

/** A seed that fails is named, and what happened last is told. */
export async function simulateSeed<Outcome>(
  simulate: Simulation<Outcome>,
  seed: number,
): Promise<Outcome> {
  try {
    return await onEventLoop(() => simulate({ seed }));
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const last = (await traced(simulate, seed)).slice(-LINES_TOLD).join("\n");
    throw new Error(`seed ${seed}: ${what}\nwhat happened last:\n${last}`, { cause: error });
  }
}

/** Everything that happens, up to the breach if there is one. */
export async function traced(simulate: Simulation<unknown>, seed: number): Promise<string[]> {
  const lines: string[] = [];
  const run = () => simulate({ seed, trace: (line) => lines.push(line) });
  await onEventLoop(run).catch((error: unknown) => lines.push(String(error)));
  return lines;
}

/** The first of so many seeds at which a planted bug is seen; `plant` returns what takes it out again. */
export async function firstFound(
  plant: () => () => void,
  seeds: number,
  simulate: Simulation<unknown>,
): Promise<number | undefined> {
  const takeOut = plant();
  try {
    for (let seed = 1; seed <= seeds; seed++) {
      try {
        await onEventLoop(() => simulate({ seed }));
      } catch {
        return seed;
      }
    }
    return undefined;
  } finally {
    takeOut();
  }
}
