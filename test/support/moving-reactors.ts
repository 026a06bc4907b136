// Two reactors with drivers of their own in one thread, and clients that check every byte while their connections are moved
// to and fro: through a structured clone, as between threads. Turned here, so that a test decides what happens between two
// turns.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { setImmediate as nextImmediate } from "node:timers/promises";
import { lengthPrefix } from "../../src/codec/length-prefix.ts";
import type { Driver, DriverEvents } from "../../src/driver/driver.ts";
import { Random } from "../../src/driver/random.ts";
import type { CloseReason, Connection, Handlers } from "../../src/handlers.ts";
import { completeLimits, type Limits } from "../../src/limits.ts";
import type { ReactorConnection } from "../../src/reactor/connection.ts";
import { COUNTER_STRIDE, readCounters } from "../../src/reactor/counters.ts";
import type { MovedConnection } from "../../src/reactor/moving.ts";
import { Reactor } from "../../src/reactor/reactor.ts";
import { NEVER_MS } from "./until.ts";

const SLOTS = 256;
const MIB = 1024 * 1024;
const CODEC = lengthPrefix({ header: "varint", maximumBytes: MIB });

export type MakeDriver = (events: DriverEvents, slots: number) => Driver;
/** What the handlers of a moving connection remember: messages handled, and in how many threads it has been. */
export interface Travels {
  handled: number;
  arrivals: number;
}
export type Traveller = ReactorConnection<Buffer, Uint8Array | string, Travels>;

export class MovingReactors {
  readonly reactors: readonly Reactor<Buffer, Uint8Array | string, Travels>[];
  readonly errors: unknown[] = [];
  readonly closed: CloseReason[] = [];
  opened = 0;
  /** Connections that each reactor's handlers know of. */
  readonly known: readonly Set<Traveller>[] = [new Set(), new Set()];
  port = 0;
  readonly #ids = new Int32Array(1);
  readonly #counters = [0, 1].map(() => new Float64Array(COUNTER_STRIDE));

  constructor(
    make: MakeDriver,
    handlers: Partial<Handlers<Buffer, Uint8Array | string, Travels>> = {},
    limits: Partial<Limits> = {},
  ) {
    this.reactors = this.#counters.map(
      (counters, index) =>
        new Reactor<Buffer, Uint8Array | string, Travels>({
          handlers: { ...this.#handlers(index), ...handlers },
          limits: completeLimits({ connections: SLOTS - 16, outputBytes: 16 * MIB, ...limits }),
          overflow: "close",
          slots: SLOTS,
          ids: this.#ids,
          counters,
          report: (error) => void this.errors.push(error),
          poison: true,
          makeDriver: (events) => make(events, SLOTS),
        }),
    );
  }

  /** The first reactor listens. */
  async listen(): Promise<void> {
    const [first] = this.reactors;
    if (first === undefined) return;
    const address = { family: "ipv4", host: "127.0.0.1", port: 0 } as const;
    const listening = first.listen({ address, backlog: 128, options: { noDelay: true } });
    this.turn();
    const bound = first.driver.localAddress(await listening);
    if (typeof bound === "object" && bound.family !== "unix") this.port = bound.port;
  }

  /** One turn of each, without waiting. */
  turn(): void {
    for (const reactor of this.reactors) {
      reactor.turn(0);
      reactor.afterTurn();
    }
  }

  async until(done: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + NEVER_MS;
    while (!done()) {
      if (performance.now() > deadline) throw new Error(`this never happened: ${what}`);
      this.turn();
      await nextImmediate();
    }
  }

  counters(index: number) {
    return readCounters(this.#counters[index] as Float64Array);
  }

  /** Moves a connection from a reactor to the other one; false: it stays, now or in the end (`ended`). */
  move(from: number, connection: Traveller, ended: (moved: boolean) => void = () => {}): boolean {
    const hand = (moved: MovedConnection) => {
      const clone = structuredClone(moved);
      assert.ok(this.reactors[1 - from]?.moving.arrive(clone), "there is room");
      ended(true);
    };
    return this.reactors[from]?.moving.start(connection, hand, () => ended(false)) === true;
  }

  async close(): Promise<void> {
    const drained = this.reactors.map((reactor) => reactor.drain());
    let left = this.reactors.length;
    for (const each of drained) void each.then(() => left--);
    await this.until(() => left === 0, "the end of all connections");
    for (const reactor of this.reactors) reactor.driver.dispose();
    for (const index of [0, 1]) {
      const { connections, outputBytes, inputBytes } = this.counters(index);
      assert.deepEqual([connections, outputBytes, inputBytes], [0, 0, 0], "what is left");
    }
  }

  /** An echo that says how many messages it has handled; some connections think for a while, some answer at length. */
  #handlers(index: number): Handlers<Buffer, Uint8Array | string, Travels> {
    const known = this.known[index] as Set<Traveller>;
    return {
      codec: CODEC,
      state: () => ({ handled: 0, arrivals: 0 }),
      opened: (connection) => {
        this.opened++;
        known.add(connection as Traveller);
      },
      departed: (connection) => {
        assert.ok(known.delete(connection as Traveller), "departed twice");
      },
      arrived: (connection) => {
        known.add(connection as Traveller);
        connection.state.arrivals++;
      },
      message: (connection, body) => answer(connection, body),
      closed: (connection, reason) => {
        assert.ok(known.delete(connection as Traveller), "closed by the wrong reactor");
        this.closed.push(reason);
      },
    };
  }
}

