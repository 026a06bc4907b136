// The simulated driver: the contract over a network in memory, with a virtual clock and faults that a seed decides.
//
// For tests, ours and those of people who write handlers: hours of bad luck in a second, and the same seed brings
// the same bad luck again. Several drivers (reactors) and scripted peers share one network in one thread:
//
//   const network = new SimulatedNetwork({ random, faults: drawFaults(random.fork()) });
//   const driver = new SimulatedDriver({ events, slots, outputBytes }, network);
//   loop: driver.turn(0) of each driver; nothing came from any: network.clock.advance(most)
//
// `turn` with a timeout passes virtual time, so it suits one driver alone: it goes on to the next scheduled thing
// until something is ready for this driver or the time is up. It never blocks; waiting for ever for nothing returns 0.
//
// It is strict where real drivers are forgiving: received bytes lie anywhere in `input` and are overwritten after the
// event, and the bytes of a send are read late and checked: whoever changes them too early is told by an exception.
//
// A connection moves between drivers of one network by a number that the network gives it, which is no descriptor; so does a
// listener that several of them share (`SimulatedNetwork.openListener`).
//
// Invariant: an entry's `underWay` counts its operations that are scheduled or ready; a closing entry gives `closed`,
// and one that is being detached `detached`, when it is 0, as a kernel's last completion would.

