// sluice load: puts a target under load and says what it did.

import { existsSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { CHOICES } from "../driver/choices.ts";
import { parseCondition } from "../lab/find-max.ts";
import { hgrm } from "../lab/hgrm.ts";
import { htmlReport } from "../lab/html-report.ts";
import { type LoadOptions, planLoad } from "../lab/load-plan.ts";
import type { Progress } from "../lab/load-run.ts";
import type { LoadResult, Mode, StageResult } from "../lab/result.ts";
import { type LoadJob, runLoad } from "../lab/run-load.ts";
import { StartedServer, splitCommand } from "../lab/started-server.ts";
import { resolveTarget } from "../lab/target.ts";
import { textReport } from "../lab/text-report.ts";
import { WORKLOADS, workloadKind } from "../lab/workloads/choose-workload.ts";
import type { Address } from "../sys/address.ts";
import { type Command, choiceOption, integerOption, UsageError } from "./command.ts";
import { durationOption } from "./duration-option.ts";
import { interruption } from "./interruption.ts";
import { LoadView } from "./load-view.ts";
import { needWritable } from "./output-file.ts";

const workloadRows = WORKLOADS.map(
  (name) => `                    ${name.padEnd(14)} ${workloadKind(name).summary}`,
).join("\n");

const HELP = `Usage: sluice load HOST:PORT [OPTIONS]
       sluice load --server 'COMMAND {port}' [OPTIONS]

Puts a TCP target under load and says how it took it. Also [IPV6]:PORT, PORT (of this machine), unix:PATH.

How much:
  --connections N   connections (default 50)
  --depth N         closed loop, the default: messages in flight on each connection (default 1)
  --rate R          open loop: R messages/s, timed from when each was meant to leave
  --arrivals A      even or poisson (default even)
  --ramp A..B       open loops from A to B messages/s, in --steps steps (default 10) of --duration together
  --find-max COND   the highest rate at which COND holds, like 'p99<5ms'; each step takes --duration (default 2s)
  --churn           connect, exchange a message, close, again
  --idle N          N more connections that stay silent; with --connections 0 nothing else

What:
  --workload W      (default echo)
${workloadRows}
  --size S          bytes of a message: 64, 16-1024, exp:512, 64:9,4096:1 (default depends on the workload)
  --path P          what http asks for (default /)
  --scenario FILE   a module of your own, see docs/lab.md
  --no-verify       count answers without looking at their content
  --seed N          of everything that is drawn (default 1)

How long:
  --duration T      of what is measured (default 10s; 250ms, 10s, 2m)
  --warm-up T       before it (default 1s)
  --cool-down T     after it, still under load (default 250ms)
  --timeout T       without an answer for so long, a connection has failed (default 5s)

With:
  --server COMMAND  start this server first, measure all its processes, and end it; {port} is where it must listen
  --threads N       generator threads (default: half of the cores)
  --driver D        auto, ${CHOICES.join(", ")} (default auto)

Output:
  --json FILE       all figures; one of these FILEs may be -, standard output, instead of the text
  --hgrm FILE       response times as an HDR histogram's percentiles (of the last stage)
  --html FILE       a page with plots
  --quiet           no progress
  --help

Ctrl-C gives the result so far (exit code 130). Exit code 1 when anything failed, 2 for wrong usage.`;

const OPTIONS = {
  connections: { type: "string" },
  depth: { type: "string" },
  rate: { type: "string" },
  arrivals: { type: "string" },
  ramp: { type: "string" },
  steps: { type: "string" },
  "find-max": { type: "string" },
  churn: { type: "boolean" },
  idle: { type: "string" },
  workload: { type: "string" },
  size: { type: "string" },
  path: { type: "string" },
  scenario: { type: "string" },
  "no-verify": { type: "boolean" },
  seed: { type: "string" },
  duration: { type: "string" },
  "warm-up": { type: "string" },
  "cool-down": { type: "string" },
  timeout: { type: "string" },
  threads: { type: "string" },
  driver: { type: "string" },
  json: { type: "string" },
  hgrm: { type: "string" },
  html: { type: "string" },
  server: { type: "string" },
  quiet: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parse>["values"];

const DEFAULT_SEARCH_MS = 2000;
const DEFAULT_SEARCH_RATE = 1000;
const DEFAULT_STEPS = 10;
/** As shells have it: 128 and the number of SIGINT. */
const EXIT_INTERRUPTED = 130;

export const loadCommand: Command = {
  name: "load",
  summary: "put a TCP target under load, and say how it took it",
  help: HELP,
  run,
};

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.server === undefined ? positionals.length !== 1 : positionals.length > 0) {
    throw new UsageError("load takes one target, like 127.0.0.1:7000, or a --server to start");
  }
  const outputs = [values.json, values.hgrm, values.html];
  if (outputs.filter((file) => file === "-").length > 1) {
    throw new UsageError("--json, --hgrm and --html: only one of them can go to standard output");
  }
  for (const file of outputs) if (file !== undefined && file !== "-") needWritable(file);
  const server = await startedServer(values);
  try {
    const address = server?.address ?? (await resolveTarget(positionals[0] ?? ""));
    const job = plannedJob(address, values, args);
    const ran = await runInView(job, server, values, interruption());
    await server?.stop();
    const result = { ...ran, serverStatistics: server?.statistics ?? null };
    report(result, values);
    if (result.interrupted) return EXIT_INTERRUPTED;
    return result.ok ? 0 : 1;
  } finally {
    await server?.stop();
  }
}

