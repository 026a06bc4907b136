// A run of the load generator: its stages, one after the other on the same threads and connections.
//
// The threads count in shared memory; this side reads it at the end of each slice of a window, and the target's processes at
// the same instants. So live figures and timelines cost the threads nothing.

import { setTimeout as sleep } from "node:timers/promises";
import { deferred } from "../deferred.ts";
import { bottleneckOf } from "./bottleneck.ts";
import { mergeErrors } from "./error-counts.ts";
import { latencyFigures, round } from "./figures.ts";
import { GeneratorThreads } from "./generator-threads.ts";
import type { LoadPlan } from "./load-plan.ts";
import {
  ANSWERS,
  BYTES_RECEIVED,
  BYTES_SENT,
  ERRORS,
  MESSAGES,
  OPEN_CONNECTIONS,
  REPLACED,
  SENT,
} from "./recorder.ts";
import type { ErrorFigures, GeneratorThread, Slice, StageResult } from "./result.ts";
import { ServerWatch } from "./server-watch.ts";
import type { FromThread } from "./thread-messages.ts";
import { WatchedWindow } from "./watched-window.ts";

/** For whoever looks on: told at the end of each slice, and while it warms up. */
export interface Progress {
  readonly phase: "warm-up" | "measuring" | "cool-down";
  readonly wantedRate: number;
  /** Share of the window that is over, 0 to 1. */
  readonly done: number;
  readonly connections: number;
  /** Answers/s since the last time. */
  readonly perSecond: number;
  readonly errors: number;
  /** The slice that has just ended; null before the window. */
  readonly latest: Slice | null;
}

const LEAST_SLICE_MS = 50;
const SLICES = 40;
/** Between the order and the beginning of a stage: all threads have heard it by then. */
const LEAD_MS = 20;
const WARM_UP_TOLD_MS = 250;

export class LoadRun {
  readonly plan: LoadPlan;
  readonly #threads: GeneratorThreads;
  readonly #onProgress: (progress: Progress) => void;
  readonly #stopped = deferred<void>();
  #watch: ServerWatch | undefined;
  #opened = 0;
  #openingErrors: readonly ErrorFigures[] = [];
  #interrupted = false;
  #told = { answers: 0, atMs: 0 };

  /** `watch`: the target's processes, where the caller has started them; otherwise they are looked for. */
  constructor(plan: LoadPlan, onProgress: (progress: Progress) => void, watch?: ServerWatch) {
    this.plan = plan;
    this.#onProgress = onProgress;
    this.#watch = watch;
    this.#threads = new GeneratorThreads(plan);
  }

  /** Opens the connections that are not. How many are; the errors are in the next stage's result. */
  async open(): Promise<number> {
    this.#watch ??= ServerWatch.at(this.plan.address);
    const answers = await this.#threads.askAll({ kind: "open" });
    const opened = answers.filter((answer) => answer.kind === "opened");
    this.#opened = opened.reduce((sum, { open }) => sum + open, 0);
    this.#openingErrors = mergeErrors(opened.map(({ errors }) => errors));
    return this.#opened;
  }

  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Ends the present stage at once; its result is what there is so far. */
  stop(): void {
    this.#interrupted = true;
    this.#threads.stop();
    this.#stopped.resolve();
  }

  /** Runs a stage at a rate, in messages/s over all threads (0: the mode has none). */
  async stage(rate: number): Promise<StageResult> {
    const { plan } = this;
    if (this.#opened === 0 && plan.mode !== "churn") {
      // Nobody to talk to: the result says why.
      return this.#result(rate, [], new WatchedWindow(this.#threads, undefined));
    }
    const startEpochMs = epochMs() + LEAD_MS;
    const beginEpochMs = startEpochMs + plan.warmUpMs;
    const times = { startEpochMs, beginEpochMs };
    const order = { kind: "stage", rate: rate / plan.threads, ...times } as const;
    const answers = this.#threads.askAll(order);
    const window = await this.#watchWindow(rate, beginEpochMs, answers);
    return this.#result(rate, await answers, window);
  }

  /** Closes the connections and ends the threads. */
  async close(): Promise<void> {
    await this.#threads.close();
  }

