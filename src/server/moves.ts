// Moves of connections between threads, as the server sees them: who gives how many to whom, and where each one is
// while it is with none of them.
//
// A connection goes from its thread to the server, over that thread's port, and from there to its new one, which says whether
// it has taken it. The server keeps it until then, so one that was on its way to a thread which dies goes to another.
//
// Twist: whether a thread that died had taken it is found in the notes of what its driver held (thread-notes.ts). Nobody else
// can have that number meanwhile: the descriptor is open.
// Invariant: a descriptor on its way is in exactly one of #tickets, the messages of one port, a thread's notes.

import { deferred } from "../deferred.ts";
import { hasReachedSlot } from "../driver/thread-notes.ts";
import { CLOSED, CONNECTIONS, countersOf } from "../reactor/counters.ts";
import type { MovedConnection } from "../reactor/moving.ts";
import { closeDescriptor } from "../sys/socket-calls.ts";

/** Said to a thread. */
export type MoveToThread =
  | { readonly kind: "give"; readonly shares: readonly Share[]; readonly withinMs: number }
  | { readonly kind: "take"; readonly ticket: number; readonly moved: MovedConnection };

/** Said by a thread. */
export type MoveFromThread =
  | { readonly kind: "gave"; readonly to: number; readonly moved: MovedConnection }
  | { readonly kind: "gaveAll" }
  | { readonly kind: "took"; readonly ticket: number; readonly taken: boolean };

/** Whether something that was said to a thread is about moves. */
export function isMove(message: unknown): message is MoveToThread {
  const kind = typeof message === "object" && message !== null && "kind" in message && message.kind;
  return kind === "give" || kind === "take";
}

/** Whether something that a thread has said is. */
export function isMoved(message: unknown): message is MoveFromThread {
  const kind = typeof message === "object" && message !== null && "kind" in message && message.kind;
  return kind === "gave" || kind === "gaveAll" || kind === "took";
}

/** So many connections for one seat. */
export interface Share {
  readonly to: number;
  readonly count: number;
}

export interface MovesOptions {
  readonly seats: number;
  /** Of all seats. */
  readonly counters: Float64Array;
  /** Says something to the thread of a seat; false when there is none. */
  readonly say: (seat: number, message: MoveToThread) => boolean;
  /** Whether the thread of a seat works. */
  readonly works: (seat: number) => boolean;
}

interface Ticket {
  readonly moved: MovedConnection;
  readonly from: number;
  /** Who has it now, if anybody. */
  to: number;
  /** Seats that have refused it. */
  readonly refused: Set<number>;
  /** Takes it back when all have; else it is closed. */
  readonly homeless: (() => void) | undefined;
}

/** A connection whose handler stays busy for longer stays where it is. */
const WITHIN_MS = 1000;

export class Moves {
  readonly #options: MovesOptions;
  readonly #tickets = new Map<number, Ticket>();
  /** Seats that have not given all they were asked for. */
  readonly #giving = new Set<number>();
  #nextTicket = 1;
  #moved = 0;
  #running: PromiseWithResolvers<number> | undefined;

  constructor(options: MovesOptions) {
    this.#options = options;
  }

