// The host of the simulated driver: a network of its own for each test, and time that passes when the test lets it.

import assert from "node:assert/strict";
import type { Driver, DriverOptions } from "../../src/driver/driver.ts";
import { Random } from "../../src/driver/random.ts";
import { SimulatedDriver } from "../../src/driver/simulated-driver.ts";
import { type Faults, NO_FAULTS } from "../../src/driver/simulated-faults.ts";
import { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import {
  dial,
  type SimulatedPeer,
  type SimulatedPeerServer,
  servePeers,
} from "../../src/driver/simulated-peer.ts";
import type { Address } from "../../src/sys/address.ts";
import { errnoName } from "../../src/sys/errno.ts";
import type { Host, Peer, PeerServer } from "./host.ts";

const LINGER_MS = 2000;
/** Rounds without an event and without anything scheduled: what has not happened by then never will. */
const QUIET_ROUNDS = 200;

export class SimulatedHost implements Host {
  readonly title: string;
  readonly driver = "simulated";
  readonly refused = undefined;
  readonly capabilities = {
    waits: true,
    descriptors: false,
    moves: true,
    socketOptions: true,
    reset: true,
    sendNow: true,
  };
  readonly network = { ipv6: true, abstractSockets: true };
  readonly #network: SimulatedNetwork;
  #paths = 0;

  constructor(title: string, seed: number, faults: Faults = NO_FAULTS) {
    this.title = title;
    this.#network = new SimulatedNetwork({ random: new Random(seed), faults });
  }

  make(options: DriverOptions): Driver {
    return new SimulatedDriver(options, this.#network);
  }

  async until(drivers: readonly Driver[], done: () => boolean, what: () => string): Promise<void> {
    let quiet = 0;
    while (!done()) {
      if (quiet > QUIET_ROUNDS) throw new Error(what());
      const delivered = turnAll(drivers);
      if (done()) return;
      const goesOn = delivered > 0 || this.#network.clock.advance(Number.POSITIVE_INFINITY);
      quiet = goesOn ? 0 : quiet + 1;
    }
  }

  async linger(drivers: readonly Driver[]): Promise<void> {
    const { clock } = this.#network;
    const end = clock.nowMs + LINGER_MS;
    while (clock.nowMs < end) {
      if (turnAll(drivers) === 0) clock.advance(end - clock.nowMs);
    }
    turnAll(drivers);
  }

  dial(address: Address): Peer {
    return new PeerView(dial(this.#network, address));
  }

  async serve(address: Address): Promise<PeerServer> {
    const server = servePeers(this.#network, address);
    assert.ok(typeof server === "object");
    return new ServerView(server);
  }

  unixPath(): string {
    return `/simulated/${++this.#paths}.sock`;
  }

  async silentAddress(): Promise<Address> {
    return { family: "ipv4", host: "127.0.0.1", port: 9 };
  }

  closeDescriptor(descriptor: number): number {
    return this.#network.closeDescriptor(descriptor);
  }

  openDescriptors(): number {
    return this.#network.openSockets + this.#network.openListeners;
  }

  leftovers(driver: Driver): readonly string[] {
    assert.ok(driver instanceof SimulatedDriver);
    const counts = {
      handles: driver.handles,
      sends: driver.sendsUnderWay,
      operations: driver.operationsUnderWay,
      sockets: this.#network.openSockets,
      listeners: this.#network.openListeners,
      scheduled: this.#network.clock.scheduled,
    };
    return Object.entries(counts).flatMap(([what, n]) => (n === 0 ? [] : [`${n} ${what}`]));
  }
}

function turnAll(drivers: readonly Driver[]): number {
  return drivers.reduce((sum, driver) => sum + driver.turn(0), 0);
}

/** A simulated peer under the names of Host. */
class PeerView implements Peer {
  readonly #peer: SimulatedPeer;

  constructor(peer: SimulatedPeer) {
    this.#peer = peer;
  }

  get connected() {
    return this.#peer.connected;
  }
  get error() {
    return this.#peer.error === 0 ? undefined : errnoName(this.#peer.error);
  }
  get ended() {
    return this.#peer.ended;
  }
  get receivedLength() {
    return this.#peer.receivedLength;
  }
  received() {
    return this.#peer.received();
  }
  localAddress(): Address {
    const address = this.#peer.localAddress;
    assert.ok(address);
    return address;
  }
  write(bytes: Uint8Array) {
    // node:net's peers take a copy of nothing either; tests do not change what they wrote.
    this.#peer.write(bytes);
  }
  end() {
    this.#peer.end();
  }
  reset() {
    this.#peer.reset();
  }
  close() {
    this.#peer.close();
  }
  pause() {
    this.#peer.pause();
  }
  resume() {
    this.#peer.resume();
  }
}

class ServerView implements PeerServer {
  readonly #server: SimulatedPeerServer;
  readonly #views = new Map<SimulatedPeer, PeerView>();

  constructor(server: SimulatedPeerServer) {
    this.#server = server;
  }

  get address() {
    return this.#server.address;
  }

  get peers(): readonly Peer[] {
    return this.#server.peers.map((peer) => {
      const view = this.#views.get(peer) ?? new PeerView(peer);
      this.#views.set(peer, view);
      return view;
    });
  }

  close() {
    this.#server.close();
  }
}
