// What one generator thread counts, in shared memory: it writes, the main thread reads while it does, and nobody waits.
//
// Layout, in doubles: the counters below, then four histograms one behind the other. And one shared integer in the other
// direction: the order to stop.

import { HISTOGRAM_DOUBLES, LatencyHistogram } from "./latency-histogram.ts";

// Counters. Those of the window begin at 0 with each stage.
export const MESSAGES = 0;
/** Messages handed to the kernel within the window, for the first time each. */
export const SENT = 1;
export const BYTES_SENT = 2;
export const BYTES_RECEIVED = 3;
export const ERRORS = 4;
/** Messages that were due within the window: open loop. */
export const DUE = 5;
/** Connections that the target ended as its protocol allows, and another one took the place of. */
export const REPLACED = 6;
// Those that are about now.
export const OPEN_CONNECTIONS = 7;
export const OUTSTANDING = 8;
/** Answers since the thread began, warm-up and all. */
export const ANSWERS = 9;
const NS_PER_MS = 1e6;
const COUNTERS = 16;
const WINDOW_COUNTERS = 7;

const RECORDER_DOUBLES = COUNTERS + 4 * HISTOGRAM_DOUBLES;

/** Memory for a recorder that two threads look at. */
export function recorderMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(RECORDER_DOUBLES * Float64Array.BYTES_PER_ELEMENT);
}

export class Recorder {
  readonly counters: Float64Array;
  /** From when a message was meant to leave. */
  readonly response: LatencyHistogram;
  /** From when it left. */
  readonly service: LatencyHistogram;
  readonly connect: LatencyHistogram;
  /** How long after it was meant to leave the generator turned to it. */
  readonly lateness: LatencyHistogram;

  constructor(memory: SharedArrayBuffer) {
    const doubles = new Float64Array(memory);
    const part = (n: number) => {
      const from = COUNTERS + n * HISTOGRAM_DOUBLES;
      return new LatencyHistogram(doubles.subarray(from, from + HISTOGRAM_DOUBLES));
    };
    this.counters = doubles.subarray(0, COUNTERS);
    this.response = part(0);
    this.service = part(1);
    this.connect = part(2);
    this.lateness = part(3);
  }

  add(counter: number, more: number): void {
    this.counters[counter] = (this.counters[counter] as number) + more;
  }

  /** `count` answers came now to messages that were meant to leave, and left, then; `from`: as Pace.from. */
  answered(
    from: "intended" | "left",
    intendedMs: number,
    leftMs: number,
    nowMs: number,
    count: number,
  ): void {
    this.add(MESSAGES, count);
    // What is meant to leave when it leaves has one time for both.
    const sinceMs = from === "intended" ? intendedMs : leftMs;
    this.response.record((nowMs - sinceMs) * NS_PER_MS, count);
    if (from === "intended") this.service.record((nowMs - leftMs) * NS_PER_MS, count);
  }

  /** A new window begins. Set-up times of connections stay: they were made before it. */
  beginWindow(keepConnect: boolean): void {
    this.counters.fill(0, 0, WINDOW_COUNTERS);
    this.response.clear();
    this.service.clear();
    this.lateness.clear();
    if (!keepConnect) this.connect.clear();
  }
}
