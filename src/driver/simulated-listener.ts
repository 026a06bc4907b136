// An address that is listened on in the simulated network, and the connections that wait there.

import { type Address, formatAddress, type InternetAddress } from "../sys/address.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import type { SimulatedSocket } from "./simulated-socket.ts";

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
