// The socket options that a user gives for every connection, whichever side began it, with their defaults.

import { integer } from "./checks.ts";
import { OptionError } from "./limits.ts";
import type { KeepAlive, SocketOptions } from "./sys/socket-calls.ts";

export interface ConnectionOptions {
  /** TCP_NODELAY on every connection. Default true. */
  readonly noDelay?: boolean;
  /** Default: after 60 s of silence, every 10 s, 6 times. */
  readonly keepAlive?: KeepAlive | false;
  /** TCP_USER_TIMEOUT in ms. Default 30,000; the portable driver has none. */
  readonly userTimeoutMs?: number;
  readonly receiveBufferBytes?: number;
  readonly sendBufferBytes?: number;
}

const KEEP_ALIVE: KeepAlive = { idleSeconds: 60, intervalSeconds: 10, count: 6 };
const USER_TIMEOUT_MS = 30_000;
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
    noDelay: options.noDelay ?? true,
    keepAlive: options.keepAlive ?? KEEP_ALIVE,
    ...(userTimeoutMs !== undefined && {
      userTimeoutMs: integer("userTimeoutMs", userTimeoutMs, 1, 3_600_000),
    }),
    ...(receiveBufferBytes !== undefined && { receiveBufferBytes }),
    ...(sendBufferBytes !== undefined && { sendBufferBytes }),
  };
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
