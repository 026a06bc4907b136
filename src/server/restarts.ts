// When a thread that ended by itself is replaced, and when a server gives up.
//
// A thread that had worked for a while is replaced at once. One that ends quickly, again and again, is replaced less often
// each time, down to four times in three seconds: a peer that kills it with each message must not take all of the processor.
// What costs is the start, so the time counts from one start to the next, and a seat is never empty for longer than that.
// A server gives up only when nobody lives: as many quick ends in a row as `limits.restarts` says, while no thread of it
// worked for a second. So one bad seat, or a hundred deaths in a minute under load, end nothing that still serves.

/** Who has worked for so long is replaced at once, and shows that the server is worth going on with. */
export const STEADY_MS = 1000;
/** From one start on a seat to the next, after quick ends. */
const SHORTEST_GAP_MS = 10;
const LONGEST_GAP_MS = 750;

export class Restarts {
  readonly #most: number;
  /** Quick ends in a row, of each seat. */
  readonly #quick: number[];
  #row = 0;

  /** `most`: quick ends in a row, over all seats. */
  constructor(seats: number, most: number) {
    this.#most = most;
    this.#quick = new Array<number>(seats).fill(0);
  }

  /**
   * The thread of a seat has ended, `livedMs` after its start, when it had worked for `workedMs` (0: it never did); `othersMs`
   * is what the longest-working of the others has behind it. Ms to wait before the next one starts, or undefined: give up.
   */
  ended(seat: number, livedMs: number, workedMs: number, othersMs: number): number | undefined {
    const steady = workedMs >= STEADY_MS;
    this.#row = steady || othersMs >= STEADY_MS ? 0 : this.#row + 1;
    if (this.#row > this.#most) return undefined;
    const quick = steady ? 0 : (this.#quick[seat] ?? 0) + 1;
    this.#quick[seat] = quick;
    if (quick === 0) return 0;
    const gap = Math.min(SHORTEST_GAP_MS * 2 ** (quick - 1), LONGEST_GAP_MS);
    return Math.max(gap - livedMs, 0);
  }
}
