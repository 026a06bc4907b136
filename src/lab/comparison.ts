// Is b slower than a? Two sides, each one run or several of the same thing.
//
// Messages of one run are no independent sample: neighbours share a queue, a cache, a mood of the machine, and a million of
// them would call any breath of air a difference. So a sample is made of slices of time (or, with six runs or more a side,
// of runs); neighbouring slices that are alike are put together until what is left is nearly independent.
// A difference is called when the rank test finds it (α shared among the figures that decide) *and* it is larger than
// the margin, 3 % unless told otherwise: a difference that is real but small is not worth a verdict (decision 0032).

import { OptionError } from "../limits.ts";
import { type NamedResult, whyIncomparable } from "./comparable.ts";
import {
  type Interval,
  medianInterval,
  neighbourCorrelation,
  type RankTest,
  rankTest,
  ratioInterval,
} from "./rank-statistics.ts";
import type { Mode, Slice, StageResult } from "./result.ts";

export type Verdict = "faster" | "slower" | "no difference";

/**
 * "mixed": the figures contradict each other. "no difference shown": none was found, but the interval of a figure is so wide that
 * there may be one.
 */
export type OverallVerdict = Verdict | "mixed" | "no difference shown";

export interface Comparison {
  readonly baseline: string;
  readonly candidate: string;
  readonly stages: readonly StageComparison[];
  /** Over all stages and the figures that decide. */
  readonly verdict: OverallVerdict;
  /** What to keep in mind. */
  readonly remarks: readonly string[];
}

export interface StageComparison {
  readonly wantedRate: number;
  readonly figures: readonly FigureComparison[];
}

export interface FigureComparison {
  readonly name: string;
  readonly unit: "1/s" | "µs";
  /** Whether the overall verdict listens to it. */
  readonly decides: boolean;
  readonly baseline: Interval;
  readonly candidate: Interval;
  /** Candidate by baseline. */
  readonly ratio: Interval;
  readonly test: RankTest;
  /** How many independent values the two sides have. */
  readonly samples: readonly [number, number];
  readonly verdict: Verdict;
  /** "no difference" is shown, not only nothing found: the ratio's interval lies within the margin. */
  readonly precise: boolean;
}

export interface CompareOptions {
  /** Smallest difference worth a verdict. Default 0.03. */
  readonly margin?: number;
}

const MARGIN = 0.03;
const CONFIDENCE = 0.99;
/** p below which a difference counts: of runs; and of slices, which are only nearly independent of each other. */
const LEVEL_OF_RUNS = 0.01;
const LEVEL_OF_SLICES = 0.002;
/** The normal distribution's quantile for it, two-sided. */
const NORMAL_QUANTILE = 2.5758;
/** From so many runs a side on, runs are the sample. */
const RUNS_ARE_SAMPLES = 6;
/** Fewer say nothing. */
const LEAST_SAMPLES = 8;
/** Neighbours that are more alike are no two values. */
const ALIKE = 0.15;

/** Of a slice, what figures are made of; or of several together. */
type Counted = Omit<Slice, "errors" | "p99_9" | "max" | "mean">;

interface Figure {
  readonly name: string;
  readonly unit: "1/s" | "µs";
  readonly higherIsBetter: boolean;
  /** A run's is that of all its slices together, stalls among them; of the others it is the median of the slices'. */
  readonly adds: boolean;
  decides(mode: Mode): boolean;
  of(slice: Counted): number | undefined;
}

