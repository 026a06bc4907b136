// What can go wrong in the simulated network, each with a probability, and the count of how often it did.
//
// A simulation draws the probabilities anew for each seed: with half of the faults absent, two that hide each other
// (everything is reset before anything is late) get their turn alone.

import type { Random } from "./random.ts";

export const FAULT_NAMES = [
  /** A receive brings only a part of what is there. */
  "partialReceive",
  /** A send goes out in parts. */
  "partialSend",
  /** A completion takes up to 200 ms more. */
  "lateCompletion",
  /** Some turns in a row find nothing, as with a storm of EAGAIN. */
  "emptyTurns",
  /** The events of a turn come in another order, except those of one connection. */
  "reorder",
  /** A receive finds no buffer and has to be started again. */
  "starvation",
  /** A receive that was under way at `pause` still brings its bytes. */
  "bytesAfterPause",
  /** What is to be cancelled is over before: a send under way at `close` goes out, a receive at `detach` brings its bytes. */
  "cancelRace",
  /** A new connection is reset before anything of it was read. */
  "resetBeforeData",
  /** A connection is reset in the middle. */
  "reset",
  /** The peer is never heard of again: ETIMEDOUT. */
  "timeout",
  /** Accepting fails for want of descriptors or memory; the connection stays queued. */
  "acceptFailure",
  /** Accepting fails because the connection is gone: ECONNABORTED. */
  "acceptAborted",
  /** Connecting fails. */
  "connectFailure",
  /** A peer takes its time to read. */
  "slowReader",
  /** The clock goes forward by up to a minute. */
  "clockJump",
] as const;

export type FaultName = (typeof FAULT_NAMES)[number];

/** Probability of each fault, per occasion. */
export type Faults = Readonly<Record<FaultName, number>>;

/** What happens without being asked for. */
export const OCCURRENCES = [
  ...FAULT_NAMES,
  /** A send had to wait for the peer to read. */
  "blockedSend",
  /** A send to a peer that no longer reads: EPIPE. */
  "brokenPipe",
] as const;

export type Occurrence = (typeof OCCURRENCES)[number];

/** The most of each that a seed may draw: what ends a connection must be rare, or nothing else is ever tested. */
const MOST: Faults = {
  partialReceive: 1,
  partialSend: 1,
  lateCompletion: 0.3,
  emptyTurns: 0.2,
  reorder: 1,
  starvation: 0.3,
  bytesAfterPause: 1,
  cancelRace: 1,
  resetBeforeData: 0.1,
  reset: 0.02,
  timeout: 0.02,
  acceptFailure: 0.3,
  acceptAborted: 0.2,
  connectFailure: 0.3,
  slowReader: 0.5,
  clockJump: 0.02,
};

export const NO_FAULTS: Faults = faults(() => 0);

/** Those that delay and split but lose nothing: a driver behaves the same under them, only later. */
export const HARMLESS_FAULTS: Faults = {
  ...NO_FAULTS,
  partialReceive: 0.5,
  partialSend: 0.5,
  lateCompletion: 0.1,
  emptyTurns: 0.1,
  reorder: 0.5,
  starvation: 0.1,
  cancelRace: 0.5,
  slowReader: 0.2,
};

/** Probabilities for one seed: half of the faults, each at most as likely as is of use. */
export function drawFaults(random: Random): Faults {
  return faults((name) => (random.chance(0.5) ? random.fraction() * MOST[name] : 0));
}

export function noOccurrences(): Record<Occurrence, number> {
  const none: Partial<Record<Occurrence, number>> = {};
  for (const name of OCCURRENCES) none[name] = 0;
  return none as Record<Occurrence, number>;
}

function faults(probability: (name: FaultName) => number): Faults {
  const all: Partial<Record<FaultName, number>> = {};
  for (const name of FAULT_NAMES) all[name] = probability(name);
  return all as Faults;
}
