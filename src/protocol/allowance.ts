// How often a peer may send what costs it nothing: control frames, cancels, empty messages. Beyond it the connection
// ends with CALM. CREDIT and ACK that answer what we have sent are earned, and free.

import { GOAWAY } from "./codes.ts";
import { TokenBucket } from "./token-bucket.ts";
import { WireError } from "./wire-error.ts";
import type { WireLimits } from "./wire-limits.ts";

/** A burst is so many seconds' worth. */
const CONTROL_BURST = 4;
const BURST = 2;
/** Answers that can be earned in advance. */
const MOST_EARNED = 1024;

export class Allowance {
  readonly #limits: WireLimits;
  #earned = 0;
  // Made when the first such frame comes: most connections never send one.
  #controls: TokenBucket | undefined;
  #cancels: TokenBucket | undefined;
  #empties: TokenBucket | undefined;

  constructor(limits: WireLimits) {
    this.#limits = limits;
  }

  /** A message was sent: it may be answered with CREDIT or ACK. */
  earn(): void {
    if (this.#earned < MOST_EARNED) this.#earned++;
  }

  /** CREDIT or ACK. @throws WireError CALM */
  answer(nowMs: number): void {
    if (this.#earned > 0) this.#earned--;
    else this.control(nowMs);
  }

  /** @throws WireError CALM */
  control(nowMs: number): void {
    const { controlsPerSecond: rate } = this.#limits;
    this.#controls ??= new TokenBucket(rate, CONTROL_BURST * rate, nowMs);
    take(this.#controls, nowMs, "control frames");
  }

  /** @throws WireError CALM */
  cancel(nowMs: number): void {
    const { cancelsPerSecond: rate } = this.#limits;
    this.#cancels ??= new TokenBucket(rate, BURST * rate, nowMs);
    take(this.#cancels, nowMs, "cancels");
  }

  /** A DATA frame without bytes that ends nothing. @throws WireError CALM */
  empty(nowMs: number): void {
    const { emptiesPerSecond: rate } = this.#limits;
    this.#empties ??= new TokenBucket(rate, BURST * rate, nowMs);
    take(this.#empties, nowMs, "empty messages");
  }
}

function take(bucket: TokenBucket, nowMs: number, what: string): void {
  if (!bucket.take(nowMs)) throw new WireError(GOAWAY.CALM, `too many ${what}`);
}
