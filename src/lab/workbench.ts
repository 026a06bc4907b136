// Where experiments are made: servers started and ended, loads put on them in interleaved rounds, and what came out.
//
// Rounds: every contender has its turn before anyone has the next one, and every second round goes backwards, so that what
// changes with time (a neighbour, the heat) falls on all of them. A contender goes through all points of an axis
// upwards with one process, unless a point needs an environment of its own.

import { performance } from "node:perf_hooks";
import { deferred } from "../deferred.ts";
import type { Contender } from "./contender.ts";
import type {
  ContenderFigures,
  ExperimentResult,
  LabRun,
  Missing,
  OwnStatistics,
} from "./lab-result.ts";
import { type LoadOptions, planLoad } from "./load-plan.ts";
import type { PartAbout } from "./report/plot.ts";
import type { LoadResult } from "./result.ts";
import { runLoad } from "./run-load.ts";
import { StartedServer } from "./started-server.ts";
import { count, time } from "./units.ts";

export interface LabSettings {
  readonly quick: boolean;
  readonly rounds: number;
  /** Behind this instant (of performance.now()) no second round begins; Infinity where it takes what it takes. */
  readonly repeatUntilMs: number;
  /** Behind this one nothing begins any more, a first round neither; Infinity as above. */
  readonly beginUntilMs: number;
  readonly durationMs: number;
  readonly warmUpMs: number;
  readonly seed: number;
  /** Connections to go through; undefined: those of the experiment. */
  readonly connections: readonly number[] | undefined;
  /** CPU costs of a message to go through, in µs; undefined as above. */
  readonly costsUs: readonly number[] | undefined;
  /** Generator threads. */
  readonly threads: number | undefined;
  /** Those of the command line. */
  readonly servers: readonly Contender[];
}

/** A point of an axis. */
export interface Point {
  /** Of another part than the sweep's, that goes on with the same processes. */
  readonly part?: PartAbout;
  readonly x: number;
  readonly load: LoadOptions;
  /** Connections that have to be served at the same time, where that is more than the load's own. */
  readonly connections?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** The contender as it is to be started here, where that differs from point to point. */
  as?(contender: Contender): Contender;
  /** Is there before the load, and ends with it: connections that are held, for example. */
  beside?(server: StartedServer): Promise<Beside>;
}

export interface Beside {
  /** What it has counted, at the load's end. */
  end(): Promise<Readonly<Record<string, number>>>;
}

export interface Sweep {
  readonly part: PartAbout;
  readonly contenders: readonly Contender[];
  readonly points: readonly Point[];
}

/** What an experiment works on: the workbench, or the rehearsal that says beforehand how long it takes. */
export interface Bench {
  readonly settings: LabSettings;
  readonly signal: AbortSignal;
  /** Nothing is started, built or measured: what would be is counted. */
  readonly rehearses: boolean;
  /** Every contender at every point, round by round. One that fails costs itself its further points, nobody else. */
  sweep(sweep: Sweep): Promise<void>;
  /** Whether there is time for this round: a quick look that takes long is none. What is left out is named. */
  mayBegin(round: number, part: string): boolean;
  /** A run that is no load on a server. */
  record(run: Omit<LabRun, "load">, line: string): void;
  /** Names what could not be run; the same thing of several rounds once. */
  miss(missing: Missing): void;
  /** In a rehearsal: so many runs that are no sweep take so long together. */
  expect(runs: number, ms: number): void;
}

export class Workbench implements Bench {
  readonly rehearses = false;
  readonly settings: LabSettings;
  readonly signal: AbortSignal;
  /** Resolves once `signal` is aborted. */
  readonly #interrupted: Promise<void>;
  readonly #name: string;
  readonly #say: (line: string) => void;
  readonly #runs: LabRun[] = [];
  readonly #missing: Missing[] = [];
  readonly #own: OwnStatistics[] = [];
  readonly #contenders = new Map<string, ContenderFigures>();

  constructor(
    name: string,
    settings: LabSettings,
    signal: AbortSignal,
    say: (line: string) => void,
  ) {
    this.#name = name;
    this.settings = settings;
    this.signal = signal;
    const { promise, resolve } = deferred<void>();
    this.#interrupted = promise;
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.#say = say;
  }

