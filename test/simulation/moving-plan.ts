// What a seed decides before connections are moved: reactors, faults, how often they move and how long they are on their way,
// how the handlers behave, and who comes to visit.
//
// Memory and deadlines are generous, so that nothing ends but for what peers, handlers, moves and faults do; places are
// scarce in some, so that a connection on its way finds none.

import type { Random } from "../../src/driver/random.ts";
import { completeLimits, type Limits } from "../../src/limits.ts";
import { type DrainPlan, drawPeer, drawWeather, type PeerPlan, type Plan } from "./plan.ts";
import { WIRES } from "./wire.ts";

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;

/** What a handler does with one connection. */
export const TRAVELLER_STYLES = [
  "echo",
  /** Answers later, and is busy until then; also when it has arrived. */
  "async",
  /** Is busy until its answer has left. */
  "patient",
  "pausing",
  /** Writes when it was not asked: on the way out, too, and with the object that stood for it before it left. */
  "chatty",
  /** Answers at such length that the window is full. */
  "large",
  /** Closes, ends or resets, also on the way out. */
  "ending",
  /** Has a state that cannot be cloned. */
  "immobile",
  /** Throws when it departs or arrives. */
  "throwing",
] as const;
export type TravellerStyle = (typeof TRAVELLER_STYLES)[number];

export interface MovingPlan
  extends Pick<
    Plan,
    "lossless" | "faults" | "windowBytes" | "latencyMs" | "limits" | "wire" | "borrow" | "poison"
  > {
  readonly reactors: number;
  readonly slots: number;
  readonly styles: readonly TravellerStyle[];
  readonly hasEnded: boolean;
  readonly peers: readonly PeerPlan[];
  /** After each round of turns one connection is asked to move with this probability. */
  readonly moveChance: number;
  readonly longestTransitMs: number;
  /** All reactors drain. */
  readonly drain: DrainPlan | undefined;
  /** In each turn of a reactor that has connections its thread dies with this probability, before or after one of the turn's events, or at its end. */
  readonly deathChance: number;
}

export function drawMovingPlan(random: Random): MovingPlan {
  const connections = random.pick([1, 2, 64, 64]);
  return {
    ...drawWeather(random),
    reactors: random.between(2, 3),
    windowBytes: 2 ** random.between(8, 16),
    latencyMs: [0.01, random.pick([0.1, 1, 10])],
    limits: limitsFor(random, connections),
    // One is the listener's.
    slots: connections + random.pick([1, 6]),
    wire: random.pick(WIRES),
    borrow: random.chance(0.3),
    poison: random.chance(0.5),
    styles: random.chance(0.5) ? TRAVELLER_STYLES : [random.pick(TRAVELLER_STYLES)],
    hasEnded: random.chance(0.4),
    peers: drawVisitors(random, connections),
    moveChance: random.pick([0.02, 0.3, 1]),
    longestTransitMs: random.pick([0, 1, 30]),
    drain: random.chance(0.2)
      ? { atMs: random.fraction() * 1000, cutAfterMs: random.chance(0.3) ? 500 : undefined }
      : undefined,
    deathChance: random.pick([0, 0.01, 0.1]),
  };
}

function limitsFor(random: Random, connections: number): Limits {
  const highWaterBytes = 2 ** random.between(6, 16);
  return {
    ...completeLimits(),
    connections,
    connectionsPerAddress: 64,
    outputBytes: 4 * MIB,
    inputBytes: 4 * MIB,
    highWaterBytes,
    lowWaterBytes: random.between(0, highWaterBytes),
    connectionOutputBytes: 2 * MIB,
    connectionInputBytes: 2 ** random.between(0, 16),
    firstByteMs: HOUR_MS,
    idleMs: HOUR_MS,
    writeMs: HOUR_MS,
    lingerMs: HOUR_MS,
  };
}

/** More than have a place, where places are scarce. */
function drawVisitors(random: Random, places: number): PeerPlan[] {
  const count = places < 4 ? random.between(4, 8) : random.between(1, random.pick([2, 6]));
  const manners = random.pick([0.5, 1]);
  return Array.from({ length: count }, () => drawPeer(random, manners, ["127.0.0.1"]));
}
