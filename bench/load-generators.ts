// `npm run bench:load -- [--rounds 3] [--seconds 3]`: is `sluice load` fast enough that a C server is the bottleneck? It and the C
// generator on io_uring, by turns, against the C server on io_uring: messages/s as ratios to the C generator on epoll right
// before and right after.
//
// All of them compare every byte. Server and generator have a core each. Beside the rate stands what a message costs the
// generator in CPU: the rate is bounded by the slower one of generator and server, and by whoever else has their cores.

import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import type { LoadResult } from "../src/lab/result.ts";
import { buildReferences } from "./build-programs.ts";
import { command } from "./command.ts";
import { runLoad } from "./load.ts";
import { rootDirectory } from "./paths.ts";
import { LOAD_CORE, REFERENCE, type RunningServer, servers, startServer } from "./servers.ts";
import { median } from "./statistics.ts";

const SCENARIOS = [
  { connections: 50, size: 64, depth: 1 },
  { connections: 50, size: 64, depth: 16 },
  { connections: 1000, size: 64, depth: 1 },
  { connections: 50, size: 16_384, depth: 1 },
] as const;
type Scenario = (typeof SCENARIOS)[number];

const BASE = "C epoll";
const OTHERS = ["C io_uring", "sluice load"] as const;
type Generator = typeof BASE | (typeof OTHERS)[number];
/** Code is compiled by then; also before the C generators' window, so that all meet the same. */
const WARMUP_SECONDS = "3";

command(import.meta.url);
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "3" },
  },
});

interface Figures {
  readonly perSecond: number;
  readonly cpuUs: number;
}

async function measure(
  generator: Generator,
  server: RunningServer,
  scenario: Scenario,
): Promise<Figures> {
  const { connections, size, depth } = scenario;
  const shape = ["--connections", connections, "--size", size, "--depth", depth].map(String);
  if (generator === "sluice load") return sluiceLoad(server.port, shape);
  const engine = generator === "C epoll" ? "epoll" : "io_uring";
  const times = ["--seconds", values.seconds, "--warmup", WARMUP_SECONDS];
  const mode = ["--mode", "closed", "--verify", "--engine", engine];
  const result = await runLoad(server, [...mode, ...shape, ...times]);
  const cpuUs = (result.load.busy * 1e6) / result.messagesPerSecond;
  return { perSecond: result.messagesPerSecond, cpuUs };
}

async function sluiceLoad(port: number, shape: readonly string[]): Promise<Figures> {
  const main = `${rootDirectory}src/cli/main.ts`;
  const times = ["--duration", `${values.seconds}s`, "--warm-up", `${WARMUP_SECONDS}s`];
  const args = [
    main,
    "load",
    String(port),
    ...shape,
    ...times,
    "--threads",
    "1",
    "--json",
    "-",
    "--quiet",
  ];
  const child = spawn("taskset", ["-c", String(LOAD_CORE), process.execPath, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const text = Buffer.concat(await child.stdout.toArray()).toString();
  const result: LoadResult = JSON.parse(text);
  const [stage] = result.stages;
  if (!result.ok || stage === undefined) throw new Error("sluice load failed");
  const cpuMs = stage.generator.threads.reduce((sum, thread) => sum + thread.cpuMs, 0);
  return { perSecond: stage.messagesPerSecond, cpuUs: (cpuMs * 1000) / stage.messages };
}

/** What a generator had, and as ratios to the base around it. */
interface Turn extends Figures {
  readonly generator: Generator;
  readonly rateRatio: number;
  readonly cpuRatio: number;
}

async function round(scenario: Scenario): Promise<Turn[]> {
  const reference = servers.find(({ name }) => name === REFERENCE);
  if (reference === undefined) throw new Error(`there is no server ${REFERENCE}`);
  const server = await startServer(reference);
  try {
    const turns: Turn[] = [];
    let before = await measure(BASE, server, scenario);
    for (const generator of OTHERS) {
      const own = await measure(generator, server, scenario);
      const after = await measure(BASE, server, scenario);
      const ratio = (key: keyof Figures) => (2 * own[key]) / (before[key] + after[key]);
      turns.push({ generator, ...own, rateRatio: ratio("perSecond"), cpuRatio: ratio("cpuUs") });
      turns.push({ generator: BASE, ...after, rateRatio: 1, cpuRatio: 1 });
      before = after;
    }
    return turns;
  } finally {
    await server.stop();
  }
}

async function main(): Promise<void> {
  buildReferences();
  for (const scenario of SCENARIOS) {
    const { connections, size, depth } = scenario;
    console.log(`${connections} connections, ${size} bytes, ${depth} in flight`);
    const turns: Turn[] = [];
    for (let n = 0; n < Number(values.rounds); n++) turns.push(...(await round(scenario)));
    for (const generator of [BASE, ...OTHERS]) {
      const of = (figure: (turn: Turn) => number) =>
        median(turns.filter((turn) => turn.generator === generator).map(figure)) ?? Number.NaN;
      const rate = of(({ perSecond }) => perSecond).toFixed(0);
      const rateRatio = of((turn) => turn.rateRatio).toFixed(2);
      const cpuUs = of((turn) => turn.cpuUs).toFixed(3);
      const cpuRatio = of((turn) => turn.cpuRatio).toFixed(2);
      console.log(
        `  ${generator.padEnd(12)} ${rate.padStart(9)}/s (${rateRatio})  ${cpuUs} µs CPU a message (${cpuRatio})`,
      );
    }
  }
}

await main();
