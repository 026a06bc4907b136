// A window as it is seen from outside: cut into slices while the threads record into it.

import { round } from "./figures.ts";
import type { GeneratorThreads } from "./generator-threads.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { ERRORS } from "./recorder.ts";
import type { Slice } from "./result.ts";
import type { ServerReading } from "./server-watch.ts";

export class WatchedWindow {
  readonly slices: Slice[] = [];
  /** The target's reading at the window's end. */
  end: ServerReading | undefined;
  readonly #threads: GeneratorThreads;
  #before = new LatencyHistogram();
  #errors = 0;
  #fromMs = 0;
  #cpuMs: number | undefined;

  /** `begin`: the target's reading at the window's beginning. */
  constructor(threads: GeneratorThreads, begin: ServerReading | undefined) {
    this.#threads = threads;
    this.#cpuMs = begin?.cpuMs;
  }

  /** What came since the last cut, up to `toMs` after the window's beginning. */
  cut(toMs: number, server: ServerReading | undefined): Slice {
    const all = this.#threads.merged("response");
    const part = all.since(this.#before);
    const errors = this.#threads.sum(ERRORS);
    const us = (ns: number) => round(ns / 1000);
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
      serverCpuMs: this.#usedBy(server),
      serverMemoryBytes: server?.memoryBytes ?? null,
      serverThreads: server?.threads ?? null,
    };
    this.#before = all;
    this.#errors = errors;
    this.#fromMs = toMs;
    this.#cpuMs = server?.cpuMs;
    this.slices.push(slice);
    return slice;
  }

  /** The last slice: to the window's end, with the answers that came after it. */
  finish(windowMs: number): void {
    if (windowMs > this.#fromMs) this.cut(windowMs, this.end);
  }

  #usedBy(server: ServerReading | undefined): number | null {
    if (server === undefined || this.#cpuMs === undefined) return null;
    return round(server.cpuMs - this.#cpuMs);
  }
}
