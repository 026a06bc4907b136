// What `sluice lab` leaves behind: the one schema of its `--json`, and of the raw data in its report.
//
// An experiment is a list of runs. Each belongs to a part of the experiment, a contender, a point on the part's axis and a
// round; most hold the whole result of a load (result.ts), some only figures of their own (a counter's lost updates).

import type { LoadResult, Machine } from "./result.ts";

export const LAB_SCHEMA = "sluice-lab/1";

export interface LabResult {
  readonly schema: typeof LAB_SCHEMA;
  readonly sluice: string;
  readonly startedAt: string;
  readonly seconds: number;
  /** The command line, without the program. */
  readonly arguments: readonly string[];
  readonly machine: Machine;
  readonly experiments: readonly ExperimentResult[];
  /** A signal ended it early: what is here is what there was by then. */
  readonly interrupted: boolean;
}

export interface ExperimentResult {
  readonly name: string;
  readonly contenders: readonly ContenderFigures[];
  /** In the order in which they were made: rounds one after the other, contenders in turns. */
  readonly runs: readonly LabRun[];
  /** What could not be run, and why. */
  readonly missing: readonly Missing[];
  /** What servers said of themselves when they ended, in the order in which they did; nothing for those that do not. */
  readonly ownStatistics: readonly OwnStatistics[];
}

export interface ContenderFigures {
  readonly name: string;
  /** The command line, `{port}` where the port stands; empty for what is no server. */
  readonly command: string;
  /** As it says itself; empty where it does not. */
  readonly version: string;
}

export interface LabRun {
  /** One axis of the experiment: "connections". */
  readonly part: string;
  readonly contender: string;
  /** Where on that axis. */
  readonly x: number;
  /** From 1. */
  readonly round: number;
  /** Null where no load was put on a server. */
  readonly load: LoadResult | null;
  /** What the experiment has counted beside it, by name. */
  readonly values: Readonly<Record<string, number>>;
}

/** Of one process, over all the points that it went through: `sluice serve --json` ends with it. */
export interface OwnStatistics {
  readonly contender: string;
  readonly round: number;
  readonly statistics: Readonly<Record<string, number>>;
}

export interface Missing {
  readonly part: string;
  readonly contender: string;
  /** Null: at no point of the axis. */
  readonly x: number | null;
  readonly reason: string;
}