import { Buffer } from "node:buffer";
import type { Address } from "../sys/address.ts";
import {
  EALREADY,
  EBADF,
  ECONNABORTED,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENOTCONN,
  ENOTSUP,
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
import { type Entry, leaveListener, SimulatedEntries } from "./simulated-entry.ts";
import { freshInput, SimulatedInput } from "./simulated-input.ts";
import type { SimulatedListener } from "./simulated-listener.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import { SimulatedSending } from "./simulated-sending.ts";
import type { SimulatedSocket } from "./simulated-socket.ts";
import { type Completion, SimulatedTurns } from "./simulated-turns.ts";
import type { Orphan } from "./thread-notes.ts";

const ACCEPT_ERRORS = [EMFILE, ENFILE, ENOBUFS, ENOMEM] as const;

export class SimulatedDriver implements Driver {
  readonly name = "simulated";
  readonly capabilities: DriverCapabilities = {
    waits: true,
    descriptors: false,
    moves: true,
    socketOptions: true,
    reset: true,
    sendNow: true,
  };
  readonly counters = { bufferStarvation: 0, waits: 0 };
  input: Buffer = freshInput();
  inputKeepable = false;
  inputKept = false;
  readonly output: Buffer;
  readonly wakeDescriptor = -1;
  readonly watchedReady = false;
  wanted: (() => void) | undefined = undefined;

  readonly #events: DriverEvents;
  readonly #network: SimulatedNetwork;
  readonly #entries: SimulatedEntries;
  readonly #turns: SimulatedTurns;
  readonly #input: SimulatedInput;
  readonly #sending: SimulatedSending;
  #disposed = false;

  constructor(options: DriverOptions, network: SimulatedNetwork) {
    this.#events = options.events;
    this.#network = network;
    this.#entries = new SimulatedEntries(options.slots, options.rests);
    this.output = Buffer.alloc(options.outputBytes);
    this.#turns = new SimulatedTurns(network);
    this.#input = new SimulatedInput(network, this.#entries, this.#turns, this, options.events);
    this.#sending = new SimulatedSending(network, this.#turns, this.output, this.#settle);
  }

  /** Listeners and connections. */
  get handles(): number {
    return this.#entries.used;
  }

  get sendsUnderWay(): number {
    return this.#entries.sendsUnderWay;
  }

  /** Operations that have not come to their end. */
  get operationsUnderWay(): number {
    return this.#entries.operationsUnderWay;
  }

  listen(target: ListenTarget): Handle | number {
    if ("address" in target) assertAddress(target.address);
    else if ("queue" in target || this.#network.listenerOf(target.descriptor) === undefined)
      return -ENOTSUP;
    const entry = this.#entries.enter("listener");
    if (typeof entry === "number") return entry;
    const failure = -this.#network.operate("listen");
    const made = failure < 0 ? failure : this.#listener(target);
    if (typeof made === "object") this.#input.joins(entry, made);
    entry.resetOnClose = "address" in target && target.options.resetOnClose === true;
    this.#turns.complete(entry, "listening", typeof made === "number" ? made : 0);
    return entry.handle;
  }

  connect(address: Address, options: SocketOptions): Handle | number {
    assertAddress(address);
    const entry = this.#entries.enter("connection");
    if (typeof entry === "number") return entry;
    entry.resetOnClose = options.resetOnClose === true;
    const failure = this.#network.operate("connect");
    if (failure > 0) {
      this.#turns.complete(entry, "connected", -failure);
      return entry.handle;
    }
    const isWanted = () => entry.state === "starting";
    this.#network.connect(address, isWanted, (result, socket) => {
      if (socket !== undefined) this.#own(entry, socket);
      this.#turns.complete(entry, "connected", result);
    });
    return entry.handle;
  }

  letGo(): void {
    // The network has what is detached.
  }

  /** Of a socket that a driver of the same network has detached. */
  adopt(descriptor: number): Handle | number {
    const socket = this.#network.detached(descriptor);
    if (socket === undefined) return -EBADF;
    const entry = this.#entries.enter("connection");
    if (typeof entry === "number") return entry;
    this.#network.adopted(descriptor);
    entry.state = "open";
    entry.resetOnClose = socket.resetsOnClose;
    this.#own(entry, socket);
    return entry.handle;
  }

  send(handle: Handle, offset: number, length: number): number {
    const entry = this.#entries.open(handle);
    return entry === undefined ? -EBADF : this.#sending.start(entry, offset, length);
  }

  sendNow(handle: Handle, bytes: Uint8Array): number {
    const entry = this.#entries.open(handle);
    return entry === undefined ? -EBADF : this.#sending.now(entry, bytes);
  }

  pause(handle: Handle): number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    entry.wanted = false;
    return 0;
  }

  resume(handle: Handle): number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    if (entry.state !== "open" && entry.kind === "connection") return 0;
    entry.wanted = true;
    this.#input.takeSoon(entry);
    return 0;
  }

  shutdown(handle: Handle): number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    if (entry.socket === undefined || entry.state !== "open") return -ENOTCONN;
    if (entry.sendLength > 0) return -EALREADY;
    entry.socket.end();
    return 0;
  }

  close(handle: Handle, reset: boolean): number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    entry.resetOnClose ||= reset;
    entry.state = "closing";
    this.#sending.cancel(entry);
    // Like a kernel's, the address is free and the queue reset at once.
    leaveListener(entry);
    this.#settle(entry);
    return 0;
  }

  detach(handle: Handle): number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    if (entry.sendLength > 0) return -EALREADY;
    if (entry.socket === undefined || entry.state !== "open") return -EINVAL;
    entry.wanted = false;
    entry.state = "detaching";
    this.#settle(entry);
    return 0;
  }

  configure(handle: Handle, options: SocketOptions): number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    entry.resetOnClose = options.resetOnClose ?? entry.resetOnClose;
    return 0;
  }

  localAddress(handle: Handle): Address | number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    return entry.listener?.address ?? entry.socket?.local ?? -ENOTCONN;
  }

  remoteAddress(handle: Handle): Address | number {
    const entry = this.#entries.open(handle);
    if (entry === undefined) return -EBADF;
    return entry.socket?.remote ?? -ENOTCONN;
  }

  tcpInfo(handle: Handle): number {
    return this.#entries.open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  descriptor(handle: Handle): number {
    return this.#entries.open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  turn(timeoutMs: number): number {
    this.counters.waits++;
    const ready = this.#turns.take(timeoutMs < 0 ? Number.POSITIVE_INFINITY : timeoutMs);
    let delivered = 0;
    for (const { entry, completion, result } of ready) {
      if (this.#disposed) break;
      entry.underWay--;
      if (this.#deliver(entry, completion, result)) delivered++;
      this.#settle(entry);
    }
    return delivered;
  }

  watch(_descriptor: number): void {
    // There is no descriptor in here that could become readable.
  }

  wake(): void {
    this.#turns.wake();
  }

  now(): number {
    return this.#network.clock.nowMs;
  }

  /**
   * Its thread dies: connections that `DriverOptions.rests` tells of are left to whoever takes them (`adopt`), and the kernel closes
   * the others. May be called from one of its events, when that is then left by an exception.
   */
  die(): Orphan[] {
    const orphans: Orphan[] = [];
    for (const { entry, id } of this.#entries.takeResting()) {
      const socket = entry.socket as SimulatedSocket;
      socket.owner = undefined;
      socket.resetsOnClose = entry.resetOnClose;
      orphans.push({ descriptor: this.#network.detach(socket), id });
    }
    this.dispose();
    return orphans;
  }

  /** As when a thread dies: the kernel closes what it had. */
  dispose(): void {
    this.#disposed = true;
    this.#turns.dispose();
    this.#entries.dispose();
  }

  /** Its own, or one that it shares with others; or −errno. */
  #listener(
    target: Exclude<ListenTarget, { readonly queue: unknown }>,
  ): SimulatedListener | number {
    if ("descriptor" in target) return this.#network.listenerOf(target.descriptor) ?? -EBADF;
    return this.#network.listen(target.address, target.backlog, target.options);
  }

  #own(entry: Entry, socket: SimulatedSocket): void {
    entry.socket = socket;
    socket.owner = {
      readable: () => this.#input.takeSoon(entry),
      writable: () => this.#sending.soon(entry),
    };
  }

  /** The last rung of closing and of detaching, once nothing is under way. */
  readonly #settle = (entry: Entry): void => {
    const detaches = entry.state === "detaching";
    if ((!detaches && entry.state !== "closing") || entry.underWay > 0 || entry.shut) return;
    entry.shut = true;
    if (!detaches) entry.socket?.close(entry.resetOnClose);
    this.#turns.complete(entry, detaches ? "detached" : "closed", 0);
  };

  // What a turn delivers.

  /** Whether an event came of it. */
  #deliver(entry: Entry, completion: Completion, result: number): boolean {
    if (completion === "receive") return this.#input.deliver(entry);
    if (completion === "accept") return this.#deliverAccept(entry);
    if (completion === "sent") return this.#deliverSent(entry, result);
    if (completion === "closed") return this.#deliverClosed(entry);
    if (completion === "detached") return this.#deliverDetached(entry);
    return this.#deliverStarted(entry, completion, result);
  }

  #deliverStarted(entry: Entry, kind: "listening" | "connected", result: number): boolean {
    if (entry.state !== "starting") return false;
    if (result < 0) {
      leaveListener(entry);
      this.#entries.leave(entry);
    } else {
      entry.state = "open";
    }
    this.#network.tell(entry.handle, kind, result);
    this.#events[kind](entry.handle, result);
    return true;
  }

  #deliverAccept(entry: Entry): boolean {
    entry.taking = false;
    const listener = entry.listener as SimulatedListener;
    // Another one was faster.
    if (entry.state !== "open" || listener.waiting === 0) return false;
    if (!entry.wanted && !(listener.shared && this.#network.happens("cancelRace"))) return false;
    const result = this.#accept(listener);
    if (result < 0) entry.wanted = false;
    this.#network.tell(entry.handle, "accepted", result);
    this.#events.accepted(entry.handle, result);
    this.#input.takeSoon(entry);
    return true;
  }

  #accept(listener: SimulatedListener): number {
    const failure = this.#network.operate("accept");
    if (failure > 0) return -failure;
    if (this.#network.happens("acceptFailure")) return -this.#network.random.pick(ACCEPT_ERRORS);
    if (this.#network.happens("acceptAborted")) {
      listener.accept()?.close(true);
      return -ECONNABORTED;
    }
    const entry = this.#entries.enter("connection");
    if (typeof entry === "number") return entry;
    const socket = listener.accept() as SimulatedSocket;
    entry.state = "open";
    this.#own(entry, socket);
    return entry.handle;
  }

  #deliverSent(entry: Entry, result: number): boolean {
    entry.sendLength = 0;
    this.#network.tell(entry.handle, "sent", result);
    this.#events.sent(entry.handle, result);
    return true;
  }

  #deliverClosed(entry: Entry): boolean {
    this.#entries.leave(entry);
    this.#network.tell(entry.handle, "closed", 0);
    this.#events.closed(entry.handle);
    return true;
  }

  /** The socket is nobody's from here on: what comes for it waits there. */
  #deliverDetached(entry: Entry): boolean {
    const socket = entry.socket as SimulatedSocket;
    socket.owner = undefined;
    socket.resetsOnClose = entry.resetOnClose;
    this.#entries.leave(entry);
    const descriptor = this.#network.detach(socket);
    this.#network.tell(entry.handle, "detached", descriptor);
    this.#events.detached(entry.handle, descriptor);
    return true;
  }
}
