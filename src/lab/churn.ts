// Churn: each of N loops connects, exchanges a few messages, closes, and begins again. A time here is that of the whole
// visit's first message: from asking for the connection to the answer.

import type { LoadConnection } from "./load-connection.ts";
import type { Pace, Paced } from "./pace.ts";

/** After a failed visit the next one waits, so that a target which refuses is not hammered. */
const AFTER_FAILURE_MS = 10;

export class Churn implements Pace {
  readonly counts = "answered";
  readonly from = "intended";
  readonly #generator: Paced;
  #started = false;
  #stopped = false;
  /** Those that failed, with the time of their next visit; in order of that time. */
  readonly #waiting: { readonly connection: LoadConnection; readonly atMs: number }[] = [];

  constructor(generator: Paced) {
    this.#generator = generator;
  }

  step(nowMs: number): number {
    if (!this.#started) {
      this.#started = true;
      for (const connection of this.#generator.connections) {
        this.#generator.connect(connection, nowMs);
      }
    }
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      if (first === undefined || first.atMs > nowMs) return (first?.atMs ?? nowMs) - nowMs;
      this.#waiting.shift();
      this.#generator.connect(first.connection, nowMs);
    }
    return Number.POSITIVE_INFINITY;
  }

  opened(connection: LoadConnection): void {
    this.#generator.want(connection, connection.askedMs);
  }

  answered(connection: LoadConnection, _count: number, nowMs: number): void {
    this.#generator.close(connection);
    if (!this.#stopped) this.#generator.connect(connection, nowMs);
  }

  failed(connection: LoadConnection, nowMs: number): void {
    if (!this.#stopped) this.#waiting.push({ connection, atMs: nowMs + AFTER_FAILURE_MS });
  }

  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
  }
}
