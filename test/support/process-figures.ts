// What the kernel knows of a process: CPU time and descriptors. Linux only.

import { readdirSync, readFileSync } from "node:fs";

/** The kernel counts CPU time in ticks of 10 ms (USER_HZ). */
export const TICK_MS = 10;

/** User and system time of all its threads, in ticks. */
export function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, in parentheses, may hold anything; state is the field behind it, utime and stime the 12th and 13th.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

export function descriptorsOf(pid: number | "self"): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
