// What `serve` can be told, and the checking of it: every mistake is refused with a sentence that says what would be right.

import { availableParallelism } from "node:os";
import { flag, integer, oneOf, reporter, text } from "../checks.ts";
import { type ConnectionOptions, connectionSocketOptions } from "../connection-options.ts";
import { CHOICES, type DriverChoice, type ServingDriver } from "../driver/choices.ts";
import { completeLimits, type Limits, OptionError } from "../limits.ts";
import { BALANCES, type Balance } from "../reactor/placement.ts";
import type { SlowSubscriberPolicy } from "../reactor/publishing.ts";
import type { OverflowPolicy } from "../reactor/writing.ts";
import { allowedCores } from "../sys/affinity.ts";
import { SystemError } from "../sys/errno.ts";
import { nativeRefusal } from "../sys/native-library.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";

export { BALANCES };

/** Of each model: how many threads it has when it is not told, and at the most; whether those block in their calls. */
const MODEL_THREADS = {
  "multi-reactor": { threads: availableParallelism, most: 256, blocks: false },
  hybrid: { threads: availableParallelism, most: 256, blocks: false },
  "event-loop": { threads: () => 1, most: 1, blocks: false },
  "thread-pool": { threads: () => 8 * availableParallelism(), most: 256, blocks: true },
  "thread-per-connection": { threads: () => 256, most: 512, blocks: true },
} as const;
export type ModelName = keyof typeof MODEL_THREADS;
export const MODELS = Object.keys(MODEL_THREADS) as readonly ModelName[];

/** Whether the threads of a model block in their calls: it then brings its own driver. */
export function blocks(model: ModelName): boolean {
  return MODEL_THREADS[model].blocks;
}

/** The most threads that a model may have. */
export function mostThreads(model: ModelName): number {
  return MODEL_THREADS[model].most;
}

export interface ServeOptions extends ConnectionOptions {
  /** TCP port, 0 to 65535; 0 (the default) lets the system choose, see `server.address`. */
  readonly port?: number;
  /** Address or name to listen on. Default `127.0.0.1`: this machine only; `::` is everyone, over IPv4 and IPv6. */
  readonly host?: string;
  /** A Unix socket instead: a path, or a name that begins with NUL for an abstract one. */
  readonly path?: string;
  /** Only IPv6 when listening on an IPv6 address (IPV6_V6ONLY). Default false. */
  readonly ipv6Only?: boolean;
  /** Which driver: `auto` (default) takes the fastest that the host allows; a certain one is an error when refused. */
  readonly driver?: DriverChoice | "auto";
  /** Default `multi-reactor` for a handler module, `event-loop` for a table of functions. */
  readonly model?: ModelName;
  /**
   * Reactors of `multi-reactor` and `hybrid`, 1 to 256; default: one for each core. Threads of `thread-pool`, 1 to 256; default: eight
   * for each core. Most threads of `thread-per-connection`, 1 to 512; default: 256.
   */
  readonly threads?: number;
  /** Threads of `hybrid` that compute, 1 to 256. Default: one for each core but one, and none for handlers without `compute`. */
  readonly computeThreads?: number;
  /**
   * Which thread of several gets a connection:
   * - `kernel`: the one that the kernel lets accept it; usually fair, and not when one is busy
   * - `least-connections`: the one that has the fewest
   * - `round-robin`: each in turn
   * - `address-hash`: all of one IPv4 address, or one IPv6 network of 64 bits, the same one, as long as no thread ends
   * They are handed over between threads where the kernel chose another. Default: `least-connections`; `kernel` where the
   * driver has no descriptors, and with `reusePort`.
   */
  readonly balance?: Balance;
  /**
   * Binds each of its threads to one core: `true` to those that this process may run on, in turns, or a list of cores, likewise
   * in turns. Default false: the kernel chooses. Linux with node:ffi; not for `event-loop`, whose thread is the caller's.
   */
  readonly pin?: boolean | readonly number[];
  /**
   * When a thread dies, those of its connections that are at rest go on in another one: between two messages, nothing unread,
   * unhandled or unsent. They keep their id and lose their state: see the handler `adopted`. A message counts as handled when
   * `message` has returned, or its promise is settled. Default false: all end with their thread. For `multi-reactor` and
   * `hybrid`, with io_uring or epoll.
   */
  readonly adoptOrphans?: boolean;
  /** Connections that the kernel may queue before they are accepted, 1 to 65535. Default 4096 (see net.core.somaxconn). */
  readonly backlog?: number;
  readonly limits?: Partial<Limits>;
  /** A write above `limits.connectionOutputBytes`: `close` (default) resets the connection, `discard` refuses the write. */
  readonly overflow?: OverflowPolicy;
  /**
   * A published message for a subscriber above its high-water mark: `drop` (default) passes it over, `close` resets the
   * connection (reason `overflow`).
   */
  readonly slowSubscriber?: SlowSubscriberPolicy;
  /**
   * Each reactor gets a listening socket of its own (SO_REUSEPORT). Closing one (a thread ends, the server closes) resets what
   * is queued on it, unless the sysctl net.ipv4.tcp_migrate_req is 1, which it is not by default: `sluice doctor` tells.
   */
  readonly reusePort?: boolean;
  readonly deferAcceptSeconds?: number;
  /** Told of what handlers throw and of threads that end. Default: written to stderr, without Sluice's own frames. */
  readonly onError?: (error: unknown) => void;
}

