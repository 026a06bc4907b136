// What `serve` can be told, and the checking of it: every mistake is refused with a sentence that says what would be right.

import { availableParallelism } from "node:os";
import { CHOICES, type DriverChoice } from "../driver/choose-driver.ts";
import { completeLimits, type Limits, OptionError } from "../limits.ts";
import type { OverflowPolicy } from "../reactor/writing.ts";
import type { KeepAlive, SocketOptions } from "../sys/socket-calls.ts";

export const MODELS = ["multi-reactor", "event-loop"] as const;
export type ModelName = (typeof MODELS)[number];

export interface ServeOptions {
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
  /** Reactors of `multi-reactor`, 1 to 256. Default: one for each core. */
  readonly threads?: number;
  /** Connections that the kernel may queue before they are accepted, 1 to 65535. Default 4096 (see net.core.somaxconn). */
  readonly backlog?: number;
  readonly limits?: Partial<Limits>;
  /** A write above `limits.connectionOutputBytes`: `close` (default) resets the connection, `discard` refuses the write. */
  readonly overflow?: OverflowPolicy;
  /** TCP_NODELAY on every connection. Default true. */
  readonly noDelay?: boolean;
  /** Default: after 60 s of silence, every 10 s, 6 times. */
  readonly keepAlive?: KeepAlive | false;
  /** TCP_USER_TIMEOUT in ms. Default 30,000; the portable driver has none. */
  readonly userTimeoutMs?: number;
  /** Each reactor gets a listening socket of its own (SO_REUSEPORT). Closing one resets what is queued on it. */
  readonly reusePort?: boolean;
  readonly receiveBufferBytes?: number;
  readonly sendBufferBytes?: number;
  readonly deferAcceptSeconds?: number;
  /** Told of what handlers throw and of threads that end. Default: written to stderr. */
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
  /** The caller chose the number of threads. */
  readonly threadsChosen: boolean;
  readonly backlog: number;
  readonly limits: Limits;
  /** The caller chose the number of connections: it is not to be lowered silently. */
  readonly connectionsChosen: boolean;
  readonly overflow: OverflowPolicy;
  readonly reusePort: boolean;
  readonly socket: SocketOptions;
  readonly onError: (error: unknown) => void;
}

const KEEP_ALIVE: KeepAlive = { idleSeconds: 60, intervalSeconds: 10, count: 6 };
const USER_TIMEOUT_MS = 30_000;
const NEED_DESCRIPTORS = [
  "userTimeoutMs",
  "receiveBufferBytes",
  "sendBufferBytes",
  "deferAcceptSeconds",
] as const;
const MOST_THREADS = 256;

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
  if (options.path !== undefined && (options.port !== undefined || options.host !== undefined)) {
    throw new OptionError("path and host or port exclude each other");
  }
  const threads = integer("threads", options.threads ?? availableParallelism(), 1, MOST_THREADS);
  return {
    port: integer("port", options.port ?? 0, 0, 65_535),
    host: text("host", options.host ?? "127.0.0.1"),
    path: options.path === undefined ? undefined : text("path", options.path),
    driver: oneOf("driver", options.driver ?? "auto", ["auto", ...CHOICES]),
    model,
    threads: model === "event-loop" ? 1 : threads,
    threadsChosen: options.threads !== undefined,
    backlog: integer("backlog", options.backlog ?? 4096, 1, 65_535),
    limits: completeLimits(options.limits),
    connectionsChosen: options.limits?.connections !== undefined,
    overflow: oneOf("overflow", options.overflow ?? "close", ["close", "discard"]),
    reusePort: options.reusePort ?? false,
    socket: socketOptions(options),
    onError: options.onError === undefined ? printError : guarded(options.onError),
  };
}

function socketOptions(options: ServeOptions): SocketOptions {
  const { receiveBufferBytes, sendBufferBytes, deferAcceptSeconds } = options;
  const { userTimeoutMs } = options;
  return {
    reuseAddress: true,
    noDelay: options.noDelay ?? true,
    keepAlive: options.keepAlive ?? KEEP_ALIVE,
    ...(userTimeoutMs !== undefined && {
      userTimeoutMs: integer("userTimeoutMs", userTimeoutMs, 1, 3_600_000),
    }),
    ipv6Only: options.ipv6Only ?? false,
    reusePort: options.reusePort ?? false,
    ...(receiveBufferBytes !== undefined && { receiveBufferBytes }),
    ...(sendBufferBytes !== undefined && { sendBufferBytes }),
    ...(deferAcceptSeconds !== undefined && { deferAcceptSeconds }),
  };
}

/**
 * The options with the defaults that need a descriptor, or a refusal of those that the chosen driver cannot set.
 * @throws OptionError
 */
export function socketOptionsOf(
  given: SocketOptions,
  driver: DriverChoice,
  hasDescriptors: boolean,
): SocketOptions {
  if (hasDescriptors) return { userTimeoutMs: USER_TIMEOUT_MS, ...given };
  const refused = NEED_DESCRIPTORS.find((name) => given[name] !== undefined);
  if (refused === undefined) return given;
  throw new OptionError(
    `the ${driver} driver cannot set ${refused}: leave it out or choose another`,
  );
}

function integer(name: string, value: number, minimum: number, maximum: number): number {
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return value;
  throw new OptionError(
    `${name} must be an integer from ${minimum} to ${maximum}, not ${String(value)}`,
  );
}

function text(name: string, value: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new OptionError(`${name} must be a string that is not empty`);
}

function oneOf<Choice extends string>(
  name: string,
  value: Choice,
  choices: readonly Choice[],
): Choice {
  if (choices.includes(value)) return value;
  throw new OptionError(`${name} must be one of ${choices.join(", ")}, not ${String(value)}`);
}

/** It is called in the middle of a turn: what it throws must not end that. */
function guarded(onError: (error: unknown) => void): (error: unknown) => void {
  return (error) => {
    try {
      onError(error);
    } catch (thrown) {
      printError(thrown);
    }
  };
}

function printError(error: unknown): void {
  console.error("sluice:", error);
}
