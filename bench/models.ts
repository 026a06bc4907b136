// The concurrency models against each other and against others with two threads.
//
//   npm run bench:models -- [--rounds 3] [--seconds 5] [--only PART,…] [--quick]
//
// Parts: one-thread (what a Worker costs), two-threads (nothing pinned, the load beside them), heavy (1 in 100 messages costs
// 20 ms of CPU), threads (blocking ones, by connections). The results go where those of `npm run bench` go, into a section of
// their own; with --quick or --only they are partial and go to build/.
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { buildAll } from "./build-programs.ts";
import { command } from "./command.ts";
import { type Cores, measure, type Timing } from "./measure.ts";
import { runMixedLoad } from "./mixed-load.ts";
import {
  ECHO_SCENARIOS,
  HEAVY_SERVERS,
  ONE_THREAD,
  THREAD_COUNTS,
  TWO_THREADS,
  threadServers,
} from "./models-servers.ts";
import { rootDirectory } from "./paths.ts";
import { rssBytes } from "./process-figures.ts";
import { provenanceOf } from "./provenance.ts";
import { readResults, writeResults } from "./publish.ts";
import type { Absence, ModelMeasurement } from "./results.ts";
import { scenarios } from "./scenarios.ts";
import { reasonMissing, type Server, startServer } from "./servers.ts";
import { measureInTurns, type Outcome } from "./turns.ts";

const PARTS = ["one-thread", "two-threads", "heavy", "threads"] as const;
type Part = (typeof PARTS)[number];

const ALL_CORES = `0-${availableParallelism() - 1}`;
const UNPINNED: Cores = { server: ALL_CORES, load: ALL_CORES };
const LIGHT_PER_SECOND = 2000;

interface Plan {
  readonly rounds: number;
  readonly timing: Timing;
  readonly parts: readonly Part[];
  readonly partial: boolean;
}

type Figures = Omit<ModelMeasurement, "part" | "scenario" | "server" | "round">;

