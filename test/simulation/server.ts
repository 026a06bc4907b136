// One reactor of a simulation: its handlers, which behave as the plan says, and a ledger for each connection.

import type { Buffer } from "node:buffer";
import type { DriverEvents, DriverOptions, Handle } from "../../src/driver/driver.ts";
import type { Random } from "../../src/driver/random.ts";
import { SimulatedDriver } from "../../src/driver/simulated-driver.ts";
import type { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import type { Connection, Handlers } from "../../src/handlers.ts";
import { GONE, ReactorConnection } from "../../src/reactor/connection.ts";
import { makeCounters, readCounters } from "../../src/reactor/counters.ts";
import { Reactor } from "../../src/reactor/reactor.ts";
import { ALONE, ThreadMail } from "../../src/server/thread-mail.ts";
import { formatAddress } from "../../src/sys/address.ts";
import { arenaOf } from "./arenas.ts";
import type { Client } from "./client.ts";
import type { Plan } from "./plan.ts";
import { type Scene, Session } from "./session.ts";
import { letters } from "./wire.ts";

/** What a server needs of the run it is part of. */
export interface Stage extends Scene {
  readonly network: SimulatedNetwork;
  readonly plan: Plan;
  readonly random: Random;
  /** Resolves in virtual time. */
  sleep(ms: number): Promise<void>;
  clientAt(address: string): Client | undefined;
  /** What the reactor is given for limits. */
  reactorLimits(): Plan["limits"];
  /** A planted bug's chance to change what reaches the handlers. */
  wrap(handlers: SimulatedHandlers): SimulatedHandlers;
}

export type SimulatedHandlers = Handlers<unknown, unknown, unknown>;

const SPARE_SLOTS = 6;
const ROUNDS_PER_TURN = 16;
const MOST_HOPS = 5;
const FLOOD_BYTES = 150_000;
/** Through a narrow window even a flood must come to its end. */
const FLOOD_WINDOWS = 100;

export class Server {
  readonly reactor: Reactor<unknown, unknown, unknown>;
  readonly sessions: Session[] = [];
  readonly #live = new Map<Handle, Session>();
  readonly #bySubject = new Map<unknown, Session>();
  readonly #counters = makeCounters(1);
  readonly #stage: Stage;
  #driver: ObservedDriver | undefined;
  #throws = 0;
  #reports = 0;
  #failedStates = 0;
  #refusedStates = 0;
  /** Accepting failed, and is tried again some time. */
  failedAcceptMs = Number.NEGATIVE_INFINITY;
  /** Accepts that came to something, good or bad. */
  accepts = 0;
  isDraining = false;
  isEmptied = false;

  constructor(stage: Stage) {
    this.#stage = stage;
    const { plan } = stage;
    const parts = {
      handlers: stage.wrap(this.#handlers()),
      limits: stage.reactorLimits(),
      counters: this.#counters,
      report: () => this.#reports++,
    };
    this.reactor = new Reactor<unknown, unknown, unknown>({
      ...parts,
      mail: new ThreadMail({ ...parts, place: ALONE }),
      overflow: plan.overflow,
      slowSubscriber: "drop",
      slots: plan.limits.connections + SPARE_SLOTS,
      poison: plan.poison,
      makeDriver: (events) => {
        const slots = plan.limits.connections + SPARE_SLOTS;
        const outputBytes = plan.limits.outputBytes;
        this.#driver = new ObservedDriver({ events, slots, outputBytes }, stage.network, this);
        return this.#driver;
      },
    });
  }

  get hasRoom(): boolean {
    const { limits, nowMs } = this.#stage;
    const { capacity, inUse } = arenaOf(this.reactor.driver.output);
    if (this.isDraining || this.reactor.count >= limits.connections) return false;
    return inUse <= capacity / 2 && nowMs > this.failedAcceptMs;
  }

  /** It holds nothing and waits for nothing. */
  get isQuiet(): boolean {
    const handles = this.#driver?.handles ?? 0;
    return handles === 0 && this.reactor.untilNextMs() === Number.POSITIVE_INFINITY;
  }

  /** Promises and what they let go on, as the thread's loop does it. */
  settle(runTicks: () => void): void {
    for (let round = 0; round < ROUNDS_PER_TURN; round++) {
      runTicks();
      if (!this.reactor.afterTurn()) return;
    }
    this.reactor.driver.wake();
  }

  drain(): void {
    this.isDraining = true;
    for (const session of this.#live.values()) session.drained = true;
    void this.reactor.drain().then(() => {
      this.isEmptied = true;
      if (this.reactor.count > 0) this.#stage.breach("drained with connections left");
    });
  }

  cut(): void {
    for (const session of this.#live.values()) session.wasCut = true;
    this.reactor.closeAll();
  }

  // What its driver does, before and after the reactor hears of it.

  accepted(result: number): void {
    this.accepts++;
    if (result < 0) this.failedAcceptMs = this.#stage.nowMs;
  }

  received(handle: Handle, result: number): void {
    this.#live.get(handle)?.received(result);
  }

  sent(handle: Handle, result: number): void {
    this.#live.get(handle)?.sent(result);
  }

  gone(handle: Handle): void {
    const session = this.#live.get(handle);
    this.#live.delete(handle);
    if (session?.closings === 0) this.#stage.breach("a connection is gone and nobody was told");
  }

  sends(handle: Handle): void {
    this.#live.get(handle)?.sends();
  }

  sentNow(handle: Handle, result: number): void {
    this.#live.get(handle)?.sentNow(result);
  }

  closes(handle: Handle): void {
    const session = this.#live.get(handle);
    if (session === undefined) this.#refuses(handle);
    else session.goes(() => this.#isMemoryShort());
  }

  // Checks.

  check(): void {
    const { limits } = this.#stage;
    const { count } = this.reactor;
    const arena = arenaOf(this.reactor.driver.output);
    let pending = 0;
    let held = 0;
    let heldByOpen = 0;
    for (const session of this.#live.values()) {
      session.check();
      const { connection, heldBytes } = session;
      pending += connection.pendingBytes;
      held += heldBytes;
      if ((connection.flags & GONE) === 0) heldByOpen += heldBytes;
    }
    for (const session of this.#live.values()) {
      const host = session.client?.plan.host ?? "";
      const from = this.#from(host);
      this.#expect(from <= limits.connectionsPerAddress, `${from} connections from ${host}`);
    }
    this.#expect(count <= limits.connections, `${count} connections`);
    this.#expect(count === this.#live.size, `${count} counted of ${this.#live.size}`);
    this.#expect(arena.inUse <= arena.capacity, `${arena.inUse} bytes of the arena in use`);
    this.#expect(pending <= arena.inUse, `${pending} bytes wait in ${arena.inUse}`);
    const counted = readCounters(this.#counters);
    this.#expect(counted.outputBytes === arena.inUse, "output bytes are counted wrongly");
    this.#expect(counted.inputBytes === held, `${counted.inputBytes} counted, ${held} bytes held`);
    this.#expect(heldByOpen <= limits.inputBytes, `${heldByOpen} bytes of input`);
  }

  /** Nothing is left, and the counters tell what happened. */
  checkEnd(): void {
    const driver = this.#driver as ObservedDriver;
    const counted = readCounters(this.#counters);
    const sum = (of: (session: Session) => number) =>
      this.sessions.reduce((total, session) => total + of(session), 0);
    const opened = this.sessions.length;
    const zeros = {
      connections: this.reactor.count,
      counted: counted.connections,
      arena: arenaOf(driver.output).inUse,
      outputBytes: counted.outputBytes,
      inputBytes: counted.inputBytes,
      handles: driver.handles,
      sends: driver.sendsUnderWay,
      operations: driver.operationsUnderWay,
      live: this.#live.size,
      drains: sum((session) => session.openDrains),
      handling: sum((session) => Number(session.handling)),
      untold: sum((session) => 1 - session.closings),
      accepted: counted.accepted - opened,
      closed: counted.closed - opened,
      messages: counted.messages - sum((session) => session.handled.messages),
      bytesReceived: counted.bytesReceived - sum((session) => session.receivedLength),
      bytesSent: counted.bytesSent - sum((session) => session.sentLength),
      reports: this.#reports - this.#throws - this.#failedStates,
    };
    for (const [name, value] of Object.entries(zeros)) {
      this.#expect(value === 0, `${name} is ${value} at the end`);
    }
    const until = this.reactor.untilNextMs();
    this.#expect(until === Number.POSITIVE_INFINITY, `a deadline is left, in ${until} ms`);
    this.#expect(this.isEmptied, "drain() never resolved");
  }

  /** Closed and never opened: a listener, or a connection for which there must be a reason. */
  #refuses(handle: Handle): void {
    const remote = this.reactor.driver.remoteAddress(handle);
    if (typeof remote === "number" || this.isDraining) return;
    const failed = this.#failedStates > this.#refusedStates;
    if (failed) this.#refusedStates++;
    const most = this.#stage.limits.connectionsPerAddress;
    const crowded = remote.family !== "unix" && this.#from(remote.host) >= most;
    this.#expect(failed || crowded, "a connection is refused for no reason");
  }

  /** Connections from an address that counts. */
  #from(host: string): number {
    if (host.startsWith("127.")) return 0;
    let count = 0;
    for (const session of this.#live.values()) {
      if (session.client?.plan.host === host) count++;
    }
    return count;
  }

  #isMemoryShort(): boolean {
    let held = 0;
    for (const session of this.#live.values()) held += session.heldBytes;
    const arena = arenaOf(this.reactor.driver.output);
    return held > this.#stage.limits.inputBytes || arena.inUse === arena.capacity;
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.#stage.breach(what);
  }

  // The handlers.

  #handlers(): SimulatedHandlers {
    const { plan, random } = this.#stage;
    const ended = (connection: Connection<unknown, unknown>) => this.#ended(connection);
    return {
      // Bytes as they come need no codec.
      ...(plan.wire.framed && { codec: plan.wire.codec }),
      borrow: plan.borrow,
      state: () => {
        if (!plan.failingState || !random.chance(0.2)) return undefined;
        this.#failedStates++;
        throw new Error("no state");
      },
      opened: (connection) => this.#opened(connection),
      message: (connection, message) => this.#message(connection, message),
      ...(plan.hasEnded && { ended }),
      draining: (connection) => {
        if (random.chance(0.3)) this.#of(connection).send(letters(random, 30));
      },
      closed: (connection, reason, error) => {
        const session = this.#of(connection);
        this.#stage.trace(`${connection.id} closed ${reason}`);
        session.closed(reason, error);
        this.#expect(!connection.write("x"), "a write after closed was taken");
        if (session.style === "throwing" && random.chance(0.3)) throw this.#thrown();
      },
    };
  }

  #opened(connection: Connection<unknown, unknown>): void | Promise<void> {
    const { random, plan } = this.#stage;
    if (!(connection instanceof ReactorConnection)) throw new TypeError("another connection");
    const remote = connection.remoteAddress;
    const client = remote && this.#stage.clientAt(formatAddress(remote));
    const session = new Session(this.#stage, connection, client, random.pick(plan.styles));
    this.#stage.trace(`${connection.id} opened ${session.style}`);
    this.#expect(client !== undefined, "a connection of nobody's");
    this.sessions.push(session);
    this.#live.set(connection.handle, session);
    this.#bySubject.set(connection, session);
    if (session.style === "greeting") session.send(letters(random, 100));
    if (session.style === "throwing" && random.chance(0.1)) this.#throw(session);
    if (session.style === "async" && random.chance(0.5)) {
      return this.#handle(session, () => this.#dawdle());
    }
    return undefined;
  }

  #message(connection: Connection<unknown, unknown>, message: unknown): void | Promise<void> {
    const session = this.#of(connection);
    const content = this.#stage.wire.toContent(message);
    this.#stage.trace(`${connection.id} message ${content.length}`);
    session.message(content);
    return this.#handle(session, () => this.#respond(session, content));
  }

  #ended(connection: Connection<unknown, unknown>): void | Promise<void> {
    const session = this.#of(connection);
    const { random } = this.#stage;
    this.#stage.trace(`${connection.id} ended`);
    session.ended();
    return this.#handle(session, () => {
      session.send(letters(random, random.between(1, 200)));
      const finish = random.chance(0.5) ? () => session.close() : () => session.end();
      const how = random.below(3);
      if (how === 0) return finish();
      if (how === 1) return this.#dawdle().then(finish);
      void this.#dawdle().then(finish);
      return undefined;
    });
  }

  /** Runs a part of a handler, and knows until when. */
  #handle(session: Session, part: () => void | Promise<void>): void | Promise<void> {
    session.handling = true;
    let returned: void | Promise<void>;
    try {
      returned = part();
    } finally {
      session.handling = false;
    }
    if (returned === undefined) return undefined;
    session.handling = true;
    return returned.finally(() => {
      session.handling = false;
    });
  }

  #respond(session: Session, content: Buffer): void | Promise<void> {
    const { random } = this.#stage;
    switch (session.style) {
      case "mute":
        return;
      case "async":
        return this.#dawdle().then(() => {
          session.send(content);
        });
      case "patient":
        return session.send(content) ? undefined : session.drainedOut();
      case "pieces":
        return this.#inPieces(session, content);
      case "pausing":
        return this.#pause(session, content);
      case "broadcast":
        return this.#broadcast(content);
      case "closing":
        session.send(content);
        if (random.chance(0.3)) session.close();
        return;
      case "halving":
        session.send(content);
        if (random.chance(0.2)) session.end();
        return;
      case "resetting":
        session.send(content);
        if (random.chance(0.2)) session.reset();
        return;
      case "throwing":
        session.send(content);
        if (random.chance(0.1)) this.#throw(session);
        return random.chance(0.1) ? this.#dawdle().then(() => this.#throw(session)) : undefined;
      case "flooding":
        return this.#flood(session, content);
      default:
        session.send(content);
    }
  }

  async #dawdle(): Promise<void> {
    const { random, plan } = this.#stage;
    if (random.chance(0.5)) return this.#stage.sleep(random.fraction() * plan.longestSleepMs);
    for (let hops = random.below(MOST_HOPS); hops > 0; hops--) await undefined;
  }

  #inPieces(session: Session, content: Buffer): void | Promise<void> {
    const { random } = this.#stage;
    let at = 0;
    do {
      const piece = content.subarray(at, at + random.between(1, content.length + 1));
      at += Math.max(piece.length, 1);
      if (random.chance(0.5)) session.send(piece);
      else session.write(piece, random.chance(0.5));
    } while (at < content.length);
    return random.chance(0.2) ? this.#dawdle() : undefined;
  }

  #flood(session: Session, content: Buffer): void {
    const { random, plan } = this.#stage;
    if (session.writtenLength > plan.windowBytes * FLOOD_WINDOWS) {
      session.send(content);
      return;
    }
    for (let n = random.below(4); n > 0; n--) {
      session.write(letters(random, random.below(FLOOD_BYTES)), random.chance(0.5));
    }
  }

  #pause(session: Session, content: Buffer): void {
    const { random, plan } = this.#stage;
    session.send(content);
    if (random.chance(0.6)) return;
    session.pause();
    if (random.chance(0.2)) return session.resume();
    const sleep = this.#stage.sleep(random.fraction() * plan.longestSleepMs);
    void sleep.then(() => session.resume());
  }

  #broadcast(content: Buffer): void {
    const { limits } = this.#stage;
    for (const session of this.#live.values()) {
      if (session.connection.pendingBytes <= limits.highWaterBytes) session.send(content);
    }
  }

  #throw(session: Session): never {
    const thrown = this.#thrown();
    // A connection that closes for another reason keeps that reason.
    session.threw ??= thrown;
    throw thrown;
  }

  #thrown(): Error {
    this.#throws++;
    return new Error(`thrown ${this.#throws}`);
  }

  #of(connection: Connection<unknown, unknown>): Session {
    const session = this.#bySubject.get(connection);
    if (session === undefined) throw new Error("a connection that was never opened");
    return session;
  }
}

