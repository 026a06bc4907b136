// What the kernel knows of a running process: its CPU time and its resident memory.
//
// CPU time comes from schedstat, in nanoseconds and summed over the threads; the
// usual utime and stime count in ticks of 10 ms. (While a load runs, the generator
// reads the server's CPU clock itself, at the very ends of the window.)
import { readdirSync, readFileSync } from "node:fs";

export interface CpuTimes {
  readonly usedNs: number;
  /** It could have run, but other processes had the core. */
  readonly keptWaitingNs: number;
}

/** Undefined when the process has gone. Threads that have ended are not counted. */
export function cpuTimes(pid: number): CpuTimes | undefined {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch (error) {
    return goneOrThrow(error);
  }
  let usedNs = 0;
  let keptWaitingNs = 0;
  for (const thread of threads) {
    const line = readOrUndefined(`/proc/${pid}/task/${thread}/schedstat`);
    if (line === undefined) continue;
    const [used, waited] = line.split(" ");
    usedNs += Number(used);
    keptWaitingNs += Number(waited);
  }
  return { usedNs, keptWaitingNs };
}

/**
 * Resident memory, counted page by page: the figures in stat and statm are kept per CPU
 * and may be hundreds of KiB behind. Undefined when the process has gone.
 */
export function rssBytes(pid: number): number | undefined {
  const text = readOrUndefined(`/proc/${pid}/smaps_rollup`);
  const match = text === undefined ? null : /^Rss:\s+(\d+) kB$/m.exec(text);
  return match === null ? undefined : Number(match[1]) * 1024;
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return goneOrThrow(error);
  }
}

function goneOrThrow(error: unknown): undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ESRCH") return undefined;
  throw error;
}
