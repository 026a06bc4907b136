// The host of the drivers with real sockets: loopback, node:net in the same thread as peers.

import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { Driver, DriverName, DriverOptions } from "../../src/driver/driver.ts";
import type { Address } from "../../src/sys/address.ts";
import { closeDescriptor } from "../../src/sys/socket-calls.ts";
import type { Host, Peer, PeerServer } from "./host.ts";

/** A bound for things that take milliseconds. */
const NEVER_MS = 20_000;
const LINGER_ROUNDS = 20;

export class RealHost implements Host {
  readonly title: string;
  readonly driver: DriverName;
  readonly refused: string | undefined;
  readonly capabilities;
  readonly network = {
    ipv6: Object.values(networkInterfaces()).some((rows) =>
      rows?.some((row) => row.address === "::1"),
    ),
    abstractSockets: process.platform === "linux",
  };
  readonly #make: (options: DriverOptions) => Driver;
  /** Drivers that asked for a turn; only those that do not wait are in here. */
  readonly #wanting = new Set<Driver>();
  #directory: string | undefined;
  #paths = 0;

  constructor(driver: DriverName, make: (options: DriverOptions) => Driver, refused?: string) {
    this.title = driver;
    this.driver = driver;
    this.#make = make;
    this.refused = refused;
    this.capabilities =
      refused === undefined
        ? capabilitiesOf(make)
        : {
            waits: true,
            descriptors: true,
            moves: true,
            socketOptions: true,
            reset: true,
            sendNow: true,
          };
  }

  make(options: DriverOptions): Driver {
    return this.#make(options);
  }

  async until(drivers: readonly Driver[], done: () => boolean, what: () => string): Promise<void> {
    const deadline = performance.now() + NEVER_MS;
    while (!done()) {
      if (performance.now() > deadline) throw new Error(what());
      await this.#round(drivers);
    }
  }

  async linger(drivers: readonly Driver[]): Promise<void> {
    for (let round = 0; round < LINGER_ROUNDS; round++) {
      await this.#round(drivers);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  dial(address: Address): Peer {
    return new SocketPeer(connect({ ...options(address), allowHalfOpen: true }));
  }

  async serve(address: Address): Promise<PeerServer> {
    const server = createServer({ allowHalfOpen: true });
    const peers: Peer[] = [];
    server.on("connection", (socket) => peers.push(new SocketPeer(socket)));
    server.listen(options(address));
    await once(server, "listening");
    return { address: addressOf(server, address), peers, close: () => server.close() };
  }

  unixPath(): string {
    if (this.#directory === undefined) {
      const directory = mkdtempSync(join(tmpdir(), "sluice-"));
      this.#directory = directory;
      process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
    }
    return join(this.#directory, `${++this.#paths}.sock`);
  }

  async silentAddress(): Promise<Address> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = addressOf(server, { family: "ipv4", host: "127.0.0.1", port: 0 });
    server.close();
    await once(server, "close");
    return address;
  }

  closeDescriptor(descriptor: number): number {
    return closeDescriptor(descriptor);
  }

  openDescriptors(): number | undefined {
    return process.platform === "linux" ? readdirSync("/proc/self/fd").length : undefined;
  }

  leftovers(): readonly string[] {
    return [];
  }

  /** A driver that does not wait is given a turn only if it asked for one: that is what `wanted` promises. */
  async #round(drivers: readonly Driver[]): Promise<void> {
    for (const driver of drivers) {
      if (driver.capabilities.waits) driver.turn(0);
      else this.#turnIfWanted(driver);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  #turnIfWanted(driver: Driver): void {
    if (driver.wanted === undefined) {
      driver.wanted = () => this.#wanting.add(driver);
      this.#wanting.add(driver);
    }
    if (this.#wanting.delete(driver)) driver.turn(0);
  }
}

class SocketPeer implements Peer {
  connected: boolean;
  error: string | undefined;
  ended = false;
  receivedLength = 0;
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    this.connected = !socket.connecting;
    socket.on("connect", () => {
      this.connected = true;
    });
    socket.on("data", (bytes: Buffer) => {
      this.#chunks.push(bytes);
      this.receivedLength += bytes.length;
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error ??= error.code ?? error.message;
    });
  }

  received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  localAddress(): Address {
    const { localAddress: host = "", localPort: port = 0, localFamily } = this.#socket;
    return { family: localFamily === "IPv6" ? "ipv6" : "ipv4", host, port };
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}

function options(address: Address): NetConnectOpts {
  if (address.family === "unix") return { path: address.path };
  return { host: address.host, port: address.port };
}

function addressOf(server: Server, asked: Address): Address {
  const name = server.address();
  if (asked.family === "unix" || name === null || typeof name === "string") return asked;
  return { ...asked, port: name.port };
}

function capabilitiesOf(make: (options: DriverOptions) => Driver) {
  const ignore = () => {};
  const events = {
    listening: ignore,
    accepted: ignore,
    connected: ignore,
    received: ignore,
    sent: ignore,
    closed: ignore,
    detached: ignore,
  };
  const driver = make({ events, slots: 1, outputBytes: 1024 * 1024 });
  driver.dispose();
  return driver.capabilities;
}
