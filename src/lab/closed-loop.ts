// Closed loop: each connection has `depth` messages in flight, and an answer lets the next one leave. It finds out how much
// a target can do. It hides how long users would wait: a target that stalls is sent nothing meanwhile.

import { type LoadConnection, OPEN } from "./load-connection.ts";
import type { Pace, Paced } from "./pace.ts";

export class ClosedLoop implements Pace {
  readonly counts = "answered";
  readonly from = "left";
  readonly #generator: Paced;
  readonly #depth: number;
  #started = false;
  #stopped = false;

  constructor(generator: Paced, depth: number) {
    this.#generator = generator;
    this.#depth = depth;
  }

  step(nowMs: number): number {
    if (!this.#started) {
      this.#started = true;
      for (const connection of this.#generator.connections) {
        if (connection.state === OPEN) this.opened(connection, nowMs);
      }
    }
    return Number.POSITIVE_INFINITY;
  }

  answered(connection: LoadConnection, count: number, nowMs: number): void {
    if (!this.#stopped) this.#generator.want(connection, nowMs, count);
  }

  opened(connection: LoadConnection, nowMs: number): void {
    this.#generator.want(connection, nowMs, this.#depth);
  }

  failed(): void {
    // It stays away: a target that sheds connections is shown as it is, by the errors and by fewer messages.
  }

  stop(): void {
    this.#stopped = true;
  }
}
