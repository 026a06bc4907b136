// For how long threads ran, for how long they could have run and had no core (schedstat in proc(5)), and whether they wait.

import { readFileSync, readlinkSync } from "node:fs";

const NS_PER_MS = 1e6;

export interface ThreadTimes {
  readonly cpuMs: number;
  /** Others had the cores. A wait that goes on is not in it yet. */
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

/** What the kernel says of a thread. */
export interface ThreadSchedule extends ThreadTimes {
  /** It waits for something and wants no core (state S in proc(5)); else it runs, waits for a core, or the kernel holds it (R, D). */
  readonly sleeps: boolean;
}

/** Of a thread of this process, by its number; undefined where the kernel does not say. */
export function threadSchedule(thread: number): ThreadSchedule | undefined {
  if (thread === 0) return undefined;
  const folder = `/proc/self/task/${thread}`;
  const times = threadTimes(folder);
  if (times === undefined) return undefined;
  try {
    const stat = readFileSync(`${folder}/stat`, "latin1");
    // Behind the name, which may have anything in it.
    return { ...times, sleeps: stat.slice(stat.lastIndexOf(")") + 2).startsWith("S") };
  } catch {
    return undefined;
  }
}
