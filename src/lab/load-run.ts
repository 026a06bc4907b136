// A run of the load generator: its threads from start to end, and the stages between.
//
// The threads count in shared memory; this side reads it at the end of each slice of a window, and the target's processes at
// the same instants. So live figures and timelines cost the threads nothing.

import { extname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { deferred } from "../deferred.ts";
import { OptionError } from "../limits.ts";
import { bottleneckOf } from "./bottleneck.ts";
import { mergeErrors } from "./error-counts.ts";
import { latencyFigures, round } from "./figures.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { type LoadPlan, shareOfPlan } from "./load-plan.ts";
import {
  ANSWERS,
  BYTES_RECEIVED,
  BYTES_SENT,
  ERRORS,
  MESSAGES,
  OPEN_CONNECTIONS,
  Recorder,
  recorderMemory,
  SENT,
} from "./recorder.ts";
import type { ErrorFigures, Slice, StageResult } from "./result.ts";
import { type ServerReading, ServerWatch } from "./server-watch.ts";
import {
  CONTROL_BYTES,
  type FromThread,
  STOP_WORD,
  type ThreadStart,
  type ToThread,
} from "./thread-messages.ts";

/** For whoever looks on: told at the end of each slice, and while it warms up. */
export interface Progress {
  readonly phase: "opening" | "warm-up" | "measuring" | "cool-down";
  readonly wantedRate: number;
  /** Share of the window that is over, 0 to 1. */
  readonly done: number;
  readonly connections: number;
  /** Answers/s since the last time. */
  readonly perSecond: number;
  readonly errors: number;
  /** Of the window so far; null before it. */
  readonly latest: Slice | null;
}

const LEAST_SLICE_MS = 50;
const SLICES = 40;
/** Between the order and the beginning of a stage: all threads have heard it by then. */
const LEAD_MS = 20;

interface Seat {
  readonly worker: Worker;
  readonly recorder: Recorder;
  answer: PromiseWithResolvers<FromThread>;
}

export class LoadRun {
  readonly plan: LoadPlan;
  readonly #onProgress: (progress: Progress) => void;
  readonly #control = new SharedArrayBuffer(CONTROL_BYTES);
  readonly #seats: readonly Seat[];
  #watch: ServerWatch | undefined;
  #opened = 0;
  #openingErrors: readonly ErrorFigures[] = [];
  #stopped = deferred<void>();
  #stopOrdered = false;

  /** `watch`: the target's processes, where the caller has started them; otherwise they are looked for. */
  constructor(plan: LoadPlan, onProgress: (progress: Progress) => void, watch?: ServerWatch) {
    this.plan = plan;
    this.#onProgress = onProgress;
    this.#watch = watch;
    this.#seats = Array.from({ length: plan.threads }, (_, index) => this.#startThread(index));
  }

  /** Opens the connections. How many there are; the errors are in the next stage's result. */
  async open(): Promise<number> {
    this.#watch ??= ServerWatch.at(this.plan.address);
    const answers = await this.#askAll({ kind: "open" });
    const opened = answers.filter((answer) => answer.kind === "opened");
    this.#opened = opened.reduce((sum, { open }) => sum + open, 0);
    this.#openingErrors = mergeErrors(opened.map(({ errors }) => errors));
    return this.#opened;
  }

  get interrupted(): boolean {
    return this.#stopOrdered;
  }

  /** Ends the present stage at once; its result is what there is so far. */
  stop(): void {
    this.#stopOrdered = true;
    Atomics.store(new Int32Array(this.#control), STOP_WORD, 1);
    this.#stopped.resolve();
  }

  /** Runs a stage at a rate, in messages/s over all threads (0: the mode has none). */
  async stage(rate: number): Promise<StageResult> {
    const { plan } = this;
    if (this.#opened === 0 && plan.mode !== "churn") return this.#nothing(rate);
    const startEpochMs = epochMs();
    const beginEpochMs = startEpochMs + LEAD_MS + plan.warmUpMs;
    const order = { kind: "stage", rate: rate / plan.threads, beginEpochMs } as const;
    const answers = this.#askAll(order);
    const watched = await this.#watchWindow(rate, beginEpochMs, answers);
    return this.#result(rate, await answers, watched);
  }

  /** Closes the connections and ends the threads. */
  async close(): Promise<void> {
    try {
      await this.#askAll({ kind: "close" });
    } finally {
      await Promise.all(this.#seats.map(({ worker }) => worker.terminate()));
    }
  }

  #startThread(index: number): Seat {
    const memory = recorderMemory();
    const start: ThreadStart = {
      plan: shareOfPlan(this.plan, index),
      index,
      recorder: memory,
      control: this.#control,
    };
    const worker = new Worker(entry(), { name: `sluice load ${index}`, workerData: start });
    const seat: Seat = { worker, recorder: new Recorder(memory), answer: deferred<FromThread>() };
    awaitQuietly(seat);
    worker.on("message", (message: FromThread) => {
      if (message.kind !== "broken") seat.answer.resolve(message);
      else seat.answer.reject(new (message.usage ? OptionError : Error)(message.message));
    });
    worker.on("error", (error) => seat.answer.reject(error));
    worker.on("exit", (code) =>
      seat.answer.reject(new Error(`generator thread ${index} ended by itself with code ${code}`)),
    );
    return seat;
  }

  async #askAll(order: ToThread): Promise<FromThread[]> {
    const answers = this.#seats.map(async (seat) => {
      seat.worker.postMessage(order);
      const answer = await seat.answer.promise;
      seat.answer = deferred<FromThread>();
      awaitQuietly(seat);
      return answer;
    });
    return Promise.all(answers);
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
    const sliceMs = Math.max(durationMs / SLICES, LEAST_SLICE_MS);
    await this.#warmUp(rate, beginEpochMs, over);
    const first = this.#watch?.begin();
    const window = new WatchedWindow(this.#seats, first);
    const count = Math.max(Math.floor(durationMs / sliceMs), 1);
    for (let n = 1; n < count; n++) {
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

  async #warmUp(rate: number, beginEpochMs: number, over: Promise<boolean>): Promise<void> {
    for (;;) {
      this.#tell("warm-up", rate, 0, null);
      const next = Math.min(epochMs() + 250, beginEpochMs);
      if ((await this.#until(next, over)) || next === beginEpochMs) return;
    }
  }

  /** Waits for an instant; true when the stage was over before it. */
  async #until(atEpochMs: number, over: Promise<boolean>): Promise<boolean> {
    const controller = new AbortController();
    const waiting = sleep(Math.max(atEpochMs - epochMs(), 0), false, {
      signal: controller.signal,
    }).catch(() => false);
    const ended = await Promise.race([waiting, over, this.#stopped.promise.then(() => true)]);
    controller.abort();
    return ended;
  }

  #told = { answers: 0, atMs: 0 };

  #tell(phase: Progress["phase"], wantedRate: number, done: number, latest: Slice | null): void {
    const sum = (counter: number) => sumOf(this.#seats, counter);
    const answers = sum(ANSWERS);
    const atMs = performance.now();
    const elapsedMs = atMs - this.#told.atMs;
    const perSecond = elapsedMs > 0 ? ((answers - this.#told.answers) * 1000) / elapsedMs : 0;
    this.#told = { answers, atMs };
    const connections = sum(OPEN_CONNECTIONS);
    const errors = sum(ERRORS);
    this.#onProgress({ phase, wantedRate, done, connections, perSecond, errors, latest });
  }

  #result(rate: number, answers: readonly FromThread[], window: WatchedWindow): StageResult {
    const stages = answers.filter((answer) => answer.kind === "stage");
    const windowMs = Math.max(...stages.map(({ reading }) => reading.windowMs), 0);
    window.finish(windowMs);
    const threads = stages.map(({ reading }) => reading.thread);
    const errors = mergeErrors([this.#openingErrors, ...stages.map((stage) => stage.errors)]);
    this.#openingErrors = [];
    return this.#figures(rate, windowMs, threads, errors, window);
  }

  #figures(
    rate: number,
    windowMs: number,
    threads: StageResult["generator"]["threads"],
    errors: readonly ErrorFigures[],
    window: WatchedWindow,
  ): StageResult {
    const { mode } = this.plan;
    const recorders = this.#seats.map(({ recorder }) => recorder);
    const sum = (counter: number) => sumOf(this.#seats, counter);
    const perSecond = (count: number) => (windowMs > 0 ? round((count * 1000) / windowMs) : 0);
    const response = merged(recorders.map((recorder) => recorder.response));
    const service = merged(recorders.map((recorder) => recorder.service));
    const lateness = latencyFigures(merged(recorders.map((recorder) => recorder.lateness)));
    const messages = sum(MESSAGES);
    const server = this.#watch?.figures(window.end, messages) ?? null;
    const responseFigures = latencyFigures(response);
    return {
      wantedRate: rate,
      seconds: windowMs / 1000,
      connections: sum(OPEN_CONNECTIONS),
      messages,
      messagesPerSecond: perSecond(messages),
      sentPerSecond: perSecond(sum(SENT)),
      bytesSentPerSecond: perSecond(sum(BYTES_SENT)),
      bytesReceivedPerSecond: perSecond(sum(BYTES_RECEIVED)),
      response: responseFigures,
      // A closed loop has one time for both.
      service: service.count === 0 ? responseFigures : latencyFigures(service),
      connect: latencyFigures(merged(recorders.map((recorder) => recorder.connect))),
      slices: window.slices,
      errors,
      generator: {
        threads,
        lateness,
        bottleneck: bottleneckOf({
          ...{ mode, windowMs, threads, server, lateness },
          response: responseFigures,
        }),
      },
      server,
    };
  }

  /** A stage that could not be run, since there is no connection. */
  #nothing(rate: number): StageResult {
    const errors = this.#openingErrors;
    this.#openingErrors = [];
    return this.#figures(rate, 0, [], errors, new WatchedWindow(this.#seats, undefined));
  }
}

/** A window as it is seen from outside, slice by slice. */
class WatchedWindow {
  readonly slices: Slice[] = [];
  end: ServerReading | undefined;
  readonly #seats: readonly Seat[];
  #before = new LatencyHistogram();
  #errors = 0;
  #fromMs = 0;
  #cpuMs: number | undefined;

  constructor(seats: readonly Seat[], first: ServerReading | undefined) {
    this.#seats = seats;
    this.#cpuMs = first?.cpuMs;
  }

  cut(toMs: number, server: ServerReading | undefined): Slice {
    const all = merged(this.#seats.map(({ recorder }) => recorder.response));
    const part = all.since(this.#before);
    const errors = sumOf(this.#seats, ERRORS);
    const us = (ns: number) => round(ns / 1000);
    const cpuMs = server?.cpuMs;
    const slice: Slice = {
      fromMs: round(this.#fromMs),
      toMs: round(toMs),
      messages: part.count,
      errors: errors - this.#errors,
      p50: us(part.quantileNs(0.5)),
      p99: us(part.quantileNs(0.99)),
      p99_9: us(part.quantileNs(0.999)),
      max: us(part.greatestNs),
      mean: us(part.meanNs),
      serverCpuMs:
        cpuMs === undefined || this.#cpuMs === undefined ? null : round(cpuMs - this.#cpuMs),
      serverMemoryBytes: server?.memoryBytes ?? null,
      serverThreads: server?.threads ?? null,
    };
    this.#before = all;
    this.#errors = errors;
    this.#fromMs = toMs;
    this.#cpuMs = cpuMs;
    this.slices.push(slice);
    return slice;
  }

  /** The last slice: to the window's end, with the answers that came after it. */
  finish(windowMs: number): void {
    if (windowMs > this.#fromMs) this.cut(windowMs, this.end);
  }
}

function merged(parts: readonly LatencyHistogram[]): LatencyHistogram {
  const all = new LatencyHistogram();
  for (const part of parts) all.add(part);
  return all;
}

function sumOf(seats: readonly Seat[], counter: number): number {
  return seats.reduce((sum, { recorder }) => sum + (recorder.counters[counter] as number), 0);
}

/** A thread may break while nobody waits for its answer: who asks next hears of it. */
function awaitQuietly(seat: Seat): void {
  seat.answer.promise.catch(() => {
    // Kept in the promise.
  });
}

function epochMs(): number {
  return performance.timeOrigin + performance.now();
}

/** The thread's file beside this one: .ts while developing, .js as published. */
function entry(): URL {
  return new URL(
    `./generator-thread${extname(new URL(import.meta.url).pathname)}`,
    import.meta.url,
  );
}
