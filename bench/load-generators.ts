// `npm run bench:load`: is `sluice load` fast enough that a C server is the bottleneck? It and the C generators, on epoll and
// io_uring, in turns against the C server on io_uring: messages/s as ratios to the C generator on epoll in the same round.
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
const GENERATORS = [BASE, "C io_uring", "sluice load"] as const;

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
  generator: (typeof GENERATORS)[number],
  server: RunningServer,
  scenario: Scenario,
): Promise<Figures> {
  const { connections, size, depth } = scenario;
  const shape = ["--connections", connections, "--size", size, "--depth", depth].map(String);
  if (generator === "sluice load") return sluiceLoad(server.port, shape);
  const engine = generator === "C epoll" ? "epoll" : "io_uring";
  const times = ["--seconds", values.seconds, "--warmup", "1"];
  const mode = ["--mode", "closed", "--verify", "--engine", engine];
  const result = await runLoad(server, [...mode, ...shape, ...times]);
  const cpuUs = (result.load.busy * 1e6) / result.messagesPerSecond;
  return { perSecond: result.messagesPerSecond, cpuUs };
}

async function sluiceLoad(port: number, shape: readonly string[]): Promise<Figures> {
  const main = `${rootDirectory}src/cli/main.ts`;
  const times = ["--duration", `${values.seconds}s`, "--warm-up", "1s", "--threads", "1"];
  const args = [main, "load", String(port), ...shape, ...times, "--json", "-", "--quiet"];
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

async function round(scenario: Scenario): Promise<Map<string, Figures>> {
  const reference = servers.find(({ name }) => name === REFERENCE);
  if (reference === undefined) throw new Error(`there is no server ${REFERENCE}`);
  const server = await startServer(reference);
  const figures = new Map<string, Figures>();
  try {
    for (const generator of GENERATORS) {
      figures.set(generator, await measure(generator, server, scenario));
    }
  } finally {
    await server.stop();
  }
  return figures;
}

async function main(): Promise<void> {
  buildReferences();
  for (const scenario of SCENARIOS) {
    const { connections, size, depth } = scenario;
    console.log(`${connections} connections, ${size} bytes, ${depth} in flight`);
    const rounds: Map<string, Figures>[] = [];
    for (let n = 0; n < Number(values.rounds); n++) rounds.push(await round(scenario));
    for (const generator of GENERATORS) {
      const of = (figure: (all: Map<string, Figures>) => number) => median(rounds.map(figure)) ?? 0;
      const figure = (all: Map<string, Figures>, name: string, key: keyof Figures) =>
        all.get(name)?.[key] ?? Number.NaN;
      const rate = of((all) => figure(all, generator, "perSecond"));
      const ratio = of(
        (all) => figure(all, generator, "perSecond") / figure(all, BASE, "perSecond"),
      );
      const cpuUs = of((all) => figure(all, generator, "cpuUs"));
      const cpuRatio = of((all) => figure(all, generator, "cpuUs") / figure(all, BASE, "cpuUs"));
      console.log(
        `  ${generator.padEnd(12)} ${rate.toFixed(0).padStart(9)}/s (${ratio.toFixed(2)})  ${cpuUs.toFixed(3)} µs CPU a message (${cpuRatio.toFixed(2)})`,
      );
    }
  }
}

await main();
