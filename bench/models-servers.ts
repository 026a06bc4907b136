// Who takes part in the models' part of the benchmark, and in which of the loads.
import { benchDirectory, builtProgram, bunProgram, denoProgram, rootDirectory } from "./paths.ts";
import { netty, REFERENCE, type Server, sluice, tokio } from "./servers.ts";

/** The loads of scenarios.ts that are echoes under full load. */
export const ECHO_SCENARIOS: readonly string[] = ["50x64", "50x64x16", "1000x64", "50x16KiB"];

/** Connections, and threads, of those that have one for each. */
export const THREAD_COUNTS: readonly number[] = [1, 10, 50, 100, 200];

export const EVENT_LOOP = "event-loop";
export const MULTI_REACTOR_ONE = "multi-reactor-1";

export const ONE_THREAD: readonly Server[] = [
  sluice(EVENT_LOOP, "echo.ts", "io_uring"),
  sluice(MULTI_REACTOR_ONE, "echo.ts", "io_uring", ["multi-reactor", "--threads", "1"]),
];

const listening = (port: number): string => `listening on 127.0.0.1:${port}`;

function twice(name: string, title: string, program: string, ...parameters: string[]): Server {
  return {
    name,
    title,
    needs: program,
    ready: listening,
    command: (port) => [
      ...[process.execPath, `${benchDirectory}peers/twice.mjs`, String(port), program],
      ...parameters.map((parameter) => (parameter === "PORT" ? String(port) : parameter)),
    ],
  };
}

const twoReactors = ["multi-reactor", "--threads", "2"];

export const TWO_THREADS: readonly Server[] = [
  {
    name: REFERENCE,
    title: "C, io_uring, 2 threads",
    ready: listening,
    command: (port) => [builtProgram("echo-uring"), String(port), "2"],
  },
  sluice("sluice-io_uring", "echo.ts", "io_uring", twoReactors),
  sluice("sluice-epoll", "echo.ts", "epoll", twoReactors),
  {
    name: "node-cluster",
    title: "node:cluster",
    ready: listening,
    command: (port) => [process.execPath, `${benchDirectory}peers/node-cluster.mjs`, String(port)],
  },
  twice("bun-2", "Bun × 2", bunProgram, `${benchDirectory}peers/bun.ts`, "PORT"),
  twice(
    "deno-2",
    "Deno × 2",
    denoProgram,
    ...["run", "--no-check", "--no-config", "--allow-net", "--unstable-net"],
    ...[`${benchDirectory}peers/deno.ts`, "PORT", "reuse-port"],
  ),
  {
    name: "go-2",
    title: "Go, GOMAXPROCS=2",
    needs: builtProgram("go-echo"),
    environment: { GOMAXPROCS: "2" },
    ready: listening,
    command: (port) => [builtProgram("go-echo"), String(port)],
  },
  tokio(2),
  netty(2),
];

const heavyEcho = "../bench/peers/heavy-echo.ts";

export const HEAVY_SERVERS: readonly Server[] = [
  sluice("hybrid", heavyEcho, "io_uring", ["hybrid", "--threads", "1"]),
  sluice("event-loop", heavyEcho, "io_uring"),
];

const published = `${rootDirectory}dist/cli/main.js`;

/**
 * As published (loading TypeScript sources costs each thread a multiple), with the echo that the command line brings. The pool
 * has as many threads as there are connections: with fewer, those that are too many wait for ever.
 */
export function threadServers(connections: number): readonly Server[] {
  return ["event-loop", "thread-pool", "thread-per-connection"].map((name) => ({
    name,
    title: name,
    needs: published,
    ready: listening,
    command: (port) => [
      ...[process.execPath, published, "serve", "--port", String(port), "--model", name],
      ...(name === "event-loop" ? [] : ["--threads", String(connections)]),
    ],
  }));
}
