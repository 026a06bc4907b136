// A network in memory: addresses, listeners with their queues, connections with windows, latency and everything
// that goes wrong between two machines. Drivers and scripted peers of one thread meet in it.
//
// It behaves as TCP does where programs notice: bytes arrive in order and late; a sender waits when the reader does
// not read; closing with unread input resets; what is sent to a closed socket comes back as a reset; one reads the
// bytes that arrived before an error. Nothing happens but through the clock, and chance comes from the one generator
// that was handed in: the same seed gives the same run.
//
// Invariant: `openSockets` counts the sockets not closed yet, those in a listener's queue included.

import { Buffer } from "node:buffer";
import { type Address, formatAddress, type InternetAddress } from "../sys/address.ts";
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTUNREACH,
  ENETUNREACH,
  ENOENT,
  EPIPE,
  ETIMEDOUT,
} from "../sys/errno.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import type { Random } from "./random.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import {
  type FaultName,
  type Faults,
  NO_FAULTS,
  noOccurrences,
  type Occurrence,
} from "./simulated-faults.ts";

export interface NetworkOptions {
  readonly random: Random;
  readonly faults?: Faults;
  /** Most bytes of one direction that are under way or unread. */
  readonly windowBytes?: number;
  /** How long a packet takes, from and to. */
  readonly latencyMs?: readonly [least: number, most: number];
}

/** What a simulated driver does that can be made to fail. */
export type Operation = "listen" | "connect" | "accept" | "receive" | "send";

/** Told when something can go on; may be told in vain. */
export interface SocketOwner {
  readable(): void;
  writable(): void;
}

const WINDOW_BYTES = 262_144;
const LATENCY_MS = [0.05, 0.5] as const;
const FIRST_EPHEMERAL_PORT = 49_152;
/** As TCP: a SYN that finds the queue full is sent again, some times. */
const SYN_TRIES = 5;
const SYN_AGAIN_MS = 1000;
const CONNECT_ERRORS = [ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH] as const;

export class SimulatedNetwork {
  readonly clock = new SimulatedClock();
  readonly random: Random;
  readonly windowBytes: number;
  /** May be changed at any time: `NO_FAULTS` lets everything come to its end. */
  faults: Faults;
  /** How often each thing really happened. */
  readonly occurred = noOccurrences();
  /** Told each thing that happens, in words; for comparing runs and for reading them. */
  trace: ((line: string) => void) | undefined = undefined;
  /**
   * Asked before each operation of a driver, which all are numbered from 0: a (positive) errno makes it fail. For
   * tests that fail every operation of a scenario in turn.
   */
  failure: ((operation: Operation, index: number) => number) | undefined = undefined;
  openSockets = 0;
  #operations = 0;
  #nextPort = FIRST_EPHEMERAL_PORT;
  readonly #latencyMs: readonly [number, number];
  readonly #listeners: SimulatedListener[] = [];

  constructor(options: NetworkOptions) {
    this.random = options.random;
    this.faults = options.faults ?? NO_FAULTS;
    this.windowBytes = options.windowBytes ?? WINDOW_BYTES;
    this.#latencyMs = options.latencyMs ?? LATENCY_MS;
  }

  get openListeners(): number {
    return this.#listeners.length;
  }

  /** Operations that drivers have done so far. */
  get operations(): number {
    return this.#operations;
  }

  /** A listener, or −errno. Its queue fills before anyone accepts. */
  listen(address: Address, backlog: number, options: SocketOptions): SimulatedListener | number {
    if (!isLocal(address)) return -EADDRNOTAVAIL;
    const bound = address.family === "unix" || address.port > 0 ? address : this.#withPort(address);
    const ipv6Only = options.ipv6Only === true;
    const listener = new SimulatedListener(this, bound, Math.max(backlog, 1), ipv6Only, options);
    const inTheWay = this.#listeners.filter((other) => other.overlaps(listener));
    const shared = inTheWay.every((other) => other.reusePort) && options.reusePort === true;
    if (inTheWay.length > 0 && !shared) return -EADDRINUSE;
    this.#listeners.push(listener);
    return listener;
  }

