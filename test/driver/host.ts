// What a driver needs around it to be tested: a network with peers in it, and a way to let time pass.
//
// Two kinds exist: real loopback sockets with node:net on the other side (real-host.ts), and the simulated network
// (simulated-host.ts). The behaviours in conformance.ts know only this file, so that one text tests all drivers.

import type {
  Driver,
  DriverCapabilities,
  DriverName,
  DriverOptions,
} from "../../src/driver/driver.ts";
import type { Address } from "../../src/sys/address.ts";

/** The other end of a connection. */
export interface Peer {
  readonly connected: boolean;
  /** Errno's name of what ended it, if it was an error: `"ECONNRESET"`. */
  readonly error: string | undefined;
  /** It has read the end of the stream. */
  readonly ended: boolean;
  readonly receivedLength: number;
  /** All bytes it has read. */
  received(): Buffer;
  localAddress(): Address;
  write(bytes: Uint8Array): void;
  end(): void;
  reset(): void;
  /** Gives it up, however it stands. */
  close(): void;
  pause(): void;
  resume(): void;
}

/** A listener on the peers' side, for drivers that connect. */
export interface PeerServer {
  readonly address: Address;
  readonly peers: readonly Peer[];
  close(): void;
}

export interface Host {
  readonly title: string;
  readonly driver: DriverName;
  /** Why this driver cannot run here. */
  readonly refused: string | undefined;
  readonly capabilities: DriverCapabilities;
  /** The same, of the network: what is false is skipped. */
  readonly network: { readonly ipv6: boolean; readonly abstractSockets: boolean };
  make(options: DriverOptions): Driver;
  /** Lets the drivers and everything else in this thread go on until `done`; rejects with `what` when it never is. */
  until(drivers: readonly Driver[], done: () => boolean, what: () => string): Promise<void>;
  /** Lets whatever is under way happen, to show that something does not. */
  linger(drivers: readonly Driver[]): Promise<void>;
  dial(address: Address): Peer;
  serve(address: Address): Promise<PeerServer>;
  /** A Unix path that nothing has used yet. */
  unixPath(): string;
  /** A loopback address where no one listens. */
  silentAddress(): Promise<Address>;
  /** Closes what a driver has detached: 0 or −errno. */
  closeDescriptor(descriptor: number): number;
  /** Open descriptors of this process, where they can be counted and mean something. */
  openDescriptors(): number | undefined;
  /** What a driver without handles still holds, in words; nothing when all is well. */
  leftovers(driver: Driver): readonly string[];
}
