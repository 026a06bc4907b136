// A token bucket: how often something may happen. Time is handed in.

export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#most = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** True when it may happen once more. */
  take(nowMs: number): boolean {
    const gained = Math.max(0, nowMs - this.#atMs) * this.#perMs;
    this.#atMs = nowMs;
    this.#tokens = Math.min(this.#most, this.#tokens + gained);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
