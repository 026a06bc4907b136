// Priorities of threads.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { SCHED_ATTR_RUNTIME, SCHED_ATTR_SIZE_VER0 } from "../../src/sys/abi.ts";
import { nativeAbi } from "../../src/sys/native-abi.ts";
import { nativeLibrary } from "../../src/sys/native-library.ts";
import { NativeMemory } from "../../src/sys/native-memory.ts";
import { demoteHelpers, setNiceness, setSlice } from "../../src/sys/priority.ts";
import { NO_NATIVE } from "./native-here.ts";

/** Nice values of this process's threads, by name: the 19th field of stat, 16 behind the name in parentheses. */
function nicenesses(): { readonly name: string; readonly nice: number }[] {
  return readdirSync("/proc/self/task").map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, "utf8");
    const end = stat.lastIndexOf(")");
    const name = stat.slice(stat.indexOf("(") + 1, end);
    return { name, nice: Number(stat.slice(end + 2).split(" ")[16]) };
  });
}

test("V8's helpers give way, and nobody else does", { skip: NO_NATIVE }, () => {
  const others = () => nicenesses().filter(({ name }) => !name.endsWith("V8Worker"));
  const before = others().map(({ nice }) => nice);
  const count = demoteHelpers();
  const helpers = nicenesses().filter(({ name }) => name.endsWith("V8Worker"));
  assert.ok(count > 0 && count === helpers.length, `${count} of ${helpers.length}`);
  assert.ok(helpers.every(({ nice }) => nice === 5));
  assert.deepEqual(
    others().map(({ nice }) => nice),
    before,
  );
});

/** What sched_getattr(2) says of the calling thread. */
function attributes(): { readonly nice: number; readonly runtimeNs: number } {
  const { SYS_sched_getattr } = nativeAbi();
  const memory = NativeMemory.allocate(SCHED_ATTR_SIZE_VER0);
  const size = BigInt(SCHED_ATTR_SIZE_VER0);
  const at = memory.at(0, SCHED_ATTR_SIZE_VER0);
  assert.equal(nativeLibrary().syscallPointers(SYS_sched_getattr, 0, at, size, 0, 0n, 0n), 0);
  const nice = memory.bytes.readInt32LE(NICE_OFFSET);
  const runtimeNs = Number(memory.bytes.readBigUInt64LE(SCHED_ATTR_RUNTIME));
  memory.release();
  return { nice, runtimeNs };
}

/** Of sched_nice in struct sched_attr. */
const NICE_OFFSET = 16;

test("a thread's slice is what it asks for, and its nice value stays", { skip: NO_NATIVE }, (t) => {
  const before = attributes();
  if (before.runtimeNs === 0) return t.skip("this kernel has no slices (Linux 6.12)");
  assert.equal(setNiceness(1), 0);
  assert.equal(setSlice(0.5), 0);
  assert.deepEqual(attributes(), { nice: 1, runtimeNs: 500_000 });
  assert.equal(setSlice(3), 0);
  assert.deepEqual(attributes(), { nice: 1, runtimeNs: 3_000_000 });
});
