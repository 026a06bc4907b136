// Opening the connections: a few at a time, so that no accept queue overflows. Idle ones exchange one message, so that what
// stays silent afterwards is known to work; and at the end another, which shows that they still do.

import type { Generator } from "./generator.ts";
import { type LoadConnection, OPEN } from "./load-connection.ts";
import type { Pace } from "./pace.ts";

const AT_ONCE = 128;
/** So many failures, and no more are asked for. */
const MOST_FAILURES = 128;

export class Opening implements Pace {
  readonly counts = "answered";
  readonly from = "left";
  readonly #generator: Generator;
  readonly #all: readonly LoadConnection[];
  #asked = 0;
  #failures = 0;

  constructor(generator: Generator, all: readonly LoadConnection[]) {
    this.#generator = generator;
    this.#all = all;
  }

  /** All are open, or have failed; and the idle ones have been answered. */
  get over(): boolean {
    const { connecting, outstanding } = this.#generator;
    return this.#asked === this.#all.length && connecting === 0 && outstanding === 0;
  }

  step(nowMs: number): number {
    const generator = this.#generator;
    while (this.#asked < this.#all.length && generator.connecting < AT_ONCE) {
      generator.connect(this.#all[this.#asked++] as LoadConnection, nowMs);
    }
    return Number.POSITIVE_INFINITY;
  }

  opened(connection: LoadConnection, nowMs: number): void {
    if (connection.idle) this.#generator.want(connection, nowMs);
  }

  answered(): void {
    // One message is all there is.
  }

  failed(): void {
    this.#failures++;
    if (this.#failures >= MOST_FAILURES) this.stop();
  }

  stop(): void {
    this.#asked = this.#all.length;
  }
}

/** The stage in which nothing is said; and, once `stop` is called, whether everybody is still there. */
export class Silence implements Pace {
  readonly counts = "answered";
  readonly from = "left";

  step(): number {
    return Number.POSITIVE_INFINITY;
  }

  opened(): void {
    // Silent from the beginning.
  }

  answered(): void {
    // Of the last message, which nobody measures.
  }

  failed(): void {
    // Counted as an error already.
  }

  stop(): void {
    // There is nothing to be stopped.
  }
}

/** Asks every idle connection whether it still works. */
export function askIdle(generator: Generator, nowMs: number): void {
  for (const connection of generator.idle) {
    if (connection.state === OPEN) generator.want(connection, nowMs);
  }
}
