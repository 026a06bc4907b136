// Memory that is given away with messages: slabs of 256 KiB, and their collection in time.
//
// Why slabs: a piece of memory of its own for each message of 16 KiB makes V8 run a full collection 25 times a second on a
// busy connection, since it counts those bytes as its heap's. Cut from slabs there is one such object for 16 messages. The
// price is the one of any pool: a message that is kept keeps its slab. Smaller messages are cut from smaller pieces.
//
// Why collections: V8 frees a slab when the young objects that lie in it are collected, but it collects them only once
// their own small objects fill the young generation, or after some 64 MiB of such memory. By then each slab has left every
// cache, its pages are faulted in anew, and full collections have begun, a fifth of a core. So a young collection
// (0.1 ms) is asked for after every few MiB: what is given away next is memory that has just been used. A program with
// so much young data that this takes long gets fewer, down to V8's own rhythm.

import { Buffer } from "node:buffer";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { markAsUntransferable } from "node:worker_threads";

export const SLAB_BYTES = 262_144;
/** Bytes given away between two collections: at first, and at most. */
const LEAST_BUDGET = 8 << 20;
const MOST_BUDGET = 64 << 20;
/**
 * A collection that takes more of this thread's CPU per MiB given away, in µs, is asked for half as often: not to collect
 * costs 250. CPU, and not time: on a busy host that would tell of others.
 */
const DEAR_US = 150;
/** Bytes above what lives, besides the budget, at which V8 is to begin a full collection. */
const ROOM = 32 << 20;
/** V8's own most: four times what lives. */
const MOST_GROWTH_PERCENT = 300;
/** A heap that would get so little gets V8's own limit, which leaves as much. */
const LEAST_GROWTH_PERCENT = 30;

/** Node's first version with these flags of V8 that this was measured with. An unknown flag is complained about on stderr. */
const FLAGS_KNOWN_IN = 26;

type Collect = (options: { readonly type: "minor" }) => void;
/** Whether V8's flags are known here: see FLAGS_KNOWN_IN. */
const flagsKnown = Number.parseInt(process.versions.node, 10) >= FLAGS_KNOWN_IN;

/** This thread's account; modules are loaded once a thread. */
const account = {
  given: 0,
  budget: LEAST_BUDGET,
  collect: undefined as Collect | undefined,
  growthPercent: 0,
};

/** A fresh slab (or a smaller piece), not initialised, that nobody else will ever write to. It cannot be transferred to another thread. */
export function freshSlab(bytes = SLAB_BYTES): Buffer {
  account.given += bytes;
  if (account.given >= account.budget) collectYoung();
  const slab = Buffer.allocUnsafeSlow(bytes);
  // It is shared by many messages: who transfers one would take away the others.
  markAsUntransferable(slab.buffer);
  return slab;
}

function collectYoung(): void {
  account.given = 0;
  account.collect ??= collector();
  const heapBytes = getHeapStatistics().used_heap_size;
  leaveRoom(heapBytes);
  // Node before 23.9 knows the CPU of the process only.
  const cpuUsage = process.threadCpuUsage ?? process.cpuUsage;
  const before = cpuUsage();
  // Dead slabs are free when this returns. Freed in V8's own thread they would be free later, and be twice as many by then.
  setKnownFlag("--no-concurrent-array-buffer-sweeping");
  account.collect({ type: "minor" });
  setKnownFlag("--concurrent-array-buffer-sweeping");
  const { user, system } = cpuUsage(before);
  const costUs = (user + system) / (account.budget >> 20);
  // No more than the room that a heap of this size leaves: a full collection would be dearer still.
  const most = Math.max(LEAST_BUDGET, Math.min(heapBytes, MOST_BUDGET));
  if (costUs > DEAR_US) account.budget = Math.min(account.budget * 2, most);
  else if (costUs < DEAR_US / 3) account.budget = Math.max(account.budget / 2, LEAST_BUDGET);
}

/**
 * Slabs count as V8's heap. After a full collection V8 sets the limit for the next one to a multiple of what lives, which may be
 * 8 MiB more and no further: so where the heap is small, few small objects are made, or an idle time was used to reduce
 * it. Each budget then crosses the limit, and each young collection becomes a full one, for as long as the process lives: half the
 * messages/s (measured, 16 KiB echoes after an idle time). So a small heap is told by how much it may grow.
 */
function leaveRoom(heapBytes: number): void {
  const wanted = ((ROOM + account.budget) / heapBytes) * 100;
  const percent = wanted < LEAST_GROWTH_PERCENT ? 0 : Math.min(wanted, MOST_GROWTH_PERCENT);
  // V8 reads it at the next full collection only: what it is by then need not be known to the percent.
  if (Math.abs(percent - account.growthPercent) < LEAST_GROWTH_PERCENT) return;
  account.growthPercent = percent;
  setKnownFlag(`--heap-growing-percent=${Math.round(percent)}`);
}

function setKnownFlag(flag: string): void {
  if (flagsKnown) setFlagsFromString(flag);
}

/** V8's own function for it: it stands in contexts that are made while the flag is set. */
function collector(): Collect {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("typeof gc === 'function' ? gc : undefined");
  setFlagsFromString("--no-expose-gc");
  return typeof collect === "function" ? (collect as Collect) : () => undefined;
}
