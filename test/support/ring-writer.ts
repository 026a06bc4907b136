// The writing thread of a ring's test: records of all lengths, and a hash over everything that it wrote.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { RingWriter, ringMemory } from "../../src/server/ring.ts";
import { pattern } from "./client.ts";

const { shared, capacity, records } = workerData as {
  readonly shared: SharedArrayBuffer;
  readonly capacity: number;
  readonly records: number;
};

const writer = new RingWriter(ringMemory(shared), 0, capacity);
const bytes = pattern(1024);
const hash = createHash("sha256");
for (let n = 0; n < records; n++) {
  const head = bytes.subarray(n % 7, (n % 7) + (n % 5));
  const length = n % 1000 === 0 ? 900 : n % 97;
  const body = Buffer.from(bytes.subarray(n % 100, (n % 100) + length));
  hash.update(head);
  hash.update(body);
  while (!writer.put(n & 0x7fff, n, head, body))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.01);
}
parentPort?.postMessage(hash.digest("hex"));
