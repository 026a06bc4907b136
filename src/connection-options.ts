// The socket options that a user gives for every connection, whichever side began it, with their defaults.

import { flag, integer, text } from "./checks.ts";
import { OptionError } from "./limits.ts";
import type { KeepAlive, SocketOptions } from "./sys/socket-calls.ts";

export interface ConnectionOptions {
  /** TCP_NODELAY on every connection. Default true. */
  readonly noDelay?: boolean;
  /** Default: after 60 s of silence, every 10 s, 6 times. */
  readonly keepAlive?: KeepAlive | false;
  /** TCP_USER_TIMEOUT in ms. Default 30,000; the portable driver has none. */
  readonly userTimeoutMs?: number;
  /** SO_RCVBUF and SO_SNDBUF, 1 KiB to 1 GiB; the kernel doubles them and has limits of its own (socket(7)). */
  readonly receiveBufferBytes?: number;
  readonly sendBufferBytes?: number;
}

/** The port of a host, or the path of a Unix socket. */
interface TargetOptions {
  readonly path?: string;
  readonly port?: number;
  readonly host?: string;
}

const KEEP_ALIVE: KeepAlive = { idleSeconds: 60, intervalSeconds: 10, count: 6 };
const USER_TIMEOUT_MS = 30_000;
/** What the kernel takes (tcp(7)). */
const MOST_SECONDS = 32_767;
const MOST_PROBES = 127;
const LEAST_BUFFER = 1024;
const MOST_BUFFER = 1024 * 1024 * 1024;
const NEED_DESCRIPTORS = [
  "userTimeoutMs",
  "receiveBufferBytes",
  "sendBufferBytes",
  "deferAcceptSeconds",
] as const;

/** @throws OptionError */
export function connectionSocketOptions(options: ConnectionOptions): SocketOptions {
  const { receiveBufferBytes, sendBufferBytes, userTimeoutMs } = options;
  return {
    noDelay: flag("noDelay", options.noDelay ?? true),
    keepAlive: keepAliveOf(options.keepAlive ?? KEEP_ALIVE),
    ...(userTimeoutMs !== undefined && {
      userTimeoutMs: integer("userTimeoutMs", userTimeoutMs, 1, 3_600_000),
    }),
    ...(receiveBufferBytes !== undefined && {
      receiveBufferBytes: bufferBytes("receiveBufferBytes", receiveBufferBytes),
    }),
    ...(sendBufferBytes !== undefined && {
      sendBufferBytes: bufferBytes("sendBufferBytes", sendBufferBytes),
    }),
  };
}

function keepAliveOf(given: KeepAlive | false): KeepAlive | false {
  if (given === false) return false;
  if (typeof given !== "object") {
    throw new OptionError(
      "keepAlive must be false, or { idleSeconds, intervalSeconds, count }, " +
        `not ${String(given)}`,
    );
  }
  return {
    idleSeconds: integer("keepAlive.idleSeconds", given.idleSeconds, 1, MOST_SECONDS),
    intervalSeconds: integer("keepAlive.intervalSeconds", given.intervalSeconds, 1, MOST_SECONDS),
    count: integer("keepAlive.count", given.count, 1, MOST_PROBES),
  };
}

function bufferBytes(name: string, bytes: number): number {
  return integer(name, bytes, LEAST_BUFFER, MOST_BUFFER);
}

/** Where a client connects to. @throws OptionError */
export function assertTarget({ path, port, host }: TargetOptions): void {
  if (path === undefined) {
    if (port === undefined) throw new OptionError("connect needs a port, or the path of a socket");
    integer("port", port, 1, 65_535);
    if (host !== undefined) text("host", host);
    return;
  }
  text("path", path);
  if (port !== undefined || host !== undefined) {
    throw new OptionError("path and host or port exclude each other");
  }
}

/**
 * The options with the defaults that need a descriptor, or a refusal of those that the chosen driver cannot set.
 * @throws OptionError
 */
export function socketOptionsOf(
  given: SocketOptions,
  driver: string,
  hasDescriptors: boolean,
): SocketOptions {
  if (hasDescriptors) return { userTimeoutMs: USER_TIMEOUT_MS, ...given };
  const refused = NEED_DESCRIPTORS.find((name) => given[name] !== undefined);
  if (refused === undefined) return given;
  throw new OptionError(
    `the ${driver} driver cannot set ${refused}: leave it out or choose another`,
  );
}