  /** Connects to `target`; `done` is told 0 and the socket, or −errno. `isWanted` false gives it up. */
  connect(
    target: Address,
    isWanted: () => boolean,
    done: (result: number, socket: SimulatedSocket | undefined) => void,
  ): void {
    this.#knock(target, isWanted, done, SYN_TRIES);
  }

  /** Whether a fault happens on this occasion; counted if so. */
  happens(name: FaultName): boolean {
    const happens = this.random.chance(this.faults[name]);
    if (happens) this.occurred[name]++;
    return happens;
  }

  note(what: Occurrence): void {
    this.occurred[what]++;
  }

  /** Numbers an operation; its errno if it is to fail, else 0. */
  operate(operation: Operation): number {
    const index = this.#operations++;
    return this.failure === undefined ? 0 : this.failure(operation, index);
  }

  latency(): number {
    const [least, most] = this.#latencyMs;
    return least + this.random.fraction() * (most - least);
  }

  forget(listener: SimulatedListener): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  #knock(
    target: Address,
    isWanted: () => boolean,
    done: (result: number, socket: SimulatedSocket | undefined) => void,
    triesLeft: number,
  ): void {
    this.clock.after(this.latency() * 2, () => {
      if (!isWanted()) return;
      if (this.happens("connectFailure")) return done(-this.random.pick(CONNECT_ERRORS), undefined);
      const listener = this.#listenerFor(target);
      if (listener === undefined) {
        return done(target.family === "unix" ? -ENOENT : -ECONNREFUSED, undefined);
      }
      if (listener.isFull) {
        if (triesLeft === 1) return done(-ETIMEDOUT, undefined);
        const again = () => this.#knock(target, isWanted, done, triesLeft - 1);
        return this.clock.after(SYN_AGAIN_MS, again);
      }
      done(0, this.#join(target, listener));
    });
  }

  /** Both ends of a new connection: the near one is returned, the far one is queued. */
  #join(target: Address, listener: SimulatedListener): SimulatedSocket {
    const from: Address =
      target.family === "unix" ? { family: "unix", path: "" } : this.#withPort(target);
    const mapped = listener.address.family === "ipv6" && target.family === "ipv4";
    const near = new SimulatedSocket(this, from, target);
    const far = mapped
      ? new SimulatedSocket(this, mappedAddress(target), mappedAddress(from))
      : new SimulatedSocket(this, target, from);
    near.join(far);
    listener.enqueue(far);
    if (this.happens("resetBeforeData")) {
      this.clock.after(this.random.fraction() * 5, () => near.breakOff(ECONNRESET, true));
    }
    return near;
  }

  #listenerFor(target: Address): SimulatedListener | undefined {
    const exact = this.#listeners.filter((listener) => sameAddress(listener.address, target));
    const fitting = this.#listeners.filter((listener) => listener.takes(target));
    const candidates = exact.length > 0 ? exact : fitting;
    return candidates.length > 0 ? this.random.pick(candidates) : undefined;
  }

  #withPort(address: Address): InternetAddress {
    const port = this.#nextPort++;
    if (this.#nextPort > 65_535) this.#nextPort = FIRST_EPHEMERAL_PORT;
    const host = address.family === "unix" ? "" : address.host;
    return { family: address.family === "ipv6" ? "ipv6" : "ipv4", host, port };
  }
}

/** An address that is listened on, and the connections that wait there. */
export class SimulatedListener {
  readonly address: Address;
  readonly reusePort: boolean;
  /** Told when a connection comes. */
  acceptable: (() => void) | undefined = undefined;
  readonly #network: SimulatedNetwork;
  readonly #backlog: number;
  readonly #ipv6Only: boolean;
  readonly #queue: SimulatedSocket[] = [];

  constructor(
    network: SimulatedNetwork,
    address: Address,
    backlog: number,
    ipv6Only: boolean,
    options: SocketOptions,
  ) {
    this.#network = network;
    this.address = address;
    this.#backlog = backlog;
    this.#ipv6Only = ipv6Only;
    this.reusePort = options.reusePort === true;
  }

