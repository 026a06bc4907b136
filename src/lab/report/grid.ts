// The runs of one part of an experiment as a grid: contenders by points of the axis.

import type { LabRun } from "../lab-result.ts";
import type { Interval } from "../rank-statistics.ts";
import { type Figure, intervalOf } from "./figure.ts";

export interface Row {
  readonly contender: string;
  /** Its place among all contenders of the experiment: its color. */
  readonly place: number;
  /** One for each x of the grid. */
  readonly cells: readonly (Interval | undefined)[];
}

export interface Grid {
  readonly figure: Figure;
  readonly xs: readonly number[];
  readonly rows: readonly Row[];
}

export function gridOf(
  runs: readonly LabRun[],
  contenders: readonly string[],
  figure: Figure,
): Grid {
  const xs = [...new Set(runs.map(({ x }) => x))].sort((a, b) => a - b);
  const rows = contenders.flatMap((contender, place) => {
    const own = runs.filter((run) => run.contender === contender);
    const cells = xs.map((x) =>
      intervalOf(
        own.filter((run) => run.x === x),
        figure,
      ),
    );
    return cells.some((cell) => cell !== undefined) ? [{ contender, place, cells }] : [];
  });
  return { figure, xs, rows };
}

export function partOf(runs: readonly LabRun[], part: string): LabRun[] {
  return runs.filter((run) => run.part === part);
}
