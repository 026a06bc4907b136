// Bugs planted in moves: each breaks them in one way that somebody could really write, in what goes along, in the reactor, or
// in the driver. How it is planted: planting.ts, or a change of what is on its way.

import { Buffer } from "node:buffer";
import type { Decoder } from "../../src/codec/codec.ts";
import { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import { Closing } from "../../src/reactor/closing.ts";
import { BUSY, LEAVING } from "../../src/reactor/connection.ts";
import { Incoming } from "../../src/reactor/incoming.ts";
import { Milestones } from "../../src/reactor/milestones.ts";
import { type MovedConnection, Moving } from "../../src/reactor/moving.ts";
import { SendQueue } from "../../src/reactor/send-queue.ts";
import { everyNth, replaced } from "./planting.ts";
import { WIRES } from "./wire.ts";

export interface MovingPlant {
  readonly name: string;
  /** Plants it; what is returned takes it out. */
  readonly plant: () => () => void;
  readonly alter?: (moved: MovedConnection) => MovedConnection;
}

const NOTHING = new Uint8Array(0);

/** A bug in what goes along. */
function altered(
  name: string,
  change: (moved: MovedConnection) => Partial<MovedConnection>,
): MovingPlant {
  const alter = (moved: MovedConnection) => ({ ...moved, ...change(moved) });
  return { name, plant: () => () => {}, alter };
}

function twice(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, bytes]);
}

export const MOVING_PLANTS: readonly MovingPlant[] = [
  altered("unread bytes are lost", () => ({ input: NOTHING })),
  altered("unread bytes go along twice", ({ input }) => ({ input: twice(input) })),
  altered("of the unread bytes the last ones come first", ({ input }) => {
    const half = input.length >> 1;
    return { input: Buffer.concat([input.subarray(half), input.subarray(0, half)]) };
  }),
  altered("what was written meanwhile is lost", () => ({ output: NOTHING })),
  altered("what was written meanwhile goes along twice", ({ output }) => ({
    output: twice(output),
  })),
  altered("a pause is forgotten", () => ({ paused: false })),
  altered("everything that has moved is paused", () => ({ paused: true })),
  altered("topics are forgotten", () => ({ topics: [] })),
  altered("its state is made anew", () => ({ state: { handled: 0, arrivals: 0 } })),
  altered("how long it has been silent is forgotten", () => ({ silentMs: 0 })),
  {
    name: "a busy handler is not waited for",
    plant: replaced(Moving.prototype, "proceed", (proceed) => {
      return function (connection) {
        const busy = connection.flags & BUSY;
        connection.flags &= ~BUSY;
        proceed.call(this, connection);
        connection.flags |= busy;
      };
    }),
  },
  {
    name: "a move that comes to nothing is told to nobody",
    plant: replaced(Moving.prototype, "stay", () => {
      return () => {};
    }),
  },
  {
    name: "what the driver had already read is dropped",
    plant: replaced(Incoming.prototype, "received", (received) => {
      return function (connection, start, end) {
        if ((connection.flags & LEAVING) === 0) received.call(this, connection, start, end);
      };
    }),
  },
  {
    name: "what the driver had already read is kept twice",
    plant: replaced(Incoming.prototype, "received", (received) => {
      return function (connection, start, end) {
        received.call(this, connection, start, end);
        if ((connection.flags & LEAVING) !== 0) received.call(this, connection, start, end);
      };
    }),
  },
  {
    name: "a decoder gives back nothing of an unfinished message",
    plant: () => {
      const takeOuts = WIRES.filter((wire) => wire.framed).map((wire) =>
        replaced(wire.codec, "decoder", (decoder) => {
          return function () {
            return forgetful(decoder.call(this));
          };
        })(),
      );
      return () => {
        for (const takeOut of takeOuts) takeOut();
      };
    },
  },
  {
    name: "the last byte of what goes along is lost, now and then",
    plant: replaced(Incoming.prototype, "restore", (restore) => {
      const loses = everyNth(10);
      return function (connection, bytes) {
        restore.call(this, connection, loses() ? bytes.subarray(0, bytes.length - 1) : bytes);
      };
    }),
  },
  {
    name: "what was written while it was leaving is not sent when it stays",
    plant: replaced(SendQueue.prototype, "goOn", () => {
      return () => {};
    }),
  },
  {
    name: "how it was closed while it was leaving is forgotten",
    plant: replaced(Closing.prototype, "returned", () => {
      return () => {};
    }),
  },
  {
    name: "one that stays does not read on",
    plant: replaced(Incoming.prototype, "goOn", (goOn) => {
      const forgets = everyNth(10);
      return function (connection) {
        if (connection.unread === undefined || !forgets()) goOn.call(this, connection);
      };
    }),
  },
  {
    name: "one that has moved is not told that its server drains",
    plant: replaced(Milestones.prototype, "draining", (draining) => {
      return function (connection) {
        if (connection.state !== undefined && !hasArrived(connection.state)) {
          draining.call(this, connection);
        }
      };
    }),
  },
  {
    name: "what comes while it is with no driver is lost",
    plant: replaced(SimulatedNetwork.prototype, "detach", (detach) => {
      const scratch = Buffer.alloc(65_536);
      return function (socket) {
        while (socket.unreadBytes > 0) socket.read(scratch, 0, scratch.length);
        return detach.call(this, socket);
      };
    }),
  },
];

function forgetful(decoder: Decoder<unknown>): Decoder<unknown> {
  decoder.kept = () => Buffer.alloc(0);
  return decoder;
}

function hasArrived(state: unknown): boolean {
  return typeof state === "object" && state !== null && "arrivals" in state && state.arrivals !== 0;
}