  /** Connections that wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  get isFull(): boolean {
    return this.#queue.length >= this.#backlog;
  }

  enqueue(socket: SimulatedSocket): void {
    this.#queue.push(socket);
    this.acceptable?.();
  }

  accept(): SimulatedSocket | undefined {
    return this.#queue.shift();
  }

  /** Whether a peer that dials `target` reaches this listener. */
  takes(target: Address): boolean {
    const { address } = this;
    if (address.family === "unix" || target.family === "unix") return sameAddress(address, target);
    if (address.port !== target.port) return false;
    if (address.family === "ipv4") return target.family === "ipv4" && covers(address, target);
    if (target.family === "ipv4") return !this.#ipv6Only && address.host === "::";
    return covers(address, target);
  }

  overlaps(other: SimulatedListener): boolean {
    return this.takes(other.address) || other.takes(this.address);
  }

  /** The address is free, and whoever waited is reset. */
  close(): void {
    this.#network.forget(this);
    for (const socket of this.#queue.splice(0)) socket.close(true);
  }
}

/** One end of a connection. */
export class SimulatedSocket {
  readonly local: Address;
  readonly remote: Address;
  owner: SocketOwner | undefined = undefined;
  readonly #network: SimulatedNetwork;
  #other: SimulatedSocket | undefined;
  #closed = false;
  // What comes in.
  readonly #unread: Buffer[] = [];
  #unreadBytes = 0;
  #inTransit = 0;
  #endArrived = false;
  /** Changes when what is under way to here is dropped: an arrival of an earlier era is none. */
  #era = 0;
  // What goes out.
  #shut = false;
  #lastArrivalMs = 0;
  #senderWaits = false;
  /** The errno that the connection broke with; told once, then a send is EPIPE and a receive the end. */
  #error = 0;
  #errorTold = false;

  constructor(network: SimulatedNetwork, local: Address, remote: Address) {
    this.#network = network;
    this.local = local;
    this.remote = remote;
    network.openSockets++;
  }

  join(other: SimulatedSocket): void {
    this.#other = other;
    other.#other = this;
  }

  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** Whether a read has something to tell: bytes, the end, or an error. */
  get isReadable(): boolean {
    return this.#unreadBytes > 0 || this.#endArrived || this.#error > 0;
  }

