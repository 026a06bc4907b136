// Makes everything that the benchmark runs and that is not TypeScript: the C references
// and the load generator, the peers in Go, Rust and Java, and the Bun and Deno runtimes. The first two are
// indispensable; what else cannot be had is reported as missing, with the reason.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { cratesHere, NETTY_LIBRARY } from "../src/lab/experiments/peer-libraries.ts";
import {
  benchDirectory,
  buildDirectory,
  builtProgram,
  bunProgram,
  denoProgram,
  nettyClasses,
  nettyClassPath,
} from "./paths.ts";

/** By name of the server: why it cannot take part. */
export type Missing = Map<string, string>;

export function buildAll(): Missing {
  buildReferences();
  const missing: Missing = new Map();
  buildGo(missing);
  buildTokio(missing);
  buildNetty(missing);
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

function buildTokio(missing: Missing): void {
  const failure = run(
    "cargo",
    ["build", "--release", "--quiet", "--target-dir", builtProgram("tokio-echo"), ...cratesHere()],
    `${benchDirectory}peers/tokio-echo`,
  );
  if (failure === undefined) return;
  missing.set(
    "tokio",
    `not built (cargo, and Debian's librust-tokio-dev where there is no network): ${failure}`,
  );
}

function buildNetty(missing: Missing): void {
  const source = `${benchDirectory}peers/netty-echo/Echo.java`;
  const failure = existsSync(NETTY_LIBRARY)
    ? run("javac", ["-d", nettyClasses, "-cp", nettyClassPath, source], benchDirectory)
    : `${NETTY_LIBRARY} is not there (Debian's libnetty-java)`;
  if (failure !== undefined) missing.set("netty", `not built: ${failure}`);
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
