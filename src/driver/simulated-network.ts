// A network in memory: addresses, listeners with their queues, connections with windows, latency and everything
// that goes wrong between two machines. Drivers and scripted peers of one thread meet in it.
//
// It behaves as TCP does where programs notice: bytes arrive in order and late; a sender waits when the reader does
// not read; closing with unread input resets; what is sent to a closed socket comes back as a reset; one reads the
// bytes that arrived before an error. Nothing happens but through the clock, and chance comes from the one generator
// that was handed in: the same seed gives the same run.
//
// Invariant: `openSockets` counts the sockets not closed yet, those in a listener's queue and those that are detached included.

import type { Address, InternetAddress } from "../sys/address.ts";
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EBADF,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTUNREACH,
  ENETUNREACH,
  ENOENT,
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
import { isSameAddress, SimulatedListener } from "./simulated-listener.ts";
import { SimulatedSocket } from "./simulated-socket.ts";

/** What `connect` gives: part of this module's face. */
export type { SimulatedSocket };

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

const WINDOW_BYTES = 262_144;
const LATENCY_MS = [0.05, 0.5] as const;
const FIRST_EPHEMERAL_PORT = 49_152;
/** Beyond all that a kernel gives: who takes one for a descriptor of the process does no harm with it. */
const FIRST_DESCRIPTOR = 2 ** 30;
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
  readonly #detached = new Map<number, SimulatedSocket>();
  /** Listeners that drivers share, by the number that is given for each. */
  readonly #shared = new Map<number, SimulatedListener>();
  #nextDescriptor = FIRST_DESCRIPTOR;
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

  /** A number for a listener that drivers are to share (`Driver.listen`), or −errno. It stays open until closeDescriptor. */
  openListener(address: Address, backlog: number, options: SocketOptions): number {
    const listener = this.listen(address, backlog, options);
    if (typeof listener === "number") return listener;
    listener.shared = true;
    const descriptor = this.#nextDescriptor++;
    this.#shared.set(descriptor, listener);
    return descriptor;
  }

  /** The shared listener that has this number. */
  listenerOf(descriptor: number): SimulatedListener | undefined {
    return this.#shared.get(descriptor);
  }

  /** Connects to `target`; `done` is told 0 and the socket, or −errno. `isWanted` false gives it up. */
  connect(
    target: Address,
    isWanted: () => boolean,
    done: (result: number, socket: SimulatedSocket | undefined) => void,
  ): void {
    this.#knock(target, isWanted, done, SYN_TRIES);
  }

  /** A number for a socket that a driver has let go of: whoever has it takes the socket, or closes it. */
  detach(socket: SimulatedSocket): number {
    const descriptor = this.#nextDescriptor++;
    this.#detached.set(descriptor, socket);
    return descriptor;
  }

  /** The socket that has this number; undefined: none, or it was taken. */
  detached(descriptor: number): SimulatedSocket | undefined {
    return this.#detached.get(descriptor);
  }

  /** The number means nothing any more, its socket is a driver's. */
  adopted(descriptor: number): void {
    this.#detached.delete(descriptor);
  }

  /** Closes a socket that is with no driver, or a listener that drivers share; 0 or −EBADF. */
  closeDescriptor(descriptor: number): number {
    const listener = this.#shared.get(descriptor);
    if (listener !== undefined) {
      this.#shared.delete(descriptor);
      listener.close();
      return 0;
    }
    const socket = this.#detached.get(descriptor);
    if (!this.#detached.delete(descriptor)) return -EBADF;
    socket?.close(socket.resetsOnClose);
    return 0;
  }

  /** Whether a fault happens on this occasion; counted if so. */
  happens(name: FaultName): boolean {
    const happens = this.random.chance(this.faults[name]);
    if (happens) this.occurred[name]++;
    return happens;
  }

  /** Tells whoever follows the run what has happened to a handle of a driver. */
  tell(handle: number, what: string, result: number): void {
    this.trace?.(`${this.clock.nowMs.toFixed(3)} ${handle} ${what} ${result}`);
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
    const exact = this.#listeners.filter((listener) => isSameAddress(listener.address, target));
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

/** The network is one machine's loopback. */
function isLocal(address: Address): boolean {
  if (address.family === "unix") return true;
  const { host } = address;
  return host.startsWith("127.") || host === "0.0.0.0" || host === "::1" || host === "::";
}

function mappedAddress(address: Address): Address {
  if (address.family !== "ipv4") return address;
  return { family: "ipv6", host: `::ffff:${address.host}`, port: address.port };
}