const FIGURES: readonly Figure[] = [
  {
    name: "messages/s",
    unit: "1/s",
    higherIsBetter: true,
    adds: true,
    decides: (mode) => mode !== "open",
    of: ({ messages, fromMs, toMs }) => (messages * 1000) / (toMs - fromMs),
  },
  {
    name: "response p50",
    unit: "µs",
    higherIsBetter: false,
    adds: false,
    decides: (mode) => mode === "open",
    of: ({ messages, p50 }) => (messages > 0 ? p50 : undefined),
  },
  {
    name: "response p99",
    unit: "µs",
    higherIsBetter: false,
    adds: false,
    decides: (mode) => mode === "open",
    of: ({ messages, p99 }) => (messages > 0 ? p99 : undefined),
  },
  {
    name: "server CPU a message",
    unit: "µs",
    higherIsBetter: false,
    adds: true,
    decides: () => false,
    of: ({ messages, serverCpuMs }) =>
      messages > 0 && serverCpuMs !== null && serverCpuMs > 0
        ? (serverCpuMs * 1000) / messages
        : undefined,
  },
];

/**
 * Compares the candidate with the baseline.
 * @throws OptionError that says why they cannot be compared
 */
export function compareResults(
  baseline: readonly NamedResult[],
  candidate: readonly NamedResult[],
  options: CompareOptions = {},
): Comparison {
  const all = [...baseline, ...candidate];
  const [why, ...more] = whyIncomparable(all);
  if (why !== undefined) {
    const others = more.length === 0 ? "" : ` (and ${more.length} more reasons)`;
    throw new OptionError(`not comparable: ${why}${others}`);
  }
  const margin = options.margin ?? MARGIN;
  const count = baseline[0]?.result.stages.length ?? 0;
  const stages = Array.from({ length: count }, (_, n) =>
    compareStages(stagesOf(baseline, n), stagesOf(candidate, n), modeOf(baseline), margin),
  );
  const deciding = stages.flatMap(({ figures }) => figures.filter(({ decides }) => decides));
  return {
    baseline: baseline.map(({ name }) => name).join(", "),
    candidate: candidate.map(({ name }) => name).join(", "),
    stages,
    verdict: overall(deciding),
    remarks: remarks(baseline, candidate),
  };
}

function compareStages(
  a: readonly StageResult[],
  b: readonly StageResult[],
  mode: Mode,
  margin: number,
): StageComparison {
  const there = FIGURES.flatMap((figure) => {
    const [from, to] = [sample(a, figure, areRuns(a, b)), sample(b, figure, areRuns(a, b))];
    const enough = Math.min(from.length, to.length) >= leastSamples(a, b);
    return enough ? [{ figure, from, to }] : [];
  });
  if (!there.some(({ figure }) => figure.decides(mode))) {
    throw new OptionError(
      `not comparable: too few slices say something (${LEAST_SAMPLES} a side are needed): run longer`,
    );
  }
  // Bonferroni: with several that decide, one would stand out by chance.
  const level = levelOf(a, b) / there.filter(({ figure }) => figure.decides(mode)).length;
  const figures = there.map(({ figure, from, to }) => {
    const test = rankTest(from, to);
    const ratio = ratioInterval(from, to, NORMAL_QUANTILE);
    return {
      name: figure.name,
      unit: figure.unit,
      decides: figure.decides(mode),
      baseline: medianInterval(from, CONFIDENCE),
      candidate: medianInterval(to, CONFIDENCE),
      ratio,
      test,
      samples: [from.length, to.length] as const,
      verdict: judge(figure, ratio.value, test.pValue < level, margin),
      precise: !isLarge(ratio.lower, margin) && !isLarge(ratio.upper, margin),
    };
  });
  return { wantedRate: a[0]?.wantedRate ?? 0, figures };
}

function judge(figure: Figure, ratio: number, significant: boolean, margin: number): Verdict {
  if (!significant || !isLarge(ratio, margin)) return "no difference";
  return ratio > 1 === figure.higherIsBetter ? "faster" : "slower";
}

/** The same distance on both sides: a third less is as far as half as much again. */
function isLarge(ratio: number, margin: number): boolean {
  return Math.abs(Math.log(ratio)) >= Math.log(1 + margin);
}

function overall(deciding: readonly FigureComparison[]): OverallVerdict {
  const verdicts = deciding.map(({ verdict }) => verdict);
  const slower = verdicts.includes("slower");
  const faster = verdicts.includes("faster");
  if (slower && faster) return "mixed";
  if (slower) return "slower";
  if (faster) return "faster";
  return deciding.every(({ precise }) => precise) ? "no difference" : "no difference shown";
}

