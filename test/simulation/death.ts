// How a thread dies in a simulation: nothing of it runs any more, from a moment between two of its driver's events on.

import type { DriverEvents } from "../../src/driver/driver.ts";

/** Thrown through a turn of the thread's driver; nothing between there and the simulation catches it. */
export class Death extends Error {
  override readonly name = "Death";
}

/** Moments until a thread dies, counted down; 0: it does not. */
export interface Dying {
  in: number;
}

/**
 * The driver's events, with a moment before and after each: what the driver has taken out of the network may be handled by nobody.
 * A descriptor that the driver has let go of is handed on in the same moment.
 */
export function mortal(events: DriverEvents, dying: Dying): DriverEvents {
  const moment = () => {
    if (dying.in > 0 && --dying.in === 0) throw new Death();
  };
  const around = <Given extends readonly unknown[]>(tell: (...given: Given) => void) => {
    return (...given: Given) => {
      moment();
      tell(...given);
      moment();
    };
  };
  return {
    listening: around((handle, result) => events.listening(handle, result)),
    accepted: around((handle, result) => events.accepted(handle, result)),
    connected: around((handle, result) => events.connected(handle, result)),
    received: around((handle, result, offset) => events.received(handle, result, offset)),
    sent: around((handle, result) => events.sent(handle, result)),
    closed: around((handle) => events.closed(handle)),
    detached: (handle, descriptor) => events.detached(handle, descriptor),
  };
}
