// The driver contract: what a reactor asks of an operating system, and the one place that says so.
//
// The shape is completion: a verb starts something, an event says how it ended. Readiness (epoll) and streams
// (node:net) are made to look like it, never the other way round. Results are numbers: a count or −errno.
//
// Rules that every driver keeps and `test/driver/conformance.ts` proves:
// - No event is delivered from inside a verb; all come from `turn`, in the order things happened on a
//   connection. A verb may be called from inside an event.
// - A handle is a slot and a generation. An event for a handle that was closed is dropped by the driver; a verb
//   on a stale handle answers −EBADF and does nothing.
// - A new connection (accepted, connected, adopted) is paused: nothing is read before `resume`.
// - After `received` with 0 (end of stream) or −errno nothing more is received on that handle.
// - One send at a time: `send` while one is under way answers −EALREADY. Each send that was taken (0) gets
//   exactly one `sent`, also when the connection is closed meanwhile, and before its `closed`. The bytes of
//   `output` it names must not change until then.
// - `sendNow` is refused as `send` is, so that the order is kept; what it did not take is the caller's to send.
// - Bytes received into memory that may be kept, and that were kept, are never written to again.
// - `closed` is a handle's last event; it comes once per `close`, after which the slot may be used again.
// - After `pause`, bytes that were already on their way may still be received; the reactor keeps them.
// - An accept that fails pauses its listener; the reactor resumes it when it sees fit (EMFILE: later).

import type { Address } from "../sys/address.ts";
import type { SocketOptions, TcpInfo } from "../sys/socket-calls.ts";

/** A listener or a connection of one driver: see handle.ts. Never used across drivers. */
export type Handle = number;

/** What a driver can do: those above ask this and never its name. */
export interface DriverCapabilities {
  /** It waits in `turn` and so owns its thread; otherwise it calls `wanted` when a turn would find events. */
  readonly waits: boolean;
  /** It can listen on descriptors of this process, and tells its own. */
  readonly descriptors: boolean;
  /** It can detach connections, and adopt those that a driver of its kind has detached. */
  readonly moves: boolean;
  /** Socket options beyond NODELAY and KEEPALIVE's idle time. */
  readonly socketOptions: boolean;
  /** `close(handle, true)` sends a reset. */
  readonly reset: boolean;
  /** `sendNow` takes bytes. */
  readonly sendNow: boolean;
}

/**
 * Where to listen: an address, or a listening descriptor that this process has (it is then not closed), or a queue in
 * shared memory into which another thread puts connected descriptors (descriptor-queue.ts).
 */
export type ListenTarget =
  | { readonly descriptor: number; readonly shared: boolean }
  | { readonly queue: Int32Array<SharedArrayBuffer> }
  | { readonly address: Address; readonly backlog: number; readonly options: SocketOptions };

/** Takes the events of one driver. Called inside `turn` only, never re-entered. */
export interface DriverEvents {
  /** A listener is ready (0) or failed (−errno: the handle is gone). */
  listening(listener: Handle, result: number): void;
  /** A new connection (its handle), or −errno: the listener is then paused. */
  accepted(listener: Handle, result: Handle | number): void;
  /** 0: connected and paused; −errno: the handle is gone, no `closed` follows. */
  connected(handle: Handle, result: number): void;
  /** `result` bytes at `offset` of the driver's `input`, valid during the call; 0: end of stream; −errno. */
  received(handle: Handle, result: number, offset: number): void;
  /** All bytes of the send have left (its length), or −errno. */
  sent(handle: Handle, result: number): void;
  /** The handle is gone. */
  closed(handle: Handle): void;
  /** The handle is gone and its descriptor is the caller's now. */
  detached(handle: Handle, descriptor: number): void;
}

/** Counters a driver keeps; they only grow. */
export interface DriverCounters {
  /** Times a receive found no buffer and had to be started again. */
  bufferStarvation: number;
  /** Entries into the kernel that waited or submitted. */
  waits: number;
}

/** All calls belong to the thread that made the driver. Nothing throws for what the kernel or a peer does. */
export interface Driver {
  readonly name: DriverName;
  readonly capabilities: DriverCapabilities;
  readonly counters: DriverCounters;
  /** Where received bytes lie during a `received`; it may be another one each time. */
  readonly input: Buffer;
  /** Whether the bytes of this `received` may be kept where they lie. */
  readonly inputKeepable: boolean;
  /**
   * Set during a `received` by whoever keeps its bytes, or copied them because they were not to be kept: a driver that
   * can then receives what comes next on this connection into memory that may be kept.
   */
  inputKept: boolean;
  /** Where sent bytes must lie; divided up by the reactor. Its length is the memory limit of all sends. */
  readonly output: Buffer;
  /** Eventfd that wakes a waiting `turn` from any thread (`signalEventfd`), or −1. */
  readonly wakeDescriptor: number;
  /** Set by its owner, for a driver that does not wait: called, never from inside a verb, when a turn is due. */
  wanted: (() => void) | undefined;
  /** The watched descriptor was readable in the last turn. */
  readonly watchedReady: boolean;

