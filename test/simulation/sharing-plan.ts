// What a seed decides before reactors share a listener: how many there are, how busy each of them is, when threads die or are
// succeeded, and who comes to visit.

import type { Random } from "../../src/driver/random.ts";
import { drawMovingPlan, type MovingPlan } from "./moving-plan.ts";
import { drawPeer } from "./plan.ts";

export interface SharingPlan extends MovingPlan {
  /** Of each place: in a round it has a turn with this probability. */
  readonly paces: readonly number[];
  /** At these times one reactor retires and another one, which listens already, goes on in its place. */
  readonly successions: readonly number[];
  /** So long it waits for the worst moment: when it has been told of a connection and has not accepted it. */
  readonly unluckyMs: number;
  readonly graceMs: number;
  /** A thread dies in that moment with this probability. */
  readonly ambushChance: number;
  /** Most time from a death to the thread that takes the place. */
  readonly restartMs: number;
}

export function drawSharingPlan(random: Random): SharingPlan {
  const drawn = drawMovingPlan(random.fork());
  const reactors = random.between(2, 4);
  const busy = random.pick([1, 0.3, 0.05]);
  const visitors = random.between(4, 12);
  const manners = random.pick([0.5, 1]);
  return {
    ...drawn,
    reactors,
    drain: undefined,
    moveChance: 0,
    deathChance: random.pick([0, 0.02, 0.1]),
    paces: Array.from({ length: reactors }, (_, place) => (place === 0 ? busy : 1)),
    peers: Array.from({ length: visitors }, () => drawPeer(random, manners, ["127.0.0.1"])),
    successions: Array.from({ length: random.below(4) }, () => random.fraction() * 3000),
    graceMs: random.pick([1, 50, 2000]),
    restartMs: random.pick([1, 1000, 60_000]),
    unluckyMs: random.pick([0, 1000]),
    ambushChance: random.pick([0, 0.3]),
  };
}
