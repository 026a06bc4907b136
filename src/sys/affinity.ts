// Which cores a thread may run on: sched_setaffinity(2) and sched_getaffinity(2).

import { EINVAL } from "./errno.ts";
import { nativeLibrary } from "./native-library.ts";
import { NativeMemory, PAGE } from "./native-memory.ts";

/** Room for 8,192 cores: the kernel refuses a mask that has less than it was built for. */
const MASK_BYTES = 1024;
/** The calling thread. */
const SELF = 0;

/** The cores that the calling thread may run on, by number; or −errno. */
export function allowedCores(): number[] | number {
  const library = nativeLibrary();
  const memory = NativeMemory.allocate(PAGE);
  const failed = library.sched_getaffinity(SELF, BigInt(MASK_BYTES), memory.at(0, MASK_BYTES));
  const errno = library.errno[0] ?? 0;
  const mask = Uint8Array.from(memory.bytes.subarray(0, MASK_BYTES));
  memory.release();
  if (failed < 0) return -errno;
  return [...mask].flatMap((byte, at) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (1 << bit)) !== 0).map((bit) => at * 8 + bit),
  );
}

/** From here on the calling thread, and each one that it starts, runs on this core only; 0, or −EINVAL for a core that is not there. */
export function pinThread(core: number): number {
  const library = nativeLibrary();
  if (core < 0 || core >= MASK_BYTES * 8) return -EINVAL;
  const memory = NativeMemory.allocate(PAGE);
  memory.bytes.fill(0, 0, MASK_BYTES);
  memory.bytes[core >> 3] = 1 << (core & 7);
  const failed = library.sched_setaffinity(SELF, BigInt(MASK_BYTES), memory.at(0, MASK_BYTES));
  const errno = library.errno[0] ?? 0;
  memory.release();
  return failed < 0 ? -errno : 0;
}
