// Who gets a connection: the reactor that accepted it, or another one of the same server, to which its descriptor is handed.
//
// Every reactor accepts, and every one decides, from shared memory alone: there is no thread that all connections go
// through, none that is missed when it dies, and who stays where it was accepted costs nothing. What is handed over goes
// through the inbox of the other reactor's seat (descriptor-queue.ts), and a wake.
//
// Twists:
// - What is on its way to a reactor counts as its connection already; else a burst would all go to who was the emptiest
//   when it began.
// - Inbox and eventfd belong to the seat, and not to the thread on it: what was handed to a thread that dies is handed on
//   by the server, or waits for the next one. And nobody wakes a number that may be a client's connection by now.
// Invariant: a descriptor is in this driver's notes, or in exactly one inbox.

import { DescriptorQueue } from "../driver/descriptor-queue.ts";
import type { Driver, Handle } from "../driver/driver.ts";
import { networkOf } from "../sys/address.ts";
import { closeDescriptor, signalEventfd } from "../sys/socket-calls.ts";
import { CONNECTIONS, COUNTER_STRIDE } from "./counters.ts";

export const BALANCES = ["kernel", "least-connections", "round-robin", "address-hash"] as const;
/** How accepted connections are spread; `kernel`: whoever it lets accept one keeps it. */
export type Balance = (typeof BALANCES)[number];

/** What the reactors of one server share, made by the server for all of its threads. */
export interface PlacementMemory {
  readonly balance: Balance;
  /** Of all seats. */
  readonly counters: Float64Array;
  /** The next turn of round-robin; then of each seat: 1 while its reactor takes connections, and what wakes it. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The tables of the seats' inboxes. */
  readonly inboxes: readonly Int32Array<SharedArrayBuffer>[];
  /** Connections that one reactor may have. */
  readonly most: number;
}

/** One of them, for the thread on it. */
export interface PlacementSeat {
  readonly memory: PlacementMemory;
  readonly seat: number;
}

const NOBODY = -1;
const TURN = 0;
const SEATS = 1;
// Of a seat:
const OPEN = 0;
/** An eventfd, which stays open as long as the server is. */
const WAKE = 1;
const WORDS_PER_SEAT = 2;
/** Who has up to one more than the emptiest reactor, and this share, keeps what it accepts: handing over costs. */
const SLACK = 1 / 16;
/** So many are taken in one turn: those who are there get their share too. */
const TAKEN_PER_TURN = 64;

/** Entries of `words` for so many seats. */
export function placementWords(seats: number): number {
  return SEATS + seats * WORDS_PER_SEAT;
}

/** The inboxes of all seats, and whether their reactors take connections: what the server and each thread work with. */
export class Seats {
  readonly memory: PlacementMemory;
  readonly inboxes: readonly DescriptorQueue[];

  constructor(memory: PlacementMemory) {
    this.memory = memory;
    this.inboxes = memory.inboxes.map((table) => new DescriptorQueue(table));
  }

  /** Whether others may hand connections to this seat's reactor. */
  setOpen(seat: number, open: boolean): void {
    Atomics.store(this.memory.words, wordOf(seat, OPEN), open ? 1 : 0);
  }

  /** What wakes the seat's reactor. */
  setWake(seat: number, descriptor: number): void {
    Atomics.store(this.memory.words, wordOf(seat, WAKE), descriptor);
  }

  /** Whether the seat's reactor takes connections and has room for more than are on their way to it. */
  takes(seat: number): boolean {
    return (
      Atomics.load(this.memory.words, wordOf(seat, OPEN)) === 1 &&
      this.load(seat) < this.memory.most
    );
  }

  /** Its connections, with those in its inbox. */
  load(seat: number): number {
    const connections = this.memory.counters[seat * COUNTER_STRIDE + CONNECTIONS] as number;
    return connections + (this.inboxes[seat] as DescriptorQueue).length;
  }

  /** The seat that takes connections and has the fewest, `coming` added and other than `except`; −1: none does. */
  emptiest(except = NOBODY, coming?: Int32Array): number {
    let found = NOBODY;
    let least = Number.POSITIVE_INFINITY;
    for (let seat = 0; seat < this.inboxes.length; seat++) {
      const load = this.load(seat) + (coming?.[seat] ?? 0);
      if (seat === except || load >= least || !this.takes(seat)) continue;
      found = seat;
      least = load;
    }
    return found;
  }

  /** Hands a descriptor over; false: there is no room for it, and it is still the caller's. */
  handOver(seat: number, descriptor: number): boolean {
    if (!(this.inboxes[seat] as DescriptorQueue).put(descriptor)) return false;
    signalEventfd(Atomics.load(this.memory.words, wordOf(seat, WAKE)));
    return true;
  }

  /** Hands a descriptor to whoever has room for it, the emptiest first; false: nobody has. */
  handOn(descriptor: number): boolean {
    const seat = this.emptiest();
    return seat >= 0 && this.handOver(seat, descriptor);
  }
}

