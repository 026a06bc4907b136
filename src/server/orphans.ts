// Connections that were at rest when their thread died, on their way to another one: each goes to the thread that has the
// fewest. Where none works or has room they wait, with what their peers send in the kernel, for the thread that takes the
// dead one's place.
//
// Invariant: each is the business of #waiting or of the moves (moves.ts), and closed when the last thread has ended.

import type { Orphan } from "../driver/thread-notes.ts";
import { CONNECTIONS, countersOf } from "../reactor/counters.ts";
import type { MovedConnection } from "../reactor/moving.ts";
import type { Moves, MovesOptions } from "./moves.ts";

interface Waiting {
  readonly from: number;
  readonly moved: MovedConnection;
}

export class Orphans {
  readonly #moves: Moves;
  readonly #options: MovesOptions;
  #waiting: Waiting[] = [];
  #closed = false;

  /** With the options of the moves that carry them. */
  constructor(moves: Moves, options: MovesOptions) {
    this.#moves = moves;
    this.#options = options;
  }

  /** The thread of a seat is gone, and these of its connections are left. */
  adopt(from: number, orphans: readonly Orphan[]): void {
    const { seats, works, counters } = this.#options;
    const loads = Array.from({ length: seats }, (_, seat) => ({
      seat,
      count: countersOf(counters, seat)[CONNECTIONS] as number,
    })).filter(({ seat }) => works(seat));
    for (const orphan of orphans) {
      const moved = movedOf(orphan);
      const least = loads.reduce((least, load) => (load.count < least.count ? load : least), {
        seat: from,
        count: Number.POSITIVE_INFINITY,
      });
      least.count++;
      this.#moves.send(from, least.seat, moved, () => this.#wait({ from, moved }));
    }
  }

  /** A thread begins to work on a seat. Who finds no place there either is closed. */
  began(seat: number): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { from, moved } of waiting) this.#moves.send(from, seat, moved);
  }

  /** No thread is replaced any more. */
  close(): void {
    this.#closed = true;
    for (const { from, moved } of this.#waiting) this.#moves.drop(from, moved);
    this.#waiting = [];
  }

  #wait(waiting: Waiting): void {
    if (this.#closed) this.#moves.drop(waiting.from, waiting.moved);
    else this.#waiting.push(waiting);
  }
}

/** As it goes to another thread: nothing is known of it but what its thread had noted. It has spoken: by now it may be silent for `limits.idleMs`. */
export function movedOf({ descriptor, id }: Orphan): MovedConnection {
  return {
    descriptor,
    id,
    state: undefined,
    input: new Uint8Array(0),
    output: new Uint8Array(0),
    topics: [],
    silentMs: 0,
    unsentMs: 0,
    hasSpoken: true,
    paused: false,
    orphaned: true,
  };
}
