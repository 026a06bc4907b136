// Results of calls with an idempotency key, kept for a minute in the map of all threads: who asks again, on whatever
// connection and thread, gets the same answer, and nothing is executed twice.
//
// The first one to write an entry is the one who executes. While it does, others are told to come back; when it has failed for
// reasons that are nobody's business, the entry goes, and the next one executes. Bounded: so many entries a thread, each for so
// long, and the map has a limit of its own (limits.mapBytes).

import { randomUUID } from "node:crypto";
import type { SharedMap } from "../handlers.ts";
import type { Due } from "../protocol/agenda.ts";
import type { Hub } from "./hub.ts";

const KEPT_MS = 60_000;
const MOST_ENTRIES = 4096;
/** A larger result is not kept: to ask again is then to execute again, so it is refused. */
export const LARGEST_RESULT = 64 * 1024;

/** What was answered: a body, or an error. */
export interface Result {
  readonly code: number;
  readonly message: string;
  readonly body: Uint8Array;
}

interface Entry {
  /** Whoever wrote it executes. */
  readonly by: string;
  readonly result?: Result;
}

export class Results implements Due {
  agendaSlot = -1;
  agendaMs = 0;
  readonly #hub: Hub;
  readonly #map: SharedMap<Entry>;
  /** Entries of this thread's, the oldest first, and when each goes. */
  readonly #own = new Map<string, number>();

  constructor(hub: Hub) {
    this.#hub = hub;
    this.#map = hub.context.map<Entry>("swp results");
  }

  /**
   * Undefined: it is the caller's to execute, and `store` or `forget` must follow. "running": somebody does. Otherwise the
   * result there is. @throws SharedMapError when there is no room
   */
  async begin(key: string): Promise<Result | "running" | undefined> {
    const by = randomUUID();
    const entry = await this.#map.update(key, (there) => there ?? { by });
    if (entry?.by !== by) return entry?.result ?? "running";
    this.#keep(key);
    return undefined;
  }

  store(key: string, result: Result): void {
    const done = this.#map.update(key, (there) => there && { ...there, result });
    done.catch((error) => this.#hub.report(error));
  }

  forget(key: string): void {
    this.#own.delete(key);
    this.#map.delete(key).catch((error) => this.#hub.report(error));
  }

  due(nowMs: number): number {
    for (const [key, untilMs] of this.#own) {
      if (untilMs > nowMs) return untilMs;
      this.forget(key);
    }
    return Number.POSITIVE_INFINITY;
  }

  #keep(key: string): void {
    const untilMs = this.#hub.wire.now() + KEPT_MS;
    this.#own.set(key, untilMs);
    this.#hub.wire.agenda.atLatest(this, untilMs);
    if (this.#own.size <= MOST_ENTRIES) return;
    const [oldest] = this.#own.keys();
    if (oldest !== undefined) this.forget(oldest);
  }
}

/**
 * Results are kept for who asked: another identity with the same key is another call.
 * @throws TypeError for an identity that its data does not tell from others
 */
export function resultKey(route: string, identity: unknown, key: string): string {
  return `${route}\n${JSON.stringify(identity, distinct)}\n${key}`;
}

/** For JSON.stringify: an instance with private fields is written like any other of its class. */
function distinct(name: string, value: unknown): unknown {
  const isData = typeof value !== "object" || value === null || isPlain(value);
  if (isData && typeof value !== "function" && typeof value !== "symbol") return value;
  const where = name === "" ? "" : ` (in "${name}")`;
  throw new TypeError(
    `an idempotency key needs an identity of plain data, or with toJSON()${where}`,
  );
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Array.isArray(value);
}
