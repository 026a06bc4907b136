// A service that has moved: its clients are told the new address, finish here what is in flight, and go there.
//
// The operator says it once, to all threads; a thread that starts later asks the others.

import { OptionError } from "../limits.ts";
import { parseHostAndPort } from "../protocol/address.ts";
import type { Due } from "../protocol/agenda.ts";
import type { Hub } from "./hub.ts";

const DRAIN_MS = 10_000;
const HOUR_MS = 3_600_000;

/** What threads tell each other of it. */
export interface MovedNews {
  readonly swp: "moved";
  /** HOST:PORT; undefined: it is here, after all. */
  readonly address: string | undefined;
  readonly drainMs: number;
  /** When it was said, in ns: later is more. */
  readonly at: number;
}

/** A thread asks whether it has missed something. */
export interface MovedQuestion {
  readonly swp: "moved?";
}

/**
 * Tells a service in all threads that it has moved: `server.broadcast(moved("10.0.0.2:7000"))`. Each client is told the address;
 * what it has in flight is finished here within `drainMs` (10,000; an hour at the most), then its connection ends. Who comes
 * later is sent on in place of being let in. Clients follow where their users allow it. `undefined` takes it back, for
 * clients to come.
 * @throws OptionError for an address that is not HOST:PORT, `[::1]:PORT` for IPv6
 */
export function moved(
  address: string | undefined,
  { drainMs = DRAIN_MS }: { readonly drainMs?: number } = {},
): MovedNews {
  if (address !== undefined && parseHostAndPort(address) === undefined) {
    throw new OptionError(`moved takes HOST:PORT, not ${JSON.stringify(address)}`);
  }
  if (!Number.isInteger(drainMs) || drainMs < 1 || drainMs > HOUR_MS) {
    throw new OptionError(`drainMs must be an integer from 1 to ${HOUR_MS}, not ${drainMs}`);
  }
  return { swp: "moved", address, drainMs, at: Number(process.hrtime.bigint()) };
}

/** Of one thread. */
export class Relocation implements Due {
  agendaSlot = -1;
  agendaMs = 0;
  readonly #hub: Hub;
  #news: MovedNews | undefined;
  #untilMs = 0;

  constructor(hub: Hub) {
    this.#hub = hub;
    const question: MovedQuestion = { swp: "moved?" };
    // A full mailbox: who has moved says so again, if anybody asks.
    hub.tell(question);
  }

  /** Where the service is now; undefined: here. */
  get address(): string | undefined {
    return this.#news?.address;
  }

  heard(news: MovedNews | MovedQuestion): void {
    if (news.swp === "moved?") {
      if (this.#news !== undefined) this.#hub.tell(this.#news);
      return;
    }
    if (this.#news !== undefined && news.at <= this.#news.at) return;
    this.#news = news;
    const { address, drainMs } = news;
    if (address === undefined) return;
    for (const session of this.#hub.sessions) session.moves(address, drainMs);
    const { wire } = this.#hub;
    this.#untilMs = wire.now() + drainMs;
    wire.agenda.atLatest(this, this.#untilMs);
    wire.flush();
  }

  /** The time of those who were here is up. */
  due(nowMs: number): number {
    if (nowMs < this.#untilMs) return this.#untilMs;
    for (const session of [...this.#hub.sessions]) session.hasMoved(this.address);
    return Number.POSITIVE_INFINITY;
  }
}
