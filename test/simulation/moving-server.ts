// One of the reactors that connections are moved between: its handlers, which keep the journey of each connection.

import type { Buffer } from "node:buffer";
import type { Random } from "../../src/driver/random.ts";
import { SimulatedDriver } from "../../src/driver/simulated-driver.ts";
import type { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import type { Handlers } from "../../src/handlers.ts";
import { CLOSING, DRAINING, ReactorConnection } from "../../src/reactor/connection.ts";
import {
  ACCEPT_ERRORS,
  ACCEPTED,
  INPUT_BYTES,
  makeCounters,
  OUTPUT_BYTES,
  readCounters,
} from "../../src/reactor/counters.ts";
import { Reactor } from "../../src/reactor/reactor.ts";
import { formatAddress } from "../../src/sys/address.ts";
import { arenaOf } from "./arenas.ts";
import type { Client } from "./client.ts";
import { Death, mortal } from "./death.ts";
import {
  Journey,
  type Scene,
  type Traveller,
  type TravellingConnection,
  type Travels,
} from "./journey.ts";
import type { MovingPlan } from "./moving-plan.ts";
import { letters } from "./wire.ts";

/** What the servers of a run share. */
export interface MovingStage extends Scene {
  readonly network: SimulatedNetwork;
  readonly plan: MovingPlan;
  readonly random: Random;
  readonly ids: Int32Array;
  readonly journeys: Map<number, Journey>;
  trace(what: string): void;
  clientAt(address: string): Client | undefined;
  /** Runs something between two turns, in virtual time. */
  later(delayMs: number, run: () => void): void;
  /** A handler has thrown, or a state could not be cloned: told to `report` once. */
  thrown(): Error;
  reported(): void;
}

const ROUNDS_PER_TURN = 16;
const LONGEST_ANSWER = 30_000;
const LONGEST_SLEEP_MS = 20;

export class MovingServer {
  readonly reactor: Reactor<unknown, unknown, Travels>;
  readonly place: number;
  isDrained = false;
  readonly #dying = { in: 0 };
  #drains = false;
  readonly #stage: MovingStage;
  readonly #counters = makeCounters(1);
  readonly #rests: Int32Array;

  constructor(stage: MovingStage, place: number) {
    this.#stage = stage;
    this.place = place;
    const { plan, network } = stage;
    const { slots, limits, poison } = plan;
    this.#rests = new Int32Array(slots);
    this.reactor = new Reactor<unknown, unknown, Travels>({
      handlers: this.#handlers(),
      limits,
      counters: this.#counters,
      overflow: "close",
      report: () => stage.reported(),
      slots,
      ids: stage.ids,
      poison,
      rests: this.#rests,
      makeDriver: (events) => {
        const { outputBytes } = limits;
        const options = {
          events: mortal(events, this.#dying),
          slots,
          outputBytes,
          rests: this.#rests,
        };
        return new SimulatedDriver(options, network);
      },
    });
  }

  get driver(): SimulatedDriver {
    const { driver } = this.reactor;
    if (!(driver instanceof SimulatedDriver)) throw new TypeError("another driver");
    return driver;
  }

  get counters() {
    return readCounters(this.#counters);
  }

  /** Accepts that came to something, good or bad. */
  get accepts(): number {
    return (this.#counters[ACCEPTED] as number) + (this.#counters[ACCEPT_ERRORS] as number);
  }

  /** It holds nothing and waits for nothing. */
  get isQuiet(): boolean {
    const waits = this.reactor.untilNextMs() < Number.POSITIVE_INFINITY;
    return this.driver.handles === 0 && !waits && this.isDrained;
  }

  /**
   * A turn with what it leaves to do; how many events it delivered. With `diesIn`, its thread dies after so many moments before and
   * after events of its driver, or at the end of the turn: undefined.
   */
  turn(runTicks: () => void, diesIn: number): number | undefined {
    this.#dying.in = diesIn;
    try {
      const delivered = this.reactor.turn(0);
      this.settle(runTicks);
      return diesIn === 0 ? delivered : undefined;
    } catch (error) {
      if (error instanceof Death) return undefined;
      throw error;
    }
  }

  /** Promises and what they let go on, as the thread's loop does it. */
  settle(runTicks: () => void): void {
    for (let round = 0; round < ROUNDS_PER_TURN; round++) {
      runTicks();
      if (!this.reactor.afterTurn()) return;
    }
    this.driver.wake();
  }

  drain(): void {
    this.#drains = true;
    void this.reactor.drain().then(() => {
      this.isDrained = true;
    });
  }

  check(): void {
    const arena = arenaOf(this.driver.output);
    let pending = 0;
    let held = 0;
    let count = 0;
    for (const { id, connection, heldBytes } of this.#journeys()) {
      count++;
      const knows = (connection.flags & (DRAINING | CLOSING)) !== 0;
      this.#expect(knows || !this.#drains, `connection ${id} does not know that its server drains`);
      pending += connection.pendingBytes;
      held += heldBytes;
    }
    // Two of them, and not a copy of all: this is done after each round of turns.
    const outputBytes = this.#counters[OUTPUT_BYTES];
    const inputBytes = this.#counters[INPUT_BYTES];
    this.#expect(this.reactor.count === count, `${this.reactor.count} counted of ${count}`);
    this.#expect(pending <= arena.inUse, `${pending} bytes wait in ${arena.inUse}`);
    this.#expect(outputBytes === arena.inUse, "output bytes are counted wrongly");
    this.#expect(inputBytes === held, `${inputBytes} counted, ${held} bytes held`);
  }

  /** Nothing is left. */
  checkEnd(): void {
    const { connections, inputBytes, outputBytes, subscriptions } = this.counters;
    const zeros = {
      count: this.reactor.count,
      ...{ connections, inputBytes, outputBytes, subscriptions },
      arena: arenaOf(this.driver.output).inUse,
      handles: this.driver.handles,
      sends: this.driver.sendsUnderWay,
      operations: this.driver.operationsUnderWay,
    };
    for (const [name, value] of Object.entries(zeros)) {
      this.#expect(value === 0, `${name} of reactor ${this.place} is ${value} at the end`);
    }
  }

  *#journeys(): Generator<Journey> {
    for (const journey of this.#stage.journeys.values()) {
      if (journey.place === this.place) yield journey;
    }
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.#stage.breach(what);
  }

  // The handlers.

  #handlers(): Handlers<unknown, unknown, Travels> {
    const { plan } = this.#stage;
    const ended = (connection: TravellingConnection) => this.#ended(connection);
    return {
      ...(plan.wire.framed && { codec: plan.wire.codec }),
      borrow: plan.borrow,
      state: () => ({ handled: 0, arrivals: 0 }),
      opened: (connection) => this.#opened(connection),
      message: (connection, message) => this.#message(connection, message),
      ...(plan.hasEnded && { ended }),
      departed: (connection) => this.#departed(connection),
      arrived: (connection) => this.#arrived(connection),
      adopted: (connection) => {
        this.#stage.trace(`${connection.id} is adopted in ${this.place}`);
        this.#of(connection).adopted(this.place, travellerOf(connection));
      },
      closed: (connection, reason) => {
        this.#stage.trace(`${connection.id} closed in ${this.place}: ${reason}`);
        this.#of(connection).closed(this.place, connection, reason);
      },
    };
  }

  #opened(connection: TravellingConnection): void {
    const { random, plan, journeys } = this.#stage;
    const traveller = travellerOf(connection);
    const remote = connection.remoteAddress;
    const client = remote && this.#stage.clientAt(formatAddress(remote));
    const style = random.pick(plan.styles);
    const journey = new Journey(this.#stage, traveller, client, style, this.place);
    this.#stage.trace(`${connection.id} opened in ${this.place}: ${style}`);
    this.#expect(!journeys.has(connection.id), "an id is given twice");
    journeys.set(connection.id, journey);
    if (style === "immobile") connection.state.cannot = () => {};
    if (random.chance(0.3)) journey.subscribe("news.*");
  }

  #message(connection: TravellingConnection, message: unknown): void | Promise<void> {
    const journey = this.#of(connection);
    const content = this.#stage.wire.toContent(message);
    journey.message(this.place, connection, content);
    return this.#respond(journey, content);
  }

  #ended(connection: TravellingConnection): void {
    const journey = this.#of(connection);
    journey.ended(this.place, connection);
    journey.send(letters(this.#stage.random, 20));
    journey.close();
  }

  #departed(connection: TravellingConnection): void {
    const { random } = this.#stage;
    const journey = this.#of(connection);
    this.#stage.trace(`${connection.id} departs from ${this.place}`);
    // The last word of one that leaves goes along.
    if (journey.style === "chatty") journey.send(letters(random, 10));
    const ends = journey.style === "ending" && random.chance(0.1);
    journey.departed(this.place, connection);
    if (ends) this.#endsAsItDeparts(journey);
    if (journey.style === "throwing" && random.chance(0.1)) this.#throw(journey);
  }

  #endsAsItDeparts(journey: Journey): void {
    journey.calledClose = true;
    journey.connection.close();
  }

  #arrived(connection: TravellingConnection): void | Promise<void> {
    const { random } = this.#stage;
    const journey = this.#of(connection);
    this.#stage.trace(`${connection.id} arrives in ${this.place}`);
    journey.arrived(this.place, travellerOf(connection));
    if (journey.style === "chatty") journey.send(letters(random, 10));
    if (journey.style === "throwing" && random.chance(0.1)) this.#throw(journey);
    if (journey.style === "async" && random.chance(0.5)) return this.#busily(journey, () => {});
    return undefined;
  }

  #respond(journey: Journey, content: Buffer): void | Promise<void> {
    const { random, plan } = this.#stage;
    switch (journey.style) {
      case "async":
        return this.#busily(journey, () => journey.send(content));
      case "patient":
        return journey.send(content) ? undefined : journey.connection.drained();
      case "pausing":
        journey.send(content);
        if (random.chance(0.3)) this.#pause(journey);
        return;
      case "chatty":
        journey.send(content);
        this.#chatLater(journey);
        return;
      case "large":
        journey.write(
          letters(random, random.between(1, Math.min(LONGEST_ANSWER, 8 * plan.windowBytes))),
        );
        return;
      case "ending":
        journey.send(content);
        if (random.chance(0.05)) this.#end(journey);
        return;
      default:
        journey.send(content);
    }
  }

  /** What somebody does with a connection that has just been asked to move. */
  meddle(journey: Journey): void {
    const { random } = this.#stage;
    if (journey.style === "pausing") return this.#pause(journey);
    if (journey.style === "ending") return this.#end(journey);
    if (random.chance(0.3)) journey.subscribe(random.pick(["news.*", "weather", "a.b"]));
    else journey.write(letters(random, random.between(1, 300)));
    if (random.chance(0.3)) this.#waitForIt(journey);
  }

  /** `drained()` that is nobody's reason to be busy: it must resolve when the connection moves, too. */
  #waitForIt(journey: Journey): void {
    journey.openDrains++;
    void journey.connection.drained().then(() => journey.openDrains--);
  }

  #busily(journey: Journey, then: () => void): Promise<void> {
    const { random } = this.#stage;
    journey.handling = true;
    return new Promise((resolve) => {
      this.#stage.later(random.fraction() * LONGEST_SLEEP_MS, () => {
        if (journey.isForsaken) return;
        then();
        journey.handling = false;
        resolve();
      });
    });
  }

  #pause(journey: Journey): void {
    if (journey.paused) return;
    journey.pause();
    this.#resumeLater(journey);
  }

  /** Wherever it is then; nobody can resume it while it is nowhere. */
  #resumeLater(journey: Journey): void {
    this.#stage.later(this.#stage.random.fraction() * LONGEST_SLEEP_MS, () => {
      if (journey.died) return;
      if (journey.isUnderWay) this.#resumeLater(journey);
      else if (!journey.isOver) journey.resume();
    });
  }

  #chatLater(journey: Journey): void {
    const { random } = this.#stage;
    if (random.chance(0.5)) return;
    this.#stage.later(random.fraction() * LONGEST_SLEEP_MS, () => {
      if (!journey.isForsaken) journey.send(letters(random, random.between(1, 200)));
    });
  }

  #end(journey: Journey): void {
    const { random } = this.#stage;
    const how = random.below(3);
    if (how === 0) journey.close();
    else if (how === 1) journey.end();
    else journey.reset();
  }

  #throw(journey: Journey): never {
    journey.threw = true;
    throw this.#stage.thrown();
  }

  #of(connection: TravellingConnection): Journey {
    const journey = this.#stage.journeys.get(connection.id);
    if (journey === undefined) throw new Error("a connection that was never opened");
    return journey;
  }
}

function travellerOf(connection: TravellingConnection): Traveller {
  if (!(connection instanceof ReactorConnection)) throw new TypeError("another connection");
  return connection;
}
