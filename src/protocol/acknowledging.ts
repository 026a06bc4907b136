// Acknowledging numbered messages, for one session: what has come is told to the peer, and what it tells is forgotten here.

import { encodeAck } from "./connection-frames.ts";
import type { Replay } from "./replay.ts";
import type { Session } from "./session.ts";
import { protocolError } from "./wire-error.ts";

export class Acknowledging {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** A message with a number has come. False for one that has come before. @throws WireError PROTOCOL */
  take(seq: number): boolean {
    const replay = this.#replay;
    const fresh = replay.take(seq);
    if (replay.owesAck) this.send();
    else this.#session.time.ackSoon();
    return fresh;
  }

  /** The peer has acknowledged. @throws WireError PROTOCOL */
  received(seq: number): void {
    const replay = this.#replay;
    replay.welcomeArrived();
    replay.acknowledged(seq);
  }

  /** Acknowledges what has come, if there is anything. */
  send(): void {
    const { replay, writer } = this.#session;
    if (replay === undefined || replay.unacknowledged === 0) return;
    replay.unacknowledged = 0;
    this.#session.begin();
    encodeAck(writer, replay.received);
  }

  get #replay(): Replay {
    const { replay } = this.#session;
    if (replay !== undefined) return replay;
    throw protocolError("SEQ or ACK without a session that can be resumed");
  }
}
