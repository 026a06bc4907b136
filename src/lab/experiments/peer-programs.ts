// The programs that Sluice is held against, as contenders: what is on this machine, with its version, and what is missing, with
// the reason. C, Go, Rust and Java are built from the repository's benchmark into a folder that the caller removes; without a folder
// nothing is built, and whatever could be is taken as if it were.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Contender, programVersion } from "../contender.ts";
import { cratesHere, NETTY_LIBRARY, nettyClassPath, nettyVersion } from "./peer-libraries.ts";

export interface Peers {
  readonly contenders: readonly Contender[];
  readonly missing: readonly { readonly name: string; readonly reason: string }[];
}

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const BENCH = join(ROOT, "bench");
const NOT_PUBLISHED = "its source is in Sluice's repository, not in the package";

type Found = Contender | { readonly name: string; readonly reason: string };

/** Echo servers: whatever comes goes back. */
export function echoPeers(folder: string | undefined): Peers {
  return sorted([
    built("C, io_uring", "echo-uring", ["-luring", "-pthread"], folder),
    built("C, epoll", "echo-epoll", [], folder),
    script("node:net", process.execPath, process.version, ["node-net.mjs"]),
    script("node cluster of 2", process.execPath, process.version, ["node-cluster.mjs"]),
    runtime("Bun", "bun", "node_modules/@oven/bun-linux-x64/bin/bun", ["bun.ts"], []),
    runtime(
      "Deno",
      "deno",
      "node_modules/@deno/linux-x64-glibc/deno",
      ["deno.ts"],
      [...["run", "--no-check", "--no-config", "--allow-net"]],
    ),
    go(folder),
    tokio(folder),
    netty(folder),
  ]);
}

/** Servers that speak RESP: Redis, and our example on it. */
export function respPeers(): Peers {
  const redis = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
  return sorted([installed("redis-server", ["--version"], ["--port", "{port}", ...redis])]);
}

/** Servers that speak HTTP/1.1. */
export function httpPeers(folder: string): Peers {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder};`)
    .join(" ");
  const server = "server { listen 127.0.0.1:{port} backlog=4096; location / { return 200 ok; } }";
  const http = `http { access_log off; keepalive_requests 1000000000; ${paths} ${server} }`;
  const main = `daemon off; pid ${join(folder, "nginx.pid")}; error_log stderr; events { worker_connections 8192; }`;
  // Its settings stand in a file, and the port is only known when it is started.
  const start = ["-c", 'printf %s "$1" > "$2" && exec nginx -c "$2"', "sh"];
  const program =
    'require("node:http").createServer((q, s) => s.end("ok")).listen(+process.argv[1], "127.0.0.1", 4096)';
  return sorted([
    nginx([...start, `${main} ${http}`, join(folder, "nginx.conf")]),
    contender("node:http", [process.execPath, "-e", program, "{port}"], process.version),
  ]);
}

/** Our example that speaks RESP; undefined where only the package is. */
export function keyValueExample(): URL | undefined {
  const file = join(ROOT, "examples/key-value.ts");
  return existsSync(file) ? new URL(`file://${file}`) : undefined;
}

function sorted(found: readonly Found[]): Peers {
  return {
    contenders: found.filter((one) => "command" in one),
    missing: found.filter((one) => "reason" in one),
  };
}

function contender(name: string, command: readonly string[], version: string): Contender {
  return { name, command, version, mostConnections: Number.POSITIVE_INFINITY };
}

function installed(program: string, ask: readonly string[], args: readonly string[]): Found {
  const version = programVersion(program, ...ask);
  if (version === undefined) return { name: program, reason: "it is not installed" };
  return contender(program, [program, ...args], version);
}

function nginx(start: readonly string[]): Found {
  const version = programVersion("nginx", "-v");
  if (version === undefined) return { name: "nginx", reason: "it is not installed" };
  return contender("nginx", ["sh", ...start], version);
}

function script(name: string, program: string, version: string, args: readonly string[]): Found {
  const [file = "", ...more] = args;
  const path = join(BENCH, "peers", file);
  if (!existsSync(path)) return { name, reason: NOT_PUBLISHED };
  return contender(name, [program, path, "{port}", ...more], version);
}

