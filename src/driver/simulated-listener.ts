// An address that is listened on in the simulated network, and the connections that wait there.
//
// Several drivers may accept from one, as reactors do that share a descriptor: for each connection one of those that wait is
// told, whichever the seed picks, and nobody else. When that one does not take it, it lies there until somebody looks.

import { type Address, formatAddress, type InternetAddress } from "../sys/address.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import type { SimulatedSocket } from "./simulated-socket.ts";

/** Who accepts. */
export interface Acceptance {
  /** Whether it would take a connection and has not been told of one already. */
  readonly waits: boolean;
  acceptable(): void;
}

export class SimulatedListener {
  readonly address: Address;
  readonly reusePort: boolean;
  /** A descriptor of its own keeps it open; else it is its one driver's, and closes with that. */
  shared = false;
  readonly #takers = new Set<Acceptance>();
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
    const waiting = [...this.#takers].filter((taker) => taker.waits);
    // What has no choice draws no number.
    const told = waiting.length > 1 ? this.#network.random.pick(waiting) : waiting[0];
    told?.acceptable();
  }

  join(taker: Acceptance): void {
    this.#takers.add(taker);
  }

  /** One accepts no more: a listener that is its own closes. */
  leave(taker: Acceptance): void {
    this.#takers.delete(taker);
    if (!this.shared) this.close();
  }

  accept(): SimulatedSocket | undefined {
    return this.#queue.shift();
  }

  /** Whether a peer that dials `target` reaches this listener. */
  takes(target: Address): boolean {
    const { address } = this;
    if (address.family === "unix" || target.family === "unix")
      return isSameAddress(address, target);
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

function covers(listening: InternetAddress, target: InternetAddress): boolean {
  const wildcard = listening.family === "ipv4" ? "0.0.0.0" : "::";
  return listening.host === wildcard || listening.host === target.host;
}

export function isSameAddress(one: Address, other: Address): boolean {
  return formatAddress(one) === formatAddress(other);
}
