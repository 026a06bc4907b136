// sluice compare: is one result of `sluice load` faster or slower than another?

import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import type { NamedResult } from "../lab/comparable.ts";
import {
  type Comparison,
  compareResults,
  type FigureComparison,
  type StageComparison,
} from "../lab/comparison.ts";
import type { Interval } from "../lab/rank-statistics.ts";
import { count, time } from "../lab/units.ts";
import { type Command, UsageError } from "./command.ts";

const HELP = `Usage: sluice compare BASELINE.json OTHER.json… [OPTIONS]

Compares results of sluice load --json with the first of them: medians with 99 % confidence intervals,
Mann-Whitney's test, Cliff's delta, and a verdict: faster, slower, no difference, or no difference
shown, where the interval is too wide to exclude one.
Several runs of one thing are written with commas: a1.json,a2.json,a3.json b1.json,b2.json,b3.json

  --margin M        smallest difference worth a verdict (default 3%)
  --json            as JSON
  --help

Results of different loads or machines, and failed ones, are refused. Exit code 1 when anything is slower.`;

const OPTIONS = { margin: { type: "string" }, json: { type: "boolean" } } as const;

export const compareCommand: Command = {
  name: "compare",
  summary: "is one result of load faster or slower than another?",
  help: HELP,
  run,
};

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowPositionals: true,
  });
  const [first, ...others] = positionals;
  if (first === undefined || others.length === 0) {
    throw new UsageError("compare takes at least two files of sluice load --json");
  }
  const margin = marginOption(values.margin);
  const baseline = readSide(first);
  const comparisons = others.map((other) =>
    compareResults(baseline, readSide(other), margin === undefined ? {} : { margin }),
  );
  const text = comparisons.map(comparisonText).join("\n\n");
  console.log(values.json === true ? JSON.stringify(comparisons, undefined, 2) : text);
  const slower = comparisons.some(({ verdict }) => verdict === "slower" || verdict === "mixed");
  return slower ? 1 : 0;
}

function marginOption(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?)%$/.exec(value);
  if (match !== null) return Number(match[1]) / 100;
  throw new UsageError(`--margin takes a share like 3%, not "${value}"`);
}

function readSide(names: string): NamedResult[] {
  return names.split(",").map((path) => {
    if (!existsSync(path)) throw new Error(`there is no file ${path}`);
    const text = readFileSync(path, "utf8");
    try {
      return { name: basename(path), result: JSON.parse(text) };
    } catch {
      // Where the parser stumbled says nothing to who gave a wrong file.
      throw new UsageError(`${path} is not JSON`);
    }
  });
}

function comparisonText(comparison: Comparison): string {
  const { baseline, candidate, verdict, stages, remarks } = comparison;
  return [
    `${candidate} against ${baseline}: ${verdict.toUpperCase()}`,
    ...stages.flatMap((stage) => stageLines(stage, stages.length > 1)),
    ...remarks.map((remark) => `note: ${remark}`),
  ].join("\n");
}

function stageLines({ wantedRate, figures }: StageComparison, several: boolean): string[] {
  const head = several ? [`at ${count(wantedRate)}/s`] : [];
  return [...head, ...figures.map(figureLine)];
}

function figureLine(figure: FigureComparison): string {
  const { name, unit, baseline, candidate, ratio, test, samples, verdict, precise } = figure;
  const show = (value: number) => (unit === "1/s" ? `${count(value)}/s` : time(value));
  const interval = ({ value, lower, upper }: Interval) =>
    `${show(value)} [${show(lower)}, ${show(upper)}]`;
  const percent = (value: number) => `${value >= 1 ? "+" : ""}${((value - 1) * 100).toFixed(1)} %`;
  const change = `${percent(ratio.value)} [${percent(ratio.lower)}, ${percent(ratio.upper)}]`;
  const p = test.pValue < 0.0001 ? "p < 0.0001" : `p = ${test.pValue.toFixed(4)}`;
  const tested = `${p}, delta ${test.cliffsDelta.toFixed(2)}, n = ${samples.join(" + ")}`;
  const noisy = verdict === "no difference" && !precise ? " shown, the interval is wide" : "";
  return `  ${name.padEnd(21)}${interval(baseline)} → ${interval(candidate)}: ${change} (${tested}): ${verdict}${noisy}`;
}
