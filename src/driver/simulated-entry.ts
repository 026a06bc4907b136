// What the simulated driver knows of its handles.

import { EBADF, EMFILE } from "../sys/errno.ts";
import type { Handle } from "./driver.ts";
import { SlotTable, slotOf } from "./handle.ts";
import type { Acceptance, SimulatedListener } from "./simulated-listener.ts";
import type { SimulatedSocket } from "./simulated-socket.ts";

export type EntryKind = "listener" | "connection";

/** A listener or a connection. */
export interface Entry {
  readonly handle: Handle;
  listener: SimulatedListener | undefined;
  /** Of a listener: by which it is told of connections. */
  taker: Acceptance | undefined;
  socket: SimulatedSocket | undefined;
  readonly kind: EntryKind;
  /** `starting`: not listening or not connected yet. `gone`: its last event has come. */
  state: "starting" | "open" | "closing" | "detaching" | "gone";
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

/** Those of one driver. */
export class SimulatedEntries {
  readonly #slots: SlotTable;
  /** See DriverOptions. */
  readonly #rests: Int32Array | undefined;
  readonly #entries: (Entry | undefined)[];
  #disposed = false;

  constructor(slots: number, rests?: Int32Array) {
    this.#slots = new SlotTable(slots);
    this.#rests = rests?.fill(0);
    this.#entries = new Array<Entry | undefined>(slots);
  }

  get used(): number {
    return this.#disposed ? 0 : this.#slots.used;
  }

  get sendsUnderWay(): number {
    return this.#entries.filter((entry) => entry !== undefined && entry.sendLength > 0).length;
  }

  get operationsUnderWay(): number {
    return this.#entries.reduce((sum, entry) => sum + (entry?.underWay ?? 0), 0);
  }

  /** A new one, or −errno: no slot is free. */
  enter(kind: EntryKind): Entry | number {
    if (this.#disposed) return -EBADF;
    const handle = this.#slots.take();
    if (handle < 0) return -EMFILE;
    const entry = newEntry(handle, kind);
    this.#entries[slotOf(handle)] = entry;
    this.disturb(entry);
    return entry;
  }

  /** The one with this handle, unless it was closed or detached. */
  open(handle: Handle): Entry | undefined {
    if (!this.#slots.holds(handle)) return undefined;
    const entry = this.#entries[slotOf(handle)];
    return entry?.state === "closing" || entry?.state === "detaching" ? undefined : entry;
  }

  /** Its slot is free. */
  leave(entry: Entry): void {
    entry.state = "gone";
    this.#entries[slotOf(entry.handle)] = undefined;
    this.disturb(entry);
    this.#slots.release(entry.handle);
  }

  /** It rests no more: bytes are about to be nowhere but with its thread. */
  disturb(entry: Entry): void {
    if (this.#rests !== undefined) this.#rests[slotOf(entry.handle)] = 0;
  }

  /** The connections at rest, with their ids: they are in here no more. */
  *takeResting(): Generator<{ readonly entry: Entry; readonly id: number }> {
    for (const [slot, entry] of this.#entries.entries()) {
      const id = (this.#rests?.[slot] ?? 0) >>> 0;
      if (entry === undefined || id === 0) continue;
      this.leave(entry);
      yield { entry, id };
    }
  }

  /** As when a thread dies: the kernel closes what it had. */
  dispose(): void {
    this.#disposed = true;
    for (const entry of this.#entries.splice(0)) {
      if (entry === undefined) continue;
      entry.state = "gone";
      leaveListener(entry);
      entry.socket?.close(entry.resetOnClose);
    }
  }
}

/** It accepts no more. */
export function leaveListener({ listener, taker }: Entry): void {
  if (taker !== undefined) listener?.leave(taker);
}

function newEntry(handle: Handle, kind: EntryKind): Entry {
  return {
    handle,
    kind,
    listener: undefined,
    taker: undefined,
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
