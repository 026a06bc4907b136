// One connection of a client with its session: the transport of the one, the handlers of the other.
//
// The codec hands the reactor's input to the session as it is, so that frames are read in place and nothing is made for a
// chunk. What the session does not take (it is paused) stays the reactor's.

import type { Buffer } from "node:buffer";
import type { Codec, Input } from "../codec/codec.ts";
import type { CloseReason, Connection } from "../handlers.ts";
import type { CallError } from "../protocol/call-error.ts";
import { HELLO_KEY } from "../protocol/codes.ts";
import type { Compression } from "../protocol/compression.ts";
import type { Auth, Goaway } from "../protocol/connection-frames.ts";
import { readRoutes } from "../protocol/peer.ts";
import { Session } from "../protocol/session.ts";
import type { SessionEnd, SessionEvents, Transport } from "../protocol/session-events.ts";
import type { Stream } from "../protocol/stream.ts";
import type { MsgFrame, OpenFrame } from "../protocol/stream-frames.ts";
import { type Tlv, tlv } from "../protocol/tlv.ts";
import type { Wire } from "../protocol/wire.ts";
import type { WireLimits } from "../protocol/wire-limits.ts";
import { Request } from "./request.ts";
import type { HeldSubscription } from "./resumption.ts";
import { SubscribedStream } from "./subscribed-stream.ts";

/** What a link tells, and needs. */
export interface LinkHost {
  readonly wire: Wire;
  readonly limits: WireLimits;
  readonly codecs: readonly number[];
  readonly compression: Compression | undefined;
  /** HELLO's TLVs beside the limits. */
  hello(): readonly Tlv[];
  /** Streams may be opened before WELCOME. */
  readonly pipelines: boolean;
  ready(link: Link, tlvs: readonly Tlv[]): void;
  /** The server wants more before it lets us in. */
  challenged(link: Link, auth: Auth): void;
  /** There may be room for requests. */
  room(link: Link): void;
  /** The server takes no more streams. */
  draining(link: Link, goaway: Goaway): void;
  /** The server calls. */
  called(
    link: Link,
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void;
  ended(link: Link, end: SessionEnd): void;
}

export class Link implements Transport, SessionEvents {
  readonly session: Session;
  /** Names by which routes may be called for short. */
  routes: ReadonlyMap<string, number> = new Map();
  /** What the server tells of them, as it came. */
  shapes: Uint8Array = new Uint8Array();
  /** Subscriptions of a connection that was cut. */
  readonly held: HeldSubscription[] = [];
  readonly #host: LinkHost;
  readonly #connection: Connection<Uint8Array>;
  readonly #roomWaiters = new Set<() => void>();
  #awaitsDrain = false;
  #looksSoon = false;

  constructor(host: LinkHost, connection: Connection<Uint8Array>) {
    this.#host = host;
    this.#connection = connection;
    this.session = new Session({
      role: "client",
      wire: host.wire,
      limits: host.limits,
      transport: this,
      events: this,
      codecs: host.codecs,
      compression: host.compression,
    });
    this.session.handshake.start(host.hello(), host.pipelines);
  }

  /** Whether the session can go on over another connection. */
  get resumable(): boolean {
    const { replay, peerGoaway } = this.session;
    return replay?.resumable === true && peerGoaway === undefined;
  }

  /** The subscription is told nothing yet: it may go on. */
  hold(held: HeldSubscription): void {
    this.held.push(held);
    held.subscription.hold();
  }

  /** Streams that are open. */
  get count(): number {
    return this.session.streams.table.count;
  }

  /** Whether a request may be sent now. When it may not for want of room, `room` follows. */
  get takesRequests(): boolean {
    const { session } = this;
    if (!session.streams.canOpen) return false;
    if (session.outgoing.hasRoom(0)) return true;
    this.awaitDrain();
    return false;
  }

  /** Ends; what is in flight is told this error instead of a cut. */
  finish(error: CallError): void {
    for (const { owner } of this.session.streams.table.list()) {
      if (owner instanceof Request) owner.fail(error);
    }
    this.session.close();
  }

  /** Calls back once there may be room for messages again. */
  whenRoom(run: () => void): void {
    this.#roomWaiters.add(run);
    this.awaitDrain();
  }

  /** A stream of ours has ended; the slot is free when what runs now is over. */
  streamOver(): void {
    if (this.#looksSoon) return;
    this.#looksSoon = true;
    queueMicrotask(this.#look);
  }

  readonly #look = (): void => {
    this.#looksSoon = false;
    if (this.session.closed) return;
    if (this.session.peerGoaway !== undefined && this.count === 0) this.session.close();
    else this.#host.room(this);
  };

  // Transport.

  get pendingBytes(): number {
    return this.#connection.pendingBytes;
  }

  write(bytes: Buffer, start: number, end: number): void {
    this.#connection.write(bytes.subarray(start, end));
  }

  awaitDrain(): void {
    if (this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    void this.#connection.drained().then(() => {
      this.#awaitsDrain = false;
      this.session.drained();
    });
  }

  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  close(abort: boolean): void {
    if (abort) this.#connection.reset();
    else this.#connection.close();
  }

  /** The connection has ended. */
  closed(reason: CloseReason, error: Error | undefined): void {
    this.session.disconnected(error?.message ?? `the connection has ended: ${reason}`);
  }

  // The session's events.

  hello(): void {
    throw new Error("a client is not introduced to: a bug, please report it");
  }

  auth(auth: Auth): void {
    this.#host.challenged(this, auth);
  }

  ready(tlvs: readonly Tlv[]): void {
    this.routes = readRoutes(tlvs);
    this.shapes = Uint8Array.from(tlv(tlvs, HELLO_KEY.ROUTE_SHAPES) ?? []);
    this.#host.ready(this, tlvs);
  }

  opened(
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    this.#host.called(this, stream, open, bytes, start, end);
  }

  published(stream: Stream, msg: MsgFrame, bytes: Buffer, start: number, end: number): void {
    if (stream.owner instanceof SubscribedStream) stream.owner.published(msg, bytes, start, end);
  }

  roomAgain(): void {
    const waiters = [...this.#roomWaiters];
    this.#roomWaiters.clear();
    for (const run of waiters) run();
    this.#host.room(this);
  }

  goaway(goaway: Goaway): void {
    this.#host.draining(this, goaway);
    this.streamOver();
  }

  ended(end: SessionEnd): void {
    const waiters = [...this.#roomWaiters];
    this.#roomWaiters.clear();
    for (const run of waiters) run();
    this.#host.ended(this, end);
  }
}

/** The codec of a link's connection: its messages are the input itself. */
export function inputCodec(unfinishedBytes: () => number): Codec<Input, Uint8Array> {
  return {
    name: "SWP/1",
    decoder: () => ({
      get pending() {
        return unfinishedBytes();
      },
      next: (input) => (input.offset < input.end ? input : undefined),
    }),
    encode: (bytes, output) => output.bytes(bytes),
  };
}
