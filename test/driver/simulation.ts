// A simulation at the level of drivers: echo servers (a sink each, no reactor) and peers in a simulated network, with
// the faults that a seed draws. It shows that the simulated driver keeps the contract under every mixture of faults,
// and is the pattern for simulations of what stands on a driver.
//
// Oracles: the event log's rules at each event; every peer reads a prefix of what it wrote, and the whole of it if nothing
// broke; once faults stop everything comes to its end; all counts are zero afterwards.

import assert from "node:assert/strict";
import type { Handle } from "../../src/driver/driver.ts";
import { slotOf } from "../../src/driver/handle.ts";
import { Random } from "../../src/driver/random.ts";
import { SimulatedDriver } from "../../src/driver/simulated-driver.ts";
import { drawFaults, NO_FAULTS, type Occurrence } from "../../src/driver/simulated-faults.ts";
import { type Operation, SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import {
  dial,
  type SimulatedPeer,
  type SimulatedPeerServer,
  servePeers,
} from "../../src/driver/simulated-peer.ts";
import type { Address } from "../../src/sys/address.ts";
import { type LoggedEvent, WatchedDriver } from "./event-log.ts";
import { assertSameBytes, listening, MEBIBYTE, pattern } from "./stage.ts";

export interface Outcome {
  /** Everything that happened, in order. */
  readonly trace: readonly string[];
  readonly occurred: Readonly<Record<Occurrence, number>>;
  readonly bytes: number;
  readonly operations: number;
  readonly starvation: number;
  /** Peers that read all they had written. */
  readonly complete: number;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly calm?: boolean;
  readonly failure?: (operation: Operation, index: number) => number;
}

const SLOTS = 24;
const REGION = MEBIBYTE / SLOTS;
/** Echoes above which a connection is paused, and below which it is resumed. */
const HIGH_BYTES = 16_384;
const LOW_BYTES = 4096;
/** Faults stop at the latest after so long; then everything must come to its end. */
const FAULTY_MS = 600_000;
const MOST_STEPS = 1_000_000;

/** Runs one seed to its end. @throws AssertionError when an oracle is violated */
export function simulate(options: SimulationOptions): Outcome {
  const random = new Random(options.seed);
  const network = new SimulatedNetwork({
    random: random.fork(),
    faults: options.calm ? NO_FAULTS : drawFaults(random.fork()),
    windowBytes: 2 ** random.between(8, 18),
    latencyMs: [0.01, random.pick([0.1, 1, 30])],
  });
  const trace: string[] = [];
  network.trace = (line) => trace.push(line);
  network.failure = options.failure;
  const servers = openServers(network, random);
  const clients = openClients(network, random, servers);
  const outbound = openOutbound(network, random, servers);
  const over = () => clients.every((client) => client.isOver);
  run(network, servers, () => over() || network.clock.nowMs > FAULTY_MS);
  network.faults = NO_FAULTS;
  network.failure = undefined;
  run(network, servers, over);
  finish(network, servers, clients, outbound);
  for (const client of clients) client.verify();
  return {
    trace,
    occurred: network.occurred,
    bytes: clients.reduce((sum, client) => sum + client.peer.receivedLength, 0),
    operations: network.operations,
    starvation: servers.reduce((sum, server) => sum + server.driver.counters.bufferStarvation, 0),
    complete: clients.filter((client) => client.isComplete).length,
  };
}

function openServers(network: SimulatedNetwork, random: Random): EchoServer[] {
  const address: Address = { family: "ipv4", host: "127.0.0.1", port: 7000 };
  const servers = Array.from(
    { length: random.between(1, 3) },
    () => new EchoServer(network, address),
  );
  // All listen before anyone dials, so that each gets its share.
  run(network, servers, () => servers.every((server) => server.isSettled));
  return servers;
}

function openClients(network: SimulatedNetwork, random: Random, servers: EchoServer[]): Client[] {
  const address = servers.find((server) => server.address !== undefined)?.address;
  if (address === undefined) return [];
  const count = random.between(1, 30);
  return Array.from({ length: count }, () => new Client(network, random.fork(), address));
}

/** Connections that the drivers make: to a peer, which never answers, and to where no one is. */
function openOutbound(
  network: SimulatedNetwork,
  random: Random,
  servers: EchoServer[],
): SimulatedPeerServer {
  const server = servePeers(network, { family: "unix", path: "/outbound" });
  assert.ok(typeof server === "object");
  for (const { driver } of servers) {
    if (random.chance(0.5)) driver.connect(server.address, {});
    if (random.chance(0.5)) driver.connect({ family: "unix", path: "/nowhere" }, {});
  }
  return server;
}

/** Turns all servers, and lets time pass when they have nothing to do. */
function run(network: SimulatedNetwork, servers: readonly EchoServer[], done: () => boolean): void {
  for (let step = 0; !done(); step++) {
    assert.ok(step < MOST_STEPS, "the simulation does not come to an end");
    const delivered = servers.reduce((sum, server) => sum + server.driver.turn(0), 0);
    if (delivered === 0) network.clock.advance(1000);
  }
}

function finish(
  network: SimulatedNetwork,
  servers: EchoServer[],
  clients: Client[],
  outbound: SimulatedPeerServer,
): void {
  for (const server of servers) server.close();
  run(network, servers, () => servers.every((server) => server.driver.log.lives.size === 0));
  for (const client of clients) client.peer.close();
  for (const peer of outbound.peers) peer.close();
  outbound.close();
  run(network, servers, () => network.clock.scheduled === 0);
  for (const server of servers) server.assertEmpty();
  assert.equal(network.openSockets, 0, "sockets");
  assert.equal(network.openListeners, 0, "listeners");
}

/** A driver and the smallest sink that echoes with backpressure. */
class EchoServer {
  readonly driver: WatchedDriver;
  readonly #network: SimulatedNetwork;
  readonly #simulated: SimulatedDriver;
  readonly #echoes = new Map<
    Handle,
    { readonly chunks: Buffer[]; bytes: number; ended: boolean }
  >();
  address: Address | undefined;
  isSettled = false;
  #closing = false;

  constructor(network: SimulatedNetwork, address: Address) {
    this.#network = network;
    let simulated: SimulatedDriver | undefined;
    this.driver = new WatchedDriver(
      (options) => {
        simulated = new SimulatedDriver(options, network);
        return simulated;
      },
      { slots: SLOTS, outputBytes: MEBIBYTE },
    );
    assert.ok(simulated);
    this.#simulated = simulated;
    this.driver.log.react = (event) => this.#react(event);
    assert.ok(this.driver.listen(listening(address, { reusePort: true })) >= 0);
  }

  close(): void {
    this.#closing = true;
    for (const [handle, life] of this.driver.log.lives) {
      if (!life.closing) this.driver.close(handle, false);
    }
  }

  assertEmpty(): void {
    assert.deepEqual(this.driver.log.breaches, []);
    assert.equal(this.#simulated.handles, 0, "handles");
    assert.equal(this.#simulated.sendsUnderWay, 0, "sends");
    assert.equal(this.#simulated.operationsUnderWay, 0, "operations");
    assert.equal(this.#echoes.size, 0, "echoes");
  }

  #react(event: LoggedEvent): void {
    const { kind, handle, result } = event;
    if (kind === "listening") this.#listening(handle, result);
    else if (kind === "accepted") this.#accepted(handle, result);
    else if (kind === "connected") this.#connected(handle, result);
    else if (kind === "received") this.#received(handle, result);
    else if (kind === "sent") this.#sent(handle, result);
    else this.#echoes.delete(handle);
  }

  #listening(listener: Handle, result: number): void {
    this.isSettled = true;
    if (result < 0) return;
    const address = this.driver.localAddress(listener);
    assert.ok(typeof address === "object");
    this.address = address;
    this.driver.resume(listener);
  }

  #accepted(listener: Handle, result: number): void {
    if (result < 0) {
      this.#network.clock.after(20, () => this.driver.inner.resume(listener));
      return;
    }
    this.#echoes.set(result, { chunks: [], bytes: 0, ended: false });
    this.driver.resume(result);
  }

  #connected(handle: Handle, result: number): void {
    if (result === 0) this.driver.close(handle, false);
  }

  #received(handle: Handle, result: number): void {
    const echo = this.#echoes.get(handle);
    if (echo === undefined || this.#closing) return;
    if (result < 0) {
      this.driver.close(handle, true);
      return;
    }
    echo.ended = result === 0;
    const chunk = this.driver.log.life(handle).chunks.pop();
    if (chunk) echo.chunks.push(chunk);
    echo.bytes += result;
    if (echo.bytes > HIGH_BYTES) this.driver.pause(handle);
    this.#flush(handle);
  }

  #sent(handle: Handle, result: number): void {
    const echo = this.#echoes.get(handle);
    if (echo === undefined || this.#closing || this.driver.log.life(handle).closing) return;
    if (result < 0) {
      this.driver.close(handle, false);
      return;
    }
    echo.bytes -= result;
    if (echo.bytes < LOW_BYTES && !echo.ended) this.driver.resume(handle);
    this.#flush(handle);
  }

  /** One send at a time, as much as fits its region. */
  #flush(handle: Handle): void {
    const echo = this.#echoes.get(handle);
    if (echo === undefined || this.driver.log.life(handle).sendLength > 0) return;
    const start = Math.floor(slotOf(handle) * REGION);
    let length = 0;
    for (let next = echo.chunks[0]; next && length < 20_000; next = echo.chunks[0]) {
      length += next.copy(this.driver.output, start + length);
      echo.chunks.shift();
    }
    if (length > 0) assert.equal(this.driver.send(handle, start, length), 0);
    else if (echo.ended) {
      this.driver.shutdown(handle);
      this.driver.close(handle, false);
    }
  }
}

