// A load from its plan to its result: one stage, one for each rate of a ramp, or a search for the highest rate.

import { formatAddress } from "../sys/address.ts";
import { type Condition, findMax } from "./find-max.ts";
import type { LoadPlan } from "./load-plan.ts";
import { LoadRun, type Progress } from "./load-run.ts";
import { describeMachine, sluiceVersion } from "./machine.ts";
import {
  type FindMaxResult,
  type LoadResult,
  type PlanFigures,
  RESULT_SCHEMA,
  type StageResult,
} from "./result.ts";
import type { ServerWatch } from "./server-watch.ts";

export interface LoadJob {
  readonly plan: LoadPlan;
  /** Rates to be run one after the other, each for the plan's times. */
  readonly ramp?: readonly number[];
  /** Searches from the plan's rate. */
  readonly findMax?: Condition;
  /** For the result: how it was asked for. */
  readonly arguments: readonly string[];
  /** The target's processes, where they are known. */
  readonly watch?: ServerWatch;
}

export interface LoadHooks {
  readonly progress?: (progress: Progress) => void;
  /** A stage of several is over. */
  readonly staged?: (stage: StageResult) => void;
  /** Aborted: the run ends with what there is. */
  readonly signal?: AbortSignal;
}

/**
 * Runs it. The result says what went wrong with the target; only our own mistakes throw.
 * @throws OptionError for a scenario that cannot be used
 */
export async function runLoad(job: LoadJob, hooks: LoadHooks = {}): Promise<LoadResult> {
  const { plan } = job;
  const startedAt = new Date().toISOString();
  const run = new LoadRun(plan, hooks.progress ?? (() => undefined), job.watch);
  const stop = () => run.stop();
  hooks.signal?.addEventListener("abort", stop);
  if (hooks.signal?.aborted) run.stop();
  const stages: StageResult[] = [];
  let found: FindMaxResult | null = null;
  const runStage = async (rate: number) => {
    if (run.interrupted) return undefined;
    // Those that an overload has cost are opened again.
    await run.open();
    const stage = await run.stage(rate);
    stages.push(stage);
    hooks.staged?.(stage);
    return run.interrupted ? undefined : stage;
  };
  try {
    if (job.findMax !== undefined) found = await findMax(job.findMax, plan.rate, runStage);
    else for (const rate of job.ramp ?? [plan.rate]) await runStage(rate);
  } finally {
    hooks.signal?.removeEventListener("abort", stop);
    await run.close();
  }
  const searched = found !== null && found.rate > 0;
  return {
    schema: RESULT_SCHEMA,
    sluice: sluiceVersion(),
    startedAt,
    arguments: job.arguments,
    machine: describeMachine(),
    plan: planFigures(plan),
    stages,
    serverStatistics: null,
    findMax: found,
    interrupted: run.interrupted,
    ok: !run.interrupted && (searched || stages.every(({ errors }) => errors.length === 0)),
  };
}

function planFigures(plan: LoadPlan): PlanFigures {
  const { mode, workload, size, connections, idle, depth, rate, seed, threads, driver } = plan;
  const { warmUpMs, durationMs, coolDownMs, timeoutMs } = plan;
  return {
    target: formatAddress(plan.address),
    ...{ mode, workload, size, connections, idle, depth, rate, seed, threads, driver },
    arrivals: mode === "open" ? plan.arrivals : "",
    path: workload === "http" ? plan.path : "",
    verified: plan.verify,
    ...{ warmUpMs, durationMs, coolDownMs, timeoutMs },
  };
}
