// A simulation of reactors that share one listener, as the threads of a server do: the network tells one of them of each
// connection (simulated-listener.ts), and who has been told may be busy, full, about to retire, or dead before it accepts. A
// seeded scheduler says who has a turn, and in which order. What a server does for its threads this run does: another one takes the place
// of who has died, after a while; one retires when its successor listens; and after each the others look again.
//
// Oracles: no connection waits while a reactor that accepts has room; the journey of each connection (journey.ts); the counts
// of each reactor after each round. At the end whoever kept to the rules was let in and has read everything, unless its thread
// died with it, and all counts are zero.
//
// A run is one synchronous call, and must come from a callback of the event loop: see promises.ts.

import type { ListenTarget } from "../../src/driver/driver.ts";
import { Random } from "../../src/driver/random.ts";
import { NO_FAULTS } from "../../src/driver/simulated-faults.ts";
import type { Client } from "./client.ts";
import { JourneysRun, LATEST_MS, PATIENCE_MS } from "./journeys-run.ts";
import { MovingServer } from "./moving-server.ts";
import { runTicks } from "./promises.ts";
import { drawSharingPlan, type SharingPlan } from "./sharing-plan.ts";
import { ADDRESS, MOST_ADVANCE_MS } from "./simulated-run.ts";

export interface SharingOptions {
  readonly seed: number;
  /** Told of everything that happens, in order. */
  readonly trace?: (line: string) => void;
}

export interface SharingOutcome {
  readonly connections: number;
  readonly messages: number;
  readonly deaths: number;
  readonly died: number;
  readonly successions: number;
  /** Reactors that were there from the beginning, and those of them that have accepted. */
  readonly first: number;
  readonly accepting: number;
  /** So often connections waited that only the dead one, or the one that retires, had been told of. */
  readonly unheard: number;
  /** Clients that kept to the rules and were shown to have read everything. */
  readonly complete: number;
}

/** Faults stop at the latest after so long; then everything must come to its end. */
const FAULTY_MS = 12_000;
const BACKLOG = 64;
const MOST_DEATHS = 6;
const MOST_MOMENTS = 8;
/** However busy, it has a turn after so many without. */
const MOST_SKIPPED = 8;
/** So long somebody who has no turn is busy, in virtual time. */
const BUSY_MS = 5;
/** A reactor that retires looks no more for connections; the others look again after so long. */
const SETTLE_MS = 20;
/** A connection that waits so long while there is room was forgotten; a step counts for no more than MOST_WAITED_MS. */
const FORGOTTEN_MS = 3000;
const MOST_WAITED_MS = 100;

/** Runs one seed to its end. @throws Breach when an oracle is violated */
export function simulateSharing(options: SharingOptions): SharingOutcome {
  return new SharingRun(options).run();
}

class SharingRun extends JourneysRun<SharingPlan> {
  /** Those whose threads live, also when they have retired. */
  protected servers: MovingServer[];
  readonly #descriptor: number;
  readonly #all: MovingServer[] = [];
  readonly #dead = new Set<MovingServer>();
  readonly #retired = new Set<MovingServer>();
  /** Those whose successors listen, and when they retire at the latest. */
  readonly #retiring = new Map<MovingServer, number>();
  readonly #listening = new Set<MovingServer>();
  readonly #skipped = new Map<MovingServer, number>();
  /** Threads that are to be started. */
  #coming = 0;
  #deathsLeft = 0;
  #ending = false;
  /** At most so many connections died with a thread that had accepted them, and had told no handler. */
  #diedUnopened = 0;
  #waitedMs = 0;
  #checkedMs = 0;
  #accepts = 0;
  readonly #sums = { deaths: 0, died: 0, successions: 0, unheard: 0 };