function wordOf(seat: number, word: number): number {
  return SEATS + seat * WORDS_PER_SEAT + word;
}

/** One reactor's part in it. */
export class Placement {
  readonly #seats: Seats;
  readonly #seat: number;
  readonly #driver: Driver;
  readonly #inbox: DescriptorQueue;
  /** On their way out of this driver, with the seats they go to. */
  readonly #leaving = new Map<Handle, number>();
  /** How many of them go to each seat. */
  readonly #leavingTo: Int32Array;
  #closed = false;

  constructor({ memory, seat }: PlacementSeat, driver: Driver) {
    this.#seats = new Seats(memory);
    this.#seat = seat;
    this.#driver = driver;
    this.#inbox = this.#seats.inboxes[seat] as DescriptorQueue;
    this.#leavingTo = new Int32Array(memory.inboxes.length);
  }

  /** From here on the others may hand over to this reactor. */
  open(): void {
    this.#seats.setOpen(this.#seat, true);
  }

  /** The others hand it nothing more; what still comes is handed on, if anybody takes it. */
  close(): void {
    this.#closed = true;
    this.#seats.setOpen(this.#seat, false);
  }

  /** Connections on their way out of this driver. */
  get leaving(): number {
    return this.#leaving.size;
  }

  /** True when a connection that was accepted here goes to another reactor: it is not this one's any more. */
  sendsAway(handle: Handle): boolean {
    const seat = this.#seatFor(handle);
    if (seat === this.#seat || this.#driver.detach(handle) < 0) return false;
    this.#leaving.set(handle, seat);
    this.#leavingTo[seat] = (this.#leavingTo[seat] as number) + 1;
    return true;
  }

  /**
   * The driver has let go of a handle; false: it was not one that goes to another reactor. Who cannot be handed over after
   * all is this reactor's again, by another handle.
   */
  detached(handle: Handle, descriptor: number, adopted: (handle: Handle) => void): boolean {
    const seat = this.#leaving.get(handle);
    if (seat === undefined) return false;
    this.#leaving.delete(handle);
    this.#leavingTo[seat] = (this.#leavingTo[seat] as number) - 1;
    if (this.#seats.takes(seat)) {
      // Before it is in two hands: that thread may close it, and its number be somebody else's.
      this.#driver.letGo(descriptor);
      if (this.#seats.handOver(seat, descriptor)) return true;
    }
    const back = this.#driver.adopt(descriptor);
    if (back >= 0) adopted(back);
    else closeDescriptor(descriptor);
    return true;
  }

  /** Takes what has been handed over to this reactor: `adopted` is called with each new handle. */
  receive(adopted: (handle: Handle) => void): void {
    for (let n = 0; n < TAKEN_PER_TURN; n++) {
      const descriptor = this.#closed ? this.#inbox.take() : this.#inbox.peek();
      if (descriptor < 0) return;
      // Must be in one inbox at a time: that thread may close it as soon as it is in its own.
      if (this.#closed && this.#seats.handOn(descriptor)) continue;
      const handle = this.#driver.adopt(descriptor);
      // Only now, when the driver has noted it: if this thread dies in between, Balancing.left finds it in both.
      if (!this.#closed) this.#inbox.take();
      if (handle >= 0) adopted(handle);
      // All slots are taken: until one is free it waits where it was, and the turns wait too.
      else if (this.#inbox.put(descriptor)) return;
      else closeDescriptor(descriptor);
    }
    this.#driver.wake();
  }

  #seatFor(handle: Handle): number {
    const { balance } = this.#seats.memory;
    if (balance === "least-connections") return this.#leastConnections();
    const { words, inboxes } = this.#seats.memory;
    const first =
      balance === "round-robin" ? Atomics.add(words, TURN, 1) >>> 0 : this.#addressHash(handle);
    for (let n = 0; n < inboxes.length; n++) {
      const seat = (first + n) % inboxes.length;
      if (this.#seats.takes(seat)) return seat;
    }
    return this.#seat;
  }

  #leastConnections(): number {
    const own = this.#seats.load(this.#seat);
    const seat = this.#seats.emptiest(this.#seat, this.#leavingTo);
    if (seat < 0) return this.#seat;
    const least = this.#seats.load(seat) + (this.#leavingTo[seat] as number);
    return own - least > 1 + own * SLACK ? seat : this.#seat;
  }

  /** FNV-1a over whom the peer's address belongs to, as the limits count; peers without one (Unix sockets) stay here. */
  #addressHash(handle: Handle): number {
    const address = this.#driver.remoteAddress(handle);
    if (typeof address === "number" || address.family === "unix") return this.#seat;
    const network = networkOf(address);
    let hash = 0x811c9dc5;
    for (let at = 0; at < network.length; at++) {
      hash = Math.imul(hash ^ network.charCodeAt(at), 0x01000193);
    }
    // The last bits of FNV of similar addresses differ less than the others.
    return (hash ^ (hash >>> 15)) >>> 0;
  }
}
