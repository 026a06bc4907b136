// The C library, opened once per thread: one typed table of every native symbol that Sluice calls.
//
// Why one table: node:ffi believes whatever signature it is told, and a wrong one corrupts memory silently.
// Here each signature stands once, beside its man page's order of arguments; `self-test.ts` calls each with
// an input that must fail in a known way.
//
// Twists, all measured (see docs/decisions/0002-calling-the-kernel.md):
// - A result is declared int32 and errno is read as the very next operation; with int64 a BigInt is made
//   between the two and a collection can overwrite errno.
// - Integer arguments are what a call costs (up to 300 ns); where all are declared pointers and given as bigints there
//   is hardly any cost. So hot calls go through syscall(2) with six words.
// - A single pointer goes another way than two to six, five times as dear: a hot call gets a second one. A function of C
//   does not see arguments that it does not name.
// - A seventh argument lies on the stack on x86-64 and must be declared 64 bits wide.
// - One symbol with a second signature needs a second opening of the library.

import type * as ffi from "node:ffi";
import { EINVAL } from "./errno.ts";
import { nativeArchitecture } from "./platform.ts";

const i32 = "int32";
const u32 = "uint32";
const u64 = "uint64";
const pointer = "pointer";

const LIBC = {
  __errno_location: { arguments: [], return: pointer },
  mmap: { arguments: [pointer, u64, i32, i32, i32, "int64"], return: pointer },
  mprotect: { arguments: [pointer, u64, i32], return: i32 },
  munmap: { arguments: [pointer, u64], return: i32 },
  madvise: { arguments: [pointer, u64, i32], return: i32 },
  socket: { arguments: [i32, i32, i32], return: i32 },
  bind: { arguments: [i32, pointer, u32], return: i32 },
  listen: { arguments: [i32, i32], return: i32 },
  connect: { arguments: [i32, pointer, u32], return: i32 },
  getsockname: { arguments: [i32, pointer, pointer], return: i32 },
  getpeername: { arguments: [i32, pointer, pointer], return: i32 },
  getsockopt: { arguments: [i32, i32, i32, pointer, pointer], return: i32 },
  setsockopt: { arguments: [i32, i32, i32, pointer, u32], return: i32 },
  shutdown: { arguments: [i32, i32], return: i32 },
  close: { arguments: [i32], return: i32 },
  read: { arguments: [i32, pointer, u32], return: i32 },
  write: { arguments: [i32, pointer, u32], return: i32 },
  poll: { arguments: [pointer, u32, i32], return: i32 },
  setpriority: { arguments: [i32, u32, i32], return: i32 },
  fcntl: { arguments: [i32, i32, i32], return: i32 },
  eventfd: { arguments: [u32, i32], return: i32 },
  epoll_create1: { arguments: [i32], return: i32 },
  sched_getaffinity: { arguments: [i32, u64, pointer], return: i32 },
  sched_setaffinity: { arguments: [i32, u64, pointer], return: i32 },
  getrlimit: { arguments: [i32, pointer], return: i32 },
  inet_pton: { arguments: [i32, "string", pointer], return: i32 },
  inet_ntop: { arguments: [i32, pointer, pointer, u32], return: pointer },
  if_nametoindex: { arguments: ["string"], return: u32 },
  /** (number, fd, to_submit | operation, min_complete | fd, flags, pointer, size) */
  syscall: { arguments: [i32, i32, u32, u32, u32, pointer, u64], return: i32 },
  uv_backend_fd: { arguments: [pointer], return: i32 },
  // Once a turn, so given a second argument that nobody reads: see the twists.
  uv_backend_timeout: { arguments: [pointer, pointer], return: i32 },
  uv_update_time: { arguments: [pointer, pointer], return: "void" },
} as const satisfies ffi.FunctionDefinitions;

/** syscall(2) where the second and third arguments are pointers: epoll_pwait, accept4, io_uring_setup. */
const SYSCALL_POINTERS = {
  syscall: { arguments: [i32, i32, pointer, pointer, i32, pointer, u64], return: i32 },
} as const satisfies ffi.FunctionDefinitions;

/** syscall(2) for epoll_ctl: (number, epfd, operation, fd, event, unused, unused). */
const SYSCALL_CONTROL = {
  syscall: { arguments: [i32, i32, i32, i32, pointer, pointer, u64], return: i32 },
} as const satisfies ffi.FunctionDefinitions;

/**
 * syscall(2) where every argument is a word, declared as a pointer: what such a call costs is next to nothing. For recvfrom,
 * sendto, epoll_pwait, io_uring_enter, whose last argument says how long a pointer's target is: it is not looked at
 * without one.
 */
const SYSCALL_WORDS = {
  syscall: { arguments: [pointer, pointer, pointer, pointer, pointer, pointer], return: i32 },
} as const satisfies ffi.FunctionDefinitions;

