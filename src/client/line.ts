// A connection that comes back: dials, hands its link over once it is ready, and after it has ended waits a while and dials
// again, until it is closed.
//
//   start ─► dialling ─► greeting ─► ready ─┬─► (the link ends) ─► waiting ─► dialling …
//               │           │               └─► (GOAWAY drain: the old link finishes by itself) ─► waiting …
//               └───────────┴─► waiting
//
// Invariant: there is one attempt at most, and one timer at most, at any time.

import type { Due } from "../protocol/agenda.ts";
import { CallError } from "../protocol/call-error.ts";
import { GOAWAY, GOAWAY_KEY, nameOf } from "../protocol/codes.ts";
import type { Goaway } from "../protocol/connection-frames.ts";
import type { SessionEnd } from "../protocol/session-events.ts";
import { tlvText } from "../protocol/tlv.ts";
import type { Wire } from "../protocol/wire.ts";
import type { BackOff } from "./back-off.ts";
import type { Link } from "./link.ts";

/** `waiting` until the next attempt; `closed` for good. */
export type LineState = "connecting" | "ready" | "waiting" | "closed";

/** What a line is told of its links. */
export interface LineHost {
  ready(link: Link): void;
  draining(link: Link, goaway: Goaway): void;
  ended(link: Link, end: SessionEnd): void;
}

export interface LineOptions {
  readonly wire: Wire;
  readonly backOff: BackOff;
  /** Connects, and makes a link of the connection. Resolves when it is there; its handshake is still to come. */
  dial(host: LineHost): Promise<Link>;
  /** The link takes requests from here on. */
  ready(link: Link): void;
  /** It has changed; with the error that keeps it from connecting. */
  changed(state: LineState, error: CallError | undefined): void;
}

export class Line implements Due {
  agendaSlot = -1;
  agendaMs = 0;
  state: LineState = "waiting";
  /** What takes requests. */
  link: Link | undefined;
  readonly #options: LineOptions;
  /** In its handshake. */
  #greeting: Link | undefined;
  /** Finishing what is in flight. */
  readonly #draining = new Set<Link>();
  readonly #host: LineHost = {
    ready: (link) => this.#ready(link),
    draining: (link, goaway) => this.#drain(link, goaway),
    ended: (link, end) => this.#ended(link, end),
  };

  constructor(options: LineOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.state === "waiting") this.#dial();
  }

  /** Ends for good: what is in flight fails with this error. */
  close(error: CallError): void {
    if (this.state === "closed") return;
    this.#become("closed");
    this.#options.wire.agenda.remove(this);
    const links = [this.link, this.#greeting, ...this.#draining];
    this.link = undefined;
    this.#greeting = undefined;
    for (const link of links) link?.finish(error);
  }

  /** It is time to dial again. */
  due(): number {
    if (this.state === "waiting") this.#dial();
    return Number.POSITIVE_INFINITY;
  }

  #dial(): void {
    this.#become("connecting");
    this.#options.dial(this.#host).then(
      (link) => {
        if (this.state === "closed") link.session.close();
        // It may have ended before this was told.
        else if (!link.session.closed && this.link !== link) this.#greeting = link;
      },
      (error: unknown) => this.#failed(error),
    );
  }

  #ready(link: Link): void {
    if (this.state === "closed") return link.session.close();
    this.#greeting = undefined;
    this.link = link;
    this.#options.backOff.reset();
    this.#become("ready");
    this.#options.ready(link);
  }

  #failed(error: unknown): void {
    if (this.state !== "connecting") return;
    const message = error instanceof Error ? error.message : String(error);
    this.#wait(new CallError("UNAVAILABLE", message, { notProcessed: true, retryable: true }));
  }

  /** Requests go elsewhere from here on, and a new connection is made. */
  #drain(link: Link, goaway: Goaway): void {
    if (goaway.code !== GOAWAY.DRAIN || this.link !== link) return;
    this.link = undefined;
    this.#draining.add(link);
    if (this.state === "ready") this.#wait(undefined, goaway.reconnectMs);
  }

  #ended(link: Link, end: SessionEnd): void {
    this.#draining.delete(link);
    const current = this.link === link || this.state === "connecting";
    if (this.link === link) this.link = undefined;
    if (this.#greeting === link) this.#greeting = undefined;
    if (current && this.state !== "closed") this.#wait(endError(end, link));
  }

  #wait(error: CallError | undefined, firstMs?: number): void {
    const { wire, backOff } = this.#options;
    const waitMs =
      firstMs === undefined || firstMs === 0 ? backOff.nextMs() : backOff.nextMs(firstMs);
    this.#become("waiting", error);
    if (this.state === "waiting") wire.agenda.atLatest(this, wire.now() + Math.ceil(waitMs));
  }

  #become(state: LineState, error?: CallError): void {
    if (this.state === state) return;
    this.state = state;
    this.#options.changed(state, error);
  }
}

/** Why a connection has ended, as its calls are told. */
function endError({ code, reason: ours, byPeer }: SessionEnd, link: Link): CallError {
  const theirs = byPeer
    ? tlvText(link.session.peerGoaway?.tlvs ?? [], GOAWAY_KEY.REASON)
    : undefined;
  const reason = theirs ?? ours;
  if (code === GOAWAY.AUTH) return new CallError("UNAUTHENTICATED", `refused: ${reason}`);
  if (code === GOAWAY.VERSION) return new CallError("UNIMPLEMENTED", reason);
  const what = code === undefined ? reason : `${nameOf(GOAWAY, code)}: ${reason}`;
  return new CallError("UNAVAILABLE", what, { retryable: true });
}
