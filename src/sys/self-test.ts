// The native table, proven: each function is called with an input that must fail in a known way.
//
// node:ffi believes any signature, and a misspelt one is accepted silently. A wrong number or order of arguments gives
// another errno here (or none), long before it could corrupt anything.

import { ABI, AF_INET, MAP_ANONYMOUS, PROT_READ } from "./abi.ts";
import { EBADF, EINVAL, errnoName } from "./errno.ts";
import { type NativeLibrary, nativeLibrary } from "./native-library.ts";
import { nativeArchitecture } from "./platform.ts";

/** Nobody has this descriptor: the kernel's own limit on descriptors is far below. */
const NO_DESCRIPTOR = 0x3fff_fff0;
/** Above the kernel's own limit on process numbers. */
const NO_THREAD = 0x3fff_fff0;
const ESRCH = 3;
const EAFNOSUPPORT = 97;

type Check = readonly [
  name: string,
  call: (library: NativeLibrary) => number | bigint,
  errno: number,
];

const CHECKS: readonly Check[] = [
  ["mmap", (c) => c.mmap(0n, 0n, PROT_READ, MAP_ANONYMOUS, -1, 0n), EINVAL],
  ["mprotect", (c) => c.mprotect(1n, 4096n, PROT_READ), EINVAL],
  ["munmap", (c) => c.munmap(1n, 4096n), EINVAL],
  ["madvise", (c) => c.madvise(1n, 4096n, 4), EINVAL],
  ["socket", (c) => c.socket(999, 1, 0), EAFNOSUPPORT],
  ["bind", (c) => c.bind(NO_DESCRIPTOR, 0n, 0), EBADF],
  ["listen", (c) => c.listen(NO_DESCRIPTOR, 1), EBADF],
  ["connect", (c) => c.connect(NO_DESCRIPTOR, 0n, 0), EBADF],
  ["getsockname", (c) => c.getsockname(NO_DESCRIPTOR, 0n, 0n), EBADF],
  ["getpeername", (c) => c.getpeername(NO_DESCRIPTOR, 0n, 0n), EBADF],
  ["getsockopt", (c) => c.getsockopt(NO_DESCRIPTOR, 1, 4, 0n, 0n), EBADF],
  ["setsockopt", (c) => c.setsockopt(NO_DESCRIPTOR, 1, 4, 0n, 0), EBADF],
  ["shutdown", (c) => c.shutdown(NO_DESCRIPTOR, 1), EBADF],
  ["close", (c) => c.close(NO_DESCRIPTOR), EBADF],
  ["read", (c) => c.read(NO_DESCRIPTOR, 0n, 0), EBADF],
  ["write", (c) => c.write(NO_DESCRIPTOR, 0n, 0), EBADF],
  ["poll", (c) => c.poll(0n, 0xffff_ffff, 0), EINVAL],
  ["setpriority", (c) => c.setpriority(-1, 0, 0), EINVAL],
  ["fcntl", (c) => c.fcntl(NO_DESCRIPTOR, 1, 0), EBADF],
  ["eventfd", (c) => c.eventfd(0, -1), EINVAL],
  ["epoll_create1", (c) => c.epoll_create1(-1), EINVAL],
  ["sched_getaffinity", (c) => c.sched_getaffinity(0, 0n, 0n), EINVAL],
  ["sched_setaffinity", (c) => c.sched_setaffinity(NO_THREAD, 0n, 0n), ESRCH],
  ["getrlimit", (c) => c.getrlimit(-1, 0n), EINVAL],
  ["inet_pton", (c) => c.inet_pton(AF_INET - 3, "", 0n), EAFNOSUPPORT],
];

/** The hot calls: one signature for all of them. */
const WORDS = ["epoll_pwait", "recvfrom", "sendto"] as const;

/** What is wrong with this process's native calls, a sentence each; empty when nothing is. */
export function selfTest(library: NativeLibrary = nativeLibrary()): readonly string[] {
  const wrong: string[] = [];
  for (const check of [...CHECKS, ...systemCallChecks()]) {
    const sentence = outcome(library, check);
    if (sentence !== undefined) wrong.push(sentence);
  }
  return [...wrong, ...valueChecks(library)];
}

function outcome(library: NativeLibrary, [name, call, expected]: Check): string | undefined {
  library.errno[0] = 0;
  try {
    const result = call(library);
    const errno = library.errno[0] ?? 0;
    const failed = result === -1 || result === 0xffff_ffff_ffff_ffffn;
    if (failed && errno === expected) return undefined;
    return `${name} gave ${result} with ${errnoName(errno)}, not ${errnoName(expected)}`;
  } catch (error) {
    // node:ffi itself refuses arguments that do not fit the signature it was told.
    return `${name} cannot be called: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** The raw system calls, by number. */
function systemCallChecks(): readonly Check[] {
  const architecture = nativeArchitecture();
  if (typeof architecture === "object") return [];
  const abi = ABI[architecture];
  const none = NO_DESCRIPTOR;
  return [
    ...WORDS.map((name): Check => {
      const number = BigInt(abi[`SYS_${name}`]);
      return [name, (c) => c.syscallWords(number, BigInt(none), 1n, 1n, 0n, 0n), EBADF];
    }),
    ["epoll_ctl", (c) => c.syscallControl(abi.SYS_epoll_ctl, none, 2, 0, 0n, 0n, 0n), EBADF],
    ["accept4", (c) => c.syscallPointers(abi.SYS_accept4, none, 0n, 0n, 0, 0n, 0n), EBADF],
  ];
}

/** Calls that cannot fail, held against what is known. */
function valueChecks(library: NativeLibrary): readonly string[] {
  const wrong: string[] = [];
  if (library.if_nametoindex("no-such-device-0") !== 0) wrong.push("if_nametoindex found nothing");
  if (library.uv_backend_fd(library.eventLoop) < 0) wrong.push("uv_backend_fd has no descriptor");
  if (library.uv_backend_timeout(library.eventLoop, 0n) < -1)
    wrong.push("uv_backend_timeout is out of range");
  // M_MXFAST, far above what it may be.
  if (library.mallopt?.(1, 1 << 30) === 1) wrong.push("mallopt took anything");
  return wrong;
}
