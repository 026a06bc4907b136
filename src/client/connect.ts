// connect(): an outgoing connection with handlers of its own, on the same drivers and with the same rules as a server's.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { checkHandlers, integer, oneOf, reporter, separate } from "../checks.ts";
import {
  assertTarget,
  type ConnectionOptions,
  connectionSocketOptions,
  socketOptionsOf,
} from "../connection-options.ts";
import { CHOICES, type DriverChoice } from "../driver/choices.ts";
import type { Connection, Handlers } from "../handlers.ts";
import { completeLimits, type Limits } from "../limits.ts";
import type { OverflowPolicy } from "../reactor/writing.ts";
import type { Address } from "../sys/address.ts";
import { ECANCELED, ETIMEDOUT, SystemError } from "../sys/errno.ts";

export interface ConnectOptions extends ConnectionOptions {
  /** TCP port, 1 to 65535. */
  readonly port?: number;
  /** Address or name. Default `127.0.0.1`. A name with several addresses: each is tried, in the system's order. */
  readonly host?: string;
  /** A Unix socket instead: a path, or a name that begins with NUL for an abstract one. */
  readonly path?: string;
  /** Most ms until it is connected, name resolution included. Default 10,000; ends up to 100 ms late. */
  readonly connectMs?: number;
  /** Gives up while it is connecting; nothing once it is connected. */
  readonly signal?: AbortSignal;
  /** `auto` (default) takes the fastest that the host allows. */
  readonly driver?: DriverChoice | "auto";
  /** Bounds of all outgoing connections of this thread with the same driver, limits and overflow policy together. */
  readonly limits?: Partial<Limits>;
  readonly overflow?: OverflowPolicy;
  /** Told of what this connection's handlers throw. Default: written to stderr. */
  readonly onError?: (error: unknown) => void;
}

const CONNECT_MS = 10_000;
const OPTION_NAMES: ReadonlySet<string> = new Set<keyof ConnectOptions>([
  "port",
  "host",
  "path",
  "connectMs",
  "signal",
  "driver",
  "limits",
  "overflow",
  "noDelay",
  "keepAlive",
  "userTimeoutMs",
  "receiveBufferBytes",
  "sendBufferBytes",
  "onError",
]);

/**
 * Connects, and resolves with the connection once `opened` has been called. The handlers are those of a server, and their
 * promises hold. The connection keeps the process alive until it has ended. It belongs to the calling thread.
 * @throws OptionError for options that cannot be, DriverRefusedError, SystemError with the errno's name as code
 *   (ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, ENOENT, EMFILE, ECANCELED by the signal), or Node's
 *   own error of a name that is not known (ENOTFOUND, EAI_AGAIN)
 */
export async function connect<Message = Buffer, Sent = Uint8Array | string, State = unknown>(
  table: Handlers<Message, Sent, State> & ConnectOptions,
): Promise<Connection<Sent, State>> {
  const { handlers, options } = separate<ConnectOptions>("connect", table, OPTION_NAMES);
  const checked = checkHandlers(handlers, "connect");
  const connectMs = integer("connectMs", options.connectMs ?? CONNECT_MS, 1, 3_600_000);
  const given = connectionSocketOptions(options);
  const report = reporter(options.onError);
  assertTarget(options);
  const driver = oneOf("driver", options.driver ?? "auto", ["auto", ...CHOICES]);
  const overflow = oneOf("overflow", options.overflow ?? "close", ["close", "discard"]);
  const limits = completeLimits(options.limits);
  // Only who connects loads it: handler modules import this one, each in its thread.
  const { outgoingFor } = await import("./outgoing.ts");
  const reactor = outgoingFor({ driver, limits, overflow });
  const socket = socketOptionsOf(given, reactor.driver, reactor.hasDescriptors);
  const until = performance.now() + connectMs;
  const addresses = await addressesOf(options, connectMs);
  for (const [n, address] of addresses.entries()) {
    // Each one its share of the time that is left: the first must not use up all of it.
    const share = Math.max((until - performance.now()) / (addresses.length - n), 1);
    const target = { address, options: socket, withinMs: share, signal: options.signal };
    try {
      const connection = await reactor.connect(target, checked, report);
      return connection as Connection<Sent, State>;
    } catch (error) {
      const givenUp = error instanceof SystemError && error.errno === ECANCELED;
      if (givenUp || n === addresses.length - 1) throw error;
    }
  }
  throw new SystemError("connect to", -ETIMEDOUT, options.host);
}

async function addressesOf(options: ConnectOptions, withinMs: number): Promise<Address[]> {
  const { path, host = "127.0.0.1", port = 0 } = options;
  if (path !== undefined) return [{ family: "unix", path }];
  const kind = isIP(host.split("%", 1)[0] ?? host);
  if (kind !== 0) return [{ family: kind === 4 ? "ipv4" : "ipv6", host, port }];
  const found = await resolved(host, withinMs);
  return found.map(({ address, family }) => ({
    family: family === 4 ? "ipv4" : "ipv6",
    host: address,
    port,
  }));
}

/** The system's resolver cannot be interrupted: what it answers too late is not looked at. */
async function resolved(host: string, withinMs: number) {
  const over = new AbortController();
  const late = sleep(withinMs, undefined, { signal: over.signal }).then(
    () => {
      throw new SystemError("resolve", -ETIMEDOUT, host);
    },
    () => [],
  );
  try {
    return await Promise.race([lookup(host, { all: true }), late]);
  } finally {
    over.abort();
  }
}
