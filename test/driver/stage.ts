// One test's world: drivers that are watched, the connections and peers it made, and at the end the proof that
// nothing is left of them.

import assert from "node:assert/strict";
import type { Handle, ListenTarget } from "../../src/driver/driver.ts";
import { NOTES_AHEAD, notesLength } from "../../src/driver/thread-notes.ts";
import type { Address, InternetAddress } from "../../src/sys/address.ts";
import { EBADF, errnoName } from "../../src/sys/errno.ts";
import type { SocketOptions } from "../../src/sys/socket-calls.ts";
import { type EventKind, WatchedDriver } from "./event-log.ts";
import type { Host, Peer, PeerServer } from "./host.ts";

export const LOOPBACK: InternetAddress = { family: "ipv4", host: "127.0.0.1", port: 0 };
export const HELLO = Buffer.from("hello");
export const MEBIBYTE = 1024 * 1024;

export interface StageOptions {
  readonly slots?: number;
  readonly outputBytes?: number;
  /** An eventfd for the driver to be woken by. */
  readonly wakeBy?: number;
}

export interface Pair {
  readonly listener: Handle;
  readonly handle: Handle;
  readonly peer: Peer;
}

export class Stage {
  readonly host: Host;
  readonly driver: WatchedDriver;
  /** Where the driver notes its descriptors. */
  readonly descriptors: Int32Array;
  readonly #drivers: WatchedDriver[] = [];
  readonly #peers: Peer[] = [];
  readonly #servers: PeerServer[] = [];
  #outputAt = 0;

  constructor(host: Host, options: StageOptions = {}) {
    this.host = host;
    const slots = options.slots ?? 64;
    this.descriptors = new Int32Array(new SharedArrayBuffer(notesLength(slots) * 4));
    this.driver = this.another({ ...options, slots }, this.descriptors);
  }

  get log() {
    return this.driver.log;
  }

  /** A second driver on the same network. */
  another(options: StageOptions = {}, descriptors?: Int32Array): WatchedDriver {
    const driver = new WatchedDriver((made) => this.host.make(made), {
      slots: options.slots ?? 64,
      outputBytes: options.outputBytes ?? 4 * MEBIBYTE,
      ...(descriptors && { notes: descriptors }),
      ...(options.wakeBy !== undefined && { wakeDescriptor: options.wakeBy }),
    });
    this.#drivers.push(driver);
    return driver;
  }

  /** Disposes of a driver in the middle of a test: it takes no more turns, and nothing of it is closed at the end. */
  dispose(driver: WatchedDriver): void {
    this.#drivers.splice(this.#drivers.indexOf(driver), 1);
    driver.dispose();
  }

