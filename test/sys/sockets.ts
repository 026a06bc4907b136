// Connected pairs of real sockets for the tests of sys. Everything opened is noted, and closed when its test is over.

import assert from "node:assert/strict";
import { SOCK_CLOEXEC } from "../../src/sys/abi.ts";
import type { Address } from "../../src/sys/address.ts";
import { acceptFrom } from "../../src/sys/epoll-calls.ts";
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  localAddress,
  openSocket,
  type SocketOptions,
  setSocketOptions,
} from "../../src/sys/socket-calls.ts";

export const IPV4: Address = { family: "ipv4", host: "127.0.0.1", port: 0 };
export const IPV6: Address = { family: "ipv6", host: "::1", port: 0 };

export interface Pair {
  readonly listener: number;
  readonly client: number;
  readonly server: number;
  readonly address: Address;
}

/** Descriptors of one test. */
export class Descriptors {
  readonly #open: number[] = [];

  /** Notes a descriptor; fails for −errno. */
  keep(descriptor: number): number {
    assert.ok(descriptor >= 0, `errno ${-descriptor}`);
    this.#open.push(descriptor);
    return descriptor;
  }

  close(descriptor: number): void {
    this.#open.splice(this.#open.indexOf(descriptor), 1);
    assert.equal(closeDescriptor(descriptor), 0);
  }

  closeAll(): void {
    for (const descriptor of this.#open.splice(0)) closeDescriptor(descriptor);
  }

  listen(address: Address, options: SocketOptions = {}): number {
    const descriptor = this.keep(openSocket(address.family, false));
    assert.equal(setSocketOptions(descriptor, address.family, options), 0);
    assert.equal(bindSocket(descriptor, address), 0);
    assert.equal(listenSocket(descriptor, 64), 0);
    return descriptor;
  }

  /** A blocking socket that is connected. */
  connect(address: Address): number {
    const descriptor = this.keep(openSocket(address.family, false));
    assert.equal(connectSocket(descriptor, address), 0);
    return descriptor;
  }

  accept(listener: number): number {
    return this.keep(acceptFrom(listener, SOCK_CLOEXEC));
  }

  pair(wanted: Address = IPV4, options: SocketOptions = {}): Pair {
    const listener = this.listen(wanted, options);
    const address = addressOf(listener);
    const client = this.connect(address);
    return { listener, client, server: this.accept(listener), address };
  }
}

export function addressOf(descriptor: number): Address {
  const address = localAddress(descriptor);
  if (typeof address === "number") throw new Error(`getsockname failed with errno ${-address}`);
  return address;
}