  constructor({ seed, trace }: SharingOptions) {
    const random = new Random(seed);
    super(drawSharingPlan(random.fork()), random, trace);
    this.#descriptor = this.network.openListener(ADDRESS, BACKLOG, {});
    this.servers = this.plan.paces.map(() => this.#make());
    this.open(random);
    for (const server of this.servers) this.#listening.add(server);
    this.#deathsLeft = MOST_DEATHS;
    for (const atMs of this.plan.successions) this.later(atMs, () => this.#succeed());
  }

  run(): SharingOutcome {
    this.turnUntil(() => this.areClientsDone || this.nowMs > FAULTY_MS);
    this.#finish();
    this.#checkEnd();
    let complete = 0;
    let messages = 0;
    for (const journey of this.journeys.values()) {
      messages += journey.handled.messages;
      if (journey.checkStream()) complete++;
    }
    this.throwBreach();
    const first = this.#all.slice(0, this.plan.reactors);
    const accepting = first.filter(({ counters }) => counters.accepted > 0).length;
    const connections = this.journeys.size;
    return { connections, messages, ...this.#sums, first: first.length, accepting, complete };
  }

  protected override get target(): ListenTarget {
    return { descriptor: this.#descriptor, shared: true };
  }

  // Who comes and who goes.

  #make(): MovingServer {
    const server = new MovingServer(this, this.#all.length);
    this.#all.push(server);
    return server;
  }

  /** One more thread; `then` once it listens. */
  #start(then?: () => void): void {
    const server = this.#make();
    this.servers.push(server);
    void server.reactor.listen(this.target).then(() => {
      // It has died just as it was about to know.
      if (this.#dead.has(server)) return;
      this.#coming--;
      this.trace(`${server.place} listens`);
      this.#listening.add(server);
      then?.();
    });
  }

  #die(server: MovingServer): void {
    this.#deathsLeft--;
    this.#sums.deaths++;
    this.trace(`the thread of ${server.place} dies`);
    const opened = [...this.journeys.values()].filter(({ place }) => place === server.place);
    const listeners = this.#isAccepting(server) ? 1 : 0;
    this.#diedUnopened += Math.max(0, server.driver.handles - listeners - opened.length);
    // Nobody adopts them.
    for (const { descriptor } of server.driver.die()) this.network.closeDescriptor(descriptor);
    this.#dead.add(server);
    this.servers.splice(this.servers.indexOf(server), 1);
    this.#sums.died += opened.length;
    for (const journey of opened) journey.dies();
    this.#noteUnheard();
    this.#lookAgain();
    // Who was about to end is not replaced, and its successor is there.
    if (this.#retired.has(server)) return;
    this.#coming++;
    // One that dies as it starts was still to come.
    if (!this.#listening.delete(server)) this.#coming--;
    this.later(this.random.fraction() * this.plan.restartMs, () => this.#start());
  }

  /** A new one beside an old one, which retires when the new one listens, and then drains. */
  #succeed(): void {
    const able = this.servers.filter((server) => this.#isAccepting(server));
    if (this.#ending || able.length === 0) return;
    const old = this.random.pick(able);
    this.#coming++;
    this.#start(() => this.#retiring.set(old, this.nowMs + this.plan.unluckyMs));
  }

  #retireSome(): void {
    for (const [old, latestMs] of this.#retiring) {
      if (this.#isAccepting(old) && this.nowMs < latestMs && !this.#isTold(old)) continue;
      this.#retiring.delete(old);
      if (!this.#isAccepting(old)) continue;
      this.#sums.successions++;
      this.trace(`${old.place} retires`);
      this.#retired.add(old);
      old.reactor.retire();
      this.#noteUnheard();
      this.later(SETTLE_MS, () => this.#lookAgain());
      this.later(SETTLE_MS + this.plan.graceMs, () => this.#drain(old));
    }
  }

  #drain(server: MovingServer): void {
    if (this.#dead.has(server)) return;
    this.trace(`${server.place} drains`);
    for (const journey of this.journeys.values()) {
      if (journey.place === server.place) journey.drained = true;
    }
    server.drain();
  }

  #lookAgain(): void {
    for (const server of this.servers) {
      if (this.#isAccepting(server)) server.reactor.lookAgain();
    }
  }

  /** It listens, and is neither dead nor retired. */
  #isAccepting(server: MovingServer): boolean {
    return this.#listening.has(server) && !this.#retired.has(server) && !this.#dead.has(server);
  }

  // The run.

  /** Faults stop, every client leaves or comes to its end, and nothing is left. */
  #finish(): void {
    this.trace("all leave");
    this.network.faults = NO_FAULTS;
    this.#deathsLeft = 0;
    this.#ending = true;
    const latestMs = this.nowMs + LATEST_MS;
    this.turnUntil(() => this.#coming + this.#retiring.size === 0, latestMs);
    const served = (client: Client) => this.journeyOf(client)?.died === false;
    this.#awaitAll((client) => served(client) && this.endsByItself(client));
    for (const client of this.clients) {
      if (!this.endsByItself(client)) client.leave(this.isDone(client));
    }
    // There is room for whoever has waited.
    this.#awaitAll((client) => this.journeyOf(client)?.died !== true && this.endsByItself(client));
    for (const client of this.clients) client.leave(this.isDone(client));
    this.turnUntil(() => this.servers.every(({ reactor }) => reactor.count === 0), latestMs);
    this.network.closeDescriptor(this.#descriptor);
    for (const server of this.servers) this.#drain(server);
    const { clock } = this.network;
    const isQuiet = () => clock.scheduled === 0 && this.servers.every((server) => server.isQuiet);
    this.turnUntil(isQuiet, latestMs + LATEST_MS);
    // Whom the last timer woke.
    this.#waitForTurns();
  }

  #awaitAll(which: (client: Client) => boolean): void {
    const isOver = (client: Client) => !which(client) || this.isDone(client);
    this.turnUntil(() => this.clients.every(isOver), this.nowMs + PATIENCE_MS);
  }

  #waitForTurns(): void {
    for (let step = 0; step <= MOST_SKIPPED; step++) this.step();
  }

  protected step(): void {
    this.network.clock.runDue();
    for (const run of this.due.splice(0)) run();
    this.#retireSome();
    for (const server of this.servers) server.settle(runTicks);
    let delivered = 0;
    let skipped = 0;
    for (const server of this.#order()) {
      if (this.#hasTurn(server)) delivered += this.#turn(server);
      else skipped++;
    }
    for (const server of this.servers) server.check();
    this.#checkWaiting();
    if (delivered === 0 && this.due.length === 0) this.#advance(skipped > 0);
  }

  /** Those who may have a turn in this round, in any order. */
  #order(): MovingServer[] {
    const left = [...this.servers];
    return this.servers.map(
      () => left.splice(this.random.below(left.length), 1)[0] as MovingServer,
    );
  }

  #hasTurn(server: MovingServer): boolean {
    const skipped = this.#skipped.get(server) ?? 0;
    const has = skipped >= MOST_SKIPPED || this.random.chance(this.plan.paces[server.place] ?? 1);
    this.#skipped.set(server, has ? 0 : skipped + 1);
    return has;
  }

  /** A turn, in which its thread may die; how many events it delivered. */
  #turn(server: MovingServer): number {
    const dies = this.#deathsLeft > 0 && this.random.chance(this.#deathChance(server));
    const delivered = server.turn(runTicks, dies ? this.random.between(1, MOST_MOMENTS) : 0);
    if (delivered !== undefined) return delivered;
    this.#die(server);
    return 1;
  }

  /** Also of one without connections that has been told of one. */
  #deathChance(server: MovingServer): number {
    const { deathChance, ambushChance } = this.plan;
    if (this.#isTold(server)) return Math.max(deathChance, ambushChance);
    return server.reactor.count > 0 ? deathChance : 0;
  }

  /** Nothing came: time goes on, as far as the reactors would sleep. */
  #advance(someAreBusy: boolean): void {
    const untilNext = this.servers.map((server) => server.reactor.untilNextMs());
    const most = someAreBusy ? BUSY_MS : MOST_ADVANCE_MS;
    this.network.clock.advance(Math.min(most, ...untilNext));
  }

  // Checks.

  get #queued(): number {
    return this.network.listenerOf(this.#descriptor)?.waiting ?? 0;
  }

  /** Perhaps of the connections that wait: an operation of its driver has not come to its end. */
  #isTold({ driver }: MovingServer): boolean {
    return this.#queued > 0 && driver.operationsUnderWay > 0;
  }

  /** Whoever was told of the connections that wait tells nobody any more. */
  #noteUnheard(): void {
    const accepting = this.servers.filter((server) => this.#isAccepting(server));
    const told = accepting.some((server) => this.#isTold(server));
    if (this.#queued > 0 && accepting.length > 0 && !told) this.#sums.unheard++;
  }

  #checkWaiting(): void {
    const { limits } = this.plan;
    const accepts = this.#all.reduce((sum, server) => sum + server.accepts, 0);
    const hasRoom = (server: MovingServer) =>
      this.#isAccepting(server) && server.reactor.count < limits.connections;
    const forgets = this.#queued > 0 && accepts === this.#accepts && this.servers.some(hasRoom);
    // A jump of the clock is no time to do anything in.
    const passed = Math.min(this.nowMs - this.#checkedMs, MOST_WAITED_MS);
    this.#accepts = accepts;
    this.#checkedMs = this.nowMs;
    this.#waitedMs = forgets ? this.#waitedMs + passed : 0;
    if (this.#waitedMs > FORGOTTEN_MS) this.breach("a connection waits, and there is room");
  }

  #checkEnd(): void {
    for (const server of this.servers) server.checkEnd();
    const sum = (name: "accepted" | "closed") =>
      this.#all.reduce((total, server) => total + server.counters[name], 0);
    const { openSockets, openListeners } = this.network;
    this.expectZeros({
      ...{ openSockets, openListeners },
      accepted: sum("accepted") - this.journeys.size,
      closed: sum("closed") - this.journeys.size + this.#sums.died,
      reports: this.reports - this.expectedReports,
    });
    this.checkJourneys();
    const turnedAway = this.clients.filter(
      (client) => client.isClean && client.error > 0 && this.journeyOf(client) === undefined,
    );
    if (this.lossless && turnedAway.length > this.#diedUnopened)
      this.breach(`${turnedAway.length} clients were never let in: error ${turnedAway[0]?.error}`);
  }
}