  /** Follows a window slice by slice until its threads answer. */
  async #watchWindow(
    rate: number,
    beginEpochMs: number,
    answers: Promise<unknown>,
  ): Promise<WatchedWindow> {
    const { durationMs } = this.plan;
    const over = answers.then(
      () => true,
      () => true,
    );
    await this.#warmUp(rate, beginEpochMs, over);
    const window = new WatchedWindow(this.#threads, this.#watch?.begin());
    const sliceMs = Math.max(durationMs / SLICES, LEAST_SLICE_MS);
    // Who comes late to a cut leaves out those that are due with it: no slice is much shorter than the others.
    for (let n = 1; (n + 1) * sliceMs <= durationMs; n = this.#cutAfter(beginEpochMs, sliceMs, n)) {
      if (await this.#until(beginEpochMs + n * sliceMs, over)) break;
      const slice = window.cut(epochMs() - beginEpochMs, this.#watch?.read());
      this.#tell("measuring", rate, slice.toMs / durationMs, slice);
    }
    await this.#until(beginEpochMs + durationMs, over);
    window.end = this.#watch?.read();
    this.#tell("cool-down", rate, 1, window.slices.at(-1) ?? null);
    await over;
    return window;
  }

  #cutAfter(beginEpochMs: number, sliceMs: number, cut: number): number {
    return Math.max(cut + 1, Math.ceil((epochMs() - beginEpochMs) / sliceMs + 0.5));
  }

  async #warmUp(rate: number, beginEpochMs: number, over: Promise<boolean>): Promise<void> {
    for (;;) {
      this.#tell("warm-up", rate, 0, null);
      const next = Math.min(epochMs() + WARM_UP_TOLD_MS, beginEpochMs);
      if ((await this.#until(next, over)) || next === beginEpochMs) return;
    }
  }

  /** Waits for an instant; true when the stage was over, or told to be, before it. */
  async #until(atEpochMs: number, over: Promise<boolean>): Promise<boolean> {
    const controller = new AbortController();
    const { signal } = controller;
    const wait = Math.max(atEpochMs - epochMs(), 0);
    const waited = sleep(wait, false, { signal }).catch(() => false);
    const ended = await Promise.race([waited, over, this.#stopped.promise.then(() => true)]);
    controller.abort();
    return ended;
  }

  #tell(phase: Progress["phase"], wantedRate: number, done: number, latest: Slice | null): void {
    const answers = this.#threads.sum(ANSWERS);
    const atMs = performance.now();
    const elapsedMs = atMs - this.#told.atMs;
    const perSecond = elapsedMs > 0 ? ((answers - this.#told.answers) * 1000) / elapsedMs : 0;
    this.#told = { answers, atMs };
    const connections = this.#threads.sum(OPEN_CONNECTIONS);
    const errors = this.#threads.sum(ERRORS);
    this.#onProgress({ phase, wantedRate, done, connections, perSecond, errors, latest });
  }

  #result(rate: number, answers: readonly FromThread[], window: WatchedWindow): StageResult {
    const stages = answers.filter((answer) => answer.kind === "stage");
    const windowMs = Math.max(...stages.map(({ reading }) => reading.windowMs), 0);
    window.finish(windowMs);
    const errors = mergeErrors([this.#openingErrors, ...stages.map((stage) => stage.errors)]);
    this.#openingErrors = [];
    const threads = stages.map(({ reading }) => reading.thread);
    return this.#figures(rate, windowMs, threads, errors, window);
  }

  #figures(
    rate: number,
    windowMs: number,
    threads: readonly GeneratorThread[],
    errors: readonly ErrorFigures[],
    window: WatchedWindow,
  ): StageResult {
    const { mode } = this.plan;
    const all = this.#threads;
    const perSecond = (count: number) => (windowMs > 0 ? round((count * 1000) / windowMs) : 0);
    const messages = all.sum(MESSAGES);
    const response = latencyFigures(all.merged("response"));
    // A closed loop has one time for both.
    const service = mode === "closed" ? response : latencyFigures(all.merged("service"));
    const lateness = latencyFigures(all.merged("lateness"));
    const server = this.#watch?.figures(window.end, messages) ?? null;
    const evidence = { mode, windowMs, threads, server, lateness, response };
    return {
      wantedRate: rate,
      seconds: windowMs / 1000,
      connections: all.sum(OPEN_CONNECTIONS),
      messages,
      messagesPerSecond: perSecond(messages),
      sentPerSecond: perSecond(all.sum(SENT)),
      bytesSentPerSecond: perSecond(all.sum(BYTES_SENT)),
      bytesReceivedPerSecond: perSecond(all.sum(BYTES_RECEIVED)),
      response,
      service,
      connect: latencyFigures(all.merged("connect")),
      slices: window.slices,
      errors,
      replaced: all.sum(REPLACED),
      generator: { threads, lateness, bottleneck: bottleneckOf(evidence) },
      server,
    };
  }
}

function epochMs(): number {
  return performance.timeOrigin + performance.now();
}
