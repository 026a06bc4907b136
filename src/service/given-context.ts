// The context that a handler is given, as far as it does not change: who asks, for what, how long; and the signal.

import { Buffer } from "node:buffer";
import { META_KEY, TRACEPARENT_BYTES } from "../protocol/codes.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";
import { type Tlv, tlv } from "../protocol/tlv.ts";
import type { Address } from "../sys/address.ts";
import type { CallContext, CallingPeer, Publisher } from "./context.ts";
import type { RouteEntry } from "./route-table.ts";
import type { ServerSession } from "./server-session.ts";

const NO_META: readonly Tlv[] = Object.freeze([]);

export class GivenContext implements CallContext {
  protected readonly client: ServerSession;
  protected readonly entry: RouteEntry;
  protected readonly meta: readonly Tlv[];
  /** When the caller stops waiting; 0: never. */
  protected readonly deadlineMs: number;
  protected abort: AbortController | undefined;
  /** The handler is told to stop. */
  protected stopped = false;

  constructor(client: ServerSession, entry: RouteEntry, open: OpenFrame) {
    this.client = client;
    this.entry = entry;
    this.meta = open.metaLength === 0 ? NO_META : open.meta();
    this.deadlineMs = open.deadlineMs === 0 ? 0 : client.session.wire.now() + open.deadlineMs;
  }

  get route(): string {
    return this.entry.name;
  }

  get identity(): unknown {
    return this.client.identity;
  }

  get peer(): CallingPeer {
    return this.client;
  }

  get remoteAddress(): Address | undefined {
    return this.client.connection.remoteAddress;
  }

  get signal(): AbortSignal {
    this.abort ??= new AbortController();
    if (this.stopped) this.abort.abort();
    return this.abort.signal;
  }

  get remainingMs(): number | undefined {
    if (this.deadlineMs === 0) return undefined;
    return Math.max(0, this.deadlineMs - this.client.session.wire.now());
  }

  get idempotencyKey(): string | undefined {
    return this.#metaValue(META_KEY.IDEMPOTENCY_KEY)?.toString("latin1");
  }

  get traceparent(): string | undefined {
    const value = this.#metaValue(META_KEY.TRACEPARENT);
    if (value?.length !== TRACEPARENT_BYTES) return undefined;
    const hex = value.toString("hex");
    return `${hex.slice(0, 2)}-${hex.slice(2, 34)}-${hex.slice(34, 50)}-${hex.slice(-2)}`;
  }

  get publish(): Publisher["publish"] {
    return this.client.hub.publish;
  }

  get shared(): Publisher["shared"] {
    return this.client.hub.shared;
  }

  #metaValue(key: number): Buffer | undefined {
    const value = tlv(this.meta, key);
    return value === undefined ? undefined : Buffer.from(value);
  }
}
