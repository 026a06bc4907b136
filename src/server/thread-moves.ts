// Moves of connections between threads, as one of the threads sees them: gives away what the server asks for, and takes in
// what it hands over.

import type { ReactorConnection } from "../reactor/connection.ts";
import type { MovedConnection } from "../reactor/moving.ts";
import type { Reactor } from "../reactor/reactor.ts";
import type { MoveFromThread, MoveToThread, Share } from "./moves.ts";

export class ThreadMoves {
  readonly #reactor: Reactor<unknown, unknown, unknown>;
  readonly #say: (message: MoveFromThread) => void;
  #closed = false;

  constructor(
    reactor: Reactor<unknown, unknown, unknown>,
    say: (message: MoveFromThread) => void = unheard,
  ) {
    this.#reactor = reactor;
    this.#say = say;
  }

  heard(message: MoveToThread): void {
    if (message.kind === "give") return this.#give(message.shares, message.withinMs);
    const taken = !this.#closed && this.#reactor.moving.arrive(message.moved);
    this.#say({ kind: "took", ticket: message.ticket, taken });
  }

  /** The reactor turns no more. */
  close(): void {
    this.#closed = true;
  }

  /** For each one that stays after all, another one is tried. */
  #give(shares: readonly Share[], withinMs: number): void {
    const { moving } = this.#reactor;
    const candidates = this.#reactor.roster.movable();
    const underWay = new Set<ReactorConnection<unknown, unknown, unknown>>();
    let isLate = false;
    let hasBegun = false;
    const begin = (to: number) => {
      while (!isLate) {
        const connection = candidates.next().value;
        if (connection === undefined) return;
        const ended = () => {
          underWay.delete(connection);
          over();
        };
        const hand = (moved: MovedConnection) => {
          this.#say({ kind: "gave", to, moved });
          ended();
        };
        const stayed = () => {
          begin(to);
          ended();
        };
        underWay.add(connection);
        if (moving.start(connection, hand, stayed)) return;
        underWay.delete(connection);
      }
    };
    const over = () => {
      if (!hasBegun || underWay.size > 0) return;
      clearTimeout(late);
      this.#say({ kind: "gaveAll" });
    };
    // Those that wait for a handler all that time stay; one that the driver is letting go of leaves in a moment.
    const late = setTimeout(() => {
      isLate = true;
      for (const connection of underWay) moving.stay(connection);
    }, withinMs);
    for (const { to, count } of shares) for (let n = 0; n < count; n++) begin(to);
    hasBegun = true;
    over();
  }
}

/** For a thread that nobody asks to move anything. */
function unheard(message: MoveFromThread): void {
  throw new Error(`there is no server to be told ${message.kind}: a bug, please report it`);
}
