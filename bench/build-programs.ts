// Makes everything that the benchmark runs and that is not TypeScript: the C references
// and the load generator, the Go peer, and the Bun and Deno runtimes. The first two are
// indispensable; what else cannot be had is reported as missing, with the reason.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { benchDirectory, buildDirectory, builtProgram, bunProgram, denoProgram } from "./paths.ts";

/** By name of the server: why it cannot take part. */
export type Missing = Map<string, string>;

export function buildAll(): Missing {
  buildReferences();
  const missing: Missing = new Map();
  buildGo(missing);
  installRuntimes(missing);
  return missing;
}

/** The C programs that everything is held against. */
export function buildReferences(): void {
  mkdirSync(buildDirectory, { recursive: true });
  buildC("load", ["load.c", "load-epoll.c", "load-uring.c"], ["-luring"]);
  buildC("echo-uring", ["echo-uring.c"], ["-luring", "-pthread"]);
  buildC("echo-epoll", ["echo-epoll.c"], []);
}

function buildC(name: string, sources: readonly string[], libraries: readonly string[]): void {
  const failure = run(
    "cc",
    ["-O2", "-Wall", "-Wextra", "-o", builtProgram(name), ...sources, ...libraries],
    `${benchDirectory}c`,
  );
  if (failure !== undefined) {
    throw new Error(
      `${name} could not be built (a C compiler and liburing-dev are needed): ${failure}`,
    );
  }
}

function buildGo(missing: Missing): void {
  const failure = run(
    "go",
    ["build", "-o", builtProgram("go-echo"), "."],
    `${benchDirectory}peers/go-echo`,
  );
  if (failure !== undefined) missing.set("go", `not built: ${failure}`);
}

function installRuntimes(missing: Missing): void {
  const programs = { bun: bunProgram, deno: denoProgram };
  if (Object.values(programs).every((program) => existsSync(program))) return;
  console.log("installing bun and deno into bench/node_modules");
  const failure = run("npm", ["ci"], benchDirectory);
  for (const [name, program] of Object.entries(programs)) {
    if (existsSync(program)) continue;
    missing.set(name, failure ?? `no runtime for ${process.platform} ${process.arch}`);
  }
}

/** Why it failed, in one line; undefined when it did not. */
function run(
  command: string,
  parameters: readonly string[],
  directory: string,
): string | undefined {
  const result = spawnSync(command, parameters, { cwd: directory, encoding: "utf8" });
  if (result.error !== undefined) return `${command}: ${result.error.message}`;
  if (result.status === 0) return undefined;
  const lines = result.stderr.trim().split("\n");
  return `${command} ended with ${result.status ?? result.signal}: ${lines.slice(-3).join(" / ")}`;
}
