// What is measured, and which figures it has to reach. Each scenario is one call of
// the load generator (c/load.c explains the modes); the order is that of the report.

export type Driver = "io_uring" | "epoll";

/** `ratio` figures compare with the C io_uring server of the same round. */
export type Figure =
  | "messagesRatio"
  | "cpuRatio"
  | "p99Ratio"
  | "rssPerConnectionBytes"
  | "idleCpuMs";

export interface Threshold {
  readonly figure: Figure;
  readonly driver: Driver;
  readonly relation: ">=" | "<=" | "<";
  readonly value: number;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly kind: "closed" | "churn" | "open" | "idle";
  readonly connections: number;
  readonly loadArguments: readonly string[];
  /** Servers that are warmed up are measured in short bursts by turns (turns.ts); what a fresh one does, alone. */
  readonly byTurns: boolean;
  /**
   * In seconds, where it is not that of all: at a given rate it takes longer until a server has served as many messages before
   * the measured window as it has in the closed loops, and its code is compiled.
   */
  readonly warmupSeconds?: number;
  readonly thresholds: readonly Threshold[];
}

/** The kernel shows CPU time in ticks of 10 ms; less than one is what it calls 0. */
export const KERNEL_TICK_MS = 10;

const atLeast = (figure: Figure, driver: Driver, value: number): Threshold => ({
  figure,
  driver,
  relation: ">=",
  value,
});

const atMost = (figure: Figure, driver: Driver, value: number): Threshold => ({
  figure,
  driver,
  relation: "<=",
  value,
});

const below = (figure: Figure, driver: Driver, value: number): Threshold => ({
  figure,
  driver,
  relation: "<",
  value,
});

function closedLoop(
  name: string,
  title: string,
  load: { connections: number; size: number; depth: number },
  thresholds: readonly Threshold[],
): Scenario {
  return {
    name,
    title,
    kind: "closed",
    connections: load.connections,
    loadArguments: ["--size", String(load.size), "--depth", String(load.depth)],
    byTurns: true,
    thresholds,
  };
}

const TWENTY_THOUSAND = {
  kind: "open",
  connections: 50,
  loadArguments: ["--size", "64", "--rate", "20000"],
} as const;

export const scenarios: readonly Scenario[] = [
  closedLoop(
    "50x64",
    "50 connections × 64 B, one message in flight on each",
    { connections: 50, size: 64, depth: 1 },
    [
      atLeast("messagesRatio", "io_uring", 0.95),
      atMost("cpuRatio", "io_uring", 1.12),
      atLeast("messagesRatio", "epoll", 0.8),
    ],
  ),
  closedLoop(
    "50x64x16",
    "50 connections × 64 B, 16 messages in flight on each",
    { connections: 50, size: 64, depth: 16 },
    [
      atLeast("messagesRatio", "io_uring", 0.92),
      atMost("cpuRatio", "io_uring", 1.2),
      atLeast("messagesRatio", "epoll", 0.75),
    ],
  ),
  closedLoop(
    "1000x64",
    "1000 connections × 64 B, one message in flight on each",
    { connections: 1000, size: 64, depth: 1 },
    [atLeast("messagesRatio", "io_uring", 0.95), atLeast("messagesRatio", "epoll", 0.8)],
  ),
  closedLoop(
    "50x16KiB",
    "50 connections × 16 KiB, one message in flight on each",
    { connections: 50, size: 16384, depth: 1 },
    [atLeast("messagesRatio", "io_uring", 0.9), atLeast("messagesRatio", "epoll", 0.8)],
  ),
  {
    name: "churn",
    title: "Connect, 64 B there and back, close; 50 at a time",
    kind: "churn",
    connections: 50,
    loadArguments: ["--size", "64"],
    byTurns: true,
    thresholds: [
      atLeast("messagesRatio", "io_uring", 0.9),
      atLeast("messagesRatio", "epoll", 0.85),
    ],
  },
  {
    name: "open-loop",
    title: "Open loop: 20,000 messages/s of 64 B over 50 connections",
    ...TWENTY_THOUSAND,
    warmupSeconds: 10,
    byTurns: true,
    thresholds: [atMost("p99Ratio", "io_uring", 1.3)],
  },
  {
    name: "open-loop-start",
    title: "Open loop, from 1.5 s after the first message on: much is compiled only then",
    ...TWENTY_THOUSAND,
    warmupSeconds: 1.5,
    byTurns: false,
    thresholds: [],
  },
  {
    name: "idle",
    title: "15,000 idle connections, each of which has echoed once",
    kind: "idle",
    connections: 15000,
    loadArguments: ["--size", "64"],
    byTurns: false,
    thresholds: [
      atMost("rssPerConnectionBytes", "io_uring", 1024),
      atMost("rssPerConnectionBytes", "epoll", 1024),
      below("idleCpuMs", "io_uring", KERNEL_TICK_MS),
      below("idleCpuMs", "epoll", KERNEL_TICK_MS),
    ],
  },
];
