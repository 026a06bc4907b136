// What a seed decides before a run begins: limits, faults, wire, how the handlers behave and who comes to visit.
//
// Half of the plans are generous (nothing runs into a limit by itself) and many lose nothing (faults that delay and
// split, or none): there, a client that keeps to the rules must get every byte. The others are as tight as can be.

import type { Random } from "../../src/driver/random.ts";
import {
  drawFaults,
  type Faults,
  HARMLESS_FAULTS,
  NO_FAULTS,
} from "../../src/driver/simulated-faults.ts";
import { completeLimits, type Limits } from "../../src/limits.ts";
import type { OverflowPolicy } from "../../src/reactor/writing.ts";
import { WIRES, type Wire } from "./wire.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** What a handler does with one connection. */
export const STYLES = [
  "echo",
  "async",
  "patient",
  "pieces",
  "pausing",
  "broadcast",
  "mute",
  "greeting",
  "closing",
  "halving",
  "resetting",
  "throwing",
  "flooding",
] as const;
export type Style = (typeof STYLES)[number];

/** Those that lose nothing by themselves. */
const COOPERATIVE = STYLES.slice(0, 10);

export const PEER_KINDS = [
  /** Writes, ends, reads to the end. */
  "polite",
  /** As polite, but ends only when the server has. */
  "waiting",
  /** As polite, but reads with long pauses. */
  "slow",
  /** Never reads, until it leaves. */
  "deaf",
  /** Says nothing, until it leaves. */
  "silent",
  "resetting",
  /** Closes in the middle, without a look at what comes. */
  "leaving",
  /** Ends inside a message. */
  "truncating",
  /** Breaks the wire's rules. */
  "malformed",
] as const;
export type PeerKind = (typeof PEER_KINDS)[number];

export interface PeerPlan {
  readonly kind: PeerKind;
  readonly host: string;
  readonly dialsAtMs: number;
  readonly messages: number;
  readonly longest: number;
  /** Pieces of one byte, or of any length. */
  readonly bytewise: boolean;
  readonly gapMs: number;
}

export interface DrainPlan {
  readonly atMs: number;
  /** When those that are left are cut off; undefined: never. */
  readonly cutAfterMs: number | undefined;
}

export interface Plan {
  readonly reactors: number;
  /** One reactor waits in `turn`, as with a thread of its own; otherwise all take turns without waiting. */
  readonly waits: boolean;
  readonly generous: boolean;
  readonly lossless: boolean;
  readonly faults: Faults;
  readonly windowBytes: number;
  readonly latencyMs: readonly [number, number];
  readonly limits: Limits;
  readonly overflow: OverflowPolicy;
  readonly wire: Wire;
  readonly borrow: boolean;
  readonly poison: boolean;
  readonly styles: readonly Style[];
  readonly longestSleepMs: number;
  readonly hasEnded: boolean;
  readonly failingState: boolean;
  readonly peers: readonly PeerPlan[];
  readonly drain: DrainPlan | undefined;
}

export function drawPlan(random: Random): Plan {
  const generous = random.chance(0.5);
  const { faults, lossless } = drawWeather(random);
  const reactors = random.chance(0.3) ? 2 : 1;
  const styles = generous && random.chance(0.7) ? COOPERATIVE : STYLES;
  return {
    reactors,
    waits: reactors === 1 && random.chance(0.5),
    generous,
    lossless,
    faults,
    windowBytes: 2 ** random.between(8, 17),
    latencyMs: [0.01, random.pick([0.1, 1, 30])],
    limits: generous ? generousLimits(random) : tightLimits(random),
    overflow: random.pick(["close", "discard"]),
    wire: random.pick(WIRES),
    borrow: random.chance(0.3),
    poison: random.chance(0.5),
    styles: random.chance(0.5) ? styles : [random.pick(styles), random.pick(styles)],
    longestSleepMs: random.pick([1, 20, 300]),
    hasEnded: random.chance(0.4),
    failingState: !generous && random.chance(0.1),
    peers: drawPeers(random),
    drain: random.chance(0.35) ? drawDrain(random) : undefined,
  };
}

export function drawWeather(random: Random): { faults: Faults; lossless: boolean } {
  const kind = random.fraction();
  if (kind < 0.15) return { faults: NO_FAULTS, lossless: true };
  if (kind < 0.45) return { faults: HARMLESS_FAULTS, lossless: true };
  return { faults: drawFaults(random.fork()), lossless: false };
}

/** Limits of what the simulated handlers do not use. */
const UNUSED = (({ connectionSubscriptions, subscriptions, mailboxBytes, mapBytes }: Limits) => ({
  connectionSubscriptions,
  subscriptions,
  mailboxBytes,
  mapBytes,
}))(completeLimits());

function generousLimits(random: Random): Limits {
  const highWaterBytes = 2 ** random.between(6, 16);
  return {
    ...completeLimits(),
    connections: random.pick([3, 64]),
    connectionsPerAddress: 64,
    queuedConnections: 1,
    computeQueue: 1,
    outputBytes: 4 * MIB,
    inputBytes: 4 * MIB,
    highWaterBytes,
    lowWaterBytes: random.between(0, highWaterBytes),
    connectionOutputBytes: highWaterBytes + 256 * KIB,
    connectionInputBytes: 2 ** random.between(0, 16),
    ...UNUSED,
    firstByteMs: 3_600_000,
    idleMs: 3_600_000,
    writeMs: 3_600_000,
    lingerMs: 3_600_000,
  };
}

function tightLimits(random: Random): Limits {
  const highWaterBytes = 2 ** random.between(2, 17);
  return {
    ...completeLimits(),
    connections: random.pick([1, 2, 3, 64]),
    connectionsPerAddress: random.pick([1, 2, 64]),
    queuedConnections: 1,
    computeQueue: 1,
    outputBytes: MIB,
    inputBytes: 2 ** random.between(10, 18),
    highWaterBytes,
    lowWaterBytes: random.between(0, highWaterBytes),
    connectionOutputBytes: highWaterBytes * random.pick([1, 2, 8]),
    connectionInputBytes: 2 ** random.between(0, 16),
    ...UNUSED,
    firstByteMs: random.pick([50, 1000, 60_000]),
    idleMs: random.pick([99, 1000, 7777, 200_000]),
    writeMs: random.pick([50, 1001, 10_000]),
    lingerMs: random.pick([1, 100, 2000]),
  };
}

function drawPeers(random: Random): PeerPlan[] {
  const count = random.between(1, random.pick([2, 6, 20]));
  const manners = random.pick([0.2, 0.6, 1]);
  const hosts = random.chance(0.5) ? ["127.0.0.1"] : ["10.0.0.1", "10.0.0.2"];
  return Array.from({ length: count }, () => drawPeer(random, manners, hosts));
}

export function drawPeer(random: Random, manners: number, hosts: readonly string[]): PeerPlan {
  const bytewise = random.chance(0.15);
  return {
    kind: random.chance(manners) ? "polite" : random.pick(PEER_KINDS),
    host: random.pick(hosts),
    dialsAtMs: random.chance(0.5) ? 0 : random.fraction() * 2000,
    messages: random.between(0, random.pick([1, 8, 60])),
    longest: bytewise ? random.between(0, 20) : 2 ** random.between(0, random.pick([6, 11, 14])),
    bytewise,
    gapMs: random.pick([0, 1, 60]),
  };
}

function drawDrain(random: Random): DrainPlan {
  return {
    atMs: random.fraction() * random.pick([10, 500, 5000]),
    cutAfterMs: random.chance(0.5) ? random.fraction() * 2000 : undefined,
  };
}
