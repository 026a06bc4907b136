// What all SWP clients of a thread share: one wire (the memory that frames are put together in, and the agenda of what is
// due), turned by Node's timers. A client is given one, so that a simulation can give it another.

import { Wire } from "../protocol/wire.ts";

/** One wire a thread: a writer of 64 KiB for each client would be more than a thousand idle clients cost. */
const thread: { wire: Wire | undefined } = { wire: undefined };

export function threadWire(): Wire {
  thread.wire ??= makeWire();
  return thread.wire;
}

function makeWire(): Wire {
  const wire = new Wire({ now, soon: queueMicrotask });
  let timer: NodeJS.Timeout | undefined;
  let timerMs = Number.POSITIVE_INFINITY;
  const set = (atMs: number) => {
    if (atMs >= timerMs) return;
    clearTimeout(timer);
    timerMs = atMs;
    timer = setTimeout(run, Math.max(1, atMs - now()));
    // What is due keeps no process alive; the connections do.
    timer.unref();
  };
  const run = () => {
    timerMs = Number.POSITIVE_INFINITY;
    wire.agenda.run(now());
    wire.flush();
    if (wire.agenda.nextMs !== Number.POSITIVE_INFINITY) set(wire.agenda.nextMs);
  };
  wire.agenda.earlier = set;
  return wire;
}

function now(): number {
  return Math.floor(performance.now());
}
