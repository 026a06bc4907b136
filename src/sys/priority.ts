// The priority of one thread. On Linux a nice value belongs to a thread and not to its process, unlike POSIX says
// (setpriority(2), "C library/kernel differences").

import { PRIO_PROCESS } from "./abi.ts";
import { nativeLibrary } from "./native-library.ts";

/** setpriority(2) for the calling thread: 0, or −errno. Anybody may give way; 19 gives way to all others. */
export function setNiceness(niceness: number): number {
  const library = nativeLibrary();
  const failed = library.setpriority(PRIO_PROCESS, 0, niceness);
  return failed < 0 ? -(library.errno[0] ?? 0) : 0;
}