  /**
   * Starts listening: `listening` follows. −EMFILE without a free slot, −ENOTSUP for a kind of target that it has not.
   * @throws AddressError for an address that is none; nothing is left open then
   */
  listen(target: ListenTarget): Handle | number;
  /** Starts connecting: `connected` follows. @throws AddressError likewise */
  connect(address: Address, options: SocketOptions): Handle | number;
  /**
   * Takes over a connected descriptor; paused. It is still the caller's after −EMFILE (no slot is free) and −ENOTSUP (without
   * `moves`).
   */
  adopt(descriptor: number): Handle | number;
  /** Sends `length` (≥ 1) bytes of `output`, all of them or an error. */
  send(handle: Handle, offset: number, length: number): number;
  /**
   * Hands over bytes from any memory at once, as many as the connection has room for: how many (also 0), or −errno. They
   * have left as far as `shutdown` and `close` are concerned; no `sent` follows. Takes nothing without the capability.
   */
  sendNow(handle: Handle, bytes: Uint8Array): number;
  /** Stops receiving, or accepting on a listener. */
  pause(handle: Handle): number;
  /** Starts receiving or accepting; idempotent. */
  resume(handle: Handle): number;
  /** Ends the sending side (FIN) after what was sent; no send may be under way. */
  shutdown(handle: Handle): number;
  /** Ends it: pending operations are cancelled, then `closed`. With `reset` the peer reads ECONNRESET. */
  close(handle: Handle, reset: boolean): number;
  /**
   * Gives up the handle and keeps the descriptor open: `detached` follows once nothing is under way. What has been taken
   * from the kernel by then is received before it.
   */
  detach(handle: Handle): number;
  /** A descriptor that was detached is about to be somebody else's; until then it is this driver's to be cleaned up after. */
  letGo(descriptor: number): void;
  /** Sets options of one connection. */
  configure(handle: Handle, options: SocketOptions): number;
  localAddress(handle: Handle): Address | number;
  remoteAddress(handle: Handle): Address | number;
  /** TCP_INFO of a connection; −ENOTSUP where the driver has no descriptors. */
  tcpInfo(handle: Handle): TcpInfo | number;
  /** The descriptor behind a handle, for reading its state only; −ENOTSUP where there is none. */
  descriptor(handle: Handle): number;

  /**
   * Submits what was started, waits up to `timeoutMs` (0 not at all, −1 for ever) for an event, delivers all that
   * came. Returns how many were delivered. A wake or a ready watched descriptor ends the wait without an event. A
   * `sent` that was there already does not keep it from waiting: a reactor that has more to do asks for a wake.
   */
  turn(timeoutMs: number): number;
  /** Lets a wait also end when this descriptor is readable (one a driver; only with `waits`). */
  watch(descriptor: number): void;
  /** Makes the next wait return at once. From other threads: signal `wakeDescriptor`. */
  wake(): void;
  /** Monotonic time in ms. */
  now(): number;
  /** Closes everything at once, without events. For the end of a thread; the driver is unusable after it. */
  dispose(): void;
}

export const DRIVER_NAMES = ["io_uring", "epoll", "portable", "blocking", "simulated"] as const;
export type DriverName = (typeof DRIVER_NAMES)[number];

/** What every driver is made with. */
export interface DriverOptions {
  readonly events: DriverEvents;
  /** Most handles (listeners and connections) at a time, at most MAX_SLOTS. */
  readonly slots: number;
  /** Size of `output`: the most bytes that can wait to be sent. Multiple of 1 MiB. */
  readonly outputBytes: number;
  /**
   * Where the driver notes what it holds of the process, so that another thread can clean up when this one is gone
   * (thread-notes.ts). Shared memory, at least notesLength(slots) long.
   */
  readonly notes?: Int32Array;
  /**
   * Which connections are at rest, an entry a slot, likewise (thread-notes.ts): set by the reactor, zeroed by a driver with
   * descriptors before it takes bytes out of the kernel. Left out, nobody is told.
   */
  readonly rests?: Int32Array | undefined;
  /**
   * The eventfd to be woken by, instead of one of its own: it stays open when the driver is disposed of or its thread is
   * gone. Who wakes a thread that may end at any moment needs one: a number that was closed could be a connection by now.
   */
  readonly wakeDescriptor?: number;
}
