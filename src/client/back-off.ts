// When to try again: later each time, and never when everybody else does. Randomness is handed in.
//
// "Full jitter": a random time of up to twice the last bound. Whoever waits a fixed time after a server has gone comes back
// together with all others, and takes it down again.

export interface BackOffLimits {
  /** The first try waits up to so long, in ms. */
  readonly firstMs: number;
  /** No try waits longer. */
  readonly mostMs: number;
}

export class BackOff {
  readonly #limits: BackOffLimits;
  readonly #random: () => number;
  #tries = 0;

  /** `random` gives numbers from 0 up to 1. */
  constructor(limits: BackOffLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  /** How long to wait before the next try, in ms. `firstMs` is what the other side has asked for, if it has. */
  nextMs(firstMs = this.#limits.firstMs): number {
    const bound = Math.min(firstMs * 2 ** this.#tries, this.#limits.mostMs);
    // Beyond that the bound has long been reached.
    this.#tries = Math.min(this.#tries + 1, 30);
    return this.#random() * bound;
  }

  /** It has worked: begin anew. */
  reset(): void {
    this.#tries = 0;
  }
}
