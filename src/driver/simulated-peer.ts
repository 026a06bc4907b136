// Peers in the simulated network: scripted clients, and servers for drivers that connect.
//
// A peer reads whatever comes (unless paused, or slow by a fault) and keeps it; what it writes goes out as the window
// allows. Everything happens in virtual time; `after` puts the next step of a script off.
//
//   const peer = dial(network, address);
//   peer.write(request);
//   peer.after(20, () => peer.end());

import { Buffer } from "node:buffer";
import type { Address } from "../sys/address.ts";
import { ECANCELED } from "../sys/errno.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import type { SimulatedListener } from "./simulated-listener.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import type { SimulatedSocket } from "./simulated-socket.ts";

const READ_BYTES = 65_536;
const SLOW_MS = 50;

export class SimulatedPeer {
  connected = false;
  /** It has read the end of the stream. */
  ended = false;
  /** The errno that it ended with, or 0. */
  error = 0;
  receivedLength = 0;
  readonly #network: SimulatedNetwork;
  #socket: SimulatedSocket | undefined;
  readonly #chunks: Buffer[] = [];
  readonly #unsent: Uint8Array[] = [];
  readonly #scratch = Buffer.allocUnsafe(READ_BYTES);
  #paused = false;
  #reading = false;
  #ending = false;
  #closed = false;

  constructor(network: SimulatedNetwork) {
    this.#network = network;
  }

  get localAddress(): Address | undefined {
    return this.#socket?.local;
  }

  /** Nothing more will happen to it by itself. */
  get isOver(): boolean {
    return this.#closed || this.ended || this.error > 0;
  }

  /** All bytes it has read. */
  received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Runs a step of the script later. */
  after(delayMs: number, step: () => void): void {
    this.#network.clock.after(delayMs, step);
  }

  /** Queued until the connection stands and the window allows. */
  write(bytes: Uint8Array): void {
    if (this.#ending || this.#closed || bytes.length === 0) return;
    this.#unsent.push(bytes);
    this.#flush();
  }

  /** Ends its side after what was written. */
  end(): void {
    this.#ending = true;
    this.#flush();
  }

  reset(): void {
    this.#close(true);
  }

  /** Gives it up; unread input makes that a reset. */
  close(): void {
    this.#close(false);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#readSoon();
  }

  /** For those who make peers: the connection stands, or has failed with a (negative) result. */
  begin(result: number, socket: SimulatedSocket | undefined): void {
    if (socket === undefined) {
      this.error = -result;
      return;
    }
    if (this.#closed) return socket.close(true);
    this.#socket = socket;
    this.connected = true;
    socket.owner = { readable: () => this.#readSoon(), writable: () => this.#flush() };
    this.#flush();
    this.#readSoon();
  }

  #close(reset: boolean): void {
    this.#closed = true;
    this.#unsent.length = 0;
    if (!this.connected && this.error === 0) this.error = ECANCELED;
    this.#socket?.close(reset);
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === undefined || this.error > 0 || this.#closed) return;
    for (let next = this.#unsent[0]; next; next = this.#unsent[0]) {
      const written = socket.write(next);
      if (written < 0) return this.#fail(-written);
      if (written < next.length) {
        this.#unsent[0] = next.subarray(written);
        return;
      }
      this.#unsent.shift();
    }
    if (this.#ending) socket.end();
  }

  #readSoon(): void {
    if (this.#reading || this.#paused || this.isOver || this.#socket?.isReadable !== true) return;
    this.#reading = true;
    const slow = this.#network.happens("slowReader");
    const delay = slow ? this.#network.random.fraction() * SLOW_MS : 0.01;
    this.#network.clock.after(delay, () => {
      this.#reading = false;
      if (!this.#paused && !this.isOver) this.#read();
    });
  }

  #read(): void {
    const result = this.#socket?.read(this.#scratch, 0, READ_BYTES);
    if (result === undefined) return;
    if (result < 0) return this.#fail(-result);
    if (result === 0) {
      this.ended = true;
      return;
    }
    this.#chunks.push(Buffer.from(this.#scratch.subarray(0, result)));
    this.receivedLength += result;
    this.#readSoon();
  }

  #fail(errno: number): void {
    this.error ||= errno;
    this.#socket?.close(true);
  }
}

/** A peer that connects; `connected` or `error` tells how it went. */
export function dial(network: SimulatedNetwork, address: Address): SimulatedPeer {
  const peer = new SimulatedPeer(network);
  const isWanted = () => peer.error === 0;
  network.connect(address, isWanted, (result, socket) => peer.begin(result, socket));
  return peer;
}

/** A listener whose connections are peers. */
export class SimulatedPeerServer {
  readonly address: Address;
  readonly peers: SimulatedPeer[] = [];
  readonly #listener: SimulatedListener;

  constructor(network: SimulatedNetwork, listener: SimulatedListener) {
    this.#listener = listener;
    this.address = listener.address;
    const acceptable = () => {
      for (let socket = listener.accept(); socket; socket = listener.accept()) {
        const peer = new SimulatedPeer(network);
        this.peers.push(peer);
        peer.begin(0, socket);
      }
    };
    listener.join({ waits: true, acceptable });
  }

  close(): void {
    this.#listener.close();
  }
}

/** A server of peers on `address`, or −errno. */
export function servePeers(
  network: SimulatedNetwork,
  address: Address,
  options: SocketOptions = {},
): SimulatedPeerServer | number {
  const listener = network.listen(address, 128, options);
  return typeof listener === "number" ? listener : new SimulatedPeerServer(network, listener);
}
