// The priority of one thread. On Linux a nice value belongs to a thread and not to its process, unlike POSIX says
// (setpriority(2), "C library/kernel differences").

import { readdirSync, readFileSync } from "node:fs";
import { PRIO_PROCESS } from "./abi.ts";
import { nativeLibrary } from "./native-library.ts";

/** setpriority(2) for the calling thread: 0, or −errno. Anybody may give way; 19 gives way to all others. */
export function setNiceness(niceness: number): number {
  const library = nativeLibrary();
  const failed = library.setpriority(PRIO_PROCESS, 0, niceness);
  return failed < 0 ? -(library.errno[0] ?? 0) : 0;
}

/** How Node names them ends. */
const HELPER = "V8Worker";
/** A third of the weight of other threads: they are late and not starved, since a collection may wait for them. */
const HELPERS_NICENESS = 5;

/**
 * V8's helper threads (compilers, collectors) give way to the process's own threads, for good: on a core that they share, a thread
 * that a message wakes would else wait until the compiler's slice is over, 2 to 3 ms. How many do so; 0 where there is no /proc.
 */
export function demoteHelpers(): number {
  const library = nativeLibrary();
  let demoted = 0;
  for (const thread of threads()) {
    if (!nameOf(thread).endsWith(HELPER)) continue;
    if (library.setpriority(PRIO_PROCESS, Number(thread), HELPERS_NICENESS) === 0) demoted++;
  }
  return demoted;
}

function threads(): string[] {
  try {
    return readdirSync("/proc/self/task");
  } catch {
    return [];
  }
}

/** Empty for one that has ended meanwhile. */
function nameOf(thread: string): string {
  try {
    return readFileSync(`/proc/self/task/${thread}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}
