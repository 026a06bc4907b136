// What `client` can be told, and the checking of it.

import { assertOptions, callable, flag, integer, reporter } from "../checks.ts";
import { assertTarget } from "../connection-options.ts";
import { OptionError } from "../limits.ts";
import { parseHostAndPort } from "../protocol/address.ts";
import {
  assertBodyCodec,
  assertBodyCodecs,
  type BodyCodec,
  jsonCodec,
  rawCodec,
  utf8Codec,
} from "../protocol/body-codec.ts";
import type { CallError } from "../protocol/call-error.ts";
import { type Compression, zstd } from "../protocol/compression.ts";
import { completeWireLimits, type WireLimits } from "../protocol/wire-limits.ts";
import type { BackOffLimits } from "./back-off.ts";
import type { ConnectOptions } from "./connect.ts";
import { assertCredentials, type Credentials } from "./credentials.ts";
import type { LineState } from "./line.ts";
import type { ServerHandlers } from "./server-requests.ts";

export interface ClientOptions
  extends Pick<
    ConnectOptions,
    | "port"
    | "host"
    | "path"
    | "connectMs"
    | "driver"
    | "noDelay"
    | "keepAlive"
    | "userTimeoutMs"
    | "receiveBufferBytes"
    | "sendBufferBytes"
  > {
  /** Connections to the server, 1 to 256; requests go to the one with the least to do. Default 1. */
  readonly connections?: number;
  /** How bodies are encoded unless a call says otherwise. Default JSON, in which a body that is bytes goes as it is. */
  readonly codec?: BodyCodec;
  /** Further codecs that are understood: `messagePack(…)`, `cbor(…)`, your own. JSON, raw and UTF-8 always are. */
  readonly codecs?: readonly BodyCodec[];
  readonly auth?: Credentials;
  /**
   * Sessions survive a cut where the server has them: subscriptions miss nothing, notifications and publications that nobody
   * acknowledges arrive, each once. Default true.
   */
  readonly resume?: boolean;
  /** Bodies from 4 KiB on are compressed (zstd, Node 22.15 and later) where the server takes that. Default true. */
  readonly compression?: boolean;
  /**
   * Addresses, `HOST:PORT`, that this client goes on to when its server says that it has moved there, with its credentials; or
   * a function that says whether it does. Default: none.
   */
  readonly follow?: readonly string[] | ((address: string) => boolean);
  /** What the server may call on this client, by route. */
  readonly handlers?: ServerHandlers;
  /** How long a call may take when it does not say so itself, waiting included, in ms. Default 30,000. */
  readonly deadlineMs?: number;
  /** How often a call is sent again at the most, where that is safe. Default 3. */
  readonly retries?: number;
  /** Waits between attempts to connect: random times of up to twice as much each time. Default 100 and 10,000 ms. */
  readonly backOff?: Partial<BackOffLimits>;
  /** Requests that may wait for a connection. Beyond it they fail with RESOURCE_EXHAUSTED. Default 10,000. */
  readonly waiting?: number;
  /** What this side takes: see docs/limits.md. */
  readonly limits?: Partial<WireLimits>;
  /** Told when a connection changes its state, and of the error that keeps it from connecting. */
  readonly onState?: (state: LineState, error: CallError | undefined) => void;
  /** Told of errors that have no caller. Default: written to stderr. */
  readonly onError?: (error: unknown) => void;
  /** For people, in the server's logs. */
  readonly agent?: string;
}

export interface CheckedClientOptions {
  readonly connections: number;
  readonly codec: BodyCodec;
  readonly compression: Compression | undefined;
  /** By id. */
  readonly codecs: ReadonlyMap<number, BodyCodec>;
  readonly deadlineMs: number;
  readonly retries: number;
  readonly backOff: BackOffLimits;
  readonly waiting: number;
  readonly limits: WireLimits;
  readonly follows: (address: string) => boolean;
}

const DAY_MS = 86_400_000;
const OPTION_NAMES: ReadonlySet<string> = new Set<keyof ClientOptions>([
  ...(["port", "host", "path", "connectMs", "driver", "noDelay", "keepAlive"] as const),
  ...(["userTimeoutMs", "receiveBufferBytes", "sendBufferBytes"] as const),
  ...(["connections", "codec", "codecs", "auth", "resume", "compression", "follow"] as const),
  ...(["handlers", "deadlineMs", "retries", "backOff", "waiting", "limits"] as const),
  ...(["onState", "onError", "agent"] as const),
]);

/** @throws OptionError */
export function checkClientOptions(options: ClientOptions): CheckedClientOptions {
  assertOptions("the options of client", options, OPTION_NAMES);
  assertTarget(options);
  assertCredentials(options.auth);
  callable("onState", options.onState);
  flag("resume", options.resume ?? true);
  for (const [route, handler] of Object.entries(options.handlers ?? {})) {
    callable(`handlers["${route}"]`, handler);
  }
  const { codec = jsonCodec, codecs: others = [] } = options;
  assertBodyCodec(codec);
  assertBodyCodecs(others);
  const codecs = [codec, ...others, jsonCodec, rawCodec, utf8Codec];
  const { firstMs = 100, mostMs = 10_000 } = options.backOff ?? {};
  return {
    connections: integer("connections", options.connections ?? 1, 1, 256),
    codec,
    compression: flag("compression", options.compression ?? true) ? zstd() : undefined,
    // The user's own come first: they may replace ours.
    codecs: new Map(codecs.reverse().map((one) => [one.id, one])),
    deadlineMs: integer("deadlineMs", options.deadlineMs ?? 30_000, 1, DAY_MS),
    retries: integer("retries", options.retries ?? 3, 0, 100),
    backOff: {
      firstMs: integer("backOff.firstMs", firstMs, 1, DAY_MS),
      mostMs: integer("backOff.mostMs", mostMs, firstMs, DAY_MS),
    },
    waiting: integer("waiting", options.waiting ?? 10_000, 0, 1_000_000),
    limits: completeWireLimits(options.limits),
    follows: followsOf(options),
  };
}

function followsOf({ follow = [], onError }: ClientOptions): (address: string) => boolean {
  if (typeof follow === "function") {
    const report = reporter(onError);
    return (address) => {
      try {
        return follow(address) === true;
      } catch (error) {
        report(error);
        return false;
      }
    };
  }
  if (!Array.isArray(follow) || !follow.every((one) => parseHostAndPort(one) !== undefined)) {
    throw new OptionError("follow must be a list of HOST:PORT, or a function");
  }
  const addresses = new Set(follow);
  return (address) => addresses.has(address);
}
