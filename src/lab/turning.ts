// Turns a generator until there is nothing more to do. A driver that waits is turned in a plain loop: the thread is the
// generator's alone. One whose events come from Node's event loop is turned when it has some, or when time has come.

import { deferred } from "../deferred.ts";
import type { Generator } from "./generator.ts";

/** What is to be done next: the longest wait in ms (Infinity: for an event), or undefined: that was all. */
export type Step = (nowMs: number) => number | undefined;

/** No wait is longer: an order to stop, and a time-out, are noticed within this time. */
const LONGEST_WAIT_MS = 50;

export async function turnUntilDone(generator: Generator, step: Step): Promise<void> {
  if (generator.driver.capabilities.waits) turnHere(generator, step);
  else await turnHosted(generator, step);
}

function turnHere(generator: Generator, step: Step): void {
  for (;;) {
    const nowMs = performance.now();
    const wait = step(nowMs);
    if (wait === undefined) return;
    generator.flush(nowMs);
    generator.turn(waitable(wait));
  }
}

async function turnHosted(generator: Generator, step: Step): Promise<void> {
  const { driver } = generator;
  for (;;) {
    const nowMs = performance.now();
    const wait = step(nowMs);
    if (wait === undefined) return;
    const event = deferred<void>();
    driver.wanted = event.resolve;
    generator.flush(nowMs);
    const timer = setTimeout(event.resolve, waitable(wait));
    await event.promise;
    clearTimeout(timer);
    // One turn for all whose events came in this phase of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    generator.turn(0);
  }
}

/** Drivers wait in whole ms; less than one is spun. */
function waitable(wait: number): number {
  return Math.floor(Math.min(wait, LONGEST_WAIT_MS));
}
