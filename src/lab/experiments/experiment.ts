// What an experiment is: runs on the workbench, and cards of the report made of what came out.

import type { DriverChoice } from "../../driver/choices.ts";
import type { ModelName } from "../../server/options.ts";
import type { ExperimentResult } from "../lab-result.ts";
import type { Card } from "../report/plot.ts";
import type { Bench } from "../workbench.ts";

export interface Experiment {
  readonly name: string;
  /** For `sluice lab --help`. */
  readonly summary: string;
  /** What is asked, for people who have not read anything: a sentence or two. */
  readonly question: string;
  /** How it was done, for those who doubt it. */
  readonly method: string;
  /** Why no server of the command line can take part; undefined where each that answers lines with themselves can. */
  readonly closed?: string;
  /** Resolves when it is over, or the workbench's signal is aborted. Where the bench rehearses, nothing is started. */
  run(bench: Bench, choice: ModelsAndDrivers): Promise<void>;
  cards(result: ExperimentResult): Card[];
}

/** Which of them take part, where an experiment has them all. */
export interface ModelsAndDrivers {
  readonly models: readonly ModelName[];
  readonly drivers: readonly DriverChoice[];
  /** Only the best driver for each model. */
  readonly bestDriver: boolean;
}