/** The simulated driver, with somebody who looks on. */
class ObservedDriver extends SimulatedDriver {
  readonly #server: Server;

  constructor(options: DriverOptions, network: SimulatedNetwork, server: Server) {
    super({ ...options, events: observed(options.events, server) }, network);
    this.#server = server;
  }

  override send(handle: Handle, offset: number, length: number): number {
    this.#server.sends(handle);
    return super.send(handle, offset, length);
  }

  override sendNow(handle: Handle, bytes: Uint8Array): number {
    const count = super.sendNow(handle, bytes);
    this.#server.sentNow(handle, count);
    return count;
  }

  override close(handle: Handle, reset: boolean): number {
    this.#server.closes(handle);
    return super.close(handle, reset);
  }
}

function observed(events: DriverEvents, server: Server): DriverEvents {
  return {
    listening: (listener, result) => events.listening(listener, result),
    accepted(listener, result) {
      server.accepted(result);
      events.accepted(listener, result);
    },
    connected: (handle, result) => events.connected(handle, result),
    received(handle, result, offset) {
      server.received(handle, result);
      events.received(handle, result, offset);
    },
    sent(handle, result) {
      events.sent(handle, result);
      server.sent(handle, result);
    },
    closed(handle) {
      events.closed(handle);
      server.gone(handle);
    },
    detached: (handle, descriptor) => events.detached(handle, descriptor),
  };
}
