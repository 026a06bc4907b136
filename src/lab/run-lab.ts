// The lab from its settings to its result: one experiment after the other.

import { experimentNamed } from "./experiments/choose-experiment.ts";
import type { ModelsAndDrivers } from "./experiments/experiment.ts";
import { type ExperimentResult, LAB_SCHEMA, type LabResult } from "./lab-result.ts";
import { describeMachine, sluiceVersion } from "./machine.ts";
import { type Expected, expectedText, Rehearsal } from "./rehearsal.ts";
import { type LabSettings, secondsSince, Workbench } from "./workbench.ts";

export interface LabJob {
  readonly experiments: readonly string[];
  readonly settings: LabSettings;
  readonly choice: ModelsAndDrivers;
  /** For the result: how it was asked for. */
  readonly arguments: readonly string[];
}

/**
 * Runs it. An aborted signal ends it with what there is; a contender that fails is named in the result.
 * @throws OptionError for an experiment that does not exist
 */
export async function runLab(
  job: LabJob,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<LabResult> {
  const startedAt = new Date().toISOString();
  const startMs = performance.now();
  const chosen = job.experiments.map(experimentNamed);
  const experiments: ExperimentResult[] = [];
  say(announcement(job, await expectedOf(job)));
  for (const experiment of chosen) {
    if (signal.aborted) break;
    const bench = new Workbench(experiment.name, job.settings, signal, (line) =>
      say(`${secondsSince(startMs)}  ${line}`),
    );
    for (const { name } of experiment.closed === undefined ? [] : job.settings.servers) {
      bench.miss({ part: "all", contender: name, x: null, reason: `${experiment.closed}` });
    }
    await experiment.run(bench, job.choice);
    experiments.push(bench.result);
  }
  return {
    schema: LAB_SCHEMA,
    sluice: sluiceVersion(),
    startedAt,
    seconds: (performance.now() - startMs) / 1000,
    arguments: job.arguments,
    machine: describeMachine(),
    experiments,
    interrupted: signal.aborted,
  };
}

/** How much all of it is going to be, without starting anything. @throws OptionError for an experiment that does not exist */
export async function expectedOf(job: LabJob): Promise<Expected> {
  const rehearsal = new Rehearsal(job.settings, new AbortController().signal);
  for (const name of job.experiments) await experimentNamed(name).run(rehearsal, job.choice);
  return rehearsal.expected;
}

function announcement({ experiments, settings }: LabJob, expected: Expected): string {
  const rounds = settings.rounds === 1 ? "1 round" : `${settings.rounds} rounds`;
  return `${experiments.join(", ")} in ${rounds}: ${expectedText(expected)} on two cores with nothing else to do; Ctrl-C writes what there is by then`;
}
