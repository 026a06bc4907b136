// For how long threads ran, for how long they could have run and had no core (schedstat in proc(5)), and whether they wait.

import { readFileSync, readlinkSync } from "node:fs";

const NS_PER_MS = 1e6;

export interface ThreadTimes {
  readonly cpuMs: number;
  /** Others had the cores. */
  readonly keptWaitingMs: number;
}

/** Since it began, of the thread whose folder in /proc this is; undefined when there is none (any more), or the kernel does not count. */
export function threadTimes(folder: string): ThreadTimes | undefined {
  try {
    const [cpu = "0", waited = "0"] = readFileSync(`${folder}/schedstat`, "utf8").split(" ");
    return { cpuMs: Number(cpu) / NS_PER_MS, keptWaitingMs: Number(waited) / NS_PER_MS };
  } catch {
    return undefined;
  }
}

/** The calling thread's number in the kernel, as gettid(2) has it; 0 where there is no /proc. */
export function ownThread(): number {
  try {
    return Number(readlinkSync("/proc/thread-self").split("/").at(-1));
  } catch {
    return 0;
  }
}

/** Of a thread of this process, by that number. */
export function keptWaitingMs(thread: number): number | undefined {
  return thread === 0 ? undefined : threadTimes(`/proc/self/task/${thread}`)?.keptWaitingMs;
}

/** Whether a thread of this process, by that number, sleeps in the kernel and cannot be interrupted (state D in proc(5)). */
export function isHeldByKernel(thread: number): boolean {
  if (thread === 0) return false;
  try {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, "latin1");
    // Behind the name, which may have anything in it.
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("D");
  } catch {
    return false;
  }
}
