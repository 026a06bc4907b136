// Servers of the benchmark, each on core 0 for as long as it is used: ours through `sluice serve`, peers as they are. A peer whose
// package or program is not on this machine is absent, and that is said.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { benchDirectory } from "../paths.ts";

const CLI = new URL("../../src/cli/main.ts", import.meta.url).pathname;

export class Absent extends Error {
  override readonly name = "Absent";
}

/** @throws Absent when the package is not installed */
export function needsPackage(name: string): void {
  if (existsSync(`${benchDirectory}node_modules/${name}`)) return;
  throw new Absent(`${name} is not installed (npm ci in bench)`);
}

/** Serves a module of this folder, with one reactor. */
export async function serving<Result>(
  module: string,
  use: (port: number, pid: number) => Promise<Result>,
  model: readonly string[] = ["event-loop"],
): Promise<Result> {
  const file = new URL(module, import.meta.url).pathname;
  const serve = [process.execPath, CLI, "serve", file, "--model", ...model, "--port", "0"];
  return onCoreZero([...serve, "--json"], async (child, line) => {
    const { address }: { address: { port: number } } = JSON.parse(line);
    return use(address.port, child.pid ?? -1);
  });
}

/** Runs one of ../peers, which says its port. */
export async function peer<Result>(
  file: string,
  args: readonly string[],
  use: (port: number, pid: number) => Promise<Result>,
): Promise<Result> {
  const command = [process.execPath, `${benchDirectory}peers/${file}`, ...args];
  return onCoreZero(command, async (child, line) => {
    const { port }: { port: number } = JSON.parse(line);
    return use(port, child.pid ?? -1);
  });
}

async function onCoreZero<Result>(
  command: readonly string[],
  use: (child: ChildProcess, line: string) => Promise<Result>,
): Promise<Result> {
  const child = spawn("taskset", ["-c", "0", ...command], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = await once(createInterface(child.stdout), "line");
    return await use(child, line);
  } finally {
    child.kill("SIGTERM");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
}

/** @throws Absent when there is no nats-server */
export async function natsServer<Result>(
  use: (port: number, pid: number) => Promise<Result>,
): Promise<Result> {
  const port = await freePort();
  const command = ["-c", "0", "nats-server", "-a", "127.0.0.1", "-p", String(port)];
  const child = spawn("taskset", command, { stdio: ["ignore", "ignore", "pipe"] });
  try {
    for await (const line of createInterface(child.stderr)) {
      if (line.includes("Server is ready")) return await use(port, child.pid ?? -1);
    }
    throw new Absent("nats-server is not installed");
  } finally {
    child.kill("SIGTERM");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
