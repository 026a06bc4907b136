// Where and with what it was measured. Without this no figure means anything.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { nettyVersion } from "../src/lab/experiments/peer-libraries.ts";
import { benchDirectory, bunProgram, denoProgram, rootDirectory } from "./paths.ts";

export interface Machine {
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** It paces what is sent, also on loopback. */
  readonly congestionControl: string;
  readonly versions: Readonly<Record<string, string>>;
}

export function describeMachine(): Machine {
  const cores = cpus();
  return {
    cpu: `${cores.length} cores, ${cpuName(cores[0]?.model ?? "unknown")}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `Linux ${release()}`,
    congestionControl: readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim(),
    versions: {
      Sluice: sluiceVersion(),
      Node: process.version,
      Bun: firstLine(bunProgram, ["--version"]),
      Deno: firstLine(denoProgram, ["--version"]),
      Go: firstLine("go", ["version"]),
      tokio: tokioVersion(),
      Netty: `${nettyVersion()}, ${firstLine("java", ["--version"])}`,
      "C compiler": firstLine("cc", ["--version"]),
      liburing: liburingVersion(),
      Redis: firstLine("redis-server", ["--version"]),
    },
  };
}

/** Some guests name the processor so generically that family and model say more. */
function cpuName(model: string): string {
  const text = readFileSync("/proc/cpuinfo", "utf8");
  const field = (name: string): string =>
    new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1] ?? "?";
  return `${model} (family ${field("cpu family")}, model ${field("model")}, ${field("cpu MHz")} MHz)`;
}

function sluiceVersion(): string {
  const { version }: { version: string } = JSON.parse(
    readFileSync(`${rootDirectory}package.json`, "utf8"),
  );
  const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: rootDirectory,
    encoding: "utf8",
  });
  return commit.status === 0 ? `${version}, commit ${commit.stdout.trim()}` : version;
}

function liburingVersion(): string {
  // The compiler knows which header it takes; pkg-config need not be there.
  const result = spawnSync("cc", ["-E", "-dM", "-include", "liburing.h", "-xc", "/dev/null"], {
    encoding: "utf8",
  });
  const part = (name: string): string | undefined =>
    new RegExp(`IO_URING_VERSION_${name} (\\d+)`).exec(result.stdout)?.[1];
  const [major, minor] = [part("MAJOR"), part("MINOR")];
  if (major !== undefined && minor !== undefined) return `${major}.${minor}`;
  const modversion = firstLine("pkg-config", ["--modversion", "liburing"]);
  return modversion === "not there" ? "older than 2.4" : modversion;
}

/** As it was resolved for the build. */
function tokioVersion(): string {
  const lock = `${benchDirectory}peers/tokio-echo/Cargo.lock`;
  if (!existsSync(lock)) return "not there";
  const [, version] = /name = "tokio"\nversion = "(.*)"/.exec(readFileSync(lock, "utf8")) ?? [];
  return version === undefined ? "not there" : `${version}, ${firstLine("rustc", ["--version"])}`;
}

function firstLine(program: string, parameters: readonly string[]): string {
  const result = spawnSync(program, parameters, { encoding: "utf8" });
  if (result.error !== undefined || result.status !== 0) return "not there";
  return result.stdout.split("\n")[0] ?? "not there";
}
