// Memory for the kernel: bounds are checked, pages beside it kill whoever runs over, what is released is not used again.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { afterEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { readInto, writeFrom } from "../../src/sys/epoll-calls.ts";
import { EFAULT } from "../../src/sys/errno.ts";
import { NativeMemory, PAGE } from "../../src/sys/native-memory.ts";
import { NO_NATIVE } from "./native-here.ts";
import { Descriptors } from "./sockets.ts";

const descriptors = new Descriptors();

describe("native memory", { skip: NO_NATIVE }, () => {
  afterEach(() => descriptors.closeAll());

  test("is zeroed, whole pages, writable to the last byte", () => {
    for (const length of [1, PAGE - 1, PAGE, PAGE + 1, 1_000_000]) {
      const memory = NativeMemory.allocate(length);
      assert.ok(memory.length >= length && memory.length % PAGE === 0);
      assert.equal(memory.bytes.length, memory.length);
      assert.equal(memory.address % PAGE, 0);
      assert.ok(memory.bytes.every((byte) => byte === 0));
      memory.bytes.fill(0xff);
      memory.release();
    }
  });

  test("`at` gives exactly what lies inside", () => {
    const memory = NativeMemory.allocate(2 * PAGE);
    const anywhere = fc.integer({ min: -10, max: 2 * PAGE + 10 });
    fc.assert(
      fc.property(anywhere, anywhere, (offset, length) => {
        const inside = offset >= 0 && length >= 0 && offset + length <= memory.length;
        if (inside) assert.equal(memory.at(offset, length), BigInt(memory.address + offset));
        else assert.throws(() => memory.at(offset, length), RangeError);
      }),
      {
        examples: [
          [0, 2 * PAGE],
          [2 * PAGE, 0],
          [1, 2 * PAGE],
          [2 * PAGE + 1, 0],
        ],
      },
    );
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      assert.throws(() => memory.at(odd, 1), RangeError);
      assert.throws(() => memory.at(0, odd), RangeError);
    }
    assert.throws(() => memory.at(0.5, 1), RangeError);
    memory.release();
  });

  test("after its release it has no address; a second release does nothing", () => {
    const memory = NativeMemory.allocate(PAGE);
    memory.release();
    assert.throws(() => memory.at(0, 1), /used after its release/);
    assert.throws(() => memory.discard(0, PAGE), /used after its release/);
    memory.release();
  });

  test("discarded pages read as zero, their neighbours stay", () => {
    const memory = NativeMemory.allocate(3 * PAGE);
    memory.bytes.fill(7);
    memory.discard(PAGE, PAGE);
    assert.ok(memory.bytes.subarray(0, PAGE).every((byte) => byte === 7));
    assert.ok(memory.bytes.subarray(PAGE, 2 * PAGE).every((byte) => byte === 0));
    assert.ok(memory.bytes.subarray(2 * PAGE).every((byte) => byte === 7));
    memory.release();
  });

  test("the kernel itself cannot run over the end", () => {
    const { client, server } = descriptors.pair();
    const source = NativeMemory.allocate(PAGE);
    const target = NativeMemory.allocate(PAGE);
    source.bytes.fill(9);
    assert.equal(writeFrom(client, source.at(0, 100), 100), 100);
    const nearEnd = target.at(PAGE - 8, 8);
    const count = readInto(server, nearEnd, 100);
    assert.ok(count === 8 || count === -EFAULT, `read ${count}`);
    source.release();
    target.release();
  });

  for (const [where, offset] of [
    ["right behind the end", PAGE],
    ["right before the start", -1],
  ] as const) {
    test(`touching it ${where} ends the process with SIGSEGV`, () => {
      assert.equal(touchInChild(offset), "SIGSEGV");
    });
  }

  test("and touching its last byte does not", () => {
    assert.equal(touchInChild(PAGE - 1), null);
  });

  test("after its release, touching it ends the process too", () => {
    assert.equal(touchInChild(0, "memory.release();"), "SIGSEGV");
  });

  test("a hundred thousand allocations leave nothing mapped", () => {
    // Had they stayed, mmap would have refused by now: a process may have 65,530 mappings (vm.max_map_count).
    for (let n = 0; n < 100_000; n++) NativeMemory.allocate(PAGE).release();
  });
});

/** Reads one byte past the bounds that `at` would check, in a process of its own; the signal that ended it. */
function touchInChild(offset: number, first = ""): NodeJS.Signals | null {
  const source = (name: string) =>
    JSON.stringify(fileURLToPath(new URL(`../../src/sys/${name}.ts`, import.meta.url)));
  const program = `
    import { nativeLibrary } from ${source("native-library")};
    import { NativeMemory } from ${source("native-memory")};
    const memory = NativeMemory.allocate(4096);
    ${first}
    const view = nativeLibrary().viewMemory(BigInt(memory.address + ${offset}), 1);
    process.stdout.write(String(new Uint8Array(view)[0]));
  `;
  const child = spawnSync(process.execPath, ["--input-type=module-typescript", "--eval", program], {
    encoding: "utf8",
  });
  if (child.signal === null) assert.equal(child.stdout, "0", child.stderr);
  return child.signal;
}