/** Options after checking, with every default filled in. */
export interface CheckedOptions {
  readonly port: number;
  readonly host: string;
  readonly path: string | undefined;
  readonly driver: DriverChoice | "auto";
  readonly model: ModelName;
  readonly threads: number;
  readonly computeThreads: number;
  readonly computeThreadsChosen: boolean;
  /** The caller chose the number of threads. */
  readonly threadsChosen: boolean;
  /** Undefined: the driver decides. */
  readonly balance: Balance | undefined;
  /** Cores for its threads, in turns; empty: any. */
  readonly cores: readonly number[];
  readonly adoptOrphans: boolean;
  readonly backlog: number;
  readonly limits: Limits;
  /** The caller chose the number of connections: it is not to be lowered silently. */
  readonly connectionsChosen: boolean;
  readonly overflow: OverflowPolicy;
  readonly slowSubscriber: SlowSubscriberPolicy;
  readonly reusePort: boolean;
  readonly socket: SocketOptions;
  readonly onError: (error: unknown) => void;
}

/** @throws OptionError */
export function checkOptions(options: ServeOptions, fromModule: boolean): CheckedOptions {
  const model = oneOf(
    "model",
    options.model ?? (fromModule ? "multi-reactor" : "event-loop"),
    MODELS,
  );
  if (model !== "event-loop" && !fromModule) {
    throw new OptionError(
      `model ${model} needs the handlers in a module of their own: functions do not cross threads. ` +
        "Put the table into a file as its default export and pass serve(new URL(file, import.meta.url), options)",
    );
  }
  if (model === "event-loop" && (options.threads ?? 1) !== 1) {
    throw new OptionError("model event-loop has one thread; use multi-reactor for more");
  }
  if (blocks(model) && (options.driver ?? "auto") !== "auto") {
    throw new OptionError(
      `model ${model} has blocking calls of its own: leave out driver, or use multi-reactor`,
    );
  }
  if (options.path !== undefined && (options.port !== undefined || options.host !== undefined)) {
    throw new OptionError("path and host or port exclude each other");
  }
  const { threads, most } = MODEL_THREADS[model];
  if (options.computeThreads !== undefined && model !== "hybrid") {
    throw new OptionError(`model ${model} has no compute threads: leave them out, or use hybrid`);
  }
  return {
    port: integer("port", options.port ?? 0, 0, 65_535),
    host: text("host", options.host ?? "127.0.0.1"),
    path: options.path === undefined ? undefined : text("path", options.path),
    driver: oneOf("driver", options.driver ?? "auto", ["auto", ...CHOICES]),
    model,
    threads: integer("threads", options.threads ?? threads(), 1, most),
    computeThreads: integer("computeThreads", options.computeThreads ?? computers(), 1, 256),
    computeThreadsChosen: options.computeThreads !== undefined,
    threadsChosen: options.threads !== undefined,
    balance:
      options.balance === undefined ? undefined : oneOf("balance", options.balance, BALANCES),
    cores: coresFor(options.pin ?? false, model),
    adoptOrphans: adoptsOrphans(options.adoptOrphans ?? false, model),
    backlog: integer("backlog", options.backlog ?? 4096, 1, 65_535),
    limits: completeLimits(options.limits),
    connectionsChosen: options.limits?.connections !== undefined,
    overflow: oneOf("overflow", options.overflow ?? "close", ["close", "discard"]),
    slowSubscriber: oneOf("slowSubscriber", options.slowSubscriber ?? "drop", ["drop", "close"]),
    reusePort: flag("reusePort", options.reusePort ?? false),
    socket: socketOptions(options),
    onError: reporter(options.onError),
  };
}

