// Every limit, with its unit, default and bounds. On by default; "0 = unlimited" does not exist.
//
// An option that is out of bounds is refused with what would be right, never quietly repaired.

export interface Limits {
  /** Connections at a time, over all threads. At the limit accepting stops and the kernel's backlog queues. */
  readonly connections: number;
  /** Connections at a time from one IP address (loopback and Unix sockets are exempt); more are reset. */
  readonly connectionsPerAddress: number;
  /** Connections that wait for a thread of `thread-pool`; more are reset. */
  readonly queuedConnections: number;
  /** Heavy messages of `hybrid` that wait for the compute threads or are in them, over all threads; see `refused`. */
  readonly computeQueue: number;
  /** Bytes that wait to be sent, over all connections and threads; at most 1 GiB a thread. At 80 % accepting stops. */
  readonly outputBytes: number;
  /** Bytes received and not yet handled, over all connections and threads. */
  readonly inputBytes: number;
  /** Bytes that wait on one connection above which `write` returns false and its reading pauses. */
  readonly highWaterBytes: number;
  /** Bytes that wait on one connection at which `drained()` resolves and reading goes on. */
  readonly lowWaterBytes: number;
  /** Bytes that may wait on one connection at the most: see `overflow`. */
  readonly connectionOutputBytes: number;
  /** Bytes of one connection kept while its handler is busy, before reading from the kernel pauses. */
  readonly connectionInputBytes: number;
  /** From accept to the first byte, in ms. */
  readonly firstByteMs: number;
  /** Without a byte in either direction, in ms. */
  readonly idleMs: number;
  /** Without progress of what waits to be sent (64 KiB at a time), in ms. */
  readonly writeMs: number;
  /** How long a closing connection reads on for the peer's end, in ms, so that the last answer arrives. */
  readonly lingerMs: number;
  /** Topics that one connection may be subscribed to. */
  readonly connectionSubscriptions: number;
  /** Subscriptions over all connections and threads. */
  readonly subscriptions: number;
  /** Bytes that may wait from one thread for another: also the longest message that can be published. */
  readonly mailboxBytes: number;
  /** Keys and values of the shared maps, in bytes, for the whole server. */
  readonly mapBytes: number;
  /** How long a thread may be busy with one thing (a handler, a callback), in ms; then it is ended and replaced. */
  readonly blockedMs: number;
  /** How long a thread of `hybrid` that computes may be busy with one heavy message without a pause, in ms; likewise. */
  readonly computeMs: number;
  /** From a thread's start until it serves, in ms. */
  readonly startMs: number;
  /** JavaScript heap of one thread in bytes, rounded up to MiB; one that reaches it is ended and replaced. */
  readonly heapBytes: number;
  /** Threads that end in a row, while none works for a second, before the server gives up. */
  readonly restarts: number;
}

