// Lets in so many at a time; who comes later waits for its turn, in order.

import { deferred } from "../deferred.ts";

export class Turnstile {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** Resolves when it is its turn; it then has a place until it `leave`s. */
  async enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    const turn = deferred<void>();
    this.#waiting.push(turn.resolve);
    await turn.promise;
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