/** Nearly independent values: of runs, or of slices with what is alike put together. */
function sample(stages: readonly StageResult[], figure: Figure, ofRuns: boolean): number[] {
  return stages.flatMap(({ slices }) => {
    const all = answered(slices);
    const values = positive(figure, all);
    if (!ofRuns) return independent(values);
    if (figure.adds)
      return positive(
        figure,
        all.slice(0, 1).map(() => all.reduce(together)),
      );
    return values.length === 0 ? [] : [median(values)];
  });
}

function positive(figure: Figure, slices: readonly Counted[]): number[] {
  return slices.flatMap((slice) => {
    const value = slice.toMs > slice.fromMs ? figure.of(slice) : undefined;
    return value === undefined || !(value > 0) ? [] : [value];
  });
}

/** A slice in which nothing was answered is a part of the one before (at the beginning, of the next): its time counts. */
function answered(slices: readonly Slice[]): Counted[] {
  const all: Counted[] = [];
  for (const slice of slices) {
    const last = all.at(-1);
    if (last !== undefined && (slice.messages === 0 || last.messages === 0)) {
      all[all.length - 1] = together(last, slice);
    } else all.push(slice);
  }
  return all;
}

/** Two neighbours as one; its times are those of the one that has some. */
function together(a: Counted, b: Counted): Counted {
  const { p50, p99 } = a.messages > 0 ? a : b;
  const cpuMs =
    a.serverCpuMs === null || b.serverCpuMs === null ? null : a.serverCpuMs + b.serverCpuMs;
  return {
    ...b,
    fromMs: a.fromMs,
    messages: a.messages + b.messages,
    p50,
    p99,
    serverCpuMs: cpuMs,
  };
}

function areRuns(a: readonly StageResult[], b: readonly StageResult[]): boolean {
  return Math.min(a.length, b.length) >= RUNS_ARE_SAMPLES;
}

function leastSamples(a: readonly StageResult[], b: readonly StageResult[]): number {
  return areRuns(a, b) ? RUNS_ARE_SAMPLES : LEAST_SAMPLES;
}

function levelOf(a: readonly StageResult[], b: readonly StageResult[]): number {
  return areRuns(a, b) ? LEVEL_OF_RUNS : LEVEL_OF_SLICES;
}

/** Pairs of neighbours become their mean for as long as neighbours are alike and enough are left. */
export function independent(values: readonly number[]): readonly number[] {
  if (values.length < LEAST_SAMPLES * 2 || neighbourCorrelation(values) < ALIKE) return values;
  const pairs = Array.from({ length: Math.floor(values.length / 2) }, (_, n) => {
    return ((values[n * 2] as number) + (values[n * 2 + 1] as number)) / 2;
  });
  return independent(pairs);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return (at(Math.floor((sorted.length - 1) / 2)) + at(Math.floor(sorted.length / 2))) / 2;
}

function stagesOf(side: readonly NamedResult[], n: number): StageResult[] {
  return side.flatMap(({ result }) => result.stages[n] ?? []);
}

function modeOf(side: readonly NamedResult[]): Mode {
  return side[0]?.result.plan.mode ?? "closed";
}

function remarks(baseline: readonly NamedResult[], candidate: readonly NamedResult[]): string[] {
  const said: string[] = [];
  for (const { name, result } of [...baseline, ...candidate]) {
    if (result.stages.some(({ generator }) => generator.bottleneck !== null)) {
      said.push(`in ${name} the generator was the bottleneck: a difference may be hidden`);
    }
  }
  if (Math.min(baseline.length, candidate.length) < RUNS_ARE_SAMPLES) {
    said.push(
      `within a run all is alike that differs from run to run: ${RUNS_ARE_SAMPLES} runs a side, taken in turns, say more`,
    );
  }
  return said;
}