/** @throws OptionError for a model whose threads cannot go on with each other's connections */
function adoptsOrphans(wanted: boolean, model: ModelName): boolean {
  if (!flag("adoptOrphans", wanted) || model === "multi-reactor" || model === "hybrid")
    return wanted;
  throw new OptionError(
    `model ${model} cannot adopt connections: leave out adoptOrphans, or use multi-reactor`,
  );
}

/** @throws OptionError for a core that this process may not run on, and where threads cannot be pinned */
function coresFor(pin: boolean | readonly number[], model: ModelName): readonly number[] {
  if (pin === false) return [];
  if (pin !== true && (!Array.isArray(pin) || pin.length === 0)) {
    throw new OptionError(`pin must be true, false or a list of cores, not ${String(pin)}`);
  }
  if (model === "event-loop") {
    throw new OptionError(
      "model event-loop runs in the calling thread: pin that, or use multi-reactor",
    );
  }
  const refused = nativeRefusal();
  if (refused !== undefined) throw new OptionError(`pin cannot be used here: ${refused}`);
  const allowed = allowedCores();
  if (typeof allowed === "number") throw new SystemError("sched_getaffinity", allowed);
  if (pin === true) return allowed;
  const missing = pin.find((core) => !allowed.includes(core));
  if (missing === undefined) return pin;
  const cores = allowed.join(", ");
  throw new OptionError(`pin: core ${missing} is none that this process may run on: ${cores}`);
}

/** The machine's cores but for one, which is left to the reactors. */
function computers(): number {
  return Math.max(1, availableParallelism() - 1);
}

function socketOptions(options: ServeOptions): SocketOptions {
  const { deferAcceptSeconds } = options;
  return {
    ...connectionSocketOptions(options),
    reuseAddress: true,
    ipv6Only: flag("ipv6Only", options.ipv6Only ?? false),
    reusePort: options.reusePort ?? false,
    ...(deferAcceptSeconds !== undefined && {
      deferAcceptSeconds: integer("deferAcceptSeconds", deferAcceptSeconds, 0, 3600),
    }),
  };
}
/**
 * Who gets a connection, where the caller has not said it. Without descriptors there is nothing to hand over.
 * @throws OptionError
 */
export function balanceOf(
  given: Pick<CheckedOptions, "balance" | "reusePort" | "threads">,
  driver: ServingDriver,
  hasDescriptors: boolean,
): Balance {
  const { balance, reusePort, threads } = given;
  if (hasDescriptors) return balance ?? (reusePort ? "kernel" : "least-connections");
  if (balance === undefined || balance === "kernel" || threads === 1) return "kernel";
  throw new OptionError(
    `the ${driver} driver cannot hand connections over: leave out balance, or choose another driver`,
  );
}