class Run {
  readonly measurements: ModelMeasurement[] = [];
  readonly absences: Absence[] = [];
  readonly #plan: Plan;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  async all(): Promise<void> {
    const { parts, rounds } = this.#plan;
    for (let round = 1; round <= rounds; round++) {
      if (parts.includes("one-thread")) await this.#echo("one-thread", ONE_THREAD, round);
      if (parts.includes("two-threads"))
        await this.#echo("two-threads", TWO_THREADS, round, UNPINNED);
      if (parts.includes("heavy")) await this.#heavy(round);
      if (parts.includes("threads")) await this.#threads(round);
    }
  }

  async #echo(part: Part, servers: readonly Server[], round: number, cores?: Cores): Promise<void> {
    for (const scenario of scenarios.filter(({ name }) => ECHO_SCENARIOS.includes(name))) {
      const order = round % 2 === 1 ? servers : servers.toReversed();
      const present = order.filter((server) => {
        const missing = reasonMissing(server);
        if (missing !== undefined) this.#failed(part, scenario.name, server, round, missing);
        return missing === undefined;
      });
      const outcome: Outcome = {
        measured: (server, burst, { messagesPerSecond, latencyUs }) =>
          this.#measured(part, scenario.name, server, round, {
            ...{ burst, messagesPerSecond, p99Us: latencyUs.p99 },
          }),
        failed: (server, error) => this.#failed(part, scenario.name, server, round, error),
      };
      await measureInTurns(scenario, present, this.#plan.timing, outcome, cores);
    }
  }

  /** The light messages alone, then with the heavy ones. */
  async #heavy(round: number): Promise<void> {
    for (const heavyPerSecond of [0, LIGHT_PER_SECOND / 100]) {
      const scenario = heavyPerSecond === 0 ? "alone" : "1 in 100 heavy";
      for (const server of HEAVY_SERVERS) {
        await this.#try("heavy", scenario, server, round, async () => {
          const running = await startServer(server, ALL_CORES);
          try {
            const { seconds, warmupSeconds } = this.#plan.timing;
            const load = {
              lightPerSecond: LIGHT_PER_SECOND,
              heavyPerSecond,
              warmupSeconds,
              seconds,
            };
            return await runMixedLoad(running.port, load);
          } finally {
            await running.stop();
          }
        });
      }
    }
  }

  async #threads(round: number): Promise<void> {
    const [scenario] = scenarios;
    if (scenario === undefined) throw new Error("no scenario");
    for (const connections of THREAD_COUNTS) {
      for (const server of threadServers(connections)) {
        await this.#try("threads", `${connections}`, server, round, async () => {
          // Measured twice: the first start tells what it takes without connections.
          const idle = await startServer(server, ALL_CORES);
          const before = rssBytes(idle.pid);
          await idle.stop();
          // Each thread has to start, and a compiler of its own to warm up.
          const warmupSeconds = 1 + connections / 5;
          const timing = { ...this.#plan.timing, warmupSeconds };
          const m = await measure({ ...scenario, connections }, server, round, timing, UNPINNED);
          const { messagesPerSecond, rssBytes: rss } = m;
          const figures = { messagesPerSecond, p99Us: m.latencyUs.p99 };
          if (rss === undefined || before === undefined) return figures;
          const rssPerConnectionBytes = (rss - before) / connections;
          return { ...figures, rssBytes: rss, rssPerConnectionBytes };
        });
      }
    }
  }

  async #try(
    part: Part,
    scenario: string,
    server: Server,
    round: number,
    run: () => Promise<Figures>,
  ): Promise<void> {
    try {
      const missing = reasonMissing(server);
      if (missing !== undefined) throw new Error(missing);
      this.#measured(part, scenario, server, round, await run());
    } catch (error) {
      this.#failed(part, scenario, server, round, error);
    }
  }

  #measured(part: Part, scenario: string, server: Server, round: number, figures: Figures): void {
    this.measurements.push({ part, scenario, server: server.name, round, ...figures });
    const label = `${part} ${scenario} ${server.name}`.padEnd(44);
    const rate = figures.messagesPerSecond.toFixed(0).padStart(9);
    console.log(`  round ${round}  ${label} ${rate}/s  p99 ${figures.p99Us.toFixed(0)} µs`);
  }

  #failed(part: Part, scenario: string, server: Server, round: number, error: unknown): void {
    const label = `${part} ${scenario} ${server.name}`;
    const reason = error instanceof Error ? error.message : String(error);
    this.absences.push({ server: label, round, reason: reason.replaceAll(/\s+/g, " ") });
    console.log(`  round ${round}  ${label}: FAILED: ${reason}`);
  }
}

function readPlan(): Plan {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string" },
      quick: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  const seconds = Number(values.seconds ?? (values.quick ? 1 : 5));
  if (!(rounds >= 1 && rounds <= 100 && seconds > 0 && seconds <= 60)) {
    throw new RangeError("--rounds must be from 1 to 100, --seconds above 0 and at most 60");
  }
  const wanted = values.only?.split(",") ?? PARTS;
  const unknown = wanted.find((name) => !PARTS.some((part) => part === name));
  if (unknown !== undefined) {
    throw new RangeError(`--only: there is no ${unknown}; there are ${PARTS.join(", ")}`);
  }
  return {
    rounds: Math.ceil(rounds),
    timing: { seconds, warmupSeconds: Math.min(1.5, seconds / 2), holdSeconds: 1 },
    parts: PARTS.filter((part) => wanted.includes(part)),
    partial: values.quick || values.only !== undefined,
  };
}

async function main(): Promise<void> {
  const plan = readPlan();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => process.exit(130));
  buildAll();
  const built = spawnSync("npm", ["run", "build"], { cwd: rootDirectory, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`npm run build: ${built.stderr}`);
  const run = new Run(plan);
  await run.all();
  const destination = plan.partial ? "partial" : "published";
  const path = writeResults(destination, {
    ...readResults(destination),
    models: {
      provenance: provenanceOf("bench:models", plan.rounds, plan.timing.seconds),
      measurements: run.measurements,
      absences: run.absences,
    },
  });
  console.log(`written to ${path}`);
}

command(import.meta.url);
await main();
