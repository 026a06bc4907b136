// The servers that are compared, how each is started, and what it means that it runs.
// Every server is a process of its own on the server core and is started afresh for
// every measurement, so that none inherits the heap or the sockets of another.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  benchDirectory,
  builtProgram,
  bunProgram,
  denoProgram,
  nettyClasses,
  nettyClassPath,
  rootDirectory,
  tokioProgram,
} from "./paths.ts";

export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

/** Two hundred threads take some seconds. */
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
const OUTPUT_TAIL_CHARACTERS = 2_000;

export interface Server {
  readonly name: string;
  readonly title: string;
  command(port: number): readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What it prints when it accepts connections. */
  ready(port: number): string;
  /** A file without which it cannot run. */
  readonly needs?: string;
}

export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  /** Undefined while it runs; afterwards, how it ended and what it said last. */
  ended(): string | undefined;
  stop(): Promise<void>;
}

/** The one that all ratios are taken to. */
export const REFERENCE = "c-io_uring";

const listening = (port: number): string => `listening on 127.0.0.1:${port}`;

export function sluice(
  name: string,
  example: string,
  driver: string,
  model: readonly string[] = ["event-loop"],
): Server {
  const main = `${rootDirectory}src/cli/main.ts`;
  return {
    name,
    title: `Sluice, ${driver}`,
    needs: main,
    ready: listening,
    command: (port) => [
      ...[process.execPath, main, "serve", `${rootDirectory}examples/${example}`],
      ...["--port", String(port), "--host", "127.0.0.1"],
      ...["--driver", driver, "--model", ...model],
    ],
  };
}

export function tokio(threads: 1 | 2): Server {
  return {
    name: threads === 1 ? "tokio" : "tokio-2",
    title: threads === 1 ? "tokio" : "tokio, 2 threads",
    needs: tokioProgram,
    ready: listening,
    command: (port) => [tokioProgram, String(port), String(threads)],
  };
}

export function netty(threads: 1 | 2): Server {
  return {
    name: threads === 1 ? "netty" : "netty-2",
    title: threads === 1 ? "Netty" : "Netty, 2 threads",
    needs: `${nettyClasses}/Echo.class`,
    ready: listening,
    command: (port) => ["java", "-cp", nettyClassPath, "Echo", String(port), String(threads)],
  };
}

export const servers: readonly Server[] = [
  {
    name: REFERENCE,
    title: "C, io_uring",
    ready: listening,
    command: (port) => [builtProgram("echo-uring"), String(port)],
  },
  sluice("sluice-io_uring", "echo.ts", "io_uring"),
  {
    name: "c-epoll",
    title: "C, epoll",
    ready: listening,
    command: (port) => [builtProgram("echo-epoll"), String(port)],
  },
  sluice("sluice-epoll", "echo.ts", "epoll"),
  {
    name: "node-net",
    title: "node:net",
    ready: listening,
    command: (port) => [process.execPath, `${benchDirectory}peers/node-net.mjs`, String(port)],
  },
  {
    name: "bun",
    title: "Bun",
    needs: bunProgram,
    ready: listening,
    command: (port) => [bunProgram, `${benchDirectory}peers/bun.ts`, String(port)],
  },
  {
    name: "deno",
    title: "Deno",
    needs: denoProgram,
    ready: listening,
    command: (port) => [
      ...[denoProgram, "run", "--no-check", "--no-config", "--allow-net"],
      ...[`${benchDirectory}peers/deno.ts`, String(port)],
    ],
  },
  {
    name: "go",
    title: "Go, GOMAXPROCS=1",
    needs: builtProgram("go-echo"),
    environment: { GOMAXPROCS: "1" },
    ready: listening,
    command: (port) => [builtProgram("go-echo"), String(port)],
  },
  tokio(1),
  netty(1),
];

/** Why this server cannot be started here; undefined when it can. */
export function reasonMissing(server: Server): string | undefined {
  if (server.needs === undefined || existsSync(server.needs)) return undefined;
  return `${server.needs.replace(rootDirectory, "")} is not there`;
}

/** On a core of its own, or those given (taskset's way to say it); throws when it does not come up, with what it said. */
export async function startServer(
  server: Server,
  cores = String(SERVER_CORE),
): Promise<RunningServer> {
  const port = await freePort();
  const child = spawn("taskset", ["-c", cores, ...server.command(port)], {
    cwd: rootDirectory,
    env: { ...process.env, ...server.environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = collectOutput(child);
  const killOnExit = () => child.kill("SIGKILL");
  process.once("exit", killOnExit);
  child.once("exit", () => process.removeListener("exit", killOnExit));

  const ended = (): string | undefined => {
    if (child.pid === undefined) return "it could not be started (is taskset there?)";
    if (child.exitCode === null && child.signalCode === null) return undefined;
    return `it ended with ${child.exitCode ?? child.signalCode}: ${output.tail().trim()}`;
  };
  const stop = async (): Promise<void> => {
    if (ended() !== undefined) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await Promise.race([gone, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    if (ended() !== undefined) return;
    child.kill("SIGKILL");
    await gone;
  };

  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!output.all().includes(server.ready(port))) {
    const end = ended();
    if (end !== undefined) throw new Error(end);
    if (performance.now() > deadline) {
      await stop();
      throw new Error(`it did not say "${server.ready(port)}": ${output.tail().trim()}`);
    }
    await sleep(10);
  }
  output.keepOnlyTail();
  if (child.pid === undefined) throw new Error("it has no process id");
  return { pid: child.pid, port, ended, stop };
}

/** Reads both pipes for as long as the child lives, so that it never waits for us. */
function collectOutput(child: ChildProcess) {
  let text = "";
  let onlyTail = false;
  const take = (chunk: Buffer): void => {
    text += chunk.toString();
    if (onlyTail) text = text.slice(-OUTPUT_TAIL_CHARACTERS);
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  child.once("error", (error) => {
    text += error.message;
  });
  return {
    all: () => text,
    tail: () => text.slice(-OUTPUT_TAIL_CHARACTERS),
    keepOnlyTail: () => {
      onlyTail = true;
    },
  };
}

let nextPort = 21_000;

/** Below the range of ephemeral ports, so that no client's own port is in the way. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = nextPort;
    nextPort = nextPort < 31_000 ? nextPort + 1 : 21_000;
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error) => {
      if ("code" in error && error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    });
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      probe.close(() => resolve(true));
    });
  });
}