  /** Moves connections from seats with more than the mean to those with less; how many have moved. */
  rebalance(): Promise<number> {
    if (this.#running !== undefined) return this.#running.promise;
    const running = deferred<number>();
    this.#running = running;
    this.#moved = 0;
    for (const [seat, shares] of this.#plan()) {
      if (this.#options.say(seat, { kind: "give", shares, withinMs: WITHIN_MS })) {
        this.#giving.add(seat);
      }
    }
    this.#settle();
    return running.promise;
  }

  heard(seat: number, message: MoveFromThread): void {
    if (message.kind === "gave") this.send(seat, message.to, message.moved);
    else if (message.kind === "gaveAll") this.#giving.delete(seat);
    else this.#took(message.ticket, message.taken);
    this.#settle();
  }

  /** The thread of a seat is gone, all that it has said is heard, and what it held is still in its notes. */
  left(seat: number, notes: Int32Array): void {
    this.#giving.delete(seat);
    for (const [number, ticket] of this.#tickets) {
      if (ticket.to !== seat) continue;
      if (hasReachedSlot(notes, ticket.moved.descriptor)) this.#tickets.delete(number);
      else this.#took(number, false);
    }
    this.#settle();
  }

  /**
   * A connection of one seat that is with nobody goes to another one, or whoever takes it. Without `homeless` it is closed
   * when nobody does.
   */
  send(from: number, to: number, moved: MovedConnection, homeless?: () => void): void {
    const ticket: Ticket = { moved, from, to: -1, refused: new Set(), homeless };
    const number = this.#nextTicket++;
    this.#tickets.set(number, ticket);
    this.#offer(number, ticket, to);
  }

  /** Closes a connection of a seat that is with nobody. */
  drop(from: number, moved: MovedConnection): void {
    closeDescriptor(moved.descriptor);
    const counters = countersOf(this.#options.counters, from);
    counters[CLOSED] = (counters[CLOSED] as number) + 1;
  }

  /** After the end of the last thread: nobody takes what is still on its way. */
  close(): void {
    for (const { moved } of this.#tickets.values()) closeDescriptor(moved.descriptor);
    this.#tickets.clear();
    this.#giving.clear();
    this.#settle();
  }

  /** What each seat gives to which others, so that all have as many, or one more. */
  #plan(): Map<number, Share[]> {
    const { seats, works } = this.#options;
    const working = Array.from({ length: seats }, (_, seat) => seat).filter(works);
    const connections = working.map((seat) => ({ seat, count: this.#connections(seat) }));
    connections.sort((a, b) => b.count - a.count);
    const total = connections.reduce((sum, { count }) => sum + count, 0);
    const least = Math.floor(total / Math.max(working.length, 1));
    // Those who have most keep the one more.
    const surplus = connections.map(({ seat, count }, index) => ({
      seat,
      left: count - least - (index < total - least * working.length ? 1 : 0),
    }));
    const plan = new Map<number, Share[]>();
    for (const giver of surplus) {
      for (const taker of surplus) {
        const count = Math.min(giver.left, -taker.left);
        if (count <= 0) continue;
        giver.left -= count;
        taker.left += count;
        plan.set(giver.seat, [...(plan.get(giver.seat) ?? []), { to: taker.seat, count }]);
      }
    }
    return plan;
  }

  #connections(seat: number): number {
    return countersOf(this.#options.counters, seat)[CONNECTIONS] as number;
  }

  #took(number: number, taken: boolean): void {
    const ticket = this.#tickets.get(number);
    if (ticket === undefined) return;
    if (taken) {
      this.#tickets.delete(number);
      if (ticket.to !== ticket.from && !ticket.moved.orphaned) this.#moved++;
      return;
    }
    ticket.refused.add(ticket.to);
    this.#offer(number, ticket, ticket.from);
  }

  /** To the seat that it was meant for, else to any that takes it. */
  #offer(number: number, ticket: Ticket, first: number): void {
    const { seats, say, works } = this.#options;
    for (const to of [first, ...Array(seats).keys()]) {
      if (ticket.refused.has(to)) continue;
      ticket.to = to;
      if (works(to) && say(to, { kind: "take", ticket: number, moved: ticket.moved })) return;
      ticket.refused.add(to);
    }
    // There is no thread left that could serve it.
    this.#tickets.delete(number);
    if (ticket.homeless === undefined) this.drop(ticket.from, ticket.moved);
    else ticket.homeless();
  }

  #settle(): void {
    const running = this.#running;
    if (running === undefined || this.#giving.size + this.#tickets.size > 0) return;
    this.#running = undefined;
    running.resolve(this.#moved);
  }
}
