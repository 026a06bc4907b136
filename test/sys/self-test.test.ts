// The self-test of the native table passes here, and finds a signature that is wrong.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type NativeLibrary, nativeLibrary } from "../../src/sys/native-library.ts";
import { selfTest } from "../../src/sys/self-test.ts";
import { NO_NATIVE } from "./native-here.ts";

const i32 = "int32";
const u32 = "uint32";
const u64 = "uint64";
const pointer = "pointer";
type Type = typeof i32 | typeof u32 | typeof u64 | typeof pointer | "int64" | "string";

/** The right arguments of what the self-test calls by name: as in the table, written a second time. */
const ARGUMENTS: Readonly<Record<string, readonly Type[]>> = {
  mmap: [pointer, u64, i32, i32, i32, "int64"],
  mprotect: [pointer, u64, i32],
  munmap: [pointer, u64],
  madvise: [pointer, u64, i32],
  socket: [i32, i32, i32],
  bind: [i32, pointer, u32],
  listen: [i32, i32],
  connect: [i32, pointer, u32],
  getsockname: [i32, pointer, pointer],
  getpeername: [i32, pointer, pointer],
  getsockopt: [i32, i32, i32, pointer, pointer],
  setsockopt: [i32, i32, i32, pointer, u32],
  shutdown: [i32, i32],
  close: [i32],
  read: [i32, pointer, u32],
  write: [i32, pointer, u32],
  poll: [pointer, u32, i32],
  setpriority: [i32, u32, i32],
  fcntl: [i32, i32, i32],
  eventfd: [u32, i32],
  epoll_create1: [i32],
  sched_getaffinity: [i32, u64, pointer],
  sched_setaffinity: [i32, u64, pointer],
  getrlimit: [i32, pointer],
  inet_pton: [i32, "string", pointer],
};

interface Definition {
  readonly arguments?: readonly Type[];
  readonly return?: Type;
}

/** The library with one function declared anew; node:ffi takes whatever it is told. */
function redeclared(name: string, definition: Definition): NativeLibrary {
  const { dlopen } = process.getBuiltinModule("node:ffi");
  const { functions } = dlopen(null, { [name]: definition });
  return { ...nativeLibrary(), ...functions };
}

describe("self-test", { skip: NO_NATIVE }, () => {
  test("finds nothing wrong with the table", () => {
    assert.deepEqual(selfTest(), []);
  });

  test("nor with the same signatures declared a second time", () => {
    for (const [name, types] of Object.entries(ARGUMENTS)) {
      const result = name === "mmap" ? pointer : i32;
      assert.deepEqual(selfTest(redeclared(name, { arguments: types, return: result })), [], name);
    }
  });

  for (const [name, types] of Object.entries(ARGUMENTS)) {
    test(`notices a wrong signature of ${name}`, () => {
      const wrongs: Readonly<Record<string, Definition>> = {
        "a misspelt definition": {},
        "no arguments": { return: i32 },
        "no result": { arguments: types },
        "a result of 64 bits": { arguments: types, return: "int64" },
        "one argument too few": { arguments: types.slice(1), return: i32 },
        "one argument too many": { arguments: [...types, i32], return: i32 },
      };
      const reversed = types.toReversed();
      // What is as wide is passed in the same way.
      const widths = (list: readonly Type[]) => list.map((type) => /32/.test(type)).join();
      const same = widths(reversed) === widths(types);
      const all = same
        ? wrongs
        : {
            ...wrongs,
            "arguments in the wrong order": { arguments: reversed, return: i32 } as const,
          };
      for (const [wrong, definition] of Object.entries(all)) {
        const found = selfTest(redeclared(name, definition));
        assert.equal(found.length, 1, `${name} with ${wrong} went unnoticed`);
        assert.match(found[0] ?? "", new RegExp(`^${name} `));
      }
    });
  }
});
