// The key-value example against redis-server, both with one thread, under redis-benchmark.
//
//   npm run bench:key-value -- [--rounds 3] [--seconds 5] [--quick]
//
// --seconds is how long one measurement is to take, roughly: the number of requests is
// settled beforehand from a short run against redis-server, and is the same for all. The
// results go where those of `npm run bench` go, into a section of their own.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { command } from "./command.ts";
import { provenanceOf } from "./provenance.ts";
import { readResults, writeResults } from "./publish.ts";
import { type RedisLoad, runRedisBenchmark } from "./redis-benchmark.ts";
import type { Absence, KeyValueMeasurement } from "./results.ts";
import { LOAD_CORE, reasonMissing, type Server, sluice, startServer } from "./servers.ts";
import { isDisturbed } from "./statistics.ts";

const CONNECTIONS = 50;
const PIPELINES = [1, 16];
const TESTS = ["ping_mbulk", "set", "get"];
const CALIBRATION_REQUESTS = 50_000;

const redis: Server = {
  name: "redis-server",
  title: "redis-server",
  ready: () => "Ready to accept connections",
  command: (port) => [
    ...["redis-server", "--port", String(port), "--bind", "127.0.0.1"],
    ...["--save", "", "--appendonly", "no", "--io-threads", "1", "--daemonize", "no"],
  ],
};

const contestants: readonly Server[] = [
  redis,
  sluice("sluice-io_uring", "key-value.ts", "io_uring"),
  sluice("sluice-epoll", "key-value.ts", "epoll"),
];

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly quick: boolean;
}

function readPlan(): Plan {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  const seconds = Number(values.seconds ?? (values.quick ? 1 : 5));
  if (!(rounds >= 1 && rounds <= 100 && seconds > 0 && seconds <= 60)) {
    throw new RangeError("--rounds must be from 1 to 100, --seconds above 0 and at most 60");
  }
  return { rounds: Math.ceil(rounds), seconds, quick: values.quick };
}

/** So many requests that redis-server is busy for about the time that was asked for. */
async function settleLoads(seconds: number): Promise<RedisLoad[]> {
  const server = await startServer(redis);
  try {
    const loads: RedisLoad[] = [];
    for (const pipeline of PIPELINES) {
      for (const test of TESTS) {
        const trial = { test, pipeline, connections: CONNECTIONS };
        const { operationsPerSecond } = await runRedisBenchmark(server, {
          ...trial,
          requests: CALIBRATION_REQUESTS * pipeline,
        });
        const requests = Math.ceil((operationsPerSecond * seconds) / 10_000) * 10_000;
        loads.push({ ...trial, requests });
      }
    }
    return loads;
  } finally {
    await server.stop();
  }
}

/** One server through all commands; the first, short one is for its compiler. */
async function runContestant(
  contestant: Server,
  round: number,
  loads: readonly RedisLoad[],
): Promise<KeyValueMeasurement[]> {
  const server = await startServer(contestant);
  try {
    const measurements: KeyValueMeasurement[] = [];
    for (const load of loads) {
      await runRedisBenchmark(server, { ...load, requests: Math.ceil(load.requests / 5) });
      const figures = await runRedisBenchmark(server, load);
      const { test, pipeline } = load;
      measurements.push({ server: contestant.name, round, test, pipeline, ...figures });
      console.log(
        `  round ${round}  ${contestant.name.padEnd(16)} ${test.padEnd(10)} -P ${String(pipeline).padEnd(2)} ` +
          `${figures.operationsPerSecond.toFixed(0).padStart(9)}/s  ${figures.cpuUsPerOperation.toFixed(3)} µs CPU/operation  ` +
          `busy: server ${(figures.serverBusy * 100).toFixed(0)} %, load ${(figures.generatorBusy * 100).toFixed(0)} %` +
          `${figures.generatorBound ? " gen" : ""}${isDisturbed(figures.serverKeptWaiting, figures.generatorKeptWaiting) ? "  disturbed" : ""}`,
      );
    }
    return measurements;
  } finally {
    await server.stop();
  }
}

async function main(): Promise<void> {
  const plan = readPlan();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => process.exit(130));
  if (spawnSync("redis-benchmark", ["--version"]).status !== 0) {
    throw new Error("redis-server and redis-benchmark are needed (Debian: redis-server)");
  }
  if (spawnSync("taskset", ["-acp", String(LOAD_CORE), String(process.pid)]).status !== 0) {
    throw new Error("two cores and taskset (util-linux) are needed to pin processes");
  }
  const absences: Absence[] = [];
  const present = contestants.filter((contestant) => {
    const reason = reasonMissing(contestant);
    if (reason !== undefined) absences.push({ server: contestant.name, reason });
    return reason === undefined;
  });
  for (const { server, reason } of absences) console.log(`missing: ${server}: ${reason}`);

  const loads = await settleLoads(plan.seconds);
  const measurements: KeyValueMeasurement[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    for (const contestant of round % 2 === 1 ? present : present.toReversed()) {
      try {
        measurements.push(...(await runContestant(contestant, round, loads)));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        absences.push({ server: contestant.name, round, reason: reason.replaceAll(/\s+/g, " ") });
        console.log(`  round ${round}  ${contestant.name}: FAILED: ${reason}`);
      }
    }
  }

  const destination = plan.quick ? "partial" : "published";
  const path = writeResults(destination, {
    ...readResults(destination),
    keyValue: {
      provenance: provenanceOf("bench:key-value", plan.rounds, plan.seconds),
      measurements,
      absences,
    },
  });
  console.log(`written to ${path}`);
}

command(import.meta.url);
await main();
