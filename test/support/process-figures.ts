// What the kernel knows of a process: CPU time, descriptors and memory. Linux only.

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

/** What is in RAM, what of the addresses is taken, and in how many pieces. */
export function memoryOf(pid: number | "self") {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kibibytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
  const mappings = readFileSync(`/proc/${pid}/maps`, "latin1").split("\n").length - 1;
  return {
    residentBytes: kibibytes("VmRSS") * 1024,
    mappedBytes: kibibytes("VmSize") * 1024,
    mappings,
  };
}
