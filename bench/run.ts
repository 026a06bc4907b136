// The benchmark: Sluice against C references and other runtimes, echo over loopback.
//
//   npm run bench -- [--rounds 3] [--seconds 5] [--only scenario,...] [--servers name,...]
//                    [--quick]
//
// It builds what it needs, lets all servers take turns in rounds, scenario by scenario,
// and writes RESULTS.md and results.json after each scenario: with --only, the scenarios
// that were run are replaced and the others stay. With --quick (one short round, only to
// see that all works) or --servers the results are partial and go to build/ instead.
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { buildAll, type Missing } from "./build-programs.ts";
import { command } from "./command.ts";
import { describeMachine } from "./machine.ts";
import { measure, type Timing } from "./measure.ts";
import { provenanceOf } from "./provenance.ts";
import { type Destination, readResults, writeResults } from "./publish.ts";
import type { Absence, Measurement, ScenarioResult } from "./results.ts";
import { type Scenario, scenarios } from "./scenarios.ts";
import { LOAD_CORE, reasonMissing, type Server, servers } from "./servers.ts";
import { isDisturbed } from "./statistics.ts";
import { measureInTurns } from "./turns.ts";

interface Plan {
  readonly scenarios: readonly Scenario[];
  readonly servers: readonly Server[];
  readonly rounds: number;
  readonly timing: Timing;
  readonly destination: Destination;
}

function readPlan(): Plan {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string" },
      servers: { type: "string" },
      quick: { type: "boolean", default: false },
    },
  });
  const { quick } = values;
  const seconds = positive("seconds", values.seconds, quick ? 1 : 5);
  const chosen = choose("only", values.only, scenarios);
  return {
    scenarios: quick ? chosen.map(withoutLongWarmup) : chosen,
    servers: choose("servers", values.servers, servers),
    rounds: Math.ceil(positive("rounds", values.rounds, quick ? 1 : 3)),
    timing: { seconds, warmupSeconds: quick ? 0.5 : 3, holdSeconds: quick ? 2 : 10 },
    destination: quick || values.servers !== undefined ? "partial" : "published",
  };
}

/** To see that all works nobody's code has to be compiled. */
function withoutLongWarmup({ warmupSeconds: _, ...scenario }: Scenario): Scenario {
  return scenario;
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value > 0 && value <= 600)) {
    throw new RangeError(`--${name} must be a number above 0 and at most 600, not ${text}`);
  }
  return value;
}

function choose<T extends { readonly name: string }>(
  option: string,
  text: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (text === undefined) return all;
  const names = text.split(",");
  for (const name of names) {
    if (all.some((one) => one.name === name)) continue;
    throw new RangeError(
      `--${option}: there is no "${name}"; there are ${all.map((one) => one.name).join(", ")}`,
    );
  }
  return all.filter((one) => names.includes(one.name));
}

/** All that can take part, and why the others cannot. */
function takePart(plan: Plan, notBuilt: Missing): { present: Server[]; absences: Absence[] } {
  const present: Server[] = [];
  const absences: Absence[] = [];
  for (const server of plan.servers) {
    const reason = notBuilt.get(server.name) ?? reasonMissing(server);
    if (reason === undefined) present.push(server);
    else absences.push({ server: server.name, reason });
  }
  return { present, absences };
}

async function runScenario(
  scenario: Scenario,
  plan: Plan,
  present: readonly Server[],
): Promise<{ measurements: Measurement[]; failures: Absence[] }> {
  const measurements: Measurement[] = [];
  const failures: Absence[] = [];
  const warmupSeconds = scenario.warmupSeconds ?? plan.timing.warmupSeconds;
  const timing = { ...plan.timing, warmupSeconds };
  console.log(`\n${scenario.name}: ${scenario.title}`);
  for (let round = 1; round <= plan.rounds; round++) {
    const order = round % 2 === 1 ? present : present.toReversed();
    const failed = (server: Server, error: unknown): void => {
      const reason = error instanceof Error ? error.message : String(error);
      failures.push({ server: server.name, round, reason: reason.replaceAll(/\s+/g, " ") });
      console.log(`  round ${round}  ${server.name}: FAILED: ${reason}`);
    };
    const measured = (measurement: Measurement): void => {
      measurements.push(measurement);
      console.log(progressLine(measurement));
    };
    if (scenario.byTurns) {
      await measureInTurns(scenario, order, timing, {
        measured: ({ name }, burst, figures) =>
          measured({ server: name, round, burst, ...figures }),
        failed,
      });
      continue;
    }
    for (const server of order) {
      try {
        measured(await measure(scenario, server, round, timing));
      } catch (error) {
        failed(server, error);
      }
    }
  }
  return { measurements, failures };
}

function progressLine(m: Measurement): string {
  const remarks = Object.entries(m.errors).map(([name, count]) => `  ${count} × ${name}`);
  if (isDisturbed(m.serverKeptWaiting, m.loadKeptWaiting)) remarks.push("  disturbed");
  const burst = m.burst === undefined ? "" : `.${m.burst}`;
  const start = `  round ${m.round}${burst.padEnd(3)}  ${m.server.padEnd(16)}`;
  if (m.rssPerConnectionBytes !== undefined) {
    const perConnection = (m.rssPerConnectionBytes / 1024).toFixed(2);
    return `${start} ${perConnection} KiB per connection, idle CPU ${m.idleCpuMs?.toFixed(2)} ms${remarks.join("")}`;
  }
  return [
    `${start} ${m.messagesPerSecond.toFixed(0).padStart(9)}/s`,
    `${m.cpuUsPerMessage.toFixed(3)} µs CPU/message`,
    `p99 ${m.latencyUs.p99.toFixed(0)} µs`,
    `busy: server ${(m.serverBusy * 100).toFixed(0)} %, load ${(m.loadBusy * 100).toFixed(0)} %${m.generatorBound ? " gen" : ""}${remarks.join("")}`,
  ].join("  ");
}

/** This process, too, keeps off the server's core; what it starts inherits that. */
function leaveServerCore(): void {
  if (availableParallelism() < 2) throw new Error("two cores are needed: server and load");
  const result = spawnSync("taskset", ["-acp", String(LOAD_CORE), String(process.pid)]);
  if (result.status !== 0) throw new Error("taskset (util-linux) is needed to pin processes");
}

async function main(): Promise<void> {
  const plan = readPlan();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => process.exit(130));
  leaveServerCore();
  const notBuilt = buildAll();
  const { present, absences } = takePart(plan, notBuilt);
  for (const { server, reason } of absences) console.log(`missing: ${server}: ${reason}`);
  const machine = describeMachine();
  for (const scenario of plan.scenarios) {
    const { measurements, failures } = await runScenario(scenario, plan, present);
    const result: ScenarioResult = {
      provenance: provenanceOf(
        "bench",
        plan.rounds,
        scenario.kind === "idle" ? plan.timing.holdSeconds : plan.timing.seconds,
        machine,
      ),
      measurements,
      absences: [...absences, ...failures],
    };
    const before = readResults(plan.destination);
    const path = writeResults(plan.destination, {
      ...before,
      scenarios: { ...before.scenarios, [scenario.name]: result },
    });
    console.log(`  written to ${path}`);
  }
}

command(import.meta.url);
await main();
