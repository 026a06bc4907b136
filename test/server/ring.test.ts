// The ring between two threads: every interleaving of the writer's and the reader's steps against a plain list, the death of
// either side at every step, and two real threads with hashes over everything.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import {
  longestRecord,
  RingReader,
  RingWriter,
  ringLength,
  ringMemory,
} from "../../src/server/ring.ts";

const CAPACITY = 128;
/** Where the ring begins in its memory: not at 0, and something lies behind it. */
const AT = 64;
const GUARD = 0x5a;

interface Written {
  readonly kind: number;
  readonly tag: number;
  readonly head: string;
  readonly body: string;
}

const RECORD: fc.Arbitrary<Written> = fc.record(
  {
    kind: fc.nat(0x7fff),
    tag: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    head: fc.string({ maxLength: 9, unit: "grapheme-ascii" }),
    body: fc.string({ maxLength: 80, unit: "grapheme-ascii" }),
  },
  { noNullPrototype: true },
);
/** Who makes its next step; "dies" puts a successor in its place. The writer is faster, so that the ring is full at times. */
const STEP = fc.oneof(
  { weight: 12, arbitrary: fc.constant("writer") },
  { weight: 6, arbitrary: fc.constant("reader") },
  { weight: 1, arbitrary: fc.constantFrom("writer dies", "reader dies") },
);
const STEPS = fc.array(STEP, { minLength: 50, maxLength: 300, size: "max" });

describe("a ring", () => {
  test("whoever makes the next step, and whoever dies: what is read is what was written, in order", () => {
    let refused = 0;
    let written = 0;
    fc.assert(
      fc.property(fc.array(RECORD, { minLength: 1 }), STEPS, (records, steps) => {
        const shared = new SharedArrayBuffer(AT + ringLength(CAPACITY) + 64);
        new Uint8Array(shared).fill(GUARD, AT + ringLength(CAPACITY));
        const memory = ringMemory(shared);
        let writer = new RingWriter(memory, AT, CAPACITY);
        let reader = new RingReader(memory, AT, CAPACITY);
        const model: Written[] = [];
        let next = 0;
        let writing = 0;
        let reading: Written | undefined;
        for (const step of steps) {
          const record = records[next % records.length] as Written;
          const head = Buffer.from(record.head);
          const body = Buffer.from(record.body);
          if (step === "writer dies") {
            writer = new RingWriter(memory, AT, CAPACITY);
            writing = 0;
          } else if (step === "writer") {
            if (writing === 0) {
              const used = model.reduce(
                (sum, { head, body }) => sum + room(head.length + body.length),
                0,
              );
              const fits = used + room(head.length + body.length) <= CAPACITY;
              assert.equal(writer.reserve(head.length + body.length), fits);
              writing = fits ? 1 : 0;
              if (!fits) refused++;
            } else if (writing === 1) {
              writer.fill(record.kind, record.tag, head, body);
              writing = 2;
            } else {
              writer.commit();
              model.push(record);
              written++;
              writing = 0;
              next++;
            }
          } else if (step === "reader dies") {
            reader = new RingReader(memory, AT, CAPACITY);
            assert.equal(reader.discard(), model.length);
            model.length = 0;
            reading = undefined;
          } else if (reading === undefined) {
            assert.equal(reader.next(reader.end()), model.length > 0);
            reading = model[0];
          } else {
            const { kind, tag } = reader;
            assert.deepEqual(
              { kind, tag, head: String(reader.head), body: String(reader.body) },
              reading,
            );
            reader.done();
            model.shift();
            reading = undefined;
          }
        }
        assert.ok(memory.bytes.subarray(AT + ringLength(CAPACITY)).every((byte) => byte === GUARD));
        assert.ok(memory.bytes.subarray(0, AT).every((byte) => byte === 0));
      }),
      { numRuns: 300 },
    );
    // Else nothing was shown of a full ring, or of one that wraps.
    assert.ok(refused > 1000 && written > 5000, `${refused} refused, ${written} written`);
  });

  test("the longest record fits an empty ring exactly", () => {
    const memory = ringMemory(new SharedArrayBuffer(ringLength(CAPACITY)));
    const writer = new RingWriter(memory, 0, CAPACITY);
    const none = Buffer.alloc(0);
    assert.equal(writer.put(1, 1, none, Buffer.alloc(longestRecord(CAPACITY) + 1)), false);
    assert.equal(writer.put(1, 1, none, Buffer.alloc(longestRecord(CAPACITY))), true);
    assert.equal(writer.put(1, 1, none, none), false);
  });

  test("two threads: every byte of 300,000 records is right", async () => {
    const capacity = 4096;
    const shared = new SharedArrayBuffer(ringLength(capacity));
    const entry = fileURLToPath(new URL("../support/ring-writer.ts", import.meta.url));
    const records = 300_000;
    const worker = new Worker(entry, { workerData: { shared, capacity, records } });
    const written = new Promise<string>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    const reader = new RingReader(ringMemory(shared), 0, capacity);
    const hash = createHash("sha256");
    let count = 0;
    const deadline = performance.now() + 20_000;
    while (count < records) {
      const end = reader.end();
      let idle = true;
      while (reader.next(end)) {
        assert.equal(reader.tag, count);
        hash.update(reader.head);
        hash.update(reader.body);
        reader.done();
        count++;
        idle = false;
      }
      if (idle) {
        assert.ok(performance.now() < deadline, `${count} records`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    assert.equal(hash.digest("hex"), await written);
    assert.equal(reader.discard(), 0);
    await worker.terminate();
  });
});

/** What the layout says that a record takes. */
function room(length: number): number {
  return Math.ceil((16 + length) / 16) * 16;
}
