// The portable driver: the contract over node:net, for every host that the raw drivers refuse (macOS, Windows, a Linux
// that forbids node:ffi). It needs nothing but Node's own streams.
//
// libuv turns this thread, so nothing here waits: a stream's callback puts an event into a queue and asks for a turn
// through `wanted`; `turn` delivers what is queued. What the contract forbids and node:net would do (an event from
// inside a verb, bytes after close, a false success of a write that was cut off) ends in this file.
//
// Twists:
// - node:net accepts whatever comes. What arrives at a paused listener, or finds no slot, is kept here, unread and
//   untold, until `resume`; more than PARKED_MOST is reset, as a kernel refuses what its backlog cannot hold.
// - Out of descriptors, libuv accepts and closes at once (its reserve descriptor); no one is told. Only when even
//   that fails does `accepted` carry −EMFILE. The raw drivers are the ones that lose nothing.
// - A write that fails ends the whole stream in node:net: input that was not read yet is lost with it.
//
// Invariant: an entry leaves `#entries` in the same step in which its slot is released and its last event delivered.

import { Buffer } from "node:buffer";
import { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { Address } from "../sys/address.ts";
import { EBADF, EINVAL, EMFILE, ENOTCONN, ENOTSUP } from "../sys/errno.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import { assertAddress } from "./assert-address.ts";
import type {
  Driver,
  DriverCapabilities,
  DriverEvents,
  DriverOptions,
  Handle,
  ListenTarget,
} from "./driver.ts";
import { SlotTable, slotOf } from "./handle.ts";
import { PortableConnection } from "./portable-connection.ts";
import {
  ARRIVED,
  CLOSED,
  type Entry,
  LISTENING,
  type Owner,
  PortableEvents,
  RECEIVED,
  SENT,
} from "./portable-events.ts";
import { PortableListener } from "./portable-listener.ts";

/** libuv reads at most this much at once, so that most chunks are one event. */
const RECEIVE_BYTES = 65_536;

export class PortableDriver implements Driver {
  readonly name = "portable";
  readonly capabilities: DriverCapabilities = {
    waits: false,
    descriptors: false,
    moves: false,
    socketOptions: false,
    reset: typeof Socket.prototype.resetAndDestroy === "function",
    sendNow: false,
  };
  readonly counters = { bufferStarvation: 0, waits: 0 };
  input: Buffer = Buffer.alloc(0);
  /** Each chunk of node:net's is memory of its own. */
  readonly inputKeepable = true;
  inputKept = false;
  readonly output: Buffer;
  readonly wakeDescriptor = -1;
  readonly watchedReady = false;
  wanted: (() => void) | undefined = undefined;

  readonly #events: DriverEvents;
  readonly #slots: SlotTable;
  readonly #entries: (Entry | undefined)[];
  readonly #owner: Owner;
  #queue = new PortableEvents();
  #delivering = new PortableEvents();
  #asked = false;
  #turning = false;
  #disposed = false;

  /** @throws Error where Node may not use the network: it would throw later, where nobody can catch it */
  constructor(options: DriverOptions) {
    assertNetwork();
    this.#events = options.events;
    this.#slots = new SlotTable(options.slots);
    this.#entries = new Array<Entry | undefined>(options.slots);
    // Pages of it are only taken from the system as sends touch them.
    this.output = Buffer.allocUnsafeSlow(options.outputBytes);
    this.#owner = {
      post: (kind, entry, result, bytes) => {
        this.#queue.push(kind, entry, result, bytes);
        if (!this.#turning) this.#ask();
      },
      postFromVerb: (kind, entry, result) => {
        this.#queue.push(kind, entry, result, undefined);
        this.#askLater();
      },
    };
  }

  listen(target: ListenTarget): Handle | number {
    if (!("address" in target) || !supports(target.options)) return -ENOTSUP;
    assertAddress(target.address);
    return this.#enter((handle) => new PortableListener(this.#owner, handle, target));
  }

  connect(address: Address, options: SocketOptions): Handle | number {
    if (!supports(options)) return -ENOTSUP;
    assertAddress(address);
    return this.#enter((handle) => {
      const socket = new Socket({ allowHalfOpen: true });
      // Before there is anything to read: the stream must never start to flow by itself.
      socket.pause();
      const connection = new PortableConnection(this.#owner, socket, true);
      connection.handle = handle;
      connection.connect(address, options);
      return connection;
    });
  }

  letGo(): void {
    // It detaches nothing.
  }

  adopt(_descriptor: number): number {
    return -ENOTSUP;
  }

  send(handle: Handle, offset: number, length: number): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    if (!(entry instanceof PortableConnection)) return -ENOTCONN;
    if (offset < 0 || length < 1 || offset + length > this.output.length) return -EINVAL;
    return entry.send(this.output.subarray(offset, offset + length));
  }

  /** node:net takes everything and tells later: there is no part that has left at once. */
  sendNow(handle: Handle, _bytes: Uint8Array): number {
    return this.#open(handle) === undefined ? -EBADF : 0;
  }

  pause(handle: Handle): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    entry.pause();
    return 0;
  }

  resume(handle: Handle): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    entry.resume();
    return 0;
  }

  shutdown(handle: Handle): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    return entry instanceof PortableConnection ? entry.shutdown() : -ENOTCONN;
  }

  close(handle: Handle, reset: boolean): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    entry.close(reset);
    return 0;
  }

  detach(handle: Handle): number {
    return this.#open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  configure(handle: Handle, options: SocketOptions): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    if (!supports(options)) return -ENOTSUP;
    if (!(entry instanceof PortableConnection)) return -ENOTCONN;
    entry.configure(options);
    return 0;
  }

  localAddress(handle: Handle): Address | number {
    return this.#open(handle)?.localAddress() ?? -EBADF;
  }

  remoteAddress(handle: Handle): Address | number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    return entry instanceof PortableConnection ? entry.remoteAddress() : -ENOTCONN;
  }

  tcpInfo(handle: Handle): number {
    return this.#open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  descriptor(handle: Handle): number {
    return this.#open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  /** Delivers what is queued; what that causes is for the next turn, so that libuv gets the thread in between. */
  turn(_timeoutMs: number): number {
    const events = this.#queue;
    this.#queue = this.#delivering;
    this.#delivering = events;
    this.#asked = false;
    this.#turning = true;
    try {
      return this.#deliverAll(events);
    } finally {
      this.#turning = false;
      // Only a sink that threw leaves some.
      this.#queue.putInFront(events);
      if (this.#queue.length > 0) this.#ask();
    }
  }

  watch(_descriptor: number): void {
    // libuv watches whatever there is; nothing here waits.
  }

  wake(): void {
    this.#askLater();
  }

  now(): number {
    return performance.now();
  }

  dispose(): void {
    this.#disposed = true;
    for (const [slot, entry] of this.#entries.entries()) {
      this.#entries[slot] = undefined;
      entry?.close(false);
    }
    this.#queue.clear();
    this.wanted = undefined;
  }

  #open(handle: Handle): Entry | undefined {
    if (!this.#slots.holds(handle)) return undefined;
    const entry = this.#entries[slotOf(handle)];
    return entry === undefined || entry.closing ? undefined : entry;
  }

  #enter(make: (handle: Handle) => Entry): Handle | number {
    if (this.#disposed) return -EBADF;
    const handle = this.#slots.take();
    if (handle < 0) return -EMFILE;
    this.#entries[slotOf(handle)] = make(handle);
    return handle;
  }

  #leave(entry: Entry): void {
    this.#entries[slotOf(entry.handle)] = undefined;
    this.#slots.release(entry.handle);
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.wanted?.();
  }

  #askLater(): void {
    if (!this.#turning && !this.#asked) process.nextTick(() => this.#ask());
  }

  #deliverAll(events: PortableEvents): number {
    let delivered = 0;
    while (!this.#disposed && events.next()) {
      delivered += this.#deliver(events.kind, events.entry, events.result, events.bytes);
    }
    return delivered;
  }

  #deliver(kind: number, entry: Entry, result: number, bytes: Buffer | undefined): number {
    if (entry instanceof PortableListener) return this.#deliverToListener(kind, entry, result);
    if (kind === RECEIVED) return this.#deliverReceived(entry, result, bytes);
    if (kind === SENT) {
      entry.sendSettled();
      this.#events.sent(entry.handle, result);
    } else if (kind === CLOSED) {
      this.#leave(entry);
      this.#events.closed(entry.handle);
    } else {
      if (entry.closing) return 0;
      if (result < 0) this.#leave(entry);
      this.#events.connected(entry.handle, result);
    }
    return 1;
  }

  #deliverReceived(entry: PortableConnection, result: number, bytes: Buffer | undefined): number {
    if (bytes === undefined) {
      if (entry.closing) return 0;
      this.#events.received(entry.handle, result, 0);
      return 1;
    }
    let pieces = 0;
    this.input = bytes;
    for (let at = 0; at < bytes.length && !entry.closing; at += RECEIVE_BYTES) {
      const length = Math.min(bytes.length - at, RECEIVE_BYTES);
      this.#events.received(entry.handle, length, at);
      pieces++;
    }
    return pieces;
  }

  #deliverToListener(kind: number, listener: PortableListener, result: number): number {
    if (kind === CLOSED) {
      this.#leave(listener);
      this.#events.closed(listener.handle);
      return 1;
    }
    if (kind === ARRIVED) return this.#deliverArrived(listener);
    if (listener.closing) return 0;
    if (kind === LISTENING) {
      if (result < 0) this.#leave(listener);
      this.#events.listening(listener.handle, result);
    } else {
      listener.pause();
      this.#events.accepted(listener.handle, result);
    }
    return 1;
  }

  #deliverArrived(listener: PortableListener): number {
    const connection = listener.nextArrived();
    if (connection === undefined) return 0;
    const handle = this.#slots.take();
    if (handle < 0) {
      listener.park(connection);
      listener.pause();
      this.#events.accepted(listener.handle, -EMFILE);
      return 1;
    }
    connection.handle = handle;
    this.#entries[slotOf(handle)] = connection;
    this.#events.accepted(listener.handle, handle);
    return 1;
  }
}

/** Whether node:net can do what is asked; what it does by itself (SO_REUSEADDR) is not refused. */
function supports(options: SocketOptions): boolean {
  return (
    options.userTimeoutMs === undefined &&
    options.receiveBufferBytes === undefined &&
    options.sendBufferBytes === undefined &&
    options.deferAcceptSeconds === undefined &&
    options.quickAck === undefined
  );
}

/** Since Node 25 the permission model includes the network. */
function assertNetwork(): void {
  if (!process.allowedNodeEnvironmentFlags.has("--allow-net")) return;
  if (process.permission === undefined || process.permission.has("net")) return;
  throw new Error("Node's permission model forbids the network: it needs --allow-net");
}
