// What the simulated driver knows of a handle.

import type { Handle } from "./driver.ts";
import type { SimulatedListener } from "./simulated-listener.ts";
import type { SimulatedSocket } from "./simulated-socket.ts";

export type EntryKind = "listener" | "connection";

/** A listener or a connection. */
export interface Entry {
  readonly handle: Handle;
  listener: SimulatedListener | undefined;
  socket: SimulatedSocket | undefined;
  readonly kind: EntryKind;
  /** `starting`: not listening or not connected yet. `gone`: its last event has come. */
  state: "starting" | "open" | "closing" | "gone";
  wanted: boolean;
  ended: boolean;
  shut: boolean;
  resetOnClose: boolean;
  /** Operations scheduled or ready. */
  underWay: number;
  /** A receive or an accept is under way. */
  taking: boolean;
  /** What it received last was kept. */
  keeping: boolean;
  sendOffset: number;
  /** 0: no send. */
  sendLength: number;
  sendDone: number;
  sendSum: number;
  /** The next part of the send is scheduled. */
  stepping: boolean;
  /** The result of the send stands; it waits to be delivered. */
  sendSettled: boolean;
}

export function newEntry(handle: Handle, kind: EntryKind): Entry {
  return {
    handle,
    kind,
    listener: undefined,
    socket: undefined,
    state: "starting",
    wanted: false,
    ended: false,
    shut: false,
    resetOnClose: false,
    underWay: 0,
    taking: false,
    keeping: false,
    sendOffset: 0,
    sendLength: 0,
    sendDone: 0,
    sendSum: 0,
    stepping: false,
    sendSettled: false,
  };
}
