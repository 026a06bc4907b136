// Whether the peer is still there: a PING after an interval of silence, dead after two. Whatever comes counts as life.

export class Keepalive {
  /** When something was heard last. */
  heardMs: number;
  #pinged = false;
  /** The number that the next PING carries. */
  pings = 0;

  constructor(nowMs: number) {
    this.heardMs = nowMs;
  }

  heard(nowMs: number): void {
    this.heardMs = nowMs;
    this.#pinged = false;
  }

  /** What to do now: nothing, send a PING, or give up. */
  check(nowMs: number, intervalMs: number): "alive" | "ping" | "dead" {
    const silent = nowMs - this.heardMs;
    if (silent >= 2 * intervalMs) return "dead";
    if (silent < intervalMs || this.#pinged) return "alive";
    this.#pinged = true;
    this.pings++;
    return "ping";
  }

  /** When to look again. */
  nextMs(intervalMs: number): number {
    return this.heardMs + (this.#pinged ? 2 : 1) * intervalMs;
  }
}
