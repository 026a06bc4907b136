// Handlers that run and that no stream counts: those whose stream was ended before they had settled, and those of
// notifications, which have none.
//
// Both are bounded by what the peer may have of streams. A handler that outlives its stream goes on counting as one. A
// notification cannot be refused, since nobody would hear of it: with as many under way no more frames are taken, so that
// the peer's own window fills, until one has settled.

import type { Session } from "./session.ts";

/** Why a handler is counted here. */
export type Uncounted = "outlives" | "notification";

export class RunningHandlers {
  readonly #session: Session;
  #outliving = 0;
  #notifications = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Those whose stream was ended before they had settled. */
  get outliving(): number {
    return this.#outliving;
  }

  get any(): boolean {
    return this.#outliving + this.#notifications > 0;
  }

  /** So many notifications are under way that no more frames are taken. */
  get crowded(): boolean {
    return this.#notifications >= this.#session.limits.streams;
  }

  began(why: Uncounted): void {
    this.#count(why, 1);
    if (this.crowded) this.#session.transport.pause();
  }

  settled(why: Uncounted): void {
    const { crowded } = this;
    this.#count(why, -1);
    const { closed, time, transport } = this.#session;
    if (crowded && !this.crowded && !closed && !time.resting) transport.resume();
  }

  #count(why: Uncounted, more: 1 | -1): void {
    if (why === "outlives") this.#outliving += more;
    else this.#notifications += more;
  }
}
