// The experiments by their names.

import { OptionError } from "../../limits.ts";
import { backpressure } from "./backpressure.ts";
import { c10k } from "./c10k.ts";
import { cpuBound } from "./cpu-bound.ts";
import type { Experiment } from "./experiment.ts";
import { models } from "./models.ts";
import { peers } from "./peers.ts";
import { poolStarvation } from "./pool-starvation.ts";
import { race } from "./race.ts";
import { slowClient } from "./slow-client.ts";
import { tooManyThreads } from "./too-many-threads.ts";

/** In the order in which they are run and shown. */
export const EXPERIMENTS: readonly Experiment[] = [
  models,
  cpuBound,
  race,
  poolStarvation,
  tooManyThreads,
  slowClient,
  backpressure,
  c10k,
  peers,
];

/** @throws OptionError for a name that is none */
export function experimentNamed(name: string): Experiment {
  const found = EXPERIMENTS.find((experiment) => experiment.name === name);
  if (found !== undefined) return found;
  const names = EXPERIMENTS.map((experiment) => experiment.name).join(", ");
  throw new OptionError(`there is no experiment "${name}"; there are ${names}, and all`);
}
