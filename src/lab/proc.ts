// What Linux tells of running processes: CPU time, memory, descriptors and context switches of each thread, and who listens
// where. Elsewhere there is no /proc: then nothing is found, and nothing fails.
//
// Twist: a process or a thread may be gone between two reads of it. What has gone is left out; a thread that has ended takes
// its CPU time with it, so `cpuMs` of a process comes from the sum that the kernel keeps (in ticks of 10 ms) whenever that
// is greater than its living threads' exact times.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Address } from "../sys/address.ts";
import { type ThreadTimes, threadTimes } from "../sys/thread-time.ts";

/** USER_HZ is 100 wherever Node runs. */
const TICK_MS = 10;
const LISTENING = "0A";

export interface ProcessReading {
  readonly pid: number;
  readonly command: string;
  readonly cpuMs: number;
  /** Resident set, as /proc/PID/status has it: pages that several processes share count in each. */
  readonly memoryBytes: number;
  readonly peakMemoryBytes: number;
  readonly descriptors: number;
  readonly threads: readonly ThreadReading[];
}

export interface ThreadReading {
  readonly id: number;
  readonly name: string;
  readonly cpuMs: number;
  /** It could have run, but others had the core. */
  readonly keptWaitingMs: number;
  readonly voluntarySwitches: number;
  readonly involuntarySwitches: number;
}

/** All there is to know of a process now; undefined when it is gone. */
export function readProcess(pid: number): ProcessReading | undefined {
  const status = readOrUndefined(`/proc/${pid}/status`);
  const stat = readOrUndefined(`/proc/${pid}/stat`);
  const ids = listOrUndefined(`/proc/${pid}/task`);
  if (status === undefined || stat === undefined || ids === undefined) return undefined;
  const threads = ids.flatMap((id) => readThread(pid, Number(id)) ?? []);
  const living = threads.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  return {
    pid,
    command: commandOf(pid),
    cpuMs: Math.max(living, ticksOf(stat) * TICK_MS),
    memoryBytes: kibField(status, "VmRSS"),
    peakMemoryBytes: kibField(status, "VmHWM"),
    descriptors: listOrUndefined(`/proc/${pid}/fd`)?.length ?? 0,
    threads,
  };
}

/** CPU time and time kept waiting of the calling thread, in ms; zeros where there is no /proc. */
export function ownThreadTimes(): ThreadTimes {
  return threadTimes("/proc/thread-self") ?? { cpuMs: 0, keptWaitingMs: 0 };
}

/** A process's command line, its arguments separated by spaces. */
export function commandOf(pid: number): string {
  const line = readOrUndefined(`/proc/${pid}/cmdline`) ?? "";
  return line.split("\0").join(" ").trim();
}

/**
 * The processes of this machine that listen at an address: found by the port in /proc/net/tcp, then by who has that socket
 * open. Several share a listener in a cluster. Those of other users are only seen by root.
 */
export function listeningProcesses(address: Address): number[] {
  const sockets = address.family === "unix" ? unixSockets(address.path) : tcpSockets(address.port);
  if (sockets.size === 0) return [];
  const pids = (listOrUndefined("/proc") ?? []).filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => hasOneOf(pid, sockets));
}

/** The living processes of a session: what one that leads it has started, and what those have (setsid(2)). */
export function processesOfSession(session: number): number[] {
  const pids = (listOrUndefined("/proc") ?? []).filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    const stat = readOrUndefined(`/proc/${pid}/stat`);
    // state, ppid, pgrp, session: the first four fields behind the name (proc_pid_stat(5)).
    const [state, , , sid] = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
    return Number(sid) === session && state !== "Z";
  });
}

function tcpSockets(port: number): Set<string> {
  const inodes = new Set<string>();
  const hexadecimal = port.toString(16).toUpperCase().padStart(4, "0");
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of (readOrUndefined(table) ?? "").split("\n").slice(1)) {
      // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode (proc_net_tcp(5))
      const fields = line.trim().split(/\s+/);
      if (fields[3] !== LISTENING || !fields[1]?.endsWith(`:${hexadecimal}`)) continue;
      inodes.add(`socket:[${fields[9]}]`);
    }
  }
  return inodes;
}

function unixSockets(path: string): Set<string> {
  const shown = path.replace(/^\0/, "@");
  const inodes = new Set<string>();
  for (const line of (readOrUndefined("/proc/net/unix") ?? "").split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (fields.slice(7).join(" ") === shown) inodes.add(`socket:[${fields[6]}]`);
  }
  return inodes;
}

function hasOneOf(pid: number, sockets: ReadonlySet<string>): boolean {
  for (const descriptor of listOrUndefined(`/proc/${pid}/fd`) ?? []) {
    try {
      if (sockets.has(readlinkSync(`/proc/${pid}/fd/${descriptor}`))) return true;
    } catch (error) {
      goneOrThrow(error);
    }
  }
  return false;
}

function readThread(pid: number, id: number): ThreadReading | undefined {
  const folder = `/proc/${pid}/task/${id}`;
  const status = readOrUndefined(`${folder}/status`);
  const times = threadTimes(folder);
  if (status === undefined || times === undefined) return undefined;
  return {
    id,
    name: /^Name:\s+(.*)$/m.exec(status)?.[1] ?? "",
    ...times,
    voluntarySwitches: numberField(status, "voluntary_ctxt_switches"),
    involuntarySwitches: numberField(status, "nonvoluntary_ctxt_switches"),
  };
}

/** utime and stime: the 12th and 13th field behind the name, which stands in parentheses and may hold anything. */
function ticksOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

function kibField(status: string, name: string): number {
  return numberField(status, name) * 1024;
}

function numberField(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return goneOrThrow(error);
  }
}

function listOrUndefined(path: string): string[] | undefined {
  try {
    return readdirSync(path);
  } catch (error) {
    return goneOrThrow(error);
  }
}

/** Gone, not ours to look at, or a system without /proc. */
function goneOrThrow(error: unknown): undefined {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (["ENOENT", "ESRCH", "EACCES", "EPERM", "ENOTDIR"].includes(code)) return undefined;
  throw error;
}
