// The highest rate at which a condition holds: doubled until it does not, then halved in between. It ends at once where nothing
// is answered at all.
//
// A rate meets the condition when the quantile is below its limit, nothing failed, and the rate was kept: a target that
// answers fast only because less was asked of it has not passed.

import { OptionError } from "../limits.ts";
import type { FindMaxResult, LatencyFigures, StageResult } from "./result.ts";

export interface Condition {
  /** As it was written. */
  readonly text: string;
  readonly limitUs: number;
  valueUs(response: LatencyFigures): number;
}

const UNITS: Readonly<Record<string, number>> = { us: 1, µs: 1, ms: 1000, s: 1_000_000 };
/** Of the rate that was asked for, this share must have left and have been answered. */
const KEPT = 0.99;
/** The search ends when what passed and what failed are this near. */
const NEAR = 1.05;
const MOST_STAGES = 40;
const MOST_RATE = 50_000_000;

/** @throws OptionError unless it is like "p99<5ms" */
export function parseCondition(text: string): Condition {
  const match = /^(p50|p90|p99|p99\.9|p99\.99|max|mean)\s*<\s*(\d+(?:\.\d+)?)(us|µs|ms|s)$/.exec(
    text.trim(),
  );
  if (match === null) {
    throw new OptionError(
      `a condition is like "p99<5ms" (p50, p90, p99, p99.9, p99.99, max or mean; us, ms or s), not "${text}"`,
    );
  }
  const [, name = "p99", value = "0", unit = "ms"] = match;
  const field = name.replace(".", "_") as "p50" | "p90" | "p99" | "p99_9" | "p99_99" | "max";
  return {
    text: text.trim(),
    limitUs: Number(value) * (UNITS[unit] ?? 1),
    valueUs: (response) => response[field],
  };
}

/** Why a stage does not meet the condition, or undefined when it does. */
export function whyNot(condition: Condition, stage: StageResult): string | undefined {
  const { wantedRate, response, errors } = stage;
  const [error] = errors;
  const rate = Math.round(wantedRate);
  if (error !== undefined) {
    const what = response.count === 0 ? "nothing was answered" : "there were errors";
    return `at ${rate}/s ${what} (${error.count} × ${error.code})`;
  }
  const value = condition.valueUs(response);
  if (value >= condition.limitUs) {
    return `at ${rate}/s ${condition.text} does not hold: it is ${(value / 1000).toFixed(3)} ms`;
  }
  const kept = Math.min(stage.sentPerSecond, stage.messagesPerSecond);
  if (kept < wantedRate * KEPT) return `at ${rate}/s only ${Math.round(kept)}/s were answered`;
  return undefined;
}

/** `run` runs a stage at a rate; undefined when the run was interrupted. */
export async function findMax(
  condition: Condition,
  startRate: number,
  run: (rate: number) => Promise<StageResult | undefined>,
): Promise<FindMaxResult> {
  let passed = 0;
  let failed = Number.POSITIVE_INFINITY;
  let why = "interrupted before any rate was found";
  let generatorGaveOut = false;
  let rate = startRate;
  for (let n = 0; n < MOST_STAGES; n++) {
    const stage = await run(rate);
    if (stage === undefined) break;
    const reason = whyNot(condition, stage);
    if (reason === undefined) {
      passed = rate;
    } else {
      failed = rate;
      generatorGaveOut = stage.generator.bottleneck !== null;
      why = generatorGaveOut ? `at ${Math.round(rate)}/s the generator was the bottleneck` : reason;
      // Nobody is there, or it speaks something else: a lower rate does not help, and each step takes its time-outs.
      if (stage.response.count === 0 && stage.errors.length > 0) break;
    }
    const next = nextRate(passed, failed);
    if (next === undefined) break;
    rate = next;
  }
  const failedRate = Number.isFinite(failed) && !generatorGaveOut ? Math.round(failed) : null;
  return { condition: condition.text, rate: Math.round(passed), failedRate, why };
}

function nextRate(passed: number, failed: number): number | undefined {
  if (failed === Number.POSITIVE_INFINITY) return passed >= MOST_RATE ? undefined : passed * 2;
  if (passed === 0) return failed <= 1 ? undefined : failed / 2;
  return failed / passed <= NEAR ? undefined : Math.sqrt(passed * failed);
}
