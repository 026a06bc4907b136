// What a run of the load generator leaves behind: the one schema of `--json`, which text, HDR and HTML output, `sluice
// compare` and the lab's reports all read. Versioned: a reader refuses what it does not know.
//
// Times are in µs, memory in bytes, CPU time in ms, instants in ms from the beginning of their stage's window.
// Two times are told apart everywhere (docs/lab.md):
//   response   from when a message was meant to leave until its answer was complete: what a user waits
//   service    from when it did leave: what the server and the way there and back took
// In a closed loop a message is meant to leave when the one before it is answered, so both are the same there.

export const RESULT_SCHEMA = "sluice-load/1";

export interface LoadResult {
  readonly schema: typeof RESULT_SCHEMA;
  /** What made it, for `--json` files that wander. */
  readonly sluice: string;
  readonly startedAt: string;
  /** The command line, without the program. */
  readonly arguments: readonly string[];
  readonly machine: Machine;
  readonly plan: PlanFigures;
  /** One; or one for each rate of a ramp or a search, in the order they were run. */
  readonly stages: readonly StageResult[];
  /** What the server has counted itself, from its start to its end: of one that was started for the run, and tells. */
  readonly serverStatistics: Readonly<Record<string, number>> | null;
  /** Of a search only. */
  readonly findMax: FindMaxResult | null;
  /** The run was ended early, by a signal: what is here is what there was by then. */
  readonly interrupted: boolean;
  /** No error of any kind, and all that was planned was run. */
  readonly ok: boolean;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly kernel: string;
  readonly node: string;
}

export type Mode = "closed" | "open" | "churn" | "idle";

/** The plan as it was run, defaults filled in. What must agree for two results to be compared. */
export interface PlanFigures {
  readonly target: string;
  readonly mode: Mode;
  readonly workload: string;
  /** Sizes of messages as they were asked for: "64", "16-1024", "64:9,4096:1"; empty where they have none. */
  readonly size: string;
  readonly connections: number;
  readonly idle: number;
  /** Messages in flight on a connection: closed loop only, else 0. */
  readonly depth: number;
  /** Messages/s that were asked for: the first rate of several; 0 where there is no rate. */
  readonly rate: number;
  /** Of an open loop: "even" or "poisson"; else empty. */
  readonly arrivals: string;
  /** What HTTP asked for; else empty. */
  readonly path: string;
  readonly seed: number;
  readonly threads: number;
  readonly driver: string;
  readonly verified: boolean;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly coolDownMs: number;
  readonly timeoutMs: number;
}

export interface StageResult {
  /** Messages/s asked for; 0 where there is no rate. */
  readonly wantedRate: number;
  /** Length of the window that was measured, warm-up and cool-down left out. */
  readonly seconds: number;
  readonly connections: number;
  /** Answered within the window (closed), or meant to leave within it and answered at all (open). */
  readonly messages: number;
  readonly messagesPerSecond: number;
  /** Messages/s that left, each counted once; beside `wantedRate` it shows whether the rate was kept. 0 where there is no rate. */
  readonly sentPerSecond: number;
  readonly bytesSentPerSecond: number;
  readonly bytesReceivedPerSecond: number;
  readonly response: LatencyFigures;
  readonly service: LatencyFigures;
  /** Connection set-up: churn, and the opening of the others. */
  readonly connect: LatencyFigures;
  readonly slices: readonly Slice[];
  readonly errors: readonly ErrorFigures[];
  /** Connections that the target ended between two answers within the window, and others took the place of. */
  readonly replaced: number;
  readonly generator: GeneratorFigures;
  /** Null where the target's process was not found on this machine. */
  readonly server: ServerFigures | null;
}

export interface LatencyFigures {
  readonly count: number;
  readonly min: number;
  readonly mean: number;
  readonly deviation: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p99_9: number;
  readonly p99_99: number;
  readonly max: number;
  /** Buckets that hold something: [middle in µs, count], each middle within 0.4 % of what it stands for. */
  readonly histogram: readonly (readonly [us: number, count: number])[];
}

/** A part of the window: what happened from `fromMs` to `toMs`, for timelines and as a sample for tests. */
export interface Slice {
  readonly fromMs: number;
  readonly toMs: number;
  readonly messages: number;
  readonly errors: number;
  /** Response times of the slice. */
  readonly p50: number;
  readonly p99: number;
  readonly p99_9: number;
  readonly max: number;
  readonly mean: number;
  /** CPU time of the server within the slice; null where it was not found. */
  readonly serverCpuMs: number | null;
  readonly serverMemoryBytes: number | null;
  readonly serverThreads: number | null;
}

/** Errors of one kind. `code` is an errno's name (ECONNRESET) or one of ERROR_TEXTS. */
export interface ErrorFigures {
  readonly code: string;
  readonly count: number;
  /** What it means, and of the first one what there is to know. */
  readonly text: string;
}

export interface GeneratorFigures {
  readonly threads: readonly GeneratorThread[];
  /** How late messages left, behind their schedule: open loop only (count 0 otherwise). */
  readonly lateness: LatencyFigures;
  /** A sentence when the generator itself may have set the pace; null when it did not. */
  readonly bottleneck: string | null;
}

export interface GeneratorThread {
  readonly cpuMs: number;
  /** It could have run, but others had the core. */
  readonly keptWaitingMs: number;
  /** Share of the window that it computed, 0 to 1. An open loop spins before each message: there it says nothing. */
  readonly busy: number;
}

/** All processes that listen at the target, over the window. */
export interface ServerFigures {
  readonly processes: readonly ProcessFigures[];
  readonly cpuMs: number;
  /** Cores' worth: CPU time by wall time. */
  readonly busy: number;
  readonly cpuUsPerMessage: number;
  /** Resident, at the end of the window and the most seen in it. */
  readonly memoryBytes: number;
  readonly peakMemoryBytes: number;
  readonly threads: number;
  readonly descriptors: number;
  readonly voluntarySwitches: number;
  readonly involuntarySwitches: number;
}

export interface ProcessFigures {
  readonly pid: number;
  readonly command: string;
  readonly memoryBytes: number;
  readonly descriptors: number;
  readonly threads: readonly ThreadFigures[];
}

export interface ThreadFigures {
  readonly id: number;
  readonly name: string;
  readonly cpuMs: number;
  readonly keptWaitingMs: number;
  readonly voluntarySwitches: number;
  readonly involuntarySwitches: number;
}

export interface FindMaxResult {
  /** As it was given: "p99<5ms". */
  readonly condition: string;
  /** The highest rate, in messages/s, that met it; 0 when none did. */
  readonly rate: number;
  /** The lowest rate that did not; null when the generator gave out first. */
  readonly failedRate: number | null;
  /** Why it is no higher. */
  readonly why: string;
}

/** Kinds of errors that are no errno. */
export const ERROR_TEXTS = {
  END_OF_STREAM: "the target ended the stream",
  WRONG_CONTENT: "an answer is not what it should be",
  UNEXPECTED_BYTES: "the target sent what nobody asked for",
  TIMEOUT: "no answer within the time-out",
  CONNECT_TIMEOUT: "no connection within the time-out",
  MISSING_ANSWER: "messages that were not answered by the end",
  ERROR_ANSWER: "the target answered with an error",
  OVERRUN: "too many messages wait for their answers",
} as const;
