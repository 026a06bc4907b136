// `npm run bench:load`: is `sluice load` fast enough that a C server is the bottleneck? It and the C generators, on epoll and
// io_uring, in turns against the C server on io_uring: messages/s as ratios to the C generator on epoll in the same round.
//
// All of them compare every byte. Server and generator have a core each.

import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import type { LoadResult } from "../src/lab/result.ts";
import { buildReferences } from "./build-programs.ts";
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

const GENERATORS = ["C epoll", "C io_uring", "sluice load"] as const;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "3" },
  },
});

async function messagesPerSecond(
  generator: (typeof GENERATORS)[number],
  server: RunningServer,
  scenario: Scenario,
): Promise<number> {
  const { connections, size, depth } = scenario;
  const shape = ["--connections", connections, "--size", size, "--depth", depth].map(String);
  if (generator === "sluice load") return sluiceLoad(server.port, shape);
  const engine = generator === "C epoll" ? "epoll" : "io_uring";
  const times = ["--seconds", values.seconds, "--warmup", "1"];
  const mode = ["--mode", "closed", "--verify", "--engine", engine];
  const result = await runLoad(server, [...mode, ...shape, ...times]);
  return result.messagesPerSecond;
}

async function sluiceLoad(port: number, shape: readonly string[]): Promise<number> {
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
  return stage.messagesPerSecond;
}

async function main(): Promise<void> {
  buildReferences();
  const reference = servers.find(({ name }) => name === REFERENCE);
  if (reference === undefined) throw new Error(`there is no server ${REFERENCE}`);
  for (const scenario of SCENARIOS) {
    const { connections, size, depth } = scenario;
    console.log(`${connections} connections, ${size} bytes, ${depth} in flight`);
    const ratios = new Map<string, number[]>();
    for (let round = 0; round < Number(values.rounds); round++) {
      const server = await startServer(reference);
      const rates = new Map<string, number>();
      for (const generator of GENERATORS) {
        rates.set(generator, await messagesPerSecond(generator, server, scenario));
      }
      await server.stop();
      const base = rates.get("C epoll") ?? Number.NaN;
      for (const [generator, rate] of rates) {
        ratios.set(generator, [...(ratios.get(generator) ?? []), rate / base]);
        const ratio = (rate / base).toFixed(2);
        console.log(
          `  round ${round} ${generator.padEnd(12)} ${rate.toFixed(0).padStart(9)}/s  ${ratio}`,
        );
      }
    }
    for (const [generator, all] of ratios) {
      console.log(`  median  ${generator.padEnd(12)} ${median(all)?.toFixed(2)}`);
    }
  }
}

await main();
