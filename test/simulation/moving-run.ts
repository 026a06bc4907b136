// A simulation of connections that move: two or three reactors in one simulated network, clients that send streams, faults,
// and moves at moments that the seed draws; what is on its way between two reactors takes time, as a message to another
// thread does, and goes through a structured clone. Threads die, too, before or after an event of their driver (death.ts): what
// was at rest goes on in another reactor, what was not has ended, and a new reactor takes the place.
//
// Oracles: the journey of each connection (journey.ts) at each event; after each round of turns each connection is in one
// place, and what each reactor counts is what its connections hold. At the end each move was handed on or has stayed, once;
// `closed` was told once for each connection whose thread has not died with it; clients have read what was written, the whole of it where nothing broke;
// all counts are zero.
//
// A run is one synchronous call, and must come from a callback of the event loop: see promises.ts.

import { Random } from "../../src/driver/random.ts";
import { NO_FAULTS, type Occurrence } from "../../src/driver/simulated-faults.ts";
import type { MovedConnection } from "../../src/reactor/moving.ts";
import { movedOf } from "../../src/server/orphans.ts";
import type { Client } from "./client.ts";
import type { Journey } from "./journey.ts";
import { JourneysRun, LATEST_MS, PATIENCE_MS } from "./journeys-run.ts";
import { drawMovingPlan, type MovingPlan } from "./moving-plan.ts";
import { MovingServer } from "./moving-server.ts";
import { runTicks } from "./promises.ts";
import { MOST_ADVANCE_MS, TARGET } from "./simulated-run.ts";

export interface MovingOptions {
  readonly seed: number;
  /** Told of everything that happens, in order. */
  readonly trace?: (line: string) => void;
  /** A planted bug's chance to change what is on its way. */
  readonly alter?: (moved: MovedConnection) => MovedConnection;
}

export interface MovingOutcome {
  readonly occurred: Readonly<Record<Occurrence, number>>;
  readonly connections: number;
  readonly messages: number;
  /** Moves that came to another reactor, that did not come about, and connections for which there was no place. */
  readonly moved: number;
  readonly stayed: number;
  readonly lost: number;
  /** Of the moved ones, those that took along input, output, a pause. */
  readonly withInput: number;
  readonly withOutput: number;
  readonly withPause: number;
  /** Threads that died, connections that did with them, and those that were at rest. */
  readonly deaths: number;
  readonly died: number;
  readonly orphaned: number;
  /** Clients that kept to the rules and were shown to have read everything. */
  readonly complete: number;
}

/** Faults and moves stop at the latest after so long, longer than any client talks; then everything must come to its end. */
const FAULTY_MS = 12_000;
/** So many are begun at the most: whoever says nothing would move for ever. */
const MOST_MOVES = 60;
const MOST_DEATHS = 10;
/** A thread dies within so many moments of a turn, if the turn has so many, or else at its end. */
const MOST_MOMENTS = 8;
/** While clients may come to talk, moves are tried this often. */
const MOVES_EVERY_MS = 20;

/** Runs one seed to its end. @throws Breach when an oracle is violated */
export function simulateMoves(options: MovingOptions): MovingOutcome {
  return new MovingRun(options).run();
}

