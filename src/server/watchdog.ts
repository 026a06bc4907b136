// Watches over threads from another one: who is busy with one thing for too long is reported, and then ended.
//
// A thread says in shared memory how it gets on (`Beat`), and Node knows for how long its event loop has been idle: whoever
// neither waits nor gets on is blocked. Asking costs the thread nothing. Time in which this thread itself was held up does
// not count, so that a process which was stopped for a minute finds its threads alive; nor does time in which the other one
// could have run and had no core, or waited for the kernel, so that a busy machine ends nobody who would get on.
//
// Ending a thread stops JavaScript, Atomics.wait and regular expressions. A native call that blocks ends when it ends.

import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import type { ThreadSchedule } from "../sys/thread-time.ts";

/** How a thread gets on. */
export interface Beat {
  /** Changes whenever it does. */
  readonly progress: number;
  /** It waits, for whatever may come. */
  readonly waits: boolean;
  /** What it is busy with, in words. */
  doing(): string;
  /** What the kernel says of it; undefined where it does not say. */
  schedule?(): ThreadSchedule | undefined;
}

export interface WatchdogOptions {
  /** How long a thread may be busy with one thing. */
  readonly blockedMs: number;
  /** It has been for a while: what with, in words. */
  readonly warn: (seat: number, blockedMs: number, what: string) => void;
  /** It has been for too long. */
  readonly end: (seat: number, blockedMs: number, what: string) => void;
}

/** Share of the limit at which it is reported. */
const WARNING = 0.2;
const CHECKS_PER_LIMIT = 20;
const SHORTEST_CHECK_MS = 5;
const LONGEST_CHECK_MS = 250;
/** How long is looked where a blocked thread is. */
const SAMPLE_MS = 50;
/** A thread that had no core meanwhile was nowhere: it is looked again, so often. */
const SAMPLES = 4;
/** Who does not answer by then is in a native call. */
const ANSWER_MS = 500;

interface Watch {
  readonly worker: Worker;
  readonly beat: () => Beat;
  progress: number;
  blockedMs: number;
  /** What the kernel said at the last look at which it had not got on. */
  schedule: ThreadSchedule | undefined;
  warned: boolean;
  /** Where in the code it was when it was reported. */
  where: string;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #everyMs: number;
  readonly #watches = new Map<number, Watch>();
  #timer: NodeJS.Timeout | undefined;
  #lookedMs = 0;
  /** Looks where threads are, one after the other: each costs so much that threads without a core would get even less done. */
  #looked: Promise<unknown> = Promise.resolve();

  constructor(options: WatchdogOptions) {
    this.#options = options;
    const everyMs = options.blockedMs / CHECKS_PER_LIMIT;
    this.#everyMs = Math.min(Math.max(everyMs, SHORTEST_CHECK_MS), LONGEST_CHECK_MS);
  }

