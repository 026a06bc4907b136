// A peer: a plain node:net socket that remembers everything that happens to it.

import { Buffer } from "node:buffer";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import type { TestContext } from "node:test";
import type { Address } from "../../src/sys/address.ts";
import { until } from "./until.ts";

export class Client {
  readonly socket: Socket;
  /** As they came from the kernel. */
  readonly chunks: Buffer[] = [];
  receivedLength = 0;
  connected = false;
  /** The server's stream has ended in order. */
  ended = false;
  closed = false;
  error: string | undefined;
  /** The chunks that were asked for, one behind the other: nothing is copied again for each that comes. */
  #joined = Buffer.alloc(0);
  #joinedChunks = 0;
  #joinedLength = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("connect", () => {
      this.connected = true;
    });
    socket.on("data", (bytes: Buffer) => {
      this.chunks.push(bytes);
      this.receivedLength += bytes.length;
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error ??= error.code ?? error.message;
    });
    socket.on("close", () => {
      this.closed = true;
    });
  }

  /** Resolves when the kernel has connected it: the server may not have accepted it yet. */
  static async connect(t: TestContext, address: Address): Promise<Client> {
    const client = Client.dial(t, address);
    await until(() => client.connected || client.closed, "connecting");
    if (client.error !== undefined) throw new Error(`connecting failed: ${client.error}`);
    return client;
  }

  /** Begins to connect; gone when the test is over. */
  static dial(t: TestContext, address: Address): Client {
    const client = new Client(connect({ ...whereTo(address), allowHalfOpen: true }));
    t.after(() => client.destroy());
    return client;
  }

  /** Connected without reading: nothing is taken out of the kernel's buffer before `socket.resume`. */
  static async silent(t: TestContext, address: Address): Promise<Client> {
    const client = Client.dial(t, address);
    client.socket.pause();
    await until(() => client.connected || client.closed, "connecting");
    return client;
  }

  write(data: Uint8Array | string): void {
    this.socket.write(data);
  }

  /** All that has come; stays as it is. */
  received(): Buffer {
    if (this.#joined.length < this.receivedLength) {
      const larger = Buffer.allocUnsafe(2 * this.receivedLength);
      this.#joined.copy(larger, 0, 0, this.#joinedLength);
      this.#joined = larger;
    }
    for (; this.#joinedChunks < this.chunks.length; this.#joinedChunks++) {
      const copied = this.chunks[this.#joinedChunks]?.copy(this.#joined, this.#joinedLength) ?? 0;
      this.#joinedLength += copied;
    }
    return this.#joined.subarray(0, this.receivedLength);
  }

  text(): string {
    return this.received().toString();
  }

  /** Waits for at least so many bytes, and gives all that have come. */
  async bytes(length: number): Promise<Buffer> {
    const over = () => this.receivedLength >= length || this.ended || this.closed;
    await until(over, () => `${length} bytes (${this.state()})`);
    return this.received();
  }

  /** Waits for the end of the stream, or its error, and gives all that have come. */
  async end(): Promise<Buffer> {
    await until(
      () => this.ended || this.closed,
      () => `the end of the stream (${this.state()})`,
    );
    return this.received();
  }

  /** Bytes that this side's kernel has taken. */
  get takenLength(): number {
    return this.socket.bytesWritten - this.socket.writableLength;
  }

  state(): string {
    const { receivedLength, connected, ended, closed, error } = this;
    return JSON.stringify({ receivedLength, connected, ended, closed, error });
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

function whereTo(address: Address): NetConnectOpts {
  if (address.family === "unix") return { path: address.path };
  const { host, port } = address;
  if (host === "::") return { host: "::1", port };
  return { host: host === "0.0.0.0" ? "127.0.0.1" : host, port };
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
