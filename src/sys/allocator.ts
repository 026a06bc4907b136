// The C library's allocator, which V8 takes the memory of every ArrayBuffer from: mallopt(3).
//
// Left to itself glibc gives a large piece back to the kernel as soon as it is freed, or does so by the history of what
// was freed before: a server whose messages are cut from slabs then faults its pages in again for each of them (up to one fault a
// message of 16 KiB, 15 % of its CPU, or none, by chance).

import { nativeLibrary } from "./native-library.ts";

const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
/** What glibc itself goes up to with its mappings, halved: larger pieces still go back at once. */
const MAPPED_BYTES = 16 << 20;
/** Free memory at the heap's end that is kept: what V8 lets pile up between two collections of its own. */
const KEPT_BYTES = 64 << 20;

/**
 * From here on the process keeps up to 64 MiB of what it frees instead of giving it back to the kernel. For the whole process
 * and for good; false where the C library cannot be told (musl), and nothing changes.
 */
export function keepFreedMemory(): boolean {
  const { mallopt } = nativeLibrary();
  if (mallopt === undefined) return false;
  // Either one also ends what glibc does by its history.
  return (
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES) === 1 && mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) === 1
  );
}
