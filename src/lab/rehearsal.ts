// How much an experiment is going to measure, and about how long that takes: its `run`, with nothing started and nothing measured.
//
// The times are those of two cores that have nothing else to do, and no more than a guess on another machine.

import type { Contender } from "./contender.ts";
import type { Bench, LabSettings, Point, Sweep } from "./workbench.ts";

/** Beside warm-up and window: threads of the generator, connections, the last answers. */
const RUN_MS = 400;
/** From a start until it serves, and from SIGTERM until it is gone. */
const SERVER_MS = 900;
/** A thread of a server of ours: a Worker, which has loaded its modules. */
const THREAD_MS = 160;

export interface Expected {
  readonly runs: number;
  readonly ms: number;
}

export class Rehearsal implements Bench {
  readonly rehearses = true;
  readonly settings: LabSettings;
  readonly signal: AbortSignal;
  #runs = 0;
  #ms = 0;

  constructor(settings: LabSettings, signal: AbortSignal) {
    this.settings = settings;
    this.signal = signal;
  }

  get expected(): Expected {
    return { runs: this.#runs, ms: this.#ms };
  }

  expect(runs: number, ms: number): void {
    this.#runs += runs;
    this.#ms += ms;
  }

  async sweep({ contenders, points }: Sweep): Promise<void> {
    for (const contender of contenders) this.#contender(contender, points);
  }

  mayBegin(): boolean {
    return true;
  }

  record(): void {
    throw new Error("nothing is measured in a rehearsal");
  }

  miss(): void {
    // Named when it is run.
  }

  /** The same steps as the workbench's, round by round. */
  #contender(contender: Contender, points: readonly Point[]): void {
    const { rounds, durationMs, warmUpMs } = this.settings;
    let environment: Point["environment"];
    let started = false;
    let warm = 0;
    for (const point of points) {
      const wanted = point.connections ?? point.load.connections ?? 0;
      if (wanted > contender.mostConnections) continue;
      const threads = (point.as?.(contender) ?? contender).threads ?? 1;
      if (!started || point.environment !== environment || point.as !== undefined) {
        this.expect(0, rounds * (SERVER_MS + (contender.warmUp ? 0 : threads * THREAD_MS)));
        ({ environment } = point);
        started = true;
        warm = 0;
      }
      if (contender.warmUp !== undefined && wanted > warm) {
        this.expect(0, rounds * (wanted - warm) * THREAD_MS);
        warm = wanted;
      }
      const { durationMs: own = durationMs, warmUpMs: ownWarmUp = warmUpMs } = point.load;
      this.expect(rounds, rounds * (own + ownWarmUp + RUN_MS));
    }
  }
}

/** "417 runs, about 15 minutes". */
export function expectedText({ runs, ms }: Expected): string {
  const minutes = Math.round(ms / 60_000);
  const long = ms < 90_000 ? `${Math.max(Math.round(ms / 1000), 1)} seconds` : `${minutes} minutes`;
  return `${runs} runs, about ${long}`;
}
