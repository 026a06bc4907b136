// What a service can be told beside its routes.

import type { BodyCodec } from "../protocol/body-codec.ts";
import type { WireLimits } from "../protocol/wire-limits.ts";
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
