// Bugs planted in what is noted of connections at rest: each lets one be handed on, when its thread dies, that would lose something.

import { SimulatedEntries } from "../../src/driver/simulated-entry.ts";
import {
  BUSY,
  DRIVER_PAUSED,
  PAUSED,
  type ReactorConnection,
  SENDING,
} from "../../src/reactor/connection.ts";
import { Rest } from "../../src/reactor/rest.ts";
import type { MovingPlant } from "./moving-plants.ts";
import { replaced } from "./planting.ts";

type Resting = ReactorConnection<unknown, unknown, unknown>;

export const RESTING_PLANTS: readonly MovingPlant[] = [
  {
    name: "a rest is not over when the driver takes bytes out",
    plant: replaced(SimulatedEntries.prototype, "disturb", () => {
      return () => {};
    }),
  },
  {
    name: "a rest is not over when something is written or closed",
    plant: replaced(Rest.prototype, "end", () => {
      return () => {};
    }),
  },
  overlooked("that a message is being handled", (connection) => {
    connection.flags &= ~BUSY;
  }),
  overlooked("that something waits to be sent", (connection) => {
    connection.flags &= ~SENDING;
    connection.pendingBytes = 0;
  }),
  overlooked("half of a message", (connection) => {
    connection.keptBytes = 0;
  }),
  overlooked("that it is paused", (connection) => {
    connection.flags &= ~(PAUSED | DRIVER_PAUSED);
  }),
];

/** It begins to rest in spite of something. */
function overlooked(what: string, hide: (connection: Resting) => void): MovingPlant {
  return {
    name: `a rest begins, and overlooks ${what}`,
    plant: replaced(Rest.prototype, "consider", (consider) => {
      return function (connection) {
        const { flags, pendingBytes, keptBytes } = connection;
        hide(connection);
        consider.call(this, connection);
        Object.assign(connection, { flags, pendingBytes, keptBytes });
      };
    }),
  };
}