  /** From now on, until the seat is left. */
  watch(seat: number, worker: Worker, beat: () => Beat): void {
    const fresh = { progress: Number.NaN, blockedMs: 0, schedule: undefined };
    this.#watches.set(seat, { worker, beat, ...fresh, warned: false, where: "" });
    if (this.#timer !== undefined) return;
    this.#lookedMs = performance.now();
    this.#timer = setInterval(() => this.#look(), this.#everyMs).unref();
  }

  leave(seat: number): void {
    this.#watches.delete(seat);
    if (this.#watches.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const now = performance.now();
    const elapsed = Math.min(now - this.#lookedMs, 2 * this.#everyMs);
    this.#lookedMs = now;
    for (const [seat, watch] of this.#watches) this.#lookAt(seat, watch, elapsed);
  }

  #lookAt(seat: number, watch: Watch, elapsed: number): void {
    const beat = watch.beat();
    const progress = beat.progress + watch.worker.performance.eventLoopUtilization().idle;
    if (beat.waits || progress !== watch.progress) {
      watch.progress = progress;
      watch.blockedMs = 0;
      watch.schedule = undefined;
      watch.warned = false;
      watch.where = "";
      return;
    }
    const schedule = beat.schedule?.();
    watch.blockedMs += blockedSince(watch.schedule, schedule, elapsed);
    // The kernel no longer says it of a thread that has just ended, whose end has not been told yet.
    watch.schedule = schedule ?? watch.schedule;
    const { blockedMs, end } = this.#options;
    if (watch.blockedMs >= blockedMs) {
      this.leave(seat);
      end(seat, watch.blockedMs, beat.doing() + watch.where);
    } else if (watch.blockedMs >= blockedMs * WARNING && !watch.warned) {
      watch.warned = true;
      void this.#warn(seat, watch, beat.doing());
    }
  }

  async #warn(seat: number, watch: Watch, doing: string): Promise<void> {
    const { blockedMs, progress } = watch;
    const isWatched = () => this.#watches.get(seat) === watch;
    const look = async () => {
      if (!isWatched() || watch.progress !== progress) return undefined;
      return { where: await whereIs(watch.worker) };
    };
    const looking = this.#looked.then(look);
    this.#looked = looking;
    const looked = await looking;
    // It has got on while others were looked at; or its end, or that of the watch, has been told meanwhile.
    if (looked === undefined || !isWatched()) return;
    const place = looked.where === undefined ? "" : `, in ${looked.where}`;
    if (watch.progress === progress) watch.where = place;
    this.#options.warn(seat, blockedMs, doing + place);
  }
}

/**
 * For how much of the time between two looks a thread was busy with its one thing. Of one that waits for a core the kernel says only
 * afterwards for how long it has: so only what it has run counts, unless it sleeps.
 */
function blockedSince(
  before: ThreadSchedule | undefined,
  now: ThreadSchedule | undefined,
  elapsed: number,
): number {
  if (now === undefined) return elapsed;
  if (before === undefined) return 0;
  const ms = now.sleeps
    ? elapsed - (now.keptWaitingMs - before.keptWaitingMs)
    : now.cpuMs - before.cpuMs;
  return Math.min(Math.max(ms, 0), elapsed);
}

interface ProfileNode {
  readonly hitCount?: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly positionTicks?: readonly { readonly line: number; readonly ticks: number }[];
}

/** Where this package's own code lies. */
const OWN = new URL("..", import.meta.url).href;

/**
 * Where in its code a thread is, as V8's profiler sees it: the innermost function that was not compiled on the way, which may
 * be the caller of the one that loops. Undefined when it cannot be interrupted, when this Node cannot look, and when that caller
 * is this package: what is compiled into it is the handler, which is named anyway.
 */
async function whereIs(worker: Worker): Promise<string | undefined> {
  // Since Node 24.8.
  if (typeof worker.startCpuProfile !== "function") return undefined;
  try {
    let where: string | undefined;
    for (let sample = 0; where === undefined && sample < SAMPLES; sample++) {
      const started = worker.startCpuProfile();
      const handle = await answered(started);
      if (handle === undefined) {
        // Started late it would go on for ever, and interrupt the thread a thousand times a second.
        void started.then((late) => late.stop()).catch(() => undefined);
        return undefined;
      }
      await after(SAMPLE_MS);
      const profile = await answered(handle.stop());
      if (profile === undefined) return undefined;
      where = busiest(JSON.parse(profile).nodes);
    }
    return where === "" ? undefined : where;
  } catch {
    // The thread has ended meanwhile: its end is told by whoever waits for that.
    return undefined;
  }
}

/** Undefined when it did not run; empty when nothing but this package did. */
function busiest(nodes: readonly ProfileNode[]): string | undefined {
  const ran = nodes.filter(
    ({ hitCount = 0, callFrame: { url } }) => hitCount > 0 && url.startsWith("file:"),
  );
  if (ran.length === 0) return undefined;
  const theirs = ran.filter(({ callFrame: { url } }) => !url.startsWith(OWN));
  const [most] = theirs.toSorted((one, other) => (other.hitCount ?? 0) - (one.hitCount ?? 0));
  if (most === undefined) return "";
  const { functionName, url } = most.callFrame;
  const [line] = (most.positionTicks ?? []).toSorted((one, other) => other.ticks - one.ticks);
  const at = line === undefined ? "" : `:${line.line}`;
  return `${functionName || "a function"} (${fileURLToPath(url)}${at})`;
}

function answered<Value>(promise: Promise<Value>): Promise<Value | undefined> {
  return Promise.race([promise, after(ANSWER_MS)]);
}

function after(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms).unref());
}
