// The output arena against a model that only remembers which bytes are taken: no byte is handed out twice, what is in use
// is exact, and being used up is an answer and not the end.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import {
  BLOCK_BYTES,
  LARGEST_ARENA,
  LARGEST_BLOCK,
  NO_BLOCK,
  OutputArena,
} from "../../src/reactor/output-arena.ts";

const MIB = 1 << 20;
const memory = Buffer.alloc(MIB);

const sizeClass = fc.integer({ min: 0, max: BLOCK_BYTES.length - 1 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ sizeClass, times: fc.integer({ min: 1, max: 40 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ release: fc.nat(), times: fc.integer({ min: 1, max: 40 }) }),
  },
);

test("blocks never overlap, and what is in use is their sum", () => {
  let refusals = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const arena = new OutputArena(memory);
      const taken = new Map<number, number>();
      const free = new Map<number, number>();
      const units = new Uint8Array(MIB / 1024);
      let inUse = 0;
      for (const one of steps) {
        for (let n = 0; n < one.times; n++) {
          if ("sizeClass" in one) {
            const block = arena.allocate(one.sizeClass);
            if (block === NO_BLOCK) {
              assert.equal(inUse, MIB, "refused while there are free blocks");
              refusals++;
              continue;
            }
            // Of another class when memory is short, never while one of the wanted class is known to be free.
            const actual = arena.classOf(block);
            assert.ok(actual === one.sizeClass || ![...free.values()].includes(one.sizeClass));
            free.delete(block);
            const size = BLOCK_BYTES[actual] ?? 0;
            assert.ok(block >= 0 && block + size <= MIB && block % 1024 === 0, `${block}`);
            const own = units.subarray(block / 1024, (block + size) / 1024);
            assert.ok(
              own.every((unit) => unit === 0),
              `${block} overlaps another`,
            );
            own.fill(1);
            taken.set(block, size);
            inUse += size;
            assert.deepEqual([arena.used(block), arena.room(block)], [0, size]);
            assert.equal(arena.next(block), NO_BLOCK);
            arena.setUsed(block, size - 1);
            assert.deepEqual([arena.used(block), arena.room(block)], [size - 1, 1]);
            arena.link(block, 0);
          } else if (taken.size > 0) {
            const [block, size] = [...taken][one.release % taken.size] ?? [0, 0];
            arena.release(block);
            taken.delete(block);
            free.set(block, arena.classOf(block));
            units.fill(0, block / 1024, (block + size) / 1024);
            inUse -= size;
          }
          assert.equal(arena.inUse, inUse);
        }
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(refusals > 0, "the arena was never used up: this proves too little");
});

for (const [index, size] of BLOCK_BYTES.entries()) {
  test(`used up in blocks of ${size}, it says so, and recovers with the first that comes back`, () => {
    const arena = new OutputArena(memory);
    const blocks = new Set<number>();
    for (let n = 0; n < arena.capacity / size; n++) blocks.add(arena.allocate(index));
    assert.ok(!blocks.has(NO_BLOCK));
    assert.equal(blocks.size, MIB / size);
    assert.equal(arena.inUse, MIB);
    for (const any of BLOCK_BYTES.keys()) assert.equal(arena.allocate(any), NO_BLOCK);
    assert.equal(arena.inUse, MIB, "a refusal counts as use");
    const [first = NO_BLOCK] = blocks;
    arena.release(first);
    assert.equal(arena.inUse, MIB - size);
    assert.equal(arena.allocate(index), first, "the warm block comes first");
    assert.equal(arena.allocate(index), NO_BLOCK);
    for (const block of blocks) arena.release(block);
    assert.equal(arena.inUse, 0);
    const again = Array.from({ length: MIB / size }, () => arena.allocate(index));
    assert.deepEqual(new Set(again), blocks);
  });
}

test("a length gets the smallest class that holds it, or the largest there is", () => {
  const arena = new OutputArena(memory);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 * LARGEST_BLOCK }), (length) => {
      const fitting = BLOCK_BYTES.findIndex((size) => size >= length);
      assert.equal(arena.classFor(length), fitting < 0 ? BLOCK_BYTES.length - 1 : fitting);
    }),
  );
  for (const [index, size] of BLOCK_BYTES.entries()) assert.equal(arena.classFor(size), index);
});

test("memory that offsets could not name is refused", () => {
  const huge = { length: LARGEST_ARENA + 1 } as Buffer;
  assert.throws(() => new OutputArena(huge), RangeError);
});