class MovingRun extends JourneysRun<MovingPlan> {
  protected readonly servers: MovingServer[];
  /** Those whose threads have died. */
  readonly #dead: MovingServer[] = [];
  /** In the place of such, and not listening yet. */
  readonly #starting = new Set<MovingServer>();
  #deathsLeft = 0;
  readonly #alter: MovingOptions["alter"];
  #movesLeft = MOST_MOVES;
  /** Moves that have begun and not ended. */
  readonly #pending = new Set<{ readonly from: MovingServer; readonly cancel: () => void }>();
  #between = 0;
  readonly #sums = {
    ...{ moved: 0, stayed: 0, lost: 0, withInput: 0, withOutput: 0, withPause: 0 },
    ...{ deaths: 0, died: 0, orphaned: 0 },
  };

  constructor({ seed, trace, alter }: MovingOptions) {
    const random = new Random(seed);
    super(drawMovingPlan(random.fork()), random, trace);
    const { plan } = this;
    this.#alter = alter;
    this.servers = Array.from({ length: plan.reactors }, (_, n) => new MovingServer(this, n));
    this.open(random);
    this.#deathsLeft = MOST_DEATHS;
    if (plan.drain !== undefined) this.#scheduleDrain(plan.drain);
  }

  run(): MovingOutcome {
    this.turnUntil(() => this.areClientsDone || this.nowMs > FAULTY_MS);
    this.#finish();
    this.#checkEnd();
    const complete = [...this.journeys.values()].filter((journey) => journey.checkStream()).length;
    this.throwBreach();
    let messages = 0;
    for (const journey of this.journeys.values()) messages += journey.handled.messages;
    const { occurred } = this.network;
    return { occurred, connections: this.journeys.size, messages, ...this.#sums, complete };
  }

  // Moves.

  /** Asks one connection to move, now and then. */
  #move(): void {
    const { random, plan } = this;
    if (this.#movesLeft === 0 || !random.chance(plan.moveChance)) return;
    const live = [...this.journeys.values()].filter((journey) => journey.place >= 0);
    if (live.length > 0) this.#start(random.pick(live));
  }

  #start(journey: Journey): void {
    const { random } = this;
    const from = this.servers[journey.place] as MovingServer;
    const to = (from.place + random.between(1, this.servers.length - 1)) % this.servers.length;
    let isOver = false;
    const over = () => {
      if (isOver) this.breach("a move has ended twice");
      isOver = true;
      this.#pending.delete(pending);
    };
    const cancel = () => {
      isOver = true;
    };
    const pending = { from, cancel };
    const hand = (moved: MovedConnection) => {
      const clone = this.#cloned(moved);
      over();
      this.#underWay(journey, this.#alter?.(clone) ?? clone, from.place, to);
    };
    const stayed = () => {
      over();
      this.#sums.stayed++;
    };
    // It may have ended before this returns.
    this.#pending.add(pending);
    const { connection } = journey;
    if (!from.reactor.moving.start(connection, hand, stayed)) {
      this.#pending.delete(pending);
      return;
    }
    this.#movesLeft--;
    this.trace(`${journey.id} is to move from ${from.place} to ${to}`);
    if (random.chance(0.3)) from.meddle(journey);
    // Who waits too long for a handler is left where it is.
    if (!random.chance(0.2)) return;
    this.later(random.fraction() * MOVES_EVERY_MS, () => {
      if (!isOver) from.reactor.moving.stay(connection);
    });
  }

  #cloned(moved: MovedConnection): MovedConnection {
    try {
      return structuredClone(moved);
    } catch (error) {
      this.expectedReports++;
      throw error;
    }
  }

  #underWay(journey: Journey, moved: MovedConnection, from: number, to: number): void {
    this.#sums.moved++;
    if (moved.input.length > 0) this.#sums.withInput++;
    if (moved.output.length > 0) this.#sums.withOutput++;
    if (moved.paused) this.#sums.withPause++;
    this.#travel(journey, moved, [to, from]);
  }

  #travel(journey: Journey, moved: MovedConnection, first: readonly number[]): void {
    this.#between++;
    const transitMs = this.random.fraction() * this.plan.longestTransitMs;
    this.later(transitMs, () => {
      this.#between--;
      for (const place of [...first, ...this.servers.keys()]) {
        if (this.servers[place]?.reactor.moving.arrive(moved)) return;
      }
      this.trace(`${journey.id} has no place`);
      this.network.closeDescriptor(moved.descriptor);
      journey.lost = true;
      this.#sums.lost++;
    });
  }

  // Deaths.

  /** A turn, in which its thread may die; how many events it delivered. */
  #turn(server: MovingServer): number {
    const mayDie = this.#deathsLeft > 0 && server.reactor.count > 0;
    const dies = mayDie && this.random.chance(this.plan.deathChance);
    const delivered = server.turn(runTicks, dies ? this.random.between(1, MOST_MOMENTS) : 0);
    if (delivered !== undefined) return delivered;
    this.#die(server);
    return 1;
  }

  /** Those at rest go on in other reactors; another one takes its place. */
  #die(server: MovingServer): void {
    this.#deathsLeft--;
    this.#sums.deaths++;
    const { place } = server;
    const orphans = server.driver.die();
    this.trace(`the thread of ${place} dies, and leaves ${orphans.map(({ id }) => id).join(", ")}`);
    for (const { from, cancel } of this.#pending) if (from === server) cancel();
    for (const each of this.#pending) if (each.from === server) this.#pending.delete(each);
    this.#dead.push(server);
    this.#starting.delete(server);
    const next = new MovingServer(this, place);
    this.servers[place] = next;
    this.#starting.add(next);
    void next.reactor.listen(TARGET).then(() => this.#starting.delete(next));
    for (const orphan of orphans) {
      const journey = this.journeys.get(orphan.id);
      if (journey?.place !== place) {
        this.breach(`${orphan.id} is left by the thread of ${place}, and is in ${journey?.place}`);
        continue;
      }
      this.#sums.orphaned++;
      journey.orphaned();
      const moved = movedOf(orphan);
      this.#travel(journey, this.#alter?.(moved) ?? moved, [(place + 1) % this.servers.length]);
    }
    for (const journey of this.journeys.values()) {
      if (journey.place !== place) continue;
      this.#sums.died++;
      journey.dies();
    }
  }

  // The run.

  #scheduleDrain({ atMs, cutAfterMs }: NonNullable<MovingPlan["drain"]>): void {
    this.later(atMs, () => this.#drain());
    if (cutAfterMs === undefined) return;
    this.later(atMs + cutAfterMs, () => {
      this.trace("cut");
      for (const { reactor } of this.servers) reactor.closeAll();
    });
  }

  #drain(): void {
    this.#deathsLeft = 0;
    if (this.#starting.size > 0) return this.later(1, () => this.#drain());
    this.trace("drain");
    for (const journey of this.journeys.values()) journey.drained = true;
    for (const server of this.servers) server.drain();
  }

  /** Faults and moves stop, every client leaves, and nothing is left. */
  #finish(): void {
    this.trace("all leave");
    this.network.faults = NO_FAULTS;
    this.#movesLeft = 0;
    this.#deathsLeft = 0;
    const patience = this.nowMs + PATIENCE_MS;
    this.turnUntil(() => this.clients.every((client) => !this.#mustEnd(client)), patience);
    for (const client of this.clients) client.leave(this.isDone(client));
    const isEmpty = () =>
      this.#pending.size + this.#between === 0 &&
      this.servers.every((server) => server.reactor.count === 0);
    const latestMs = this.nowMs + LATEST_MS;
    this.turnUntil(isEmpty, latestMs);
    this.turnUntil(() => this.#starting.size === 0, latestMs);
    this.#drain();
    const { clock } = this.network;
    const isQuiet = () => clock.scheduled === 0 && this.servers.every((server) => server.isQuiet);
    this.turnUntil(isQuiet, latestMs + LATEST_MS);
    // Whom the last timer woke.
    this.step();
  }

  protected step(): void {
    this.network.clock.runDue();
    for (const run of this.due.splice(0)) run();
    this.#move();
    for (const server of this.servers) server.settle(runTicks);
    let delivered = 0;
    for (const server of [...this.servers]) delivered += this.#turn(server);
    this.#check();
    if (delivered === 0 && this.due.length === 0) this.#advance();
  }

  /** Nothing came: time goes on, as far as the reactors would sleep. */
  #advance(): void {
    const untilNext = this.servers.map((server) => server.reactor.untilNextMs());
    const most = this.#movesLeft > 0 ? MOVES_EVERY_MS : MOST_ADVANCE_MS;
    this.network.clock.advance(Math.min(most, ...untilNext));
  }

  /** It is being served, ends by itself once it has its answers, and has not yet. */
  #mustEnd(client: Client): boolean {
    const isServed = this.journeyOf(client)?.died === false;
    return isServed && this.endsByItself(client) && !this.isDone(client);
  }

  // Checks.

  #check(): void {
    let between = 0;
    for (const journey of this.journeys.values()) {
      if (journey.isUnderWay && !journey.lost) between++;
    }
    if (between !== this.#between) this.breach(`${this.#between} are on their way, of ${between}`);
    for (const server of this.servers) server.check();
  }

  #checkEnd(): void {
    for (const server of this.servers) server.checkEnd();
    const { moved, lost, died, orphaned } = this.#sums;
    const all = [...this.servers, ...this.#dead];
    const sum = (name: "departed" | "arrived" | "accepted" | "closed" | "adopted") =>
      all.reduce((total, server) => total + server.counters[name], 0);
    const { openSockets, openListeners } = this.network;
    this.expectZeros({
      ...{ openSockets, openListeners },
      pending: this.#pending.size,
      departed: sum("departed") - moved,
      arrived: sum("arrived") - moved - orphaned + lost,
      adopted: Math.max(0, sum("adopted") - orphaned, orphaned - lost - sum("adopted")),
      accepted: sum("accepted") - this.journeys.size,
      closed: sum("closed") - this.journeys.size + lost + died,
      reports: this.reports - this.expectedReports,
    });
    this.checkJourneys();
  }
}
