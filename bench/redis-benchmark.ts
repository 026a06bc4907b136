// Runs redis-benchmark on the load core for one command at one pipeline depth, and
// measures what it cost the server, and itself.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type CpuTimes, cpuTimes } from "./process-figures.ts";
import { LOAD_CORE, type RunningServer } from "./servers.ts";

export interface RedisLoad {
  /** As `redis-benchmark -t` names it. */
  readonly test: string;
  readonly pipeline: number;
  readonly connections: number;
  readonly requests: number;
}

export interface RedisFigures {
  readonly operationsPerSecond: number;
  readonly p99Ms: number;
  readonly cpuUsPerOperation: number;
  readonly serverBusy: number;
  readonly serverKeptWaiting: number;
  readonly generatorBusy: number;
  readonly generatorKeptWaiting: number;
  readonly generatorBound: boolean;
}

/** Its CPU time can only be read while it runs; this often is near enough to its end. */
const SAMPLE_MS = 100;
const TIMEOUT_MS = 120_000;
const BUSY = 0.95;

export async function runRedisBenchmark(
  server: RunningServer,
  load: RedisLoad,
): Promise<RedisFigures> {
  const serverBefore = cpuTimes(server.pid);
  const startedAt = performance.now();
  const child = spawn(
    "taskset",
    [
      ...["-c", String(LOAD_CORE), "redis-benchmark", "-h", "127.0.0.1", "--csv"],
      ...["-p", String(server.port), "-t", load.test, "-c", String(load.connections)],
      ...["-n", String(load.requests), "-P", String(load.pipeline)],
    ],
    { stdio: ["ignore", "pipe", "pipe"], timeout: TIMEOUT_MS, killSignal: "SIGKILL" },
  );
  const killOnExit = () => child.kill("SIGKILL");
  process.once("exit", killOnExit);
  let output = "";
  let complaint = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    complaint += chunk.toString();
  });

  let generator: Shares = { busy: 0, keptWaiting: 0 };
  const sampler = setInterval(() => {
    const times = child.pid === undefined ? undefined : cpuTimes(child.pid);
    if (times !== undefined) generator = shares(NOTHING_USED, times, performance.now() - startedAt);
  }, SAMPLE_MS);
  await once(child, "close");
  const elapsedMs = performance.now() - startedAt;
  const serverAfter = cpuTimes(server.pid);
  clearInterval(sampler);
  process.removeListener("exit", killOnExit);

  if (child.exitCode !== 0) {
    throw new Error(
      `redis-benchmark ended with ${child.exitCode ?? child.signalCode}: ${complaint.trim()}`,
    );
  }
  if (serverBefore === undefined || serverAfter === undefined)
    throw new Error("the server has gone");
  const row = parseCsv(output, complaint);
  const own = shares(serverBefore, serverAfter, elapsedMs);
  return {
    ...row,
    cpuUsPerOperation: (serverAfter.usedNs - serverBefore.usedNs) / 1e3 / load.requests,
    serverBusy: own.busy,
    serverKeptWaiting: own.keptWaiting,
    generatorBusy: generator.busy,
    generatorKeptWaiting: generator.keptWaiting,
    generatorBound:
      generator.busy + generator.keptWaiting >= BUSY && own.busy + own.keptWaiting < BUSY,
  };
}

interface Shares {
  readonly busy: number;
  readonly keptWaiting: number;
}

const NOTHING_USED: CpuTimes = { usedNs: 0, keptWaitingNs: 0 };

const shares = (from: CpuTimes, to: CpuTimes, elapsedMs: number): Shares => ({
  busy: (to.usedNs - from.usedNs) / 1e6 / elapsedMs,
  keptWaiting: (to.keptWaitingNs - from.keptWaitingNs) / 1e6 / elapsedMs,
});

/** `"test","rps",...` and below it one line of quoted values. */
function parseCsv(
  output: string,
  complaint: string,
): { operationsPerSecond: number; p99Ms: number } {
  const lines = output.split("\n").filter((line) => line.startsWith('"'));
  const cells = (line: string | undefined): string[] =>
    (line ?? "").split(",").map((cell) => cell.replaceAll('"', ""));
  const [head, values] = [cells(lines[0]), cells(lines[1])];
  const value = (name: string): number => Number(values[head.indexOf(name)]);
  const figures = { operationsPerSecond: value("rps"), p99Ms: value("p99_latency_ms") };
  if (Object.values(figures).every((figure) => Number.isFinite(figure))) return figures;
  throw new Error(`redis-benchmark was not understood: ${output.trim()} ${complaint.trim()}`);
}
