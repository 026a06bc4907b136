// Short loads for tests.

import { type LoadOptions, planLoad } from "../../src/lab/load-plan.ts";
import type { LoadResult, StageResult } from "../../src/lab/result.ts";
import { type LoadHooks, runLoad } from "../../src/lab/run-load.ts";
import type { ServerWatch } from "../../src/lab/server-watch.ts";
import type { KnownTarget } from "./known-targets.ts";

const SHORT: LoadOptions = {
  connections: 2,
  threads: 1,
  warmUpMs: 0,
  durationMs: 300,
  coolDownMs: 0,
  timeoutMs: 10_000,
};

export async function load(
  target: Pick<KnownTarget, "address">,
  options: LoadOptions = {},
  hooks: LoadHooks = {},
  watch?: ServerWatch,
): Promise<LoadResult> {
  const plan = planLoad(target.address, { ...SHORT, ...options });
  return runLoad({ plan, arguments: [], ...(watch !== undefined && { watch }) }, hooks);
}

export function onlyStage(result: LoadResult): StageResult {
  const [stage] = result.stages;
  if (stage === undefined || result.stages.length !== 1) {
    throw new Error(`${result.stages.length} stages`);
  }
  return stage;
}

/** "3 × ECONNRESET" of each kind of error. */
export function errorCodes(result: LoadResult): string[] {
  return onlyStage(result).errors.map(({ code, count }) => `${count} × ${code}`);
}
