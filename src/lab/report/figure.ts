// One figure of a contender at a point of an axis, over all rounds: its middle, and the interval that it may as well be in.
//
// The interval holds every round's figure, and the 99 % interval of the median over the slices of time of all rounds, where the
// figure has them. Slices alone would know nothing of what differs from start to start, rounds are too few to know
// much: what overlaps by both is called no difference.

import { independent } from "../comparison.ts";
import type { LabRun } from "../lab-result.ts";
import { type Interval, medianInterval } from "../rank-statistics.ts";
import type { LatencyFigures, Slice, StageResult } from "../result.ts";
import type { Unit } from "./plot.ts";

export interface Figure {
  readonly name: string;
  readonly unit: Unit;
  readonly better: "more" | "less";
  /** For a sentence that says who is best: "answers most", "is fastest". */
  readonly best: string;
  ofRun(run: LabRun): number | undefined;
  /** Undefined where slices have none. */
  readonly ofSlice?: (slice: Slice) => number | undefined;
}

/** Below, a median's interval is as wide as the sample. */
const LEAST_SLICES = 8;
const CONFIDENCE = 0.99;

/** A figure of the load's only stage. */
function ofStage(value: (stage: StageResult) => number | undefined) {
  return ({ load }: LabRun) => {
    const stage = load?.stages[0];
    return stage === undefined ? undefined : value(stage);
  };
}

/** So many messages have to be slower than a percentile, else chance has chosen it. */
const LEAST_BEYOND = 5;
export const LEAST_FOR_P99_9 = LEAST_BEYOND * 1000;

/** Undefined where so few messages say nothing of it. */
function percentile(share: number, of: (response: LatencyFigures) => number) {
  return ofStage(({ response }) =>
    Math.round(response.count * (1 - share)) < LEAST_BEYOND ? undefined : of(response),
  );
}

const answered = (slice: Slice, value: number) => (slice.messages > 0 ? value : undefined);

export const THROUGHPUT: Figure = {
  name: "messages/s",
  unit: "rate",
  better: "more",
  best: "answers most",
  ofRun: ofStage((stage) => stage.messagesPerSecond),
  ofSlice: ({ messages, fromMs, toMs }) => (messages * 1000) / (toMs - fromMs),
};

export const P50: Figure = {
  name: "p50",
  unit: "time",
  better: "less",
  best: "has the shortest p50",
  ofRun: percentile(0.5, ({ p50 }) => p50),
  ofSlice: (slice) => answered(slice, slice.p50),
};

export const P99: Figure = {
  name: "p99",
  unit: "time",
  better: "less",
  best: "has the shortest p99",
  ofRun: percentile(0.99, ({ p99 }) => p99),
};

export const P99_9: Figure = {
  name: "p99.9",
  unit: "time",
  better: "less",
  best: "has the shortest p99.9",
  ofRun: percentile(0.999, ({ p99_9 }) => p99_9),
};

export const MEMORY: Figure = {
  name: "memory",
  unit: "memory",
  better: "less",
  best: "takes the least memory",
  ofRun: ofStage((stage) => stage.server?.memoryBytes),
};

export const PEAK_MEMORY: Figure = {
  name: "most memory",
  unit: "memory",
  better: "less",
  best: "takes the least memory at its peak",
  ofRun: ofStage((stage) => stage.server?.peakMemoryBytes),
};

export const THREADS: Figure = {
  name: "threads",
  unit: "count",
  better: "less",
  best: "has the fewest threads",
  ofRun: ofStage((stage) => stage.server?.threads),
};

export const CPU: Figure = {
  name: "CPU a message",
  unit: "time",
  better: "less",
  best: "takes the least CPU a message",
  ofRun: ofStage(({ server, messages }) => (messages > 0 ? server?.cpuUsPerMessage : undefined)),
};

export const SWITCHES: Figure = {
  name: "context switches/s",
  unit: "rate",
  better: "less",
  best: "switches context least",
  ofRun: ofStage((stage) =>
    stage.server === null || stage.seconds === 0
      ? undefined
      : (stage.server.voluntarySwitches + stage.server.involuntarySwitches) / stage.seconds,
  ),
};

/** What an experiment has counted itself. */
export function counted(name: string, about: Omit<Figure, "name" | "ofRun"> & { label: string }) {
  const figure: Figure = { ...about, name: about.label, ofRun: ({ values }) => values[name] };
  return figure;
}

/** The figure of these runs: of one contender at one point. Undefined when none has it. */
export function intervalOf(runs: readonly LabRun[], figure: Figure): Interval | undefined {
  const ofRuns = runs.flatMap((run) => figure.ofRun(run) ?? []).sort((a, b) => a - b);
  const [least, most] = [ofRuns[0], ofRuns.at(-1)];
  if (least === undefined || most === undefined) return undefined;
  const middle = ofRuns[Math.floor((ofRuns.length - 1) / 2)] as number;
  const upperMiddle = ofRuns[Math.floor(ofRuns.length / 2)] as number;
  const value = (middle + upperMiddle) / 2;
  const slices = sliceInterval(runs, figure);
  return {
    value,
    lower: Math.min(least, slices?.lower ?? least, value),
    upper: Math.max(most, slices?.upper ?? most, value),
  };
}

function sliceInterval(runs: readonly LabRun[], { ofSlice }: Figure): Interval | undefined {
  if (ofSlice === undefined) return undefined;
  const values = runs.flatMap(({ load }) =>
    independent(
      (load?.stages[0]?.slices ?? []).flatMap((slice) =>
        slice.toMs > slice.fromMs ? (ofSlice(slice) ?? []) : [],
      ),
    ),
  );
  return values.length < LEAST_SLICES ? undefined : medianInterval(values, CONFIDENCE);
}
