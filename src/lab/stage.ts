// One stage of a run in one thread: warm-up, the window that is measured, cool-down, and waiting for the last answers.
//
// Load stays on during the cool-down, so that the window's last messages meet what the others met. After it nothing is sent
// any more, and what is out is waited for: an answer that never comes is an error, not a gap in the figures.

import { ownErrorText } from "./error-counts.ts";
import type { Generator } from "./generator.ts";
import { askIdle } from "./opening.ts";
import type { Pace } from "./pace.ts";
import { ownThreadTimes } from "./proc.ts";
import type { GeneratorThread } from "./result.ts";
import { turnUntilDone } from "./turning.ts";

export interface StageTimes {
  /** When the window begins, on this thread's clock (performance.now). */
  readonly beginMs: number;
  readonly durationMs: number;
  readonly coolDownMs: number;
  /** Longest wait for the last answers. */
  readonly timeoutMs: number;
}

export interface StageReading {
  /** Length of the window as it was: shorter when the stage ended early. */
  readonly windowMs: number;
  readonly thread: GeneratorThread;
}

/** After an order to stop, the last answers get this long. */
const HURRIED_MS = 500;
const SWEEP_MS = 50;

export class Stage {
  readonly #generator: Generator;
  readonly #pace: Pace;
  readonly #times: StageTimes;
  readonly #stopOrdered: () => boolean;
  readonly #churns: boolean;
  #endMs: number;
  #coolEndMs: number;
  #drainEndMs = Number.POSITIVE_INFINITY;
  #draining = false;
  #askedIdle = false;
  #sweepMs = 0;
  #atBegin = { cpuMs: 0, keptWaitingMs: 0 };
  #atEnd: { readonly cpuMs: number; readonly keptWaitingMs: number } | undefined;
  #begun = false;

  constructor(
    generator: Generator,
    pace: Pace,
    times: StageTimes,
    churns: boolean,
    stopOrdered: () => boolean,
  ) {
    this.#generator = generator;
    this.#pace = pace;
    this.#times = times;
    this.#churns = churns;
    this.#stopOrdered = stopOrdered;
    this.#endMs = times.beginMs + times.durationMs;
    this.#coolEndMs = this.#endMs + times.coolDownMs;
  }

  async run(): Promise<StageReading> {
    const generator = this.#generator;
    generator.recorder.beginWindow(!this.#churns);
    generator.windowBeginMs = this.#times.beginMs;
    generator.windowEndMs = this.#endMs;
    generator.pace = this.#pace;
    await turnUntilDone(generator, (nowMs) => this.#step(nowMs));
    this.#reportMissing();
    generator.pace = undefined;
    generator.windowBeginMs = Number.POSITIVE_INFINITY;
    return this.#reading();
  }

  #step(nowMs: number): number | undefined {
    const generator = this.#generator;
    if (nowMs >= this.#sweepMs) {
      this.#sweepMs = nowMs + SWEEP_MS;
      if (this.#stopOrdered()) this.#endNow(nowMs, HURRIED_MS);
      generator.sweep(nowMs);
      if (this.#lost) this.#endNow(nowMs, HURRIED_MS);
    }
    if (!this.#begun && nowMs >= this.#times.beginMs) {
      this.#begun = true;
      this.#atBegin = ownThreadTimes();
    }
    if (this.#begun && nowMs >= this.#endMs) this.#atEnd ??= ownThreadTimes();
    if (!this.#draining && nowMs >= this.#coolEndMs) {
      this.#drain(this.#coolEndMs, nowMs + this.#times.timeoutMs);
    }
    if (this.#draining) return this.#drained(nowMs) ? undefined : SWEEP_MS;
    const wait = Math.min(this.#pace.step(nowMs), this.#sweepMs - nowMs);
    return Math.min(wait, this.#nextEdgeMs(nowMs) - nowMs);
  }

  /** Nobody is left to talk to, or nothing but errors comes. */
  get #lost(): boolean {
    const generator = this.#generator;
    if (generator.hopeless) return true;
    return !this.#churns && generator.openCount + generator.connecting === 0;
  }

  #nextEdgeMs(nowMs: number): number {
    if (!this.#begun) return this.#times.beginMs;
    return nowMs < this.#endMs ? this.#endMs : this.#coolEndMs;
  }

  /** The window ends here, if it had not ended before. */
  #endNow(nowMs: number, drainMs: number): void {
    if (this.#draining) {
      this.#drainEndMs = Math.min(this.#drainEndMs, nowMs + drainMs);
      return;
    }
    this.#endMs = Math.min(this.#endMs, nowMs);
    this.#generator.windowEndMs = this.#endMs;
    if (this.#begun) this.#atEnd ??= ownThreadTimes();
    this.#drain(nowMs, nowMs + drainMs);
  }

  /** What is due by then still leaves. */
  #drain(dueByMs: number, untilMs: number): void {
    this.#draining = true;
    this.#drainEndMs = untilMs;
    this.#pace.stop(dueByMs);
  }

  #drained(nowMs: number): boolean {
    const { outstanding, connecting } = this.#generator;
    if (nowMs >= this.#drainEndMs) return true;
    if (outstanding > 0 || connecting > 0) return false;
    if (this.#askedIdle) return true;
    this.#askedIdle = true;
    askIdle(this.#generator, nowMs);
    return this.#generator.outstanding === 0;
  }

  #reportMissing(): void {
    const { outstanding } = this.#generator;
    if (outstanding === 0) return;
    this.#generator.report("MISSING_ANSWER", ownErrorText("MISSING_ANSWER"), outstanding);
  }

  #reading(): StageReading {
    const windowMs = Math.max(this.#endMs - this.#times.beginMs, 0);
    const end = this.#atEnd ?? this.#atBegin;
    const cpuMs = end.cpuMs - this.#atBegin.cpuMs;
    const keptWaitingMs = end.keptWaitingMs - this.#atBegin.keptWaitingMs;
    const busy = windowMs === 0 ? 0 : Math.min(cpuMs / windowMs, 1);
    return { windowMs, thread: { cpuMs, keptWaitingMs, busy } };
  }
}
