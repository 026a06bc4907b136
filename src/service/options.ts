// What a service can be told beside its routes.

import { assertOptions, callable, flag } from "../checks.ts";
import { OptionError } from "../limits.ts";
import { assertBodyCodecs, type BodyCodec } from "../protocol/body-codec.ts";
import { completeWireLimits, type WireLimits } from "../protocol/wire-limits.ts";
import type { AuthMethod } from "./auth.ts";
import type { Publisher } from "./context.ts";

/** What a client wants to do with a name. */
export type Action = "call" | "subscribe" | "publish";

export interface ServiceOptions {
  /** See docs/limits.md. */
  readonly limits?: Partial<WireLimits>;
  /** How clients say who they are; one of them must succeed. Without any, everybody is let in, with no identity. */
  readonly auth?: readonly AuthMethod[];
  /**
   * Whether this client may call this route, subscribe to this pattern, publish on this topic. Without it every route may be
   * called, and no client may subscribe or publish.
   */
  readonly authorize?: (identity: unknown, action: Action, name: string) => boolean;
  /** Codecs beside raw, JSON and UTF-8: `messagePack(await import("msgpackr"))`, `cbor(…)`, your own. */
  readonly codecs?: readonly BodyCodec[];
  /** Bodies from 4 KiB on are compressed (zstd) for clients who take that. Default true. */
  readonly compression?: boolean;
  /** Once in each thread of a server, before it accepts: with what publishes by itself (from a timer, say). */
  readonly started?: (publisher: Publisher) => void;
  /** Told of what handlers throw that is no CallError. Default: written to stderr. */
  readonly onError?: (error: unknown) => void;
}

const OPTION_NAMES: ReadonlySet<string> = new Set<keyof ServiceOptions>([
  "limits",
  "auth",
  "authorize",
  "codecs",
  "compression",
  "started",
  "onError",
]);

/** @throws OptionError: a mistake here may let everybody in, so each is one */
export function checkServiceOptions(options: ServiceOptions): void {
  assertOptions("the options of service", options, OPTION_NAMES);
  const { auth, codecs = [], compression = true, limits } = options;
  completeWireLimits(limits);
  if (auth !== undefined) assertMethods(auth);
  for (const name of ["authorize", "started", "onError"] as const) callable(name, options[name]);
  flag("compression", compression);
  assertBodyCodecs(codecs);
}

function assertMethods(auth: readonly AuthMethod[]): void {
  const what = "auth must be a list of methods (token(…), publicKey(…), scram(…), …)";
  if (!Array.isArray(auth)) throw new OptionError(what);
  if (auth.length === 0) {
    throw new OptionError(`${what} that lets somebody in: leave it out, or [none()] for everybody`);
  }
  for (const method of auth) {
    if (typeof method?.start !== "function" || !Number.isInteger(method.method)) {
      throw new OptionError(what);
    }
  }
}
