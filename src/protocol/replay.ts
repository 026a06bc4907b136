// What lets a session survive its connection: numbered messages, kept until they are acknowledged, and the number of the
// last one that came. It belongs to the session and not to one of its connections; both ends have one.
//
// Sequence numbers go round at 2^32 and are compared as RFC 1982 does. What is kept is bounded: beyond that the session is
// not resumable any more, and nobody ever waits.
// Invariant: what is kept is a contiguous run of numbers that ends with `sent`.
//
// Twist: a secret is used up when it is shown, but a connection may be cut before the client reads its successor in WELCOME. So
// the server takes the shown one again until it hears that WELCOME has arrived.

import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import { FIXED, type WireLimits } from "./wire-limits.ts";

/** A frame as it is sent again. */
export interface KeptFrame {
  readonly seq: number;
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
  /** What must not be torn apart. */
  readonly head: number;
}

/** Whether `one` comes after `other` (RFC 1982, 32 bits). */
export function isAfter(one: number, other: number): boolean {
  return ((one - other) | 0) > 0;
}

export class Replay {
  /** Names the session; the secret shows, once, that it is ours. */
  id: Buffer = Buffer.alloc(0);
  secret: Buffer = Buffer.alloc(0);
  /** The one before, as long as the peer may not know its successor. */
  #shown: Buffer | undefined;
  /** The number of the last message that was sent, and of the last that has come. */
  sent = 0;
  received = 0;
  /** The peer's messages up to here were sent before the cut: they need no credit. */
  replayedTo = 0;
  /** Everything that may be missing is still there. */
  resumable = true;
  /** Messages that have come since the last acknowledgement. */
  unacknowledged = 0;
  readonly #limits: WireLimits;
  #kept: KeptFrame[] = [];
  #keptBytes = 0;

  constructor(limits: WireLimits) {
    this.#limits = limits;
  }

  get kept(): number {
    return this.#kept.length;
  }

  /** Whether this secret shows that the session is the bearer's. */
  isOurs(secret: Uint8Array): boolean {
    if (secret.length !== this.secret.length) return false;
    const isNew = timingSafeEqual(secret, this.secret);
    return (this.#shown !== undefined && timingSafeEqual(secret, this.#shown)) || isNew;
  }

  /** `shown` was taken, and the peer is told its successor. */
  renew(shown: Buffer, next: Buffer): void {
    this.#shown = shown;
    this.secret = next;
  }

  /** The peer has the successor: what was shown is worth nothing any more. */
  welcomeArrived(): void {
    this.#shown = undefined;
  }

  /** The number of the next message that is sent. */
  next(): number {
    this.sent = (this.sent + 1) >>> 0;
    return this.sent;
  }

  /** Keeps a message until it is acknowledged. */
  keep(frame: KeptFrame): void {
    if (!this.resumable) return;
    this.#kept.push(frame);
    this.#keptBytes += frame.payload.length;
    const { replayBytes, replayMessages } = this.#limits;
    if (this.#keptBytes > replayBytes || this.#kept.length > replayMessages) this.giveUp();
  }

  /** The session ends with its connection. */
  giveUp(): void {
    this.resumable = false;
    this.#kept = [];
    this.#keptBytes = 0;
  }

  /** The peer has everything up to `seq`. */
  acknowledged(seq: number): void {
    let gone = 0;
    for (const frame of this.#kept) {
      if (isAfter(frame.seq, seq)) break;
      this.#keptBytes -= frame.payload.length;
      gone++;
    }
    this.#kept.splice(0, gone);
  }

  /** False for what has come already. */
  take(seq: number): boolean {
    if (!isAfter(seq, this.received)) return false;
    this.received = seq;
    this.unacknowledged++;
    return true;
  }

  /** It is time to acknowledge, whatever the clock says. */
  get owesAck(): boolean {
    return this.unacknowledged >= FIXED.ackMessages;
  }

  /** A replay is exempt from credit. */
  isReplay(seq: number): boolean {
    return !isAfter(seq, this.replayedTo);
  }

  /** What the peer has not got: to be sent again, in this order. */
  after(seq: number): readonly KeptFrame[] {
    this.acknowledged(seq);
    return this.#kept;
  }
}
