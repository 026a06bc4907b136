// The priority of one thread. On Linux a nice value belongs to a thread and not to its process, unlike POSIX says
// (setpriority(2), "C library/kernel differences").

import { readdirSync, readFileSync } from "node:fs";
import {
  PRIO_PROCESS,
  SCHED_ATTR_POLICY,
  SCHED_ATTR_RUNTIME,
  SCHED_ATTR_SIZE_VER0,
  SCHED_OTHER,
} from "./abi.ts";
import { nativeAbi } from "./native-abi.ts";
import { nativeLibrary } from "./native-library.ts";
import { NativeMemory } from "./native-memory.ts";

const NS_PER_MS = 1e6;

/** setpriority(2) for the calling thread: 0, or −errno. Anybody may give way; 19 gives way to all others. */
export function setNiceness(niceness: number): number {
  const library = nativeLibrary();
  const failed = library.setpriority(PRIO_PROCESS, 0, niceness);
  return failed < 0 ? -(library.errno[0] ?? 0) : 0;
}

/** The calling thread. */
const SELF = 0;

/**
 * How long the calling thread may run before the scheduler looks whether another one should: its slice, 0.1 to 100 ms; 0, or
 * −errno. The shorter, the sooner it gets the core back when something wakes it, though another thread's slice is not over yet;
 * its share of the core stays the same. From Linux 6.12 on (before, the kernel takes no notice), for the scheduler's ordinary
 * class: one of another class keeps what it has. Threads that it starts have the same. See sched_setattr(2), sched(7).
 */
export function setSlice(ms: number): number {
  const { SYS_sched_getattr, SYS_sched_setattr } = nativeAbi();
  const library = nativeLibrary();
  const memory = NativeMemory.allocate(SCHED_ATTR_SIZE_VER0);
  const attributes = memory.at(0, SCHED_ATTR_SIZE_VER0);
  const size = BigInt(SCHED_ATTR_SIZE_VER0);
  let failed = library.syscallPointers(SYS_sched_getattr, SELF, attributes, size, 0, 0n, 0n);
  if (failed >= 0 && memory.bytes.readUInt32LE(SCHED_ATTR_POLICY) === SCHED_OTHER) {
    memory.bytes.writeBigUInt64LE(BigInt(ms * NS_PER_MS), SCHED_ATTR_RUNTIME);
    failed = library.syscallPointers(SYS_sched_setattr, SELF, attributes, 0n, 0, 0n, 0n);
  }
  const errno = library.errno[0] ?? 0;
  memory.release();
  return failed < 0 ? -errno : 0;
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
