// One of several threads that count on the same number in shared memory. In `plain` as one writes it without a thought: read, add,
// write; in `atomic` with one instruction; in `mutex` with a lock around the same three steps.

import { parentPort, workerData } from "node:worker_threads";

export type RaceKind = "plain" | "mutex" | "atomic";

export interface RaceOrder {
  readonly memory: SharedArrayBuffer;
  readonly kind: RaceKind;
  readonly times: number;
  readonly threads: number;
}

/** Words of the shared memory. */
export const COUNTER = 0;
export const LOCK = 1;
export const READY = 2;
export const WORDS = 3;

const FREE = 0;
const TAKEN = 1;
/** Taken, and somebody waits. */
const WANTED = 2;

function lock(words: Int32Array): void {
  if (Atomics.compareExchange(words, LOCK, FREE, TAKEN) === FREE) return;
  while (Atomics.exchange(words, LOCK, WANTED) !== FREE) Atomics.wait(words, LOCK, WANTED);
}

function unlock(words: Int32Array): void {
  if (Atomics.exchange(words, LOCK, FREE) === WANTED) Atomics.notify(words, LOCK, 1);
}

const STEPS: Readonly<Record<RaceKind, (words: Int32Array) => void>> = {
  plain(words) {
    words[COUNTER] = (words[COUNTER] as number) + 1;
  },
  mutex(words) {
    lock(words);
    words[COUNTER] = (words[COUNTER] as number) + 1;
    unlock(words);
  },
  atomic(words) {
    Atomics.add(words, COUNTER, 1);
  },
};

function count({ memory, kind, times, threads }: RaceOrder): void {
  const words = new Int32Array(memory);
  const step = STEPS[kind];
  // All begin together: a race that one has run alone is none.
  Atomics.add(words, READY, 1);
  while (Atomics.load(words, READY) < threads);
  const beganMs = performance.timeOrigin + performance.now();
  for (let done = 0; done < times; done++) step(words);
  parentPort?.postMessage({ beganMs, endedMs: performance.timeOrigin + performance.now() });
}

const order: RaceOrder | undefined = workerData?.race;
if (order !== undefined) count(order);
