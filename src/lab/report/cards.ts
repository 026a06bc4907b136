// The cards that every sweep has: a figure along the axis, the distribution of times, and a timeline of each run.

import type { ExperimentResult, LabRun } from "../lab-result.ts";
import { count, time } from "../units.ts";
import {
  CPU,
  type Figure,
  LEAST_FOR_P99_9,
  MEMORY,
  P50,
  P99,
  P99_9,
  SWITCHES,
  THREADS,
  THROUGHPUT,
} from "./figure.ts";
import { type Grid, gridOf, partOf } from "./grid.ts";
import {
  type Axis,
  type Card,
  type PartAbout,
  type Plot,
  type Series,
  seriesOf,
  type View,
} from "./plot.ts";
import { capital, sentences, written } from "./sentences.ts";

export interface FigureCard {
  readonly title: string;
  readonly figures: readonly Figure[];
  /** "fit": logarithmic where linear would press most of it onto the axis. */
  readonly scale?: Axis["scale"] | "fit";
}

/** The greatest of a linear axis by its least: beyond this the least cannot be told from nothing. */
const MOST_LINEAR = 20;

const THROUGHPUT_TITLE = "Throughput";
const ALL: readonly FigureCard[] = [
  { title: THROUGHPUT_TITLE, figures: [THROUGHPUT] },
  { title: "Response time", figures: [P99, P50, P99_9], scale: "log" },
  { title: "Memory", figures: [MEMORY], scale: "fit" },
  { title: "Threads", figures: [THREADS], scale: "log" },
  { title: "CPU time of the server for a message", figures: [CPU], scale: "log" },
  { title: "Context switches of the server", figures: [SWITCHES], scale: "log" },
];

/** Everything that there is to see in a sweep under load. */
export function sweepCards(result: ExperimentResult, about: PartAbout): Card[] {
  const runs = partOf(result.runs, about.part);
  if (runs.length === 0) return [];
  return [
    ...ALL.map((card) => figureCard(result, about, fitted(card, about))),
    distributionCard(result, about),
    timelineCard(result, about),
  ];
}

/** What a burden leaves of the throughput is often little. */
function fitted(card: FigureCard, { burden = false }: PartAbout): FigureCard {
  return burden && card.title === THROUGHPUT_TITLE ? { ...card, scale: "fit" } : card;
}

export function figureCard(
  result: ExperimentResult,
  about: PartAbout,
  { title, figures, scale = "linear" }: FigureCard,
): Card {
  const runs = partOf(result.runs, about.part);
  const names = result.contenders.map(({ name }) => name);
  const grids = withRows(figures.map((figure) => gridOf(runs, names, figure)));
  const views = grids.map((grid) => ({
    name: grid.figure.name,
    text: [sentences(grid, about).join(" ")],
    plots: [gridPlot(grid, about, scale === "fit" ? fitting(grid) : scale)],
  }));
  // Once for a part: beside what is looked at first.
  const text = figures.includes(THROUGHPUT) ? errorSentences(runs, about) : [];
  return { title, text, views };
}

/**
 * Those in which a line can be seen, the most values first; where there is none, the one with the most, be it that it says that
 * there is nothing.
 */
function withRows(grids: readonly Grid[]): readonly Grid[] {
  const cells = ({ rows }: Grid) => rows.map((row) => row.cells.filter((cell) => cell).length);
  const all = (grid: Grid) => cells(grid).reduce((sum, count) => sum + count, 0);
  const most = [...grids].sort((a, b) => all(b) - all(a));
  const needed = Math.min(new Set(grids.flatMap(({ xs }) => xs)).size, 2);
  const seen = most.filter((grid) => grid.rows.length > 0 && Math.max(...cells(grid)) >= needed);
  return seen.length > 0 ? seen : most.slice(0, 1);
}

function fitting({ rows }: Grid): Axis["scale"] {
  const values = rows.flatMap(({ cells }) => cells.flatMap((cell) => cell?.value ?? []));
  const least = Math.min(...values);
  return least > 0 && Math.max(...values) > least * MOST_LINEAR ? "log" : "linear";
}

