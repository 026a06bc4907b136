// A simulation of whole reactors: one seed is one run, with limits, handlers, clients and faults that the seed draws.
//
// Oracles, at each step: the ledger of each connection (session.ts), the counters, the memory. At the end: every client
// has read a prefix of what was written to it, the whole of it if nothing broke; once faults stop and the clients leave
// everything ends within the deadlines; all counts are zero.
//
// A run is one synchronous call, and must come from a callback of the event loop: see promises.ts.

import { Buffer } from "node:buffer";
import { Random } from "../../src/driver/random.ts";
import { NO_FAULTS, type Occurrence } from "../../src/driver/simulated-faults.ts";
import { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import type { CloseReason } from "../../src/handlers.ts";
import { Client } from "./client.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { runTicks } from "./promises.ts";
import { Server, type SimulatedHandlers, type Stage } from "./server.ts";
import type { Session } from "./session.ts";
import { ADDRESS, MOST_ADVANCE_MS, SimulatedRun } from "./simulated-run.ts";

export interface SimulationOptions {
  readonly seed: number;
  /** Told of everything that happens, in order. */
  readonly trace?: (line: string) => void;
  /** A planted bug's chance to change what a seed has drawn, or what reaches the handlers. */
  readonly plant?: Planted;
}

export interface Planted {
  limits?(limits: Plan["limits"]): Plan["limits"];
  handlers?(handlers: SimulatedHandlers): SimulatedHandlers;
}

export interface Outcome {
  readonly occurred: Readonly<Record<Occurrence, number>>;
  readonly reasons: Readonly<Partial<Record<CloseReason, number>>>;
  readonly sessions: number;
  readonly messages: number;
  readonly bytes: number;
  readonly steps: number;
  readonly operations: number;
  /** Clients that kept to the rules and were shown to have read everything. */
  readonly complete: number;
  readonly virtualMs: number;
}

/** Faults stop at the latest after so long; then everything must come to its end. */
const FAULTY_MS = 4 * 3_600_000;
/** Handlers hurry once faults have stopped. */
const HURRIED_MS = 0.01;
/** Beyond the deadlines: latencies, handlers, and what was queued before a connection was let in. */
const SLACK_MS = 60_000;
/** A client that waits so long while there is room was forgotten; a step counts for no more than MOST_WAITED_MS. */
const FORGOTTEN_MS = 6000;
const MOST_WAITED_MS = 100;
/** Turns one after the other in which neither time passes nor anything happens. */
const MOST_SPINS = 30;

/** Runs one seed to its end. @throws Breach when an oracle is violated */
export function simulate(options: SimulationOptions): Outcome {
  return new Simulation(options).run();
}

class Simulation extends SimulatedRun implements Stage {
  readonly plan: Plan;
  readonly network: SimulatedNetwork;
  readonly random: Random;
  protected readonly clients: readonly Client[];
  protected readonly servers: readonly Server[];
  readonly #plant: Planted | undefined;
  /** When handlers go on, and whatever else is no event of a driver. */
  readonly #timers = new Set<number>();
  #hurry = false;
  #spins = 0;
  #accepts = 0;
  #checkedMs = 0;
  #complete = 0;

  constructor({ seed, trace, plant }: SimulationOptions) {
    super(trace);
    const random = new Random(seed);
    const drawn = drawPlan(random.fork());
    this.#plant = plant;
    this.plan = drawn;
    this.random = random.fork();
    this.network = new SimulatedNetwork({
      random: random.fork(),
      faults: drawn.faults,
      windowBytes: drawn.windowBytes,
      latencyMs: drawn.latencyMs,
    });
    this.network.trace = trace;
    this.trace(`plan ${JSON.stringify({ ...drawn, wire: drawn.wire.name })}`);
    this.servers = Array.from({ length: drawn.reactors }, () => new Server(this));
    this.listen();
    this.clients = drawn.peers.map(
      (peer) => new Client(this.network, random.fork(), peer, drawn.wire, ADDRESS.port),
    );
    if (drawn.drain !== undefined) this.#scheduleDrain(drawn.drain);
  }

  run(): Outcome {
    this.turnUntil(() => this.#areClientsDone || this.nowMs > FAULTY_MS);
    this.#leave();
    this.#finish();
    this.#checkStreams();
    for (const server of this.servers) server.checkEnd();
    this.#expectEmptyNetwork();
    this.throwBreach();
    return this.#outcome();
  }

  // What servers and sessions ask for.

  get limits() {
    return this.plan.limits;
  }

  get overflow() {
    return this.plan.overflow;
  }

  get wire() {
    return this.plan.wire;
  }

  get lossless(): boolean {
    return this.plan.lossless;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#at(this.#hurry ? HURRIED_MS : ms, resolve);
    });
  }

  wrap(handlers: SimulatedHandlers): SimulatedHandlers {
    return this.#plant?.handlers?.(handlers) ?? handlers;
  }

  reactorLimits(): Plan["limits"] {
    return this.#plant?.limits?.(this.plan.limits) ?? this.plan.limits;
  }

  // The run.

  #scheduleDrain({ atMs, cutAfterMs }: NonNullable<Plan["drain"]>): void {
    const server = this.random.pick(this.servers);
    this.#at(atMs, () => {
      this.trace("drain");
      server.drain();
    });
    if (cutAfterMs === undefined) return;
    this.#at(atMs + cutAfterMs, () => {
      this.trace("cut");
      server.cut();
    });
  }

  /** Faults stop, and every client leaves. */
  #leave(): void {
    this.trace("all leave");
    this.network.faults = NO_FAULTS;
    this.#hurry = true;
    for (const client of this.clients) client.leave(this.#isDone(client));
    const { firstByteMs, idleMs, writeMs, lingerMs } = this.plan.limits;
    const most = this.nowMs + firstByteMs + 2 * idleMs + 2 * writeMs + lingerMs + SLACK_MS;
    this.turnUntil(() => this.servers.every((server) => server.reactor.count === 0), most);
  }

  #finish(): void {
    for (const server of this.servers) if (!server.isDraining) server.drain();
    const { clock } = this.network;
    const isQuiet = () => clock.scheduled === 0 && this.servers.every((server) => server.isQuiet);
    const { writeMs } = this.plan.limits;
    this.turnUntil(isQuiet, this.nowMs + writeMs + SLACK_MS);
    // Whom the last timer woke.
    this.step();
  }

  protected step(): void {
    const before = this.nowMs;
    this.network.clock.runDue();
    for (const server of this.servers) server.settle(runTicks);
    let delivered = 0;
    const wait = this.plan.waits ? this.#untilTimer() : 0;
    for (const server of this.servers) {
      delivered += server.reactor.turn(wait);
      server.settle(runTicks);
      server.check();
    }
    this.#checkForgotten();
    if (delivered === 0) this.#advance();
    this.#spins = this.nowMs > before || delivered > 0 ? 0 : this.#spins + 1;
    if (this.#spins > MOST_SPINS) this.breach("a reactor spins");
  }

  /** Nothing came: time goes on, as far as the reactors would sleep. */
  #advance(): void {
    const untilNext = this.servers.map((server) => server.reactor.untilNextMs());
    this.network.clock.advance(Math.min(MOST_ADVANCE_MS, ...untilNext));
  }

  #at(delayMs: number, run: () => void): void {
    const timeMs = this.nowMs + delayMs;
    // Two at the same time may share an entry: the turn is then shorter than it could be.
    this.#timers.add(timeMs);
    this.network.clock.at(timeMs, () => {
      this.#timers.delete(timeMs);
      run();
    });
  }

  #untilTimer(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const timeMs of this.#timers) next = Math.min(next, timeMs);
    return next === Number.POSITIVE_INFINITY ? -1 : Math.max(0, next - this.nowMs);
  }

  get #areClientsDone(): boolean {
    return this.clients.every((client) => this.#isDone(client));
  }

  #isDone(client: Client): boolean {
    const session = this.#sessionOf(client);
    if (session !== undefined && session.closings === 0) return false;
    const wouldNotNotice = session !== undefined && client.plan.kind === "deaf";
    return client.isOver || client.hasLeft || wouldNotNotice;
  }

  #sessionOf(client: Client): Session | undefined {
    for (const server of this.servers) {
      const session = server.sessions.find((one) => one.client === client);
      if (session !== undefined) return session;
    }
    return undefined;
  }

  // Checks.

  #checkForgotten(): void {
    const accepts = this.servers.reduce((sum, server) => sum + server.accepts, 0);
    const moves = accepts !== this.#accepts;
    const hasRoom = this.servers.every((server) => server.hasRoom);
    // A jump of the clock is no time to do anything in.
    const passed = Math.min(this.nowMs - this.#checkedMs, MOST_WAITED_MS);
    this.#accepts = accepts;
    this.#checkedMs = this.nowMs;
    for (const client of this.clients ?? []) {
      // Who does not read does not notice that the connection failed in the queue.
      const waits = client.isConnected && client.plan.kind !== "deaf";
      if (!waits || client.hasLeft || this.#sessionOf(client) !== undefined) continue;
      client.waitedMs = hasRoom && !moves ? client.waitedMs + passed : 0;
      if (client.waitedMs > FORGOTTEN_MS) this.breach("a client waits, and there is room");
    }
  }

  #checkStreams(): void {
    for (const client of this.clients) {
      const session = this.#sessionOf(client);
      if (session !== undefined) this.#checkStream(client, session);
    }
  }

  #checkStream(client: Client, session: Session): void {
    const received = client.received();
    const written = session.written();
    const name = `connection ${session.connection.id} (${session.style}, ${session.reason})`;
    if (Buffer.compare(received, written.subarray(0, received.length)) !== 0) {
      this.breach(`${name}: its client read what was never written, or not there`);
    }
    const whole = received.length === written.length;
    const amount = `${received.length} of ${written.length} bytes`;
    if (client.sawEnd && !whole && !client.hasLeft && !this.#mayLose(session)) {
      this.breach(`${name}: its client read ${amount}, and then a clean end`);
    }
    if (!this.plan.lossless || !client.isClean || !session.endedWell) return;
    if (!client.sawEnd || !whole) {
      this.breach(
        `${name}: its client read ${amount}; ended ${client.sawEnd}, error ${client.error}`,
      );
    }
    this.#complete++;
  }

  /** Lossy networks may bring the end in front of an error that a send has been told. */
  #mayLose(session: Session): boolean {
    return !this.plan.lossless && session.reason === "error";
  }

  #expectEmptyNetwork(): void {
    const { openSockets, openListeners } = this.network;
    if (openSockets > 0) this.breach(`${openSockets} sockets are left`);
    if (openListeners > 0) this.breach(`${openListeners} listeners are left`);
  }

  #outcome(): Outcome {
    const sessions = this.servers.flatMap((server) => server.sessions);
    const reasons: Partial<Record<CloseReason, number>> = {};
    for (const { reason } of sessions) {
      if (reason !== undefined) reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
    const sum = (of: (session: Session) => number) =>
      sessions.reduce((total, session) => total + of(session), 0);
    return {
      occurred: this.network.occurred,
      reasons,
      sessions: sessions.length,
      messages: sum((session) => session.handled.messages),
      bytes: sum((session) => session.receivedLength + session.sentLength),
      steps: this.steps,
      operations: this.network.operations,
      complete: this.#complete,
      virtualMs: this.nowMs,
    };
  }
}