/** On the path, or where the benchmark has installed it. */
function runtime(
  name: string,
  program: string,
  own: string,
  [file = ""]: readonly string[],
  before: readonly string[],
): Found {
  const path = join(BENCH, "peers", file);
  if (!existsSync(path)) return { name, reason: NOT_PUBLISHED };
  const places = [join(BENCH, own), ...inPath(program)];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) return { name, reason: "it is not installed" };
  const version = programVersion(found, "--version") ?? "";
  return contender(name, [found, ...before, path, "{port}"], version);
}

function inPath(program: string): string[] {
  return (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, program));
}

function built(
  name: string,
  source: string,
  libraries: readonly string[],
  folder: string | undefined,
): Found {
  const file = join(BENCH, "c", `${source}.c`);
  if (!existsSync(file)) return { name, reason: NOT_PUBLISHED };
  const compiler = programVersion("cc", "--version");
  if (compiler === undefined) return { name, reason: "there is no C compiler (cc)" };
  const program = join(folder ?? "", source);
  const args = ["-O2", "-o", program, file, ...libraries];
  const failed = make(folder, "cc", args, BENCH);
  return failed === undefined
    ? contender(name, [program, "{port}"], compiler)
    : { name, reason: failed };
}

function go(folder: string | undefined): Found {
  const name = "Go";
  const source = join(BENCH, "peers/go-echo");
  if (!existsSync(source)) return { name, reason: NOT_PUBLISHED };
  const version = programVersion("go", "version");
  if (version === undefined) return { name, reason: "it is not installed" };
  const program = join(folder ?? "", "go-echo");
  const failed = make(folder, "go", ["build", "-o", program, "."], source);
  return failed === undefined
    ? contender(name, [program, "{port}"], version)
    : { name, reason: failed };
}

/** With a thread a core. */
function tokio(folder: string | undefined): Found {
  const name = "tokio";
  const source = join(BENCH, "peers/tokio-echo");
  if (!existsSync(source)) return { name, reason: NOT_PUBLISHED };
  const version = programVersion("cargo", "--version");
  if (version === undefined) return { name, reason: "there is no cargo, which builds it" };
  const target = join(folder ?? "", "tokio");
  const args = ["build", "--release", "--quiet", "--target-dir", target, ...cratesHere()];
  const failed = make(folder, "cargo", args, source);
  const program = join(target, "release/tokio-echo");
  return failed === undefined
    ? contender(name, [program, "{port}", String(availableParallelism())], version)
    : { name, reason: `${failed} (where there is no network: Debian's librust-tokio-dev)` };
}

/** With a thread a core. */
function netty(folder: string | undefined): Found {
  const name = "Netty";
  const source = join(BENCH, "peers/netty-echo/Echo.java");
  if (!existsSync(source)) return { name, reason: NOT_PUBLISHED };
  if (!existsSync(NETTY_LIBRARY)) {
    return { name, reason: `${NETTY_LIBRARY} is not there (Debian's libnetty-java)` };
  }
  const java = programVersion("java", "-version");
  if (java === undefined) return { name, reason: "there is no Java" };
  const classes = join(folder ?? "", "netty");
  const path = nettyClassPath(classes);
  const args = ["-d", classes, "-cp", path, source];
  const failed = make(folder, "javac", args, BENCH);
  return failed === undefined
    ? contender(
        name,
        ["java", "-cp", path, "Echo", "{port}", String(availableParallelism())],
        `Netty ${nettyVersion()}, ${java}`,
      )
    : { name, reason: failed };
}

/** Why it could not be made; undefined when it was, or nothing is made because there is no folder. */
function make(
  folder: string | undefined,
  program: string,
  args: readonly string[],
  cwd: string,
): string | undefined {
  if (folder === undefined) return undefined;
  const { error, status, stderr } = spawnSync(program, args, { cwd, encoding: "utf8" });
  if (error !== undefined) return error.message;
  if (status === 0) return undefined;
  const last = stderr.trim().split("\n").slice(-2).join(" / ");
  return `it could not be built: ${last}`;
}
