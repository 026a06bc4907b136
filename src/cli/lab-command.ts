// sluice lab: experiments with servers, and a report that one can look at.

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CHOICES } from "../driver/choices.ts";
import { givenServer } from "../lab/contender.ts";
import { EXPERIMENTS, experimentNamed } from "../lab/experiments/choose-experiment.ts";
import { firstPicture, labPage } from "../lab/report/lab-page.ts";
import { type LabJob, runLab } from "../lab/run-lab.ts";
import { MODELS } from "../server/options.ts";
import { type Command, choiceOption, integerOption, UsageError } from "./command.ts";
import { durationOption } from "./duration-option.ts";
import { interruption } from "./interruption.ts";
import { needWritable } from "./output-file.ts";

const rows = EXPERIMENTS.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join("\n");

/** Where a server of the user's own can take part. */
const OPEN = EXPERIMENTS.flatMap(({ name, closed }) => (closed === undefined ? [name] : [])).join(
  ", ",
);

const HELP = `Usage: sluice lab [EXPERIMENT…] [OPTIONS]

Runs experiments with servers in processes of their own, in interleaved rounds, and writes one HTML file with plots, what is
seen in them, and the raw data. Without a name: models and cpu-bound, which take about a quarter of an hour (--quick: with race
and pool-starvation). How long it is going to take is said at the beginning.

${rows}
  all

  --quick           a report within two minutes: one driver for each model, few points, short runs
  --server N=CMD    one more server, by name and command, {port} where it has to listen; may be repeated (in ${OPEN})
  --model M,…       only these of ${MODELS.join(", ")}
  --driver D,…      only these of ${CHOICES.join(", ")}
  --connections N,… connections to go through
  --cost N,…        CPU costs of a message to go through, in µs
  --rounds N        (default 3; --quick: 2)
  --duration T      of each run, what is measured (default 1s; --quick: 400ms)
  --warm-up T       before it (default 300ms; --quick: 150ms)
  --threads N       generator threads (default: half of the cores)
  --seed N          of everything that is drawn (default 1)
  --out FILE        the report (default sluice-lab.html)
  --svg FILE        the report's first plot as a picture
  --json FILE       all figures
  --quiet           no progress
  --help

Ctrl-C writes the report of what there is (exit code 130). Exit code 1 when nothing could be measured, 2 for wrong usage.`;

const OPTIONS = {
  quick: { type: "boolean" },
  server: { type: "string", multiple: true },
  model: { type: "string" },
  driver: { type: "string" },
  connections: { type: "string" },
  cost: { type: "string" },
  rounds: { type: "string" },
  duration: { type: "string" },
  "warm-up": { type: "string" },
  threads: { type: "string" },
  seed: { type: "string" },
  out: { type: "string" },
  svg: { type: "string" },
  json: { type: "string" },
  quiet: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parse>["values"];

const DEFAULT = ["models", "cpu-bound"];
const QUICK = [...DEFAULT, "race", "pool-starvation"];
/** Of the two minutes that are promised: second rounds begin up to here, and anything at all up to there. */
const QUICK_REPEAT_MS = 60_000;
const QUICK_BEGIN_MS = 100_000;
const MOST_CONNECTIONS = 1_000_000;
const MOST_COST_US = 1_000_000;
/** As shells have it: 128 and the number of SIGINT. */
const EXIT_INTERRUPTED = 130;

export const labCommand: Command = {
  name: "lab",
  summary: "experiments with servers, and a report with plots",
  help: HELP,
  run,
};

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  const job = plannedJob(values, positionals, args);
  const out = values.out ?? "sluice-lab.html";
  for (const file of [out, values.svg ?? out, values.json ?? out]) needWritable(file);
  const say = values.quiet === true ? () => undefined : (line: string) => console.error(line);
  const result = await runLab(job, interruption(), say);
  const runs = result.experiments.flatMap((experiment) => experiment.runs);
  writeFileSync(out, labPage(result));
  const svg = values.svg === undefined ? undefined : firstPicture(result);
  if (values.svg !== undefined && svg !== undefined) writeFileSync(values.svg, svg);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result)}\n`);
  console.log(`${runs.length} runs in ${result.seconds.toFixed(0)} s: ${out}`);
  if (result.interrupted) return EXIT_INTERRUPTED;
  if (runs.length > 0) return 0;
  const [first] = result.experiments.flatMap(({ missing }) => missing);
  throw new Error(`nothing could be measured: ${first?.reason ?? "nobody took part"}`);
}

function plannedJob(values: Values, names: readonly string[], args: readonly string[]): LabJob {
  const quick = values.quick === true;
  const defaults = quick ? QUICK : DEFAULT;
  const all = EXPERIMENTS.map(({ name }) => name);
  const experiments = names.includes("all") ? all : names.length === 0 ? defaults : names;
  for (const name of experiments) experimentNamed(name);
  const driver = listOption("driver", values.driver, CHOICES);
  return {
    experiments: [...new Set(experiments)],
    choice: {
      models: listOption("model", values.model, MODELS) ?? MODELS,
      drivers: driver ?? CHOICES,
      bestDriver: quick && driver === undefined,
    },
    settings: {
      quick,
      rounds: integerOption("rounds", values.rounds, 1, 100) ?? (quick ? 2 : 3),
      ...untilWhen(quick && values.rounds === undefined),
      durationMs: durationOption("duration", values.duration) ?? (quick ? 400 : 1000),
      warmUpMs: durationOption("warm-up", values["warm-up"]) ?? (quick ? 150 : 300),
      seed: integerOption("seed", values.seed, 0, 0xffff_ffff) ?? 1,
      connections: numbersOption("connections", values.connections, MOST_CONNECTIONS),
      costsUs: numbersOption("cost", values.cost, MOST_COST_US),
      threads: integerOption("threads", values.threads, 1, 256),
      servers: (values.server ?? []).map(givenServer),
    },
    arguments: args,
  };
}

function untilWhen(soon: boolean) {
  const now = soon ? performance.now() : Number.POSITIVE_INFINITY;
  return { repeatUntilMs: now + QUICK_REPEAT_MS, beginUntilMs: now + QUICK_BEGIN_MS };
}

function listOption<Choice extends string>(
  name: string,
  value: string | undefined,
  choices: readonly Choice[],
): Choice[] | undefined {
  return value?.split(",").flatMap((word) => choiceOption(name, word, choices) ?? []);
}

/** Ascending: a server goes through them upwards. @throws UsageError */
function numbersOption(
  name: string,
  value: string | undefined,
  most: number,
): number[] | undefined {
  const numbers = value?.split(",").map((word) => {
    const number = integerOption(name, word, 1, most);
    if (number === undefined) throw new UsageError(`--${name} takes numbers like 1,16,256`);
    return number;
  });
  return numbers?.sort((a, b) => a - b);
}