  /** Takes as many bytes as the other side has room for (0: it must read first), or −errno. */
  write(bytes: Uint8Array): number {
    const other = this.#other;
    if (this.#error > 0) return this.#tellError(EPIPE);
    if (this.#shut || other === undefined) return this.#tellBrokenPipe();
    const count = Math.min(bytes.length, other.#room);
    if (count < bytes.length) {
      this.#senderWaits = true;
      this.#network.note("blockedSend");
    }
    if (count === 0) return 0;
    // A copy: what the sender does with its memory afterwards must not be seen at the other end.
    const copy = Buffer.from(bytes.subarray(0, count));
    const era = other.#era;
    other.#inTransit += count;
    this.#deliver(() => {
      if (other.#era === era) other.#arrive(copy);
    });
    return count;
  }

  /** Up to `most` bytes into `into`: their number, 0 at the end, −errno, or undefined when there is nothing. */
  read(into: Buffer, offset: number, most: number): number | undefined {
    if (this.#unreadBytes > 0) return this.#take(into, offset, most);
    if (this.#endArrived) return 0;
    if (this.#error > 0) return this.#tellError(0);
    return undefined;
  }

  /** The other side reads the end after what was written. */
  end(): void {
    const other = this.#other;
    // A connection that broke has no end to send.
    if (this.#shut || this.#error > 0 || other === undefined) return;
    this.#shut = true;
    const era = other.#era;
    this.#deliver(() => {
      if (other.#era !== era || other.#closed || other.#error > 0) return;
      other.#endArrived = true;
      other.owner?.readable();
    });
  }

  /** As close(2): what was written still arrives, unless a reset is asked for or bytes were left unread. */
  close(reset: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.owner = undefined;
    this.#network.openSockets--;
    if (reset || this.#unreadBytes > 0) this.#resetOther();
    else this.end();
    this.#dropIncoming();
  }

  /** The network breaks the connection, for both ends; what was not read yet may be lost with it. */
  breakOff(errno: number, loseUnread: boolean): void {
    const other = this.#other;
    if (loseUnread) this.#dropIncoming();
    this.#fail(errno);
    if (other === undefined) return;
    if (loseUnread) other.#dropIncoming();
    this.#network.clock.after(this.#network.latency(), () => other.#fail(ECONNRESET));
  }

  get #room(): number {
    return Math.max(this.#network.windowBytes - this.#inTransit - this.#unreadBytes, 0);
  }

  /** After the latency of a packet, but never before what was sent earlier in this direction. */
  #deliver(arrival: () => void): void {
    const { clock } = this.#network;
    const atMs = Math.max(clock.nowMs + this.#network.latency(), this.#lastArrivalMs);
    this.#lastArrivalMs = atMs;
    clock.at(atMs, arrival);
  }

  #arrive(bytes: Buffer): void {
    this.#inTransit -= bytes.length;
    if (this.#closed) return this.#resetOther();
    if (this.#error > 0) return;
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    this.owner?.readable();
    const network = this.#network;
    if (network.happens("reset")) this.breakOff(ECONNRESET, network.random.chance(0.5));
    else if (network.happens("timeout")) this.breakOff(ETIMEDOUT, network.random.chance(0.5));
  }

  #take(into: Buffer, offset: number, most: number): number {
    let count = 0;
    for (let next = this.#unread[0]; next && count < most; next = this.#unread[0]) {
      const length = next.copy(into, offset + count, 0, Math.min(next.length, most - count));
      count += length;
      if (length === next.length) this.#unread.shift();
      else this.#unread[0] = next.subarray(length);
    }
    this.#unreadBytes -= count;
    this.#tellRoom();
    return count;
  }

  /** The window is open again: the other side hears of it a packet later. */
  #tellRoom(): void {
    const other = this.#other;
    if (other === undefined || !other.#senderWaits) return;
    other.#senderWaits = false;
    this.#network.clock.after(this.#network.latency(), () => other.owner?.writable());
  }

  #resetOther(): void {
    const other = this.#other;
    if (other === undefined) return;
    // What is still under way is overtaken and lost, as it is when a kernel sends a reset.
    other.#dropTransit();
    const errno = other.#endArrived ? EPIPE : ECONNRESET;
    this.#network.clock.after(this.#network.latency(), () => other.#fail(errno));
  }

  #fail(errno: number): void {
    if (this.#closed || this.#error > 0) return;
    this.#error = errno;
    const other = this.#other;
    if (other !== undefined) other.#dropTransit();
    this.owner?.readable();
    this.owner?.writable();
  }

  #tellError(afterwards: number): number {
    if (this.#errorTold) return afterwards === EPIPE ? this.#tellBrokenPipe() : -afterwards;
    this.#errorTold = true;
    return -this.#error;
  }

  #tellBrokenPipe(): number {
    this.#network.note("brokenPipe");
    return -EPIPE;
  }

  #dropTransit(): void {
    this.#era++;
    this.#inTransit = 0;
  }

  /** The end goes with the bytes: a stream that lost some must never look complete. */
  #dropIncoming(): void {
    this.#endArrived = false;
    this.#unread.length = 0;
    this.#unreadBytes = 0;
  }
}

/** The network is one machine's loopback. */
function isLocal(address: Address): boolean {
  if (address.family === "unix") return true;
  const { host } = address;
  return host.startsWith("127.") || host === "0.0.0.0" || host === "::1" || host === "::";
}

function covers(listening: InternetAddress, target: InternetAddress): boolean {
  const wildcard = listening.family === "ipv4" ? "0.0.0.0" : "::";
  return listening.host === wildcard || listening.host === target.host;
}

function sameAddress(one: Address, other: Address): boolean {
  return formatAddress(one) === formatAddress(other);
}

function mappedAddress(address: Address): Address {
  if (address.family !== "ipv4") return address;
  return { family: "ipv6", host: `::ffff:${address.host}`, port: address.port };
}