  /** What there is by now. */
  get result(): ExperimentResult {
    return {
      name: this.#name,
      contenders: [...this.#contenders.values()],
      runs: this.#runs,
      missing: this.#missing,
      ownStatistics: this.#own,
    };
  }

  async sweep(sweep: Sweep): Promise<void> {
    for (const contender of sweep.contenders) this.#introduce(contender);
    for (let round = 1; round <= this.settings.rounds; round++) {
      if (!this.mayBegin(round, sweep.part.part)) return;
      const order = round % 2 === 1 ? sweep.contenders : sweep.contenders.toReversed();
      for (const contender of order) {
        if (this.signal.aborted) return;
        if (this.#late(sweep.part.part, contender.name)) continue;
        await this.#round(sweep, contender, round);
      }
    }
  }

  mayBegin(round: number, part: string): boolean {
    if (this.#late(part, "everybody")) return false;
    if (round === 1 || performance.now() < this.settings.repeatUntilMs) return true;
    const reason = `round ${round} and later: this machine was too busy for them to end in time`;
    this.miss({ part, contender: "everybody", x: null, reason });
    return false;
  }

  /** There is no time to begin anything. */
  #late(part: string, contender: string, x: number | null = null): boolean {
    if (performance.now() < this.settings.beginUntilMs) return false;
    const reason = "this machine was too busy for it to end in time";
    this.miss({ part, contender, x, reason });
    return true;
  }

  record(run: Omit<LabRun, "load">, line: string): void {
    if (!this.#contenders.has(run.contender)) {
      this.#contenders.set(run.contender, { name: run.contender, command: "", version: "" });
    }
    this.#runs.push({ ...run, load: null });
    this.say(`${run.part}, round ${run.round}, ${run.contender}: ${line}`);
  }

  miss(missing: Missing): void {
    const { part, contender, x, reason } = missing;
    const known = this.#missing.some(
      (other) => other.part === part && other.contender === contender && other.x === x,
    );
    if (known) return;
    this.#missing.push(missing);
    this.say(`${part}, ${contender}${x === null ? "" : ` at ${x}`}: left out: ${reason}`);
  }

  expect(): void {
    // It is measured instead.
  }

  say(line: string): void {
    this.#say(`${this.#name}: ${line}`);
  }

  #introduce({ name, command, version }: Contender): void {
    this.#contenders.set(name, { name, command: command.join(" "), version });
  }

  async #round(sweep: Sweep, contender: Contender, round: number): Promise<void> {
    let server: StartedServer | undefined;
    let environment: Point["environment"];
    let at: number | null = null;
    let { part, at: describe } = sweep.part;
    try {
      for (const point of sweep.points) {
        if (this.signal.aborted) return;
        const { x } = point;
        at = x;
        ({ part, at: describe } = point.part ?? sweep.part);
        if (this.#late(part, contender.name, x)) continue;
        const wanted = point.connections ?? point.load.connections ?? 0;
        if (wanted > contender.mostConnections) {
          const reason = `each connection has a thread there, and there are ${contender.mostConnections} at the most`;
          this.miss({ part, contender: contender.name, x, reason });
          continue;
        }
        if (server === undefined || point.environment !== environment || point.as !== undefined) {
          await this.#stop(server, contender.name, round);
          server = await this.#start(point.as?.(contender) ?? contender, point.environment);
          environment = point.environment;
        }
        const run = await this.#measure(contender, server, point);
        if (run === undefined) return;
        this.#runs.push({ part, contender: contender.name, x, round, ...run });
        this.say(
          `${part}, round ${round}, ${contender.name}, ${describe(x)}: ${summary(run.load)}`,
        );
      }
    } catch (error) {
      if (this.signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      this.miss({ part, contender: contender.name, x: at, reason });
    } finally {
      await this.#stop(server, contender.name, round);
    }
  }

  /** Ends it, and keeps what it says of itself then. */
  async #stop(server: StartedServer | undefined, contender: string, round: number): Promise<void> {
    await server?.stop();
    const statistics = server?.statistics ?? null;
    if (statistics !== null) this.#own.push({ contender, round, statistics });
  }

  #start(contender: Contender, environment: Point["environment"]): Promise<StartedServer> {
    return StartedServer.start({
      command: contender.command,
      environment: { ...contender.environment, ...environment },
      ...(contender.ready !== undefined && { ready: contender.ready }),
      startMs: 120_000,
      stopMs: 2000,
      signal: this.signal,
    });
  }

  /** Undefined when a signal ended it: half a window says nothing beside whole ones. */
  async #measure(
    contender: Contender,
    server: StartedServer,
    point: Point,
  ): Promise<Pick<LabRun, "load" | "values"> | undefined> {
    const { durationMs, warmUpMs, seed, threads } = this.settings;
    const options = { durationMs, warmUpMs, coolDownMs: 50, timeoutMs: 10_000, seed };
    const given = { ...options, ...(threads !== undefined && { threads }), ...point.load };
    const atOnce = Math.max(point.connections ?? 0, given.connections ?? 0);
    if (contender.warmUp !== undefined) {
      // Hundreds of threads take their time to start: nobody who has interrupted waits for them.
      await Promise.race([contender.warmUp(server, atOnce), this.#interrupted]);
      if (this.signal.aborted) return undefined;
    }
    const beside = await point.beside?.(server);
    let values: LabRun["values"] = {};
    let load: LoadResult;
    try {
      const plan = planLoad(server.address, given);
      const job = { plan, arguments: [], watch: server.watch() };
      load = await runLoad(job, { signal: this.signal });
    } finally {
      values = (await beside?.end()) ?? {};
    }
    if (load.interrupted) return undefined;
    if (server.ended !== undefined) throw new Error(server.ended);
    return { load, values };
  }
}

/** Seconds since a moment of performance.now(), for progress lines. */
export function secondsSince(startMs: number): string {
  return `${((performance.now() - startMs) / 1000).toFixed(0).padStart(4)} s`;
}

function summary(load: LoadResult | null): string {
  const [stage] = load?.stages ?? [];
  if (stage === undefined) return "nothing";
  const errors = stage.errors.map((error) => `, ${count(error.count)} × ${error.code}`).join("");
  return `${count(stage.messagesPerSecond)}/s, p99 ${time(stage.response.p99)}${errors}`;
}