  until(done: () => boolean, what: string): Promise<void> {
    const said = () =>
      `${what} never happened; ${this.#drivers.map((d) => d.log.tail()).join(" | ")}`;
    return this.host.until(this.#drivers, done, said);
  }

  linger(): Promise<void> {
    return this.host.linger(this.#drivers);
  }

  /** Waits for the `n`-th event of a kind on a handle, and gives the last one's result. */
  async event(kind: EventKind, handle: Handle, n = 1, driver = this.driver): Promise<number> {
    await this.until(() => driver.log.count(kind, handle) >= n, `${kind} ${n} of handle ${handle}`);
    return driver.log.last(kind, handle)?.result ?? 0;
  }

  async listen(
    address: Address = LOOPBACK,
    options: SocketOptions = {},
    driver = this.driver,
  ): Promise<{ listener: Handle; address: Address }> {
    const listener = this.mustTake(driver.listen(listening(address, options)));
    assertOk(await this.event("listening", listener, 1, driver), "listening");
    const bound = driver.localAddress(listener);
    assert.ok(typeof bound === "object", `localAddress of the listener: ${bound}`);
    return { listener, address: bound };
  }

  /** A listener that accepts, its first connection, and the peer at the other end. */
  async pair(address: Address = LOOPBACK): Promise<Pair> {
    const { listener, address: bound } = await this.listen(address);
    assert.equal(this.driver.resume(listener), 0);
    const { handle, peer } = await this.accept(listener, bound);
    return { listener, handle, peer };
  }

  /** One more connection of a listener that accepts. */
  async accept(
    listener: Handle,
    address: Address,
    driver = this.driver,
  ): Promise<{ handle: Handle; peer: Peer }> {
    const before = driver.log.count("accepted", listener);
    const peer = this.dial(address);
    const handle = await this.event("accepted", listener, before + 1, driver);
    await this.until(() => peer.connected, "the peer's connecting");
    return { handle: this.mustTake(handle), peer };
  }

  dial(address: Address): Peer {
    const peer = this.host.dial(reachable(address));
    this.#peers.push(peer);
    return peer;
  }

  async serve(address: Address = LOOPBACK): Promise<PeerServer> {
    const server = await this.host.serve(address);
    this.#servers.push(server);
    return server;
  }

  /** A connection that the driver made, and the peer that took it. */
  async connect(
    address: Address = LOOPBACK,
  ): Promise<{ handle: Handle; peer: Peer; server: PeerServer }> {
    const server = await this.serve(address);
    const handle = this.mustTake(this.driver.connect(server.address, {}));
    assertOk(await this.event("connected", handle), "connected");
    await this.until(() => server.peers.length === 1, "the peer's accepting");
    return { handle, peer: server.peers[0] as Peer, server };
  }

  mustTake(handle: number): Handle {
    assert.ok(handle >= 0, `refused with ${errnoName(handle)}`);
    return handle;
  }

  /** Puts bytes into the output memory and sends them: what `send` answers. */
  send(handle: Handle, bytes: Uint8Array, driver = this.driver): number {
    const { output } = driver;
    assert.ok(bytes.length <= output.length, "the test sends more than its output memory holds");
    if (this.#outputAt + bytes.length > output.length) this.#outputAt = 0;
    output.set(bytes, this.#outputAt);
    const answer = driver.send(handle, this.#outputAt, bytes.length);
    this.#outputAt += bytes.length;
    return answer;
  }

  /** Sends and waits for its `sent`. */
  async sendAll(handle: Handle, bytes: Uint8Array, driver = this.driver): Promise<void> {
    const before = driver.log.count("sent", handle);
    assertOk(this.send(handle, bytes, driver), "send");
    assert.equal(await this.event("sent", handle, before + 1, driver), bytes.length);
  }

  /** Sends pieces until one stays under way: everything between here and the peer's reading is full. */
  async fill(handle: Handle): Promise<number> {
    const piece = Buffer.alloc(MEBIBYTE, 0x66);
    for (let total = piece.length; total < 128 * MEBIBYTE; total += piece.length) {
      const before = this.log.count("sent", handle);
      assertOk(this.send(handle, piece), "send");
      await this.linger();
      if (this.log.count("sent", handle) === before) return total;
    }
    throw new assert.AssertionError({ message: "128 MiB went to a peer that does not read" });
  }

  bytesOf(handle: Handle, driver = this.driver): Buffer {
    return Buffer.concat(driver.log.life(handle).chunks);
  }

  async receives(handle: Handle, length: number, driver = this.driver): Promise<Buffer> {
    const life = driver.log.life(handle);
    await this.until(
      () => life.receivedLength >= length || life.ended,
      `receiving ${length} bytes`,
    );
    return Buffer.concat(life.chunks);
  }

  async peerReceives(peer: Peer, length: number): Promise<Buffer> {
    const done = () => peer.receivedLength >= length || peer.ended || peer.error !== undefined;
    await this.until(done, `the peer's reading of ${length} bytes`);
    return peer.received();
  }

  async close(handle: Handle, reset = false, driver = this.driver): Promise<void> {
    assert.equal(driver.close(handle, reset), 0);
    await this.until(() => !driver.log.lives.has(handle), `closed of handle ${handle}`);
  }

  /** Closes what the test left open and shows that nothing remains. */
  async finish(): Promise<void> {
    for (const driver of this.#drivers) await this.#closeAll(driver);
    for (const peer of this.#peers) peer.close();
    for (const server of this.#servers) {
      for (const peer of server.peers) peer.close();
      server.close();
    }
    await this.linger();
    for (const driver of this.#drivers) {
      assert.deepEqual(driver.log.breaches, [], driver.log.tail());
      assert.deepEqual(this.host.leftovers(driver.inner), []);
    }
    const noted = this.descriptors.subarray(NOTES_AHEAD).filter((descriptor) => descriptor > 0);
    assert.deepEqual([...noted], [], "descriptors that were not cleared");
    for (const driver of this.#drivers.splice(0)) driver.dispose();
    await this.linger();
  }

  /** For a test that failed: whatever is there, quietly. */
  abandon(): void {
    for (const peer of this.#peers) peer.close();
    for (const server of this.#servers) server.close();
    for (const driver of this.#drivers) driver.dispose();
  }

  async #closeAll(driver: WatchedDriver): Promise<void> {
    driver.log.react = undefined;
    for (const [handle, life] of driver.log.lives) {
      if (!life.closing) driver.close(handle, false);
    }
    await this.until(() => driver.log.lives.size === 0, "closed of every handle");
  }
}

export function listening(address: Address, options: SocketOptions = {}): ListenTarget {
  return { address, backlog: 128, options };
}

/** What to dial to reach a listener on a wildcard address. */
function reachable(address: Address): Address {
  if (address.family === "ipv4" && address.host === "0.0.0.0")
    return { ...address, host: "127.0.0.1" };
  if (address.family === "ipv6" && address.host === "::") return { ...address, host: "::1" };
  return address;
}

/** `result` is not an error; the message names it if it is. */
export function assertOk(result: number, what: string): void {
  assert.ok(result >= 0, `${what} gave −${errnoName(result)}`);
}

/** Bytes in which every position can be told from its neighbours. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** Equal, with a message that does not print a mebibyte. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.length, expected.length, "number of bytes");
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  assert.fail(`byte ${at} of ${actual.length} differs`);
}

export function connectionsOf(stage: Stage): number[] {
  return [...stage.log.lives].filter(([, life]) => life.kind === "connection").map(([h]) => h);
}

/** Takes the slots that are left with listeners; they must be exactly as many as said. */
export async function fillSlots(stage: Stage, slots: number): Promise<void> {
  for (let n = 0; n < slots; n++) await stage.listen();
}

/** Every verb answers −EBADF. */
export function assertAllRefused(stage: Stage, handle: number): void {
  const { driver } = stage;
  const verbs: Record<string, () => unknown> = {
    send: () => driver.inner.send(handle, 0, 1),
    sendNow: () => driver.inner.sendNow(handle, HELLO),
    pause: () => driver.inner.pause(handle),
    resume: () => driver.inner.resume(handle),
    shutdown: () => driver.inner.shutdown(handle),
    close: () => driver.inner.close(handle, false),
    detach: () => driver.inner.detach(handle),
    configure: () => driver.inner.configure(handle, { noDelay: true }),
    localAddress: () => driver.inner.localAddress(handle),
    remoteAddress: () => driver.inner.remoteAddress(handle),
    tcpInfo: () => driver.inner.tcpInfo(handle),
    descriptor: () => driver.inner.descriptor(handle),
  };
  for (const [name, verb] of Object.entries(verbs)) {
    assert.equal(verb(), -EBADF, `${name} on handle ${handle}`);
  }
}
