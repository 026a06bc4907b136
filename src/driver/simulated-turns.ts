// When what a simulated driver has started comes to its end, and what a turn of it finds: late, in another order, or not yet,
// as the seed decides.
//
// Invariant: an entry's `underWay` counts its operations that are scheduled or ready, from `complete` to the turn that
// takes them.

import type { Entry } from "./simulated-entry.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";

const LATE_MS = 200;
const MOST_EMPTY_TURNS = 8;
const MOST_JUMP_MS = 60_000;

/** What a turn delivers: looked at only then, so that it tells what is true then. */
export type Completion =
  | "listening"
  | "accept"
  | "connected"
  | "receive"
  | "sent"
  | "closed"
  | "detached";

export interface Ready {
  readonly entry: Entry;
  readonly completion: Completion;
  readonly result: number;
}

export class SimulatedTurns {
  readonly #network: SimulatedNetwork;
  #ready: Ready[] = [];
  #emptyTurns = 0;
  #wakeAsked = false;
  #disposed = false;

  constructor(network: SimulatedNetwork) {
    this.#network = network;
  }

  /** The next turn does not wait. */
  wake(): void {
    this.#wakeAsked = true;
  }

  /** How long an operation takes, in ms. */
  delay(): number {
    const { random } = this.#network;
    const little = random.fraction() * 0.1;
    return this.#network.happens("lateCompletion") ? random.fraction() * LATE_MS : little;
  }

  /** Something ends, and a turn will tell. */
  complete(entry: Entry, completion: Completion, result: number): void {
    entry.underWay++;
    this.#network.clock.after(this.delay(), () => {
      if (!this.#disposed) this.#ready.push({ entry, completion, result });
    });
  }

  /** Passes time until something is ready, `timeoutMs` (Infinity: no limit) at the most, and takes all that is. */
  take(timeoutMs: number): readonly Ready[] {
    this.#suffer();
    this.#network.clock.runDue();
    const isEmpty = this.#emptyTurns > 0;
    if (isEmpty) this.#emptyTurns--;
    if (!this.#wakeAsked) this.#wait(timeoutMs, isEmpty);
    this.#wakeAsked = false;
    if (isEmpty) return [];
    const ready = this.#network.happens("reorder") ? this.#shuffled(this.#ready) : this.#ready;
    this.#ready = [];
    return ready;
  }

  /** Nothing is ready any more, nor will be. */
  dispose(): void {
    this.#disposed = true;
    this.#ready = [];
  }

  #suffer(): void {
    const { random, clock } = this.#network;
    if (this.#network.happens("clockJump")) clock.jump(random.fraction() * MOST_JUMP_MS);
    if (this.#emptyTurns === 0 && this.#network.happens("emptyTurns")) {
      this.#emptyTurns = random.between(1, MOST_EMPTY_TURNS);
    }
  }

  /** An empty turn sees nothing of what is ready, and so waits until its time is up. */
  #wait(timeoutMs: number, isEmpty: boolean): void {
    const { clock } = this.#network;
    const deadline = clock.nowMs + timeoutMs;
    while (clock.nowMs < deadline && (isEmpty || this.#ready.length === 0)) {
      if (!clock.advance(deadline - clock.nowMs)) return;
      if (timeoutMs === Number.POSITIVE_INFINITY && this.#ready.length > 0) return;
    }
  }

  /** Another order between handles, the same within each. */
  #shuffled(ready: readonly Ready[]): Ready[] {
    const byEntry = [...Map.groupBy(ready, (one) => one.entry).values()];
    const order: Ready[] = [];
    while (byEntry.length > 0) {
      const at = this.#network.random.below(byEntry.length);
      const next = byEntry[at]?.shift();
      if (next === undefined) byEntry.splice(at, 1);
      else order.push(next);
    }
    return order;
  }
}