interface Bound {
  readonly unit: "connections" | "subscriptions" | "bytes" | "ms" | "threads" | "tasks";
  readonly default: number;
  readonly minimum: number;
  readonly maximum: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY = 86_400_000;

export const LIMITS: { readonly [Name in keyof Limits]: Bound } = {
  connections: { unit: "connections", default: 100_000, minimum: 1, maximum: 1_000_000 },
  connectionsPerAddress: { unit: "connections", default: 1024, minimum: 1, maximum: 1_000_000 },
  queuedConnections: { unit: "connections", default: 128, minimum: 1, maximum: 65_536 },
  computeQueue: { unit: "tasks", default: 1024, minimum: 1, maximum: 65_536 },
  outputBytes: { unit: "bytes", default: 256 * MIB, minimum: MIB, maximum: 16 * KIB * MIB },
  inputBytes: { unit: "bytes", default: 256 * MIB, minimum: MIB, maximum: 16 * KIB * MIB },
  highWaterBytes: { unit: "bytes", default: 256 * KIB, minimum: 1, maximum: 1024 * MIB },
  lowWaterBytes: { unit: "bytes", default: 64 * KIB, minimum: 0, maximum: 1024 * MIB },
  connectionOutputBytes: { unit: "bytes", default: 8 * MIB, minimum: 1, maximum: 1024 * MIB },
  connectionInputBytes: { unit: "bytes", default: 64 * KIB, minimum: 1, maximum: 64 * MIB },
  firstByteMs: { unit: "ms", default: 60_000, minimum: 1, maximum: DAY },
  idleMs: { unit: "ms", default: 600_000, minimum: 1, maximum: 7 * DAY },
  writeMs: { unit: "ms", default: 10_000, minimum: 1, maximum: DAY },
  lingerMs: { unit: "ms", default: 2_000, minimum: 1, maximum: DAY },
  connectionSubscriptions: {
    unit: "subscriptions",
    default: 1024,
    minimum: 1,
    maximum: 1_000_000,
  },
  subscriptions: {
    unit: "subscriptions",
    default: 1_000_000,
    minimum: 1,
    maximum: 100_000_000,
  },
  mailboxBytes: { unit: "bytes", default: 256 * KIB, minimum: KIB, maximum: 64 * MIB },
  mapBytes: { unit: "bytes", default: 64 * MIB, minimum: KIB, maximum: 16 * KIB * MIB },
  blockedMs: { unit: "ms", default: 10_000, minimum: 20, maximum: DAY },
  computeMs: { unit: "ms", default: 300_000, minimum: 20, maximum: DAY },
  startMs: { unit: "ms", default: 60_000, minimum: 100, maximum: DAY },
  heapBytes: { unit: "bytes", default: 2048 * MIB, minimum: 16 * MIB, maximum: 64 * KIB * MIB },
  restarts: { unit: "threads", default: 20, minimum: 1, maximum: 1_000_000 },
};

/** A mistake in what the caller passed; the message says what would be right. */
export class OptionError extends Error {
  override readonly name = "OptionError";
  readonly code = "ERR_SLUICE_OPTION";
}

/**
 * The given limits over the defaults.
 * @throws OptionError for an unknown name, a value out of bounds, or two that contradict each other
 */
export function completeLimits(given: Partial<Limits> = {}): Limits {
  assertLimits(given);
  const complete: { -readonly [Name in keyof Limits]: number } = defaults();
  for (const [name, value] of Object.entries(given)) {
    if (!isLimitName(name)) {
      throw new OptionError(`limits.${name} does not exist; there are ${names().join(", ")}`);
    }
    if (value !== undefined) complete[name] = checkedLimit(name, value);
  }
  if (given.highWaterBytes !== undefined && given.lowWaterBytes === undefined) {
    complete.lowWaterBytes = Math.min(
      complete.lowWaterBytes,
      Math.floor(complete.highWaterBytes / 2),
    );
  }
  assertOrder(complete, "lowWaterBytes", "highWaterBytes");
  assertOrder(complete, "highWaterBytes", "connectionOutputBytes");
  assertOrder(complete, "connectionOutputBytes", "outputBytes");
  return complete;
}

/** @throws OptionError for limits that are no object */
export function assertLimits(given: unknown): void {
  if (typeof given === "object" && given !== null) return;
  throw new OptionError(`limits must be an object, not ${String(given)}`);
}

/** What one thread's output can hold at the most: its memory is addressed with small integers. */
const MOST_OUTPUT_PER_THREAD = 1024 * MIB;

/** One of `parts` equal shares of the limits that hold over all threads; the others stay as they are. */
export function shareOf(limits: Limits, parts: number): Limits {
  const share = Math.max(Math.floor(limits.outputBytes / parts / MIB), 1) * MIB;
  const outputBytes = Math.min(share, MOST_OUTPUT_PER_THREAD);
  const connectionOutputBytes = Math.min(limits.connectionOutputBytes, outputBytes);
  // A connection has to be told to wait before it holds too much: the marks keep their order.
  const highWaterBytes = Math.min(limits.highWaterBytes, connectionOutputBytes);
  return {
    ...limits,
    connections: Math.max(Math.floor(limits.connections / parts), 1),
    connectionsPerAddress: Math.ceil(limits.connectionsPerAddress / parts),
    inputBytes: Math.ceil(limits.inputBytes / parts),
    subscriptions: Math.ceil(limits.subscriptions / parts),
    outputBytes,
    connectionOutputBytes,
    highWaterBytes,
    lowWaterBytes: Math.min(limits.lowWaterBytes, highWaterBytes),
  };
}

function checkedLimit(name: keyof Limits, value: number): number {
  const { minimum, maximum, unit } = LIMITS[name];
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return value;
  throw new OptionError(
    `limits.${name} must be an integer from ${minimum} to ${maximum} (${unit}), not ${String(value)}`,
  );
}

function assertOrder(limits: Limits, low: keyof Limits, high: keyof Limits): void {
  if (limits[low] <= limits[high]) return;
  throw new OptionError(
    `limits.${low} (${limits[low]}) must not be above limits.${high} (${limits[high]})`,
  );
}

function defaults(): Limits {
  const entries = Object.entries(LIMITS).map(([name, bound]) => [name, bound.default]);
  return Object.fromEntries(entries);
}

function names(): string[] {
  return Object.keys(LIMITS);
}

function isLimitName(name: string): name is keyof Limits {
  return Object.hasOwn(LIMITS, name);
}
