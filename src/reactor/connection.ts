// One connection as its reactor sees it: a few numbers, and the public methods that a handler calls.
//
// It is kept small on purpose: ten thousand idle ones should cost ten thousand times these fields and nothing else. What
// only some need (a decoder with state, unread input, somebody waiting for `drained`) is made when it is needed.
//
// Invariant: `flags` says where on the way from open to gone it is; bits are only ever added on that way
// (OUTPUT_ENDING → OUTPUT_ENDED, CLOSING → LINGERING → GONE). One that has moved to another reactor is GONE in this one.

import type { Decoder } from "../codec/codec.ts";
import { deferred } from "../deferred.ts";
import type { Handle } from "../driver/driver.ts";
import type { CloseReason, Connection, Context } from "../handlers.ts";
import type { Address } from "../sys/address.ts";
import { SystemError } from "../sys/errno.ts";
import {
  type PeerCredentials,
  peerCredentials,
  type SocketOptions,
  type TcpInfo,
} from "../sys/socket-calls.ts";
import type { HandlerTable } from "./handler-table.ts";
import { NO_BLOCK } from "./output-arena.ts";
import type { Reactor } from "./reactor.ts";
import type { UnreadInput } from "./unread-input.ts";

// Why its messages are not being handled:
/** A handler's promise is pending. */
export const BUSY = 1 << 0;
/** The user paused it. */
export const PAUSED = 1 << 1;
/** Too much waits to be sent. */
export const HELD = 1 << 2;
/** It is about to move to another reactor. */
export const MOVING = 1 << 16;
export const STOPPED = BUSY | PAUSED | HELD | MOVING;
/** The driver was told to stop receiving. */
export const DRIVER_PAUSED = 1 << 3;
// Output:
/** Listed to be flushed at the end of the turn. */
export const DIRTY = 1 << 4;
/** A send is under way. */
export const SENDING = 1 << 5;
/** No more may be written; the stream ends after what is queued. */
export const OUTPUT_ENDING = 1 << 6;
export const OUTPUT_ENDED = 1 << 7;
// The way to the end:
export const PEER_ENDED = 1 << 8;
/** The peer's end has been handled. */
export const END_HANDLED = 1 << 9;
/** No more messages are handled. */
export const CLOSING = 1 << 10;
/** Our stream has ended, what the peer still sends is read and dropped. */
export const LINGERING = 1 << 11;
/** The driver was told to close. */
export const GONE = 1 << 12;
/** The server is closing: it closes when it has nothing left to do. */
export const DRAINING = 1 << 13;
/** Listed to go on with its input. */
export const CONTINUING = 1 << 14;
/** The first byte has come. */
export const HAS_SPOKEN = 1 << 15;
// Moving to another reactor:
/** The driver is letting go of it: until then no verb can be used. */
export const LEAVING = 1 << 17;
/** Its state cannot be cloned: it stays in its thread. */
export const IMMOBILE = 1 << 18;
/** While it was leaving, it was to be closed by a reset. */
export const RESETTING = 1 << 19;
/** When its thread dies while it is at rest, another one can go on with it: see rest.ts. */
export const ADOPTABLE = 1 << 20;

export class ReactorConnection<Message, Sent, State> implements Connection<Sent, State> {
  readonly id: number;
  state: State;
  flags = 0;
  /** Offsets of the first and the last block of its send queue. */
  head = NO_BLOCK;
  tail = NO_BLOCK;
  pendingBytes = 0;
  /** When bytes last came, in ms of the driver's clock. */
  activeMs: number;
  /** When its last send was started, likewise. */
  sentMs = 0;
  /** Bytes its decoder keeps of an unfinished message, as far as they are counted. */
  keptBytes = 0;
  reason: CloseReason | undefined = undefined;
  error: Error | undefined = undefined;
  unread: UnreadInput | undefined = undefined;
  waiting: (() => void)[] | undefined = undefined;
  /** What it is subscribed to; most connections are to nothing. */
  topics: Set<string> | undefined = undefined;
  /** The address it counts against, when it does. */
  countedAddress: string | undefined = undefined;
  /** Another one when it was about to move and has stayed. */
  handle: Handle;
  readonly table: HandlerTable<Message, Sent, State>;
  readonly decoder: Decoder<Message>;
  readonly #reactor: Reactor<Message, Sent, State>;

  constructor(
    reactor: Reactor<Message, Sent, State>,
    handle: Handle,
    id: number,
    table: HandlerTable<Message, Sent, State>,
    decoder: Decoder<Message>,
    state: State,
    nowMs: number,
  ) {
    this.#reactor = reactor;
    this.handle = handle;
    this.id = id;
    this.table = table;
    this.decoder = decoder;
    this.state = state;
    this.activeMs = nowMs;
  }

  get open(): boolean {
    return (this.flags & (OUTPUT_ENDING | CLOSING | GONE)) === 0;
  }

  get remoteAddress(): Address | undefined {
    const address = this.#reactor.driver.remoteAddress(this.handle);
    return typeof address === "number" ? undefined : address;
  }

  get localAddress(): Address | undefined {
    const address = this.#reactor.driver.localAddress(this.handle);
    return typeof address === "number" ? undefined : address;
  }

  get tcpInfo(): TcpInfo | undefined {
    const info = this.#reactor.driver.tcpInfo(this.handle);
    return typeof info === "number" ? undefined : info;
  }

  get peerCredentials(): PeerCredentials | undefined {
    const descriptor = this.#reactor.driver.descriptor(this.handle);
    const credentials = descriptor < 0 ? descriptor : peerCredentials(descriptor);
    return typeof credentials === "number" ? undefined : credentials;
  }

  write(data: Uint8Array | string): boolean {
    return this.#reactor.writing.write(this, data);
  }

  send(message: Sent): boolean {
    return this.#reactor.writing.send(this, message);
  }

  drained(): Promise<void> {
    const { lowWaterBytes } = this.#reactor.limits;
    if (this.pendingBytes <= lowWaterBytes || (this.flags & GONE) !== 0) return Promise.resolve();
    const { promise, resolve } = deferred<void>();
    this.waiting ??= [];
    this.waiting.push(resolve);
    return promise;
  }

  end(): void {
    this.#reactor.closing.endOutput(this);
  }

  close(): void {
    this.#reactor.closing.close(this, "closed");
  }

  reset(): void {
    this.#reactor.closing.terminate(this, "reset", undefined, true);
  }

  pause(): void {
    this.flags |= PAUSED;
    this.#reactor.rest?.end(this);
  }

  resume(): void {
    if ((this.flags & PAUSED) === 0) return;
    this.flags &= ~PAUSED;
    this.#reactor.incoming.goOn(this);
  }

  configure(options: SocketOptions): void {
    const failed = this.#reactor.driver.configure(this.handle, options);
    if (failed < 0) throw new SystemError("setsockopt", failed);
  }

  get context(): Context<Sent> {
    return this.#reactor.publishing.context;
  }

  get subscriptions(): ReadonlySet<string> {
    return this.topics ?? new Set();
  }

  subscribe(topic: string): boolean {
    return this.#reactor.publishing.subscribe(this, topic);
  }

  unsubscribe(topic: string): boolean {
    return this.#reactor.publishing.unsubscribe(this, topic);
  }

  publish(topic: string, message: Sent): boolean {
    return this.#reactor.publishing.publish(this, topic, message);
  }
}
