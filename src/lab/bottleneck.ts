// Was it the generator that set the pace? Figures of a run in which it did say little about the target, so it is said.

import type { GeneratorThread, LatencyFigures, Mode, ServerFigures } from "./result.ts";
import { time } from "./units.ts";

/** Share of a window from which on a thread had no time to spare. */
const FULL = 0.95;
/** Lateness below this is the clock's and the scheduler's. */
const LATE_US = 200;
/** And from this share of the response time on it is a part of what is shown as the target's. */
const LATE_SHARE = 0.25;

/** From this share on others had a thread's core. */
const DISTURBED = 0.05;

export interface BottleneckEvidence {
  readonly mode: Mode;
  readonly windowMs: number;
  readonly threads: readonly GeneratorThread[];
  readonly server: ServerFigures | null;
  readonly lateness: LatencyFigures;
  readonly response: LatencyFigures;
}

/** A sentence for people, or null. */
export function bottleneckOf(evidence: BottleneckEvidence): string | null {
  const { mode, windowMs } = evidence;
  if (mode === "idle" || windowMs <= 0) return null;
  return mode === "open" ? lateness(evidence) : ownCpu(evidence);
}

function lateness(evidence: BottleneckEvidence): string | null {
  const { lateness: late, response, threads, windowMs } = evidence;
  // Where nothing was answered, no figure is the generator's.
  if (response.count === 0) return null;
  if (late.p99 < LATE_US || late.p99 < response.p99 * LATE_SHARE) return null;
  const waited = Math.max(...threads.map(({ keptWaitingMs }) => keptWaitingMs / windowMs));
  const remedy =
    waited >= DISTURBED
      ? `others had its core for ${percent(waited)} of the time`
      : "use more threads or a lower rate";
  return `messages left ${time(late.p99)} (p99) behind their schedule: the generator, not the target, is late; ${remedy}`;
}

/** A loop that never waits for answers, while no thread of the target is at its limit. */
function ownCpu({ threads, windowMs, server }: BottleneckEvidence): string | null {
  const share = ({ cpuMs, keptWaitingMs }: Pick<GeneratorThread, "cpuMs" | "keptWaitingMs">) =>
    (cpuMs + keptWaitingMs) / windowMs;
  const own = Math.max(...threads.map(share));
  if (own < FULL) return null;
  const targets = server?.processes.flatMap((process) => process.threads.map(share));
  if (targets !== undefined && Math.max(...targets, 0) >= FULL) return null;
  const spare = targets === undefined ? "may have" : "had";
  return `a generator thread was busy ${percent(own)} of the time while the target ${spare} time to spare: the target can do more; use more threads or another machine`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
