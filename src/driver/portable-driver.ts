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
import { createServer, type ListenOptions, type Server, Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { Address } from "../sys/address.ts";
import {
  EALREADY,
  EBADF,
  ECANCELED,
  ECONNRESET,
  EINVAL,
  EMFILE,
  ENOTCONN,
  ENOTSUP,
  EPIPE,
  errnoOf,
} from "../sys/errno.ts";
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

/** libuv reads at most this much at once, so that most chunks are one event. */
const INPUT_BYTES = 65_536;
const PARKED_MOST = 1024;

const LISTENING = 0;
const ARRIVED = 1;
const ACCEPT_FAILED = 2;
const CONNECTED = 3;
const RECEIVED = 4;
const SENT = 5;
const CLOSED = 6;

type Entry = PortableListener | PortableConnection;

/** What the entries ask of their driver. */
interface Owner {
  /** An event from a callback of libuv's. */
  post(kind: number, entry: Entry, result: number, bytes?: Buffer): void;
  /** An event that a verb caused: the turn is asked for once the verb has returned. */
  postFromVerb(kind: number, entry: Entry, result: number): void;
}

export class PortableDriver implements Driver {
  readonly name = "portable";
  readonly capabilities: DriverCapabilities = {
    waits: false,
    descriptors: false,
    socketOptions: false,
    reset: typeof Socket.prototype.resetAndDestroy === "function",
  };
  readonly counters = { bufferStarvation: 0, waits: 0 };
  readonly input = Buffer.allocUnsafeSlow(INPUT_BYTES);
  readonly output: Buffer;
  readonly wakeDescriptor = -1;
  readonly watchedReady = false;
  wanted: (() => void) | undefined = undefined;

  readonly #events: DriverEvents;
  readonly #slots: SlotTable;
  readonly #entries: (Entry | undefined)[];
  readonly #owner: Owner;
  #queue = new EventQueue();
  #delivering = new EventQueue();
  #asked = false;
  #turning = false;
  #disposed = false;

  constructor(options: DriverOptions) {
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
    if ("descriptor" in target || !supports(target.options)) return -ENOTSUP;
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

  #deliverAll(events: EventQueue): number {
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
    for (let at = 0; at < bytes.length && !entry.closing; at += INPUT_BYTES) {
      const length = bytes.copy(this.input, 0, at, Math.min(at + INPUT_BYTES, bytes.length));
      this.#events.received(entry.handle, length, 0);
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

/** A server of node:net, and the connections that came while no one wanted them. */
class PortableListener {
  readonly handle: Handle;
  closing = false;
  readonly #owner: Owner;
  readonly #server: Server;
  readonly #path: string | undefined;
  /** Accepted by libuv, not yet by the reactor; oldest first. */
  readonly #arrived: PortableConnection[] = [];
  /** How many ARRIVED events are queued. */
  #announced = 0;
  #wanted = false;
  #bound = false;

  constructor(owner: Owner, handle: Handle, target: Exclude<ListenTarget, { descriptor: number }>) {
    const { address, backlog, options } = target;
    this.#owner = owner;
    this.handle = handle;
    this.#path = address.family === "unix" ? address.path : undefined;
    this.#server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: options.noDelay === true,
      keepAlive: Boolean(options.keepAlive),
      ...(options.keepAlive && { keepAliveInitialDelay: options.keepAlive.idleSeconds * 1000 }),
    });
    this.#server.on("listening", () => {
      this.#bound = true;
      owner.post(LISTENING, this, 0);
    });
    this.#server.on("error", (error) => {
      owner.post(this.#bound ? ACCEPT_FAILED : LISTENING, this, -errnoOfError(error));
    });
    this.#server.on("connection", (socket) => this.#arrive(socket, options.resetOnClose === true));
    this.#server.listen(listenOptions(address, backlog, options));
  }

  pause(): void {
    this.#wanted = false;
  }

  resume(): void {
    this.#wanted = true;
    while (this.#announced < this.#arrived.length) {
      this.#announced++;
      this.#owner.postFromVerb(ARRIVED, this, 0);
    }
  }

  /** What a queued ARRIVED stands for; undefined when the listener has been paused or closed since. */
  nextArrived(): PortableConnection | undefined {
    this.#announced--;
    return this.#wanted && !this.closing ? this.#arrived.shift() : undefined;
  }

  park(connection: PortableConnection): void {
    this.#arrived.unshift(connection);
  }

  close(_reset: boolean): void {
    this.closing = true;
    this.#server.close();
    // As the kernel does with what is queued on a socket that is closed.
    for (const connection of this.#arrived.splice(0)) connection.close(true);
    // The server's own 'close' waits for all its connections; the address is free already.
    this.#owner.postFromVerb(CLOSED, this, 0);
  }

  localAddress(): Address | number {
    if (this.#path !== undefined) return { family: "unix", path: this.#path };
    const name = this.#server.address();
    if (name === null || typeof name === "string") return -EBADF;
    return internetAddress(name.family, name.address, name.port);
  }

  #arrive(socket: Socket, resetOnClose: boolean): void {
    const connection = new PortableConnection(this.#owner, socket, false, this.#path);
    connection.resetOnClose = resetOnClose;
    if (this.closing || this.#arrived.length >= PARKED_MOST) return connection.close(true);
    this.#arrived.push(connection);
    if (!this.#wanted) return;
    this.#announced++;
    this.#owner.post(ARRIVED, this, 0);
  }
}

// What has become of a send.
const NO_SEND = 0;
const SEND_UNDER_WAY = 1;
const SEND_OVER = 2;

/** One socket of node:net. Its listeners are made once; a packet costs no closure. */
class PortableConnection {
  /** −1 until it is accepted. */
  handle: Handle = -1;
  closing = false;
  resetOnClose = false;
  readonly #owner: Owner;
  readonly #socket: Socket;
  /** Of the Unix listener it was accepted from. */
  readonly #localPath: string | undefined;
  #remotePath: string | undefined;
  #connecting: boolean;
  #wanted = false;
  /** The end or an error has been queued. */
  #ended = false;
  /** The errno of a stream that broke while no one read. */
  #failure = 0;
  #send = NO_SEND;
  #sendLength = 0;
  /** The socket's own 'close' has come. */
  #gone = false;

  constructor(owner: Owner, socket: Socket, connecting: boolean, localPath?: string) {
    this.#owner = owner;
    this.#socket = socket;
    this.#connecting = connecting;
    this.#localPath = localPath;
    if (localPath !== undefined) this.#remotePath = "";
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  connect(address: Address, options: SocketOptions): void {
    this.#socket.once("connect", this.#onConnect);
    this.configure(options);
    if (address.family === "unix") {
      this.#remotePath = address.path;
      this.#socket.connect({ path: address.path });
      return;
    }
    this.#socket.connect({ host: address.host, port: address.port, autoSelectFamily: false });
  }

  send(bytes: Buffer): number {
    if (this.#connecting) return -ENOTCONN;
    if (this.#send !== NO_SEND) return -EALREADY;
    this.#sendLength = bytes.length;
    if (this.#socket.writable) {
      this.#send = SEND_UNDER_WAY;
      this.#socket.write(bytes, this.#onWritten);
    } else {
      this.#send = SEND_OVER;
      this.#owner.postFromVerb(SENT, this, -EPIPE);
    }
    return 0;
  }

  /** The `sent` is being delivered: another one may start. */
  sendSettled(): void {
    this.#send = NO_SEND;
  }

  pause(): void {
    this.#wanted = false;
    this.#socket.pause();
  }

  resume(): void {
    if (this.#connecting) return;
    this.#wanted = true;
    if (this.#failure > 0 && !this.#ended) {
      this.#ended = true;
      this.#owner.postFromVerb(RECEIVED, this, -this.#failure);
    } else {
      this.#socket.resume();
    }
  }

  shutdown(): number {
    if (this.#connecting) return -ENOTCONN;
    if (this.#send !== NO_SEND) return -EALREADY;
    this.#socket.end();
    return 0;
  }

  close(reset: boolean): void {
    this.closing = true;
    if (this.#gone) this.#owner.postFromVerb(CLOSED, this, 0);
    else if (reset || this.resetOnClose) this.#reset();
    else this.#socket.destroy();
  }

  configure(options: SocketOptions): void {
    const { noDelay, keepAlive, resetOnClose } = options;
    if (noDelay !== undefined) this.#socket.setNoDelay(noDelay);
    if (keepAlive === false) this.#socket.setKeepAlive(false);
    else if (keepAlive) this.#socket.setKeepAlive(true, keepAlive.idleSeconds * 1000);
    if (resetOnClose !== undefined) this.resetOnClose = resetOnClose;
  }

  localAddress(): Address | number {
    if (this.#remotePath !== undefined) return { family: "unix", path: this.#localPath ?? "" };
    const { localFamily, localAddress, localPort } = this.#socket;
    return internetAddress(localFamily, localAddress, localPort);
  }

  remoteAddress(): Address | number {
    if (this.#remotePath !== undefined) return { family: "unix", path: this.#remotePath };
    const { remoteFamily, remoteAddress, remotePort } = this.#socket;
    return internetAddress(remoteFamily, remoteAddress, remotePort);
  }

  /** libuv refuses a reset while a shutdown is under way, and would then never close: the reset waits for it. */
  #reset(): void {
    const socket = this.#socket;
    const tcp = this.#remotePath === undefined && !this.#connecting;
    if (!tcp || typeof socket.resetAndDestroy !== "function") socket.destroy();
    else if (socket.writableEnded && !socket.writableFinished && !socket.destroyed) {
      socket.once("finish", () => socket.destroyed || socket.resetAndDestroy());
    } else socket.resetAndDestroy();
  }

  readonly #onConnect = (): void => {
    this.#connecting = false;
    this.#owner.post(CONNECTED, this, 0);
  };

  readonly #onData = (bytes: Buffer): void => {
    if (!this.closing) this.#owner.post(RECEIVED, this, bytes.length, bytes);
  };

  readonly #onEnd = (): void => {
    if (this.closing || this.#ended) return;
    this.#ended = true;
    this.#owner.post(RECEIVED, this, 0);
  };

  readonly #onError = (error: Error): void => {
    if (this.closing) return;
    this.#failure = brokenBy(error);
    if (this.#connecting) {
      this.#owner.post(CONNECTED, this, -this.#failure);
    } else if (this.#wanted && !this.#ended) {
      this.#ended = true;
      this.#owner.post(RECEIVED, this, -this.#failure);
    }
  };

  readonly #onWritten = (error?: Error | null): void => {
    if (this.#send !== SEND_UNDER_WAY) return;
    this.#send = SEND_OVER;
    this.#owner.post(SENT, this, this.#sendResult(error));
  };

  /** node:net calls back without an error when it destroyed the socket in the middle of a write. */
  #sendResult(error: Error | null | undefined): number {
    if (this.closing) return -ECANCELED;
    const failure = error ?? this.#socket.errored;
    return failure ? -errnoOfError(failure) : this.#sendLength;
  }

  readonly #onClose = (): void => {
    this.#gone = true;
    if (this.handle < 0) return;
    if (this.#send === SEND_UNDER_WAY) {
      this.#send = SEND_OVER;
      this.#owner.post(SENT, this, this.closing ? -ECANCELED : -(this.#failure || EPIPE));
    }
    if (this.closing) this.#owner.post(CLOSED, this, 0);
  };
}

/** Events in order, as columns: no object per event. */
class EventQueue {
  kind = 0;
  result = 0;
  bytes: Buffer | undefined = undefined;
  #at = 0;
  readonly #kinds: number[] = [];
  readonly #entries: Entry[] = [];
  readonly #results: number[] = [];
  readonly #bytes: (Buffer | undefined)[] = [];

  get length(): number {
    return this.#kinds.length - this.#at;
  }

  /** Of the present event. */
  get entry(): Entry {
    return this.#entries[this.#at - 1] as Entry;
  }

  push(kind: number, entry: Entry, result: number, bytes: Buffer | undefined): void {
    this.#kinds.push(kind);
    this.#entries.push(entry);
    this.#results.push(result);
    this.#bytes.push(bytes);
  }

  /** Moves to the next event; false, and empty, when there is none. */
  next(): boolean {
    if (this.#at === this.#kinds.length) {
      this.clear();
      return false;
    }
    const at = this.#at++;
    this.kind = this.#kinds[at] as number;
    this.result = this.#results[at] as number;
    this.bytes = this.#bytes[at];
    return true;
  }

  putInFront(other: EventQueue): void {
    if (other.length === 0) return;
    this.#kinds.unshift(...other.#kinds.slice(other.#at));
    this.#entries.unshift(...other.#entries.slice(other.#at));
    this.#results.unshift(...other.#results.slice(other.#at));
    this.#bytes.unshift(...other.#bytes.slice(other.#at));
    other.clear();
  }

  clear(): void {
    this.#at = 0;
    this.bytes = undefined;
    this.#kinds.length = 0;
    this.#entries.length = 0;
    this.#results.length = 0;
    this.#bytes.length = 0;
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

function listenOptions(address: Address, backlog: number, options: SocketOptions): ListenOptions {
  const common = { backlog, exclusive: true };
  if (address.family === "unix") return { ...common, path: address.path };
  const { host, port } = address;
  const reusePort = options.reusePort === true;
  return { ...common, host, port, reusePort, ipv6Only: options.ipv6Only === true };
}

function internetAddress(
  family: string | undefined,
  host: string | undefined,
  port: number | undefined,
): Address | number {
  if (host === undefined || port === undefined) return -ENOTCONN;
  return { family: family === "IPv6" ? "ipv6" : "ipv4", host, port };
}

/** What the reading side is told: node:net ends it with the error of a write, which no read would ever give. */
function brokenBy(error: Error): number {
  const byWrite = "syscall" in error && error.syscall === "write";
  return byWrite ? ECONNRESET : errnoOfError(error);
}

/** Streams report some ends under names of their own; to the peer's kernel they are all a write on a dead socket. */
function errnoOfError(error: Error): number {
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return code?.startsWith("ERR_") ? EPIPE : errnoOf(code);
}