/** What only some C libraries have: mallopt(3), glibc. */
const ALLOCATOR = {
  mallopt: { arguments: [i32, i32], return: i32 },
} as const satisfies ffi.FunctionDefinitions;

type Functions<T extends ffi.FunctionDefinitions> = ffi.DynamicLibraryResult<T>["functions"];

export interface NativeLibrary extends Functions<typeof LIBC> {
  readonly syscallPointers: Functions<typeof SYSCALL_POINTERS>["syscall"];
  readonly syscallWords: Functions<typeof SYSCALL_WORDS>["syscall"];
  readonly syscallControl: Functions<typeof SYSCALL_CONTROL>["syscall"];
  /** Undefined where the C library has none. */
  readonly mallopt: Functions<typeof ALLOCATOR>["mallopt"] | undefined;
  /** A live view on this thread's errno: read it as the very next operation after a failed call. */
  readonly errno: Int32Array;
  /** The address of this thread's libuv loop. */
  readonly eventLoop: bigint;
  /** Where bytes of a JavaScript heap lie: true only while the caller holds them, and as long as they are not detached. */
  addressOf(bytes: Uint8Array): bigint;
  /** A view, not a copy, on memory that the caller keeps mapped. */
  viewMemory(address: bigint, length: number): ArrayBuffer;
}

/** Why the native library cannot be used in this process; `message` is for people. */
export class NativeUnavailableError extends Error {
  override readonly name = "NativeUnavailableError";
}

let opened: NativeLibrary | NativeUnavailableError | undefined;

/**
 * This thread's native library, opened at the first call.
 * @throws NativeUnavailableError when this is not Linux, or Node has no node:ffi, or forbids it
 */
export function nativeLibrary(): NativeLibrary {
  opened ??= open();
  if (opened instanceof NativeUnavailableError) throw opened;
  return opened;
}

/** See NativeLibrary.addressOf. */
export function addressOf(bytes: Uint8Array): bigint {
  return nativeLibrary().addressOf(bytes);
}

/** Why the raw drivers cannot run in this process, or undefined when they can. */
export function nativeRefusal(): string | undefined {
  opened ??= open();
  return opened instanceof NativeUnavailableError ? opened.message : undefined;
}

function open(): NativeLibrary | NativeUnavailableError {
  const architecture = nativeArchitecture();
  if (typeof architecture === "object") return new NativeUnavailableError(architecture.refused);
  const module = loadFfi();
  if (module instanceof NativeUnavailableError) return module;
  try {
    const { functions } = module.dlopen(null, LIBC);
    const errno = new Int32Array(module.toArrayBuffer(functions.__errno_location(), 4, false));
    const library: NativeLibrary = {
      ...functions,
      syscallPointers: module.dlopen(null, SYSCALL_POINTERS).functions.syscall,
      syscallWords: module.dlopen(null, SYSCALL_WORDS).functions.syscall,
      syscallControl: module.dlopen(null, SYSCALL_CONTROL).functions.syscall,
      mallopt: optional(() => module.dlopen(null, ALLOCATOR).functions.mallopt),
      errno,
      eventLoop: module.getCurrentEventLoop(),
      addressOf: module.getRawPointer,
      viewMemory: (address, length) => module.toArrayBuffer(address, length, false),
    };
    return checkErrno(library);
  } catch (error) {
    return new NativeUnavailableError(`node:ffi refused: ${errorMessage(error)}`);
  }
}

function optional<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch {
    return undefined;
  }
}

function loadFfi(): typeof ffi | NativeUnavailableError {
  const needs = "node:ffi needs Node 26.9 or later";
  if (process.getBuiltinModule === undefined) {
    return new NativeUnavailableError(`${needs}, this is ${process.version}`);
  }
  const emitWarning = process.emitWarning;
  // Node warns in every thread that FFI is experimental. Who uses Sluice has read that in the README.
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (!String(warning).startsWith("FFI is an experimental feature")) {
      Reflect.apply(emitWarning, process, [warning, ...rest]);
    }
  };
  try {
    const module = process.getBuiltinModule("node:ffi");
    return module ?? new NativeUnavailableError(`${needs}, this is ${process.version}`);
  } catch (error) {
    return new NativeUnavailableError(`node:ffi refused: ${errorMessage(error)}`);
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** The cheapest proof that calls, results and errno work at all; the whole table is tested in self-test.ts. */
function checkErrno(library: NativeLibrary): NativeLibrary | NativeUnavailableError {
  library.errno[0] = 0;
  const result = library.eventfd(0, -1);
  const errno = library.errno[0];
  if (result === -1 && errno === EINVAL) return library;
  return new NativeUnavailableError(
    `node:ffi does not report errors as expected (eventfd gave ${result}, errno ${errno})`,
  );
}

function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