function gridPlot(grid: Grid, about: PartAbout, scale: Axis["scale"]): Plot {
  const { figure, xs, rows } = grid;
  const series = rows.map(({ contender, place, cells }): Series => {
    const line = seriesOf(
      contender,
      place,
      cells.map((cell) => positive(cell?.value, scale)),
    );
    return {
      ...line,
      lows: cells.map((cell) => positive(cell?.lower, scale)),
      highs: cells.map((cell) => positive(cell?.upper, scale)),
    };
  });
  const y: Axis = { label: figure.name, unit: figure.unit, scale };
  return { x: about.x, y, xs, points: true, series };
}

/** A logarithm has no place for zero. */
function positive(value: number | undefined, scale: Axis["scale"]): number | null {
  if (value === undefined || (scale === "log" && value <= 0)) return null;
  return value;
}

/** Runs with errors: their figures say less than others. */
export function errorSentences(runs: readonly LabRun[], about: PartAbout): string[] {
  const counted = new Map<string, number>();
  for (const { contender, x, load } of runs) {
    for (const { code, count } of load?.stages[0]?.errors ?? []) {
      const key = `${contender} at ${about.at(x)}: ${code}`;
      counted.set(key, (counted.get(key) ?? 0) + count);
    }
  }
  if (counted.size === 0) return [];
  const list = [...counted].map(([key, count]) => `${key} × ${count}`);
  const shown = list.slice(0, 6).join("; ");
  return [`Errors: ${shown}${list.length > 6 ? ` and ${list.length - 6} more kinds` : ""}.`];
}

/** Shares of messages by how long they took, one view a point; the steps of nines as a scale of their own. */
function distributionCard(result: ExperimentResult, about: PartAbout): Card {
  const runs = partOf(result.runs, about.part);
  const names = result.contenders.map(({ name }) => name);
  const xs = [...new Set(runs.map(({ x }) => x))].sort((a, b) => b - a);
  const views = xs.map((x): View => {
    const at = runs.filter((run) => run.x === x);
    return {
      name: about.at(x),
      text: [spreadSentence(at, names, about.at(x))],
      plots: [distributionPlot(at, names)],
    };
  });
  return { title: "Distribution of response times", text: [], views, wide: true };
}

/** Nines: 0.5 is half way to the first, 0.9 is 1, 0.99 is 2, … */
const NINES = Array.from({ length: 81 }, (_, step) => step / 20);

function distributionPlot(runs: readonly LabRun[], names: readonly string[]): Plot {
  const series = names.flatMap((name, place) => {
    const buckets = bucketsOf(runs, name);
    if (buckets.length === 0) return [];
    return [seriesOf(name, place, quantiles(buckets, NINES))];
  });
  return {
    x: { label: "share of messages", unit: "quantile", scale: "linear" },
    y: { label: "no slower than", unit: "time", scale: "log" },
    xs: NINES,
    points: false,
    series,
  };
}

type Bucket = readonly [us: number, count: number];

/** Of all its runs. */
function bucketsOf(runs: readonly LabRun[], name: string): Bucket[] {
  return runs
    .filter((run) => run.contender === name)
    .flatMap(({ load }) => load?.stages[0]?.response.histogram ?? []);
}

/** Times at so many nines, over the buckets of several runs; null beyond what so few messages can say. */
function quantiles(buckets: readonly Bucket[], at: readonly number[]): (number | null)[] {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const total = sorted.reduce((sum, [, count]) => sum + count, 0);
  let index = 0;
  let seen = sorted[0]?.[1] ?? 0;
  return at.map((nines) => {
    const left = total * 10 ** -nines;
    if (left < 1) return null;
    while (seen < total - left && index < sorted.length - 1) seen += sorted[++index]?.[1] ?? 0;
    return Math.max(sorted[index]?.[0] ?? 0, 0.001);
  });
}

