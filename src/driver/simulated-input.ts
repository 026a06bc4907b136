// What comes in to a simulated driver: when a receive or an accept finds something to take, and where received bytes lie.
//
// Twist: they lie anywhere in `input`, and are overwritten after the event, so that nobody gets away with keeping them.

import { Buffer } from "node:buffer";
import type { DriverEvents } from "./driver.ts";
import type { Entry, SimulatedEntries } from "./simulated-entry.ts";
import type { Acceptance, SimulatedListener } from "./simulated-listener.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import type { SimulatedTurns } from "./simulated-turns.ts";

/** The part of a driver that says where its input lies. */
interface ReceivingDriver {
  input: Buffer;
  inputKeepable: boolean;
  inputKept: boolean;
  readonly counters: { bufferStarvation: number };
}

const INPUT_BYTES = 65_536;
/** Most bytes of one `received`. */
const RECEIVE_BYTES = 16_384;
const POISON = 0xdb;

export function freshInput(): Buffer {
  return Buffer.alloc(INPUT_BYTES, POISON);
}

export class SimulatedInput {
  readonly #network: SimulatedNetwork;
  readonly #turns: SimulatedTurns;
  readonly #driver: ReceivingDriver;
  readonly #events: DriverEvents;
  readonly #entries: SimulatedEntries;

  constructor(
    network: SimulatedNetwork,
    entries: SimulatedEntries,
    turns: SimulatedTurns,
    driver: ReceivingDriver,
    events: DriverEvents,
  ) {
    this.#network = network;
    this.#entries = entries;
    this.#turns = turns;
    this.#driver = driver;
    this.#events = events;
  }

  /** The entry accepts from this listener, whenever it is wanted to. */
  joins(entry: Entry, listener: SimulatedListener): void {
    const taker: Acceptance = {
      get waits() {
        return mayTake(entry);
      },
      acceptable: () => this.takeSoon(entry),
    };
    entry.listener = listener;
    entry.taker = taker;
    listener.join(taker);
  }

  /** Starts a receive or an accept if there is something to take and none is under way. */
  takeSoon(entry: Entry): void {
    if (!mayTake(entry)) return;
    const waiting =
      entry.listener === undefined ? this.#hasInput(entry) : entry.listener.waiting > 0;
    if (!waiting) return;
    entry.taking = true;
    this.#turns.complete(entry, entry.listener === undefined ? "receive" : "accept", 0);
  }

  /** A receive is over; false: it has brought nothing. */
  deliver(entry: Entry): boolean {
    entry.taking = false;
    if (!this.#mayTake(entry)) return false;
    if (this.#network.happens("starvation")) {
      this.#driver.counters.bufferStarvation++;
      this.takeSoon(entry);
      return false;
    }
    this.#receive(entry);
    return true;
  }

  /** Who is not to take any more may have done so already. */
  #mayTake(entry: Entry): boolean {
    if (!this.#hasInput(entry)) return false;
    if (entry.state === "detaching") return this.#network.happens("cancelRace");
    if (entry.state !== "open") return false;
    return entry.wanted || this.#network.happens("bytesAfterPause");
  }

  #hasInput(entry: Entry): boolean {
    return !entry.ended && entry.socket?.isReadable === true;
  }

  #receive(entry: Entry): void {
    const driver = this.#driver;
    const failure = this.#network.operate("receive");
    const most = this.#length(entry.socket?.unreadBytes ?? 0);
    const { input } = driver;
    // Who kept what came last gets memory that may be kept.
    if (entry.keeping) driver.input = Buffer.alloc(INPUT_BYTES);
    driver.inputKeepable = entry.keeping;
    const offset = this.#network.random.below(INPUT_BYTES - most + 1);
    this.#entries.disturb(entry);
    const read = entry.socket?.read(driver.input, offset, most) ?? 0;
    const result = failure > 0 ? -failure : read;
    if (failure > 0) entry.socket?.breakOff(failure, true);
    entry.ended = result <= 0;
    // As a multishot receive does, the next one goes on while the reactor looks at this one.
    this.takeSoon(entry);
    this.#network.tell(entry.handle, "received", result);
    this.#events.received(entry.handle, result, offset);
    const isKept = driver.inputKeepable && driver.inputKept;
    if (result > 0 && !isKept) driver.input.fill(POISON, offset, offset + result);
    entry.keeping = driver.inputKept;
    driver.inputKept = false;
    driver.inputKeepable = false;
    driver.input = input;
  }

  #length(unread: number): number {
    const most = Math.min(unread, RECEIVE_BYTES);
    if (most <= 1 || !this.#network.happens("partialReceive")) return Math.max(most, 1);
    return this.#network.random.between(1, most);
  }
}

/** Something is wanted of it, and nothing of the kind is under way. */
function mayTake({ wanted, taking, state }: Entry): boolean {
  return wanted && !taking && state === "open";
}
