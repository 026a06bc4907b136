// The context that a handler is given, as far as it does not change: who asks, for what, how long; and the signal.

import { Buffer } from "node:buffer";
import { META_KEY } from "../protocol/codes.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";
import { type Tlv, tlv } from "../protocol/tlv.ts";
import { traceparentText } from "../protocol/trace-context.ts";
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
    const value = tlv(this.meta, META_KEY.IDEMPOTENCY_KEY);
    return value === undefined ? undefined : Buffer.from(value).toString("latin1");
  }

  get traceparent(): string | undefined {
    return traceparentText(tlv(this.meta, META_KEY.TRACEPARENT));
  }

  get publish(): Publisher["publish"] {
    return this.client.hub.publish;
  }

  get shared(): Publisher["shared"] {
    return this.client.hub.shared;
  }
}
