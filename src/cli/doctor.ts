// sluice doctor: what this host allows, and what Sluice would choose.

import { readFileSync } from "node:fs";
import { availableParallelism, release } from "node:os";
import { parseArgs } from "node:util";
import { CHOICES, type DriverChoice } from "../driver/choices.ts";
import { chooseDriver, probeDriver } from "../driver/choose-driver.ts";
import { nativeRefusal } from "../sys/native-library.ts";
import { selfTest } from "../sys/self-test.ts";
import { descriptorLimit } from "../sys/socket-calls.ts";
import type { Command } from "./command.ts";

const MIGRATE_REQUESTS = "/proc/sys/net/ipv4/tcp_migrate_req";

const HELP = `Usage: sluice doctor [--json]

Tells what this host allows: Node, node:ffi, the kernel, each driver (and why not), the descriptor
limit; and what Sluice would choose. Exit code 1 when no driver can run.`;

export const doctor: Command = {
  name: "doctor",
  summary: "what this host allows, and what Sluice would choose",
  help: HELP,
  run,
};

export interface Diagnosis {
  readonly node: string;
  readonly platform: string;
  readonly kernel: string;
  readonly cores: number;
  /** Why node:ffi cannot be used, or null when it can. */
  readonly ffiRefused: string | null;
  /** What the self-test of the native calls found wrong; empty when all is well. */
  readonly selfTest: readonly string[];
  /** For each driver why it is refused, or null when it runs. */
  readonly drivers: Readonly<Record<DriverChoice, string | null>>;
  readonly descriptorLimit: { readonly soft: number; readonly hard: number } | null;
  /** Whether a listening socket that closes hands on what is queued (net.ipv4.tcp_migrate_req); null where it is unknown. */
  readonly migratesRequests: boolean | null;
  readonly choice: { readonly driver: DriverChoice; readonly why: string } | null;
}

/** Finds out by trying. */
export function diagnose(): Diagnosis {
  const ffiRefused = nativeRefusal() ?? null;
  const limit = ffiRefused === null ? descriptorLimit() : 0;
  const refusals = CHOICES.map((name) => [name, probeDriver(name) ?? null] as const);
  const drivers: Readonly<Record<string, string | null>> = Object.fromEntries(refusals);
  const runs = refusals.some(([, refused]) => refused === null);
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    kernel: release(),
    cores: availableParallelism(),
    ffiRefused,
    selfTest: ffiRefused === null ? selfTest() : [],
    drivers: drivers as Diagnosis["drivers"],
    descriptorLimit: typeof limit === "number" ? null : limit,
    migratesRequests: migratesRequests(),
    choice: runs ? chooseDriver("auto") : null,
  };
}

function migratesRequests(): boolean | null {
  try {
    return readFileSync(MIGRATE_REQUESTS, "utf8").trim() === "1";
  } catch {
    // Not Linux, or one older than 5.14.
    return null;
  }
}

async function run(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { json: { type: "boolean" } } });
  const diagnosis = diagnose();
  console.log(values.json === true ? JSON.stringify(diagnosis, undefined, 2) : report(diagnosis));
  return diagnosis.choice === null ? 1 : 0;
}

function report(diagnosis: Diagnosis): string {
  const { descriptorLimit: limit, choice } = diagnosis;
  const rows: [string, string][] = [
    ["Node", `${diagnosis.node} on ${diagnosis.platform}, ${diagnosis.cores} cores`],
    ["kernel", diagnosis.kernel],
    ["node:ffi", diagnosis.ffiRefused ?? "works"],
  ];
  if (diagnosis.ffiRefused === null) {
    rows.push([
      "self-test",
      diagnosis.selfTest.length === 0 ? "passed" : diagnosis.selfTest.join("; "),
    ]);
  }
  for (const name of CHOICES) {
    const refused = diagnosis.drivers[name];
    rows.push([name, refused === null ? "works" : `refused: ${refused}`]);
  }
  if (limit !== null) rows.push(["descriptors", `${limit.soft} (at most ${limit.hard})`]);
  if (diagnosis.migratesRequests !== null) {
    const off =
      "unsafe: closing a thread's socket resets what is queued on it (net.ipv4.tcp_migrate_req)";
    rows.push(["reusePort", diagnosis.migratesRequests ? "safe (net.ipv4.tcp_migrate_req)" : off]);
  }
  rows.push([
    "choice",
    choice === null ? "none: no driver can run" : `${choice.driver} (${choice.why})`,
  ]);
  return rows.map(([name, text]) => `${name.padEnd(12)}${text}`).join("\n");
}
