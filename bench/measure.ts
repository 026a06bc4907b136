// Measurements: fresh servers, loads, and the figures that come of them. A server is measured alone from its start to its
// end, or, where its steady state is asked for, in short bursts between those of the others (turns.ts).
import { setTimeout as sleep } from "node:timers/promises";
import { type LoadResult, runLoad } from "./load.ts";
import { rssBytes } from "./process-figures.ts";
import type { Measurement } from "./results.ts";
import type { Scenario } from "./scenarios.ts";
import { type RunningServer, type Server, startServer } from "./servers.ts";

export interface Timing {
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly holdSeconds: number;
}

/** Which cores they may use, in taskset's words; each has one of its own when it is left out. */
export interface Cores {
  readonly server: string;
  readonly load: string;
}

/** After the warm-up of the idle scenario, before the memory is read for the first time. */
const SETTLE_MS = 1_000;

export async function measure(
  scenario: Scenario,
  server: Server,
  round: number,
  timing: Timing,
  cores?: Cores,
): Promise<Measurement> {
  const running = await startServer(server, cores?.server);
  try {
    const figures =
      scenario.kind === "idle"
        ? await measureIdle(scenario, running, timing)
        : await measureLoad(scenario, running, timing, cores);
    const end = running.ended();
    if (end !== undefined) throw new Error(end);
    return { server: server.name, round, ...figures };
  } finally {
    await running.stop();
  }
}

export type Figures = Omit<Measurement, "server" | "round" | "burst">;

const commonArguments = (scenario: Scenario): string[] => [
  ...["--mode", scenario.kind, "--connections", String(scenario.connections)],
  ...["--verify", ...scenario.loadArguments],
];

/** The scenario's load on a server that runs: its warm-up, then `timing.seconds` that count. */
export async function measureLoad(
  scenario: Scenario,
  running: RunningServer,
  timing: Pick<Timing, "seconds" | "warmupSeconds">,
  cores?: Cores,
): Promise<Figures> {
  let rss: number | undefined;
  const result = await runLoad(
    running,
    [
      ...commonArguments(scenario),
      ...["--seconds", String(timing.seconds)],
      ...["--warmup", String(timing.warmupSeconds)],
    ],
    (event) => {
      if (event === "end") rss = rssBytes(running.pid);
    },
    cores?.load,
  );
  return figuresOf(result, rss);
}

/**
 * Memory per connection: the server first serves 50 connections for a while, so that its
 * code is compiled and its heap has grown; what 15,000 connections then add to its
 * resident memory is theirs.
 */
async function measureIdle(
  scenario: Scenario,
  running: RunningServer,
  timing: Timing,
): Promise<Figures> {
  await runLoad(running, [
    ...["--mode", "closed", "--connections", "50", "--size", "64", "--verify"],
    ...["--warmup", "0", "--seconds", "2"],
  ]);
  await sleep(SETTLE_MS);
  const before = rssBytes(running.pid);
  let after: number | undefined;
  const result = await runLoad(
    running,
    [...commonArguments(scenario), "--hold", String(timing.holdSeconds)],
    (event) => {
      if (event === "begin") after = rssBytes(running.pid);
    },
  );
  if (before === undefined || after === undefined) throw new Error("its memory could not be read");
  return {
    ...figuresOf(result, after),
    rssPerConnectionBytes: (after - before) / scenario.connections,
    idleCpuMs: result.server.cpuNs / 1e6,
    idleSeconds: result.seconds,
  };
}

function figuresOf(result: LoadResult, rss: number | undefined): Figures {
  return {
    messagesPerSecond: result.messagesPerSecond,
    cpuUsPerMessage: result.messages === 0 ? 0 : result.server.cpuNs / 1e3 / result.messages,
    latencyUs: result.latencyUs,
    serverBusy: result.server.busy,
    serverKeptWaiting: result.server.keptWaiting,
    loadBusy: result.load.busy,
    loadKeptWaiting: result.load.keptWaiting,
    generatorBound: result.load.bottleneck,
    errors: result.errors,
    ...(result.latenessUs === undefined ? {} : { latenessUs: result.latenessUs }),
    ...(rss === undefined ? {} : { rssBytes: rss }),
  };
}
