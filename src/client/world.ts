// What a client needs of the world outside: connections, time, chance. Handed in, so that a simulation can own them.

import { randomBytes } from "node:crypto";
import type { Input } from "../codec/codec.ts";
import type { Connection, Handlers } from "../handlers.ts";
import type { Wire } from "../protocol/wire.ts";
import type { ClientOptions } from "./client-options.ts";
import { connect } from "./connect.ts";
import { threadWire } from "./thread-wire.ts";

export type LinkHandlers = Handlers<Input, Uint8Array, undefined>;

export interface World {
  readonly wire: Wire;
  /** From 0 up to 1. */
  random(): number;
  /** Text that nobody else makes, and nobody can guess. */
  unique(): string;
  /** Keeps the process alive, also while nothing is connected, until what it returns is called. */
  keepAlive(): () => void;
  /** Connects to the client's server. */
  connect(
    options: ClientOptions,
    handlers: LinkHandlers,
  ): Promise<Connection<Uint8Array, undefined>>;
}

const UNIQUE_BYTES = 18;
/** The longest that a timer of Node's can be set to. */
const LONGEST_MS = 0x7fff_ffff;

export function realWorld(): World {
  return {
    wire: threadWire(),
    random: Math.random,
    unique: () => randomBytes(UNIQUE_BYTES).toString("base64url"),
    keepAlive() {
      const timer = setInterval(() => undefined, LONGEST_MS);
      return () => clearInterval(timer);
    },
    connect(options, handlers) {
      const { port, host, path, connectMs, driver, noDelay, keepAlive, userTimeoutMs } = options;
      const { receiveBufferBytes, sendBufferBytes, onError } = options;
      return connect<Input, Uint8Array, undefined>({
        ...handlers,
        ...(port !== undefined && { port }),
        ...(host !== undefined && { host }),
        ...(path !== undefined && { path }),
        ...(connectMs !== undefined && { connectMs }),
        ...(driver !== undefined && { driver }),
        ...(noDelay !== undefined && { noDelay }),
        ...(keepAlive !== undefined && { keepAlive }),
        ...(userTimeoutMs !== undefined && { userTimeoutMs }),
        ...(receiveBufferBytes !== undefined && { receiveBufferBytes }),
        ...(sendBufferBytes !== undefined && { sendBufferBytes }),
        ...(onError !== undefined && { onError }),
      });
    },
  };
}