async function startedServer(values: Values): Promise<StartedServer | undefined> {
  if (values.server === undefined) return undefined;
  return StartedServer.start({ command: splitCommand(values.server) });
}

async function runInView(
  job: LoadJob,
  server: StartedServer | undefined,
  values: Values,
  signal: AbortSignal,
): Promise<LoadResult> {
  const view = new LoadView(process.stderr, values.quiet === true);
  const hooks = {
    signal,
    progress: (progress: Progress) => view.show(progress),
    staged: (stage: StageResult) => {
      if (job.ramp !== undefined || job.findMax !== undefined) view.staged(stage);
    },
  };
  const watch = server?.watch();
  const result = await runLoad(watch === undefined ? job : { ...job, watch }, hooks);
  view.end();
  return result;
}

function report(result: LoadResult, values: Values): void {
  const last = result.stages.at(-1);
  if (![values.json, values.hgrm, values.html].includes("-")) console.log(textReport(result));
  if (values.json !== undefined) write(values.json, `${JSON.stringify(result)}\n`);
  if (values.hgrm !== undefined && last !== undefined) write(values.hgrm, hgrm(last.response));
  if (values.html !== undefined) write(values.html, htmlReport(result));
  for (const { code, count, text } of last?.errors ?? []) {
    console.error(`sluice: ${result.plan.target}: ${count} × ${code}: ${text}`);
  }
}

function plannedJob(address: Address, values: Values, args: readonly string[]): LoadJob {
  const options = loadOptions(values);
  if (values.ramp !== undefined && (values.rate ?? values["find-max"]) !== undefined) {
    throw new UsageError("--ramp, --rate and --find-max: one of them");
  }
  if (values["find-max"] !== undefined) {
    const findMax = parseCondition(values["find-max"]);
    const rate = options.rate ?? DEFAULT_SEARCH_RATE;
    const durationMs = options.durationMs ?? DEFAULT_SEARCH_MS;
    return { plan: planLoad(address, { ...options, rate, durationMs }), findMax, arguments: args };
  }
  if (values.ramp !== undefined) {
    const ramp = rampRates(values);
    const durationMs = (options.durationMs ?? 10_000) / ramp.length;
    const [rate = 1] = ramp;
    return { plan: planLoad(address, { ...options, rate, durationMs }), ramp, arguments: args };
  }
  if (values.steps !== undefined) throw new UsageError("--steps belongs to --ramp");
  return { plan: planLoad(address, options), arguments: args };
}

function loadOptions(values: Values): LoadOptions {
  const integer = (name: keyof Values & string, least: number, most: number) =>
    integerOption(name, values[name] as string | undefined, least, most);
  const connections = integer("connections", 0, 1_000_000);
  const mode = modeOf(values, connections);
  const given = {
    mode,
    ...workloadOptions(values),
    size: values.size,
    connections,
    idle: integer("idle", 0, 1_000_000),
    depth: integer("depth", 1, 65_536),
    rate: rateOption("rate", values.rate),
    arrivals: choiceOption("arrivals", values.arrivals, ["even", "poisson"] as const),
    seed: integer("seed", 0, 0xffff_ffff),
    threads: integer("threads", 1, 256),
    driver: choiceOption("driver", values.driver, ["auto", ...CHOICES] as const),
    verify: values["no-verify"] === true ? false : undefined,
    durationMs: durationOption("duration", values.duration),
    warmUpMs: durationOption("warm-up", values["warm-up"]),
    coolDownMs: durationOption("cool-down", values["cool-down"]),
    timeoutMs: durationOption("timeout", values.timeout),
  };
  // What was not given is left out: undefined is no value.
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as LoadOptions;
}

function workloadOptions(values: Values) {
  const named = choiceOption("workload", values.workload, WORKLOADS);
  const implied = values.scenario === undefined ? named : "scenario";
  const workload = named ?? implied;
  if (values.path !== undefined && workload !== "http") {
    throw new UsageError("--path belongs to --workload http");
  }
  if ((workload === "scenario") !== (values.scenario !== undefined)) {
    throw new UsageError("--scenario FILE and --workload scenario belong together");
  }
  return { workload, path: values.path, scenario: scenarioUrl(values.scenario) };
}

function scenarioUrl(file: string | undefined): URL | undefined {
  if (file === undefined) return undefined;
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  return pathToFileURL(resolve(file));
}

function modeOf(values: Values, connections: number | undefined): Mode | undefined {
  if (values.churn === true) return "churn";
  if (connections === 0 && values.idle !== undefined) return "idle";
  return undefined;
}

function rateOption(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const rate = Number(value);
  if (/^\d+(\.\d+)?$/.test(value) && rate > 0) return rate;
  throw new UsageError(`--${name} takes messages/s, a number above 0, not "${value}"`);
}

function rampRates(values: Values): number[] {
  const match = /^([\d.]+)\.\.([\d.]+)$/.exec(values.ramp ?? "");
  if (match === null) throw new UsageError(`--ramp is like 1000..20000, not "${values.ramp}"`);
  const from = rateOption("ramp", match[1]) ?? 0;
  const to = rateOption("ramp", match[2]) ?? 0;
  const steps = integerOption("steps", values.steps, 2, 100) ?? DEFAULT_STEPS;
  return Array.from({ length: steps }, (_, n) => from + ((to - from) * n) / (steps - 1));
}

function write(destination: string, text: string): void {
  if (destination === "-") process.stdout.write(text);
  else writeFileSync(destination, text);
}
