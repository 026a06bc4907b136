// A thread that adds to counters by name, all of them new when it begins, as other threads do at the same time. The last one
// never ends by itself.

import { workerData } from "node:worker_threads";
import { SharedCounters } from "../../src/server/named-counters.ts";

const { memory, region, start, names, adds, last } = workerData as {
  readonly memory: SharedArrayBuffer;
  readonly region: number;
  readonly start: Int32Array;
  readonly names: number;
  readonly adds: number;
  readonly last: boolean;
};

Atomics.add(start, 1, 1);
Atomics.wait(start, 0, 0);
const counters = new SharedCounters(memory, region);
for (let round = 0; last || round < adds; round++) {
  for (let n = 0; n < names; n++) counters.counter(`name ${n}`).add();
  // Names that it is just about to make when it is ended.
  if (last) counters.counter(`victim ${round % 100}`).add();
}