function answer(
  connection: Connection<Uint8Array | string, Travels>,
  body: Buffer,
): undefined | Promise<void> {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(connection.state.handled++);
  const send = () => void connection.send(Buffer.concat([count, body]));
  if (connection.id % 3 === 0) return nextImmediate().then(send);
  send();
  return connection.id % 5 === 0 ? connection.drained() : undefined;
}

/** One client: sends numbered messages of random lengths, cut anywhere, and checks that each comes back, once and in order. */
export class CheckingClient {
  readonly socket: Socket;
  received = 0;
  bytes = 0;
  wrong = "";
  ended = false;
  #sent = 0;
  readonly #random: Random;
  readonly #expected: Buffer[] = [];
  #unread: Buffer = Buffer.alloc(0);
  #unwritten: Buffer = Buffer.alloc(0);

  constructor(port: number, random: Random) {
    this.#random = random;
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.socket.on("data", (bytes: Buffer) => this.#data(bytes));
    this.socket.on("error", (error) => {
      this.wrong ||= error.message;
    });
    this.socket.on("close", () => {
      this.ended = true;
    });
  }

  /** Sends a few more pieces, unless much is under way. */
  push(): void {
    if (this.#sent - this.received < 32 && this.#unwritten.length < 4096) this.#compose();
    const length = this.#random.between(0, Math.min(this.#unwritten.length, 3000));
    if (length === 0) return;
    this.socket.write(this.#unwritten.subarray(0, length));
    this.#unwritten = this.#unwritten.subarray(length);
  }

  /** Everything that was begun is sent; true when all of it has come back. */
  finish(): boolean {
    if (this.#unwritten.length > 0) this.socket.write(this.#unwritten);
    this.#unwritten = Buffer.alloc(0);
    return this.received === this.#sent || this.wrong !== "";
  }

  #compose(): void {
    const long = this.#random.below(40) === 0;
    const body = Buffer.allocUnsafe(this.#random.below(long ? 60_000 : 300));
    for (let at = 0; at < body.length; at += 4) {
      if (at + 4 <= body.length) body.writeUInt32LE(this.#random.uint32(), at);
      else body.fill(at, at);
    }
    const count = Buffer.alloc(4);
    count.writeUInt32LE(this.#sent++);
    this.#expected.push(framed(Buffer.concat([count, body])));
    this.#unwritten = Buffer.concat([this.#unwritten, framed(body)]);
  }

  #data(bytes: Buffer): void {
    this.bytes += bytes.length;
    this.#unread = Buffer.concat([this.#unread, bytes]);
    for (;;) {
      const next = this.#expected[0];
      if (next === undefined || this.#unread.length < next.length) break;
      if (!this.#unread.subarray(0, next.length).equals(next)) {
        this.wrong ||= `answer ${this.received} is not what was sent`;
      }
      this.#unread = this.#unread.subarray(next.length);
      this.#expected.shift();
      this.received++;
    }
    if (this.#expected.length === 0 && this.#unread.length > 0) this.wrong ||= "more than was sent";
  }
}

function framed(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  const text = (data: string) => void parts.push(Buffer.from(data));
  CODEC.encode(body, {
    text,
    bytes: (data) => void parts.push(Buffer.from(data)),
    uint: (value) => void parts.push(Buffer.of(value)),
  });
  return Buffer.concat(parts);
}

export interface Moves {
  readonly moved: number;
  readonly stayed: number;
  readonly messages: number;
  readonly bytes: number;
}

/** Moves connections under load until so many moves are done, then lets all come to their end. @throws what went wrong */
export async function moveUnderLoad(
  make: MakeDriver,
  options: { readonly connections: number; readonly moves: number; readonly seed: number },
): Promise<Moves> {
  const random = new Random(options.seed);
  const pair = new MovingReactors(make);
  await pair.listen();
  const clients = Array.from(
    { length: options.connections },
    () => new CheckingClient(pair.port, random.fork()),
  );
  await pair.until(() => pair.opened === clients.length, "all connections");
  let moved = 0;
  let stayed = 0;
  const ended = (went: boolean) => {
    if (went) moved++;
    else stayed++;
  };
  const wrong = () => clients.find((client) => client.wrong !== "")?.wrong;
  const step = () => {
    for (const client of clients) if (random.below(3) === 0) client.push();
    for (const [index, known] of pair.known.entries()) {
      for (const connection of known) {
        if (random.below(4) === 0) pair.move(index, connection, ended);
      }
    }
    return moved >= options.moves || wrong() !== undefined;
  };
  await pair.until(step, `${options.moves} moves`);
  assert.equal(wrong(), undefined);
  await pair.until(() => clients.every((client) => client.finish()), "all answers");
  assert.equal(wrong(), undefined);
  for (const client of clients) client.socket.end();
  await pair.until(() => clients.every((client) => client.ended), "the end of all clients");
  await pair.close();
  assert.deepEqual(pair.errors, []);
  assert.equal(pair.opened, clients.length);
  assert.deepEqual(
    pair.closed,
    clients.map(() => "peer-ended"),
  );
  const [first, second] = [pair.counters(0), pair.counters(1)];
  assert.deepEqual([first.departed, second.departed], [second.arrived, first.arrived]);
  assert.equal(first.departed + second.departed, moved);
  const sum = (of: (client: CheckingClient) => number) =>
    clients.reduce((total, client) => total + of(client), 0);
  return { moved, stayed, messages: sum((c) => c.received), bytes: sum((c) => c.bytes) };
}
