// What is shown while a load runs: a line that is rewritten on a terminal, plain lines elsewhere.

import type { Progress } from "../lab/load-run.ts";
import type { StageResult } from "../lab/result.ts";
import { count, memory, time } from "../lab/units.ts";

const BAR = 20;
/** Plain lines come no more often. */
const LINE_EVERY_MS = 2000;

export class LoadView {
  readonly #out: NodeJS.WriteStream;
  readonly #quiet: boolean;
  #lastLineMs = Number.NEGATIVE_INFINITY;

  constructor(out: NodeJS.WriteStream, quiet: boolean) {
    this.#out = out;
    this.#quiet = quiet;
  }

  show(progress: Progress): void {
    if (this.#quiet) return;
    if (this.#out.isTTY) {
      const line = `${bar(progress.done)} ${progressLine(progress)}`;
      this.#out.write(`\r\x1b[2K${line.slice(0, (this.#out.columns || 80) - 1)}`);
      return;
    }
    const nowMs = performance.now();
    if (nowMs - this.#lastLineMs < LINE_EVERY_MS) return;
    this.#lastLineMs = nowMs;
    this.#out.write(`${progressLine(progress)}\n`);
  }

  /** A stage of several is over: its line stays. */
  staged(stage: StageResult): void {
    if (this.#quiet) return;
    this.end();
    const { response, errors } = stage;
    const failed = errors.length === 0 ? "" : `, ${errors[0]?.count} × ${errors[0]?.code}`;
    const answered =
      response.count === 0
        ? "nothing answered"
        : `${count(stage.messagesPerSecond)}/s answered, p50 ${time(response.p50)}, p99 ${time(response.p99)}`;
    this.#out.write(`${count(stage.wantedRate)}/s: ${answered}${failed}\n`);
  }

  end(): void {
    if (!this.#quiet && this.#out.isTTY) this.#out.write("\r\x1b[2K");
  }
}

export function progressLine(progress: Progress): string {
  const { phase, done, latest, errors, wantedRate } = progress;
  const parts = [phase === "measuring" ? `${Math.round(done * 100)} %` : phase];
  if (wantedRate > 0) parts.push(`of ${count(wantedRate)}/s`);
  parts.push(`${count(progress.perSecond)}/s`, `${count(progress.connections)} connections`);
  if (latest !== null && latest.messages > 0) {
    parts.push(`p50 ${time(latest.p50)}`, `p99 ${time(latest.p99)}`, `max ${time(latest.max)}`);
  }
  if (latest?.serverCpuMs != null) {
    const cores = latest.serverCpuMs / Math.max(latest.toMs - latest.fromMs, 1);
    parts.push(`server ${cores.toFixed(2)} cores, ${memory(latest.serverMemoryBytes ?? 0)}`);
  }
  if (errors > 0) parts.push(`${count(errors)} ERRORS`);
  return parts.join("  ");
}

function bar(done: number): string {
  const full = Math.round(Math.min(Math.max(done, 0), 1) * BAR);
  return `[${"#".repeat(full)}${".".repeat(BAR - full)}]`;
}