/** Whose slow messages are furthest from its usual ones, over all its runs at a point. */
function spreadSentence(runs: readonly LabRun[], names: readonly string[], where: string): string {
  const spreads = names.flatMap((name) => {
    const buckets = bucketsOf(runs, name);
    const total = buckets.reduce((sum, [, count]) => sum + count, 0);
    if (total < LEAST_FOR_P99_9) return [];
    const [p50, p99_9] = quantiles(buckets, [-Math.log10(0.5), 3]);
    return p50 == null || p99_9 == null ? [] : [{ name, p50, p99_9, spread: p99_9 / p50 }];
  });
  const sorted = spreads.sort((a, b) => b.spread - a.spread);
  const [widest, narrowest] = [sorted[0], sorted.at(-1)];
  if (widest === undefined || narrowest === undefined) {
    return `Fewer than ${count(LEAST_FOR_P99_9)} messages each: too few for a p99.9.`;
  }
  const text = ({ name, p50, p99_9, spread }: (typeof spreads)[number]) =>
    `${name} at ${where} (p50 ${time(p50)}, p99.9 ${time(p99_9)}: ${written(spread, "count")} times)`;
  if (widest === narrowest) return `${capital(text(widest))}.`;
  return `Widest spread: ${text(widest)}. Narrowest: ${text(narrowest)}.`;
}

/** One view a run: its rate and its percentiles, slice by slice. */
function timelineCard(result: ExperimentResult, about: PartAbout): Card {
  const runs = partOf(result.runs, about.part).filter(
    ({ load }) => (load?.stages[0]?.slices.length ?? 0) > 1,
  );
  const unrest = runs
    .map((run) => ({ run, ...worstSlice(run) }))
    .sort((a, b) => b.factor - a.factor);
  const [worst] = unrest;
  const views = unrest.map(({ run }) => timelineView(run, about));
  const text =
    worst === undefined
      ? "No run was long enough for a timeline."
      : `The greatest unrest: ${worst.run.contender} at ${about.at(worst.run.x)}, round ${worst.run.round}: at ${written(worst.atMs / 1000, "seconds")} its slowest message took ${time(worst.max)}, ${written(worst.factor, "count")} times as long as the slowest at other times (median ${time(worst.usual)}). The list begins with it and ends with the calmest run.`;
  return { title: "Each run along its time", text: [text], views, wide: true };
}

function worstSlice({ load }: LabRun) {
  const slices = (load?.stages[0]?.slices ?? []).filter(({ messages }) => messages > 0);
  const sorted = slices.map(({ max }) => max).sort((a, b) => a - b);
  const usual = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const worst = slices.reduce((a, b) => (b.max > a.max ? b : a), slices[0] ?? { max: 0, toMs: 0 });
  return { factor: usual > 0 ? worst.max / usual : 0, usual, max: worst.max, atMs: worst.toMs };
}

/** Of a slice. What fewer messages have is the slowest one, under another name. */
const TIMES = [
  { name: "p50", key: "p50", least: 1 },
  { name: "p99", key: "p99", least: 100 },
  { name: "slowest", key: "max", least: 1 },
] as const;

function timelineView({ contender, x, round, load }: LabRun, about: PartAbout): View {
  const slices = load?.stages[0]?.slices ?? [];
  const xs = slices.map(({ toMs }) => toMs / 1000);
  const along: Axis = { label: "time", unit: "seconds", scale: "linear" };
  const rate = slices.map(({ messages, fromMs, toMs }) => (messages * 1000) / (toMs - fromMs));
  const times = TIMES.map(
    ({ name, key, least }, place) =>
      seriesOf(
        name,
        place + 1,
        slices.map((slice) => (slice.messages >= least ? slice[key] : null)),
      ),
    // A line needs two values: of one alone nothing would be seen.
  ).filter(({ ys }) => ys.filter((y) => y !== null).length > 1);
  const plots: Plot[] = [
    {
      x: along,
      y: { label: "messages/s", unit: "rate", scale: "linear" },
      xs,
      points: false,
      series: [seriesOf("messages/s", 0, rate)],
    },
    {
      x: along,
      y: { label: "response time", unit: "time", scale: "log" },
      xs,
      points: false,
      series: times,
    },
  ];
  return {
    name: `${contender}, ${about.at(x)}, round ${round}`,
    text: [],
    plots: plots.filter(({ series }) => series.length > 0),
  };
}