/** A peer with a script: pieces at odd times, pauses, an end or a reset. */
class Client {
  readonly peer: SimulatedPeer;
  readonly #written: Buffer[] = [];
  readonly #resets: boolean;
  #scripted = true;

  constructor(network: SimulatedNetwork, random: Random, address: Address) {
    this.peer = dial(network, address);
    this.#resets = random.chance(0.1);
    const bytes = pattern(2 ** random.between(0, 17), random.uint32());
    let at = 0;
    let time = 0;
    while (at < bytes.length) {
      const piece = bytes.subarray(at, at + random.between(1, bytes.length));
      at += piece.length;
      time += random.fraction() * 50;
      this.peer.after(time, () => this.#write(piece));
    }
    if (random.chance(0.3)) this.#dawdle(random, time);
    this.peer.after(time + random.fraction() * 50, () => {
      this.#scripted = false;
      if (this.#resets) this.peer.reset();
      else this.peer.end();
    });
  }

  get isOver(): boolean {
    return !this.#scripted && this.peer.isOver;
  }

  get isComplete(): boolean {
    return this.peer.ended && this.peer.receivedLength === this.#writtenLength;
  }

  verify(): void {
    const received = this.peer.received();
    assertSameBytes(received, Buffer.concat(this.#written).subarray(0, received.length));
    // Only what broke may be cut short, and what broke shows an error and not an end.
    if (this.peer.ended && !this.#resets) assert.equal(received.length, this.#writtenLength);
  }

  get #writtenLength(): number {
    return this.#written.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  #write(piece: Buffer): void {
    this.peer.write(piece);
    this.#written.push(piece);
  }

  #dawdle(random: Random, time: number): void {
    const from = random.fraction() * time;
    this.peer.after(from, () => this.peer.pause());
    this.peer.after(from + random.fraction() * 5000, () => this.peer.resume());
  }
}
