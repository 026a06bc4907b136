// The C library's allocator, told to keep what is freed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { NO_NATIVE } from "./native-here.ts";

/** What glibc begins with, for good: left to itself it goes by what the process has freed so far. */
const ALLOCATOR = { MALLOC_MMAP_THRESHOLD_: "131072", MALLOC_TRIM_THRESHOLD_: "131072" };

/** Page faults of a process that frees 16 MiB, and takes as much again, 20 times. */
function faultsOf(prepare: string): number {
  const program = `
    const { keepFreedMemory } = await import(${JSON.stringify(new URL("../../src/sys/allocator.ts", import.meta.url))});
    ${prepare}
    const use = () => {
      for (let n = 0; n < 16; n++) Buffer.allocUnsafeSlow(2 ** 20).fill(n);
      gc();
    };
    use();
    const before = process.resourceUsage().minorPageFault;
    for (let n = 0; n < 20; n++) use();
    console.log(process.resourceUsage().minorPageFault - before);
  `;
  const flags = ["--expose-gc", "--no-concurrent-array-buffer-sweeping", "--input-type=module"];
  const child = spawnSync(process.execPath, [...flags, "-e", program], {
    encoding: "utf8",
    env: { ...process.env, ...ALLOCATOR },
  });
  assert.equal(child.status, 0, child.stderr);
  return Number(child.stdout);
}

test("freed memory is used again, and not faulted in anew", { skip: NO_NATIVE }, () => {
  const left = faultsOf("");
  const kept = faultsOf("if (!keepFreedMemory()) process.exit(1);");
  // 16 MiB are 4096 pages.
  assert.ok(kept < 4096, `${kept} faults in 20 rounds; ${left} without it`);
  assert.ok(left > 4 * kept, `${left} faults without it, ${kept} with it`);
});
