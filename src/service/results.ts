// Results of calls with an idempotency key, kept for a minute in the map of all threads: who asks again, on whatever
// connection and thread, gets the same answer, and nothing is executed twice.
//
// The first one to write an entry is the one who executes. While it does, others are told to come back; when it has failed for
// reasons that are nobody's business, the entry goes, and the next one executes. Bounded: so many results and bytes a thread, each
// for so long, and the map has a limit of its own (limits.mapBytes); entries without a result are as many as handlers that run.

import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import type { SharedMap } from "../handlers.ts";
import type { Due } from "../protocol/agenda.ts";
import { CODE, ERROR_FLAG } from "../protocol/codes.ts";
import type { Hub } from "./hub.ts";

const KEPT_MS = 60_000;
/** Of one thread. */
const MOST_ENTRIES = 4096;
/** Of all threads together, about; the map is also the service's own, and must have room left. */
const MOST_BYTES = 16 * 1024 * 1024;
/** What one costs beside its key, text and body, about. */
const ENTRY_BYTES = 256;
/** In bytes. A larger result is not kept: to ask again is then to execute again, so it is refused. */
export const LARGEST_RESULT = 64 * 1024;
/** An identity whose data is longer, in bytes, stands in the map as its digest: keys of a map have at most 1,024 bytes. */
const LONGEST_IDENTITY = 512;

/** What is answered: a body, or an error with its detail. */
export interface Result {
  readonly code: number;
  readonly message: string;
  readonly eflags: number;
  /** Of the body. */
  readonly codec: number;
  readonly body: Uint8Array;
}

function refusal(code: number, message: string, eflags: number): Result {
  return Object.freeze({ code, message, eflags, codec: 0, body: new Uint8Array(0) });
}

const RUNNING = refusal(CODE.UNAVAILABLE, "it is being executed", ERROR_FLAG.RETRYABLE);
const NO_ROOM = refusal(
  CODE.RESOURCE_EXHAUSTED,
  "too many results are kept",
  ERROR_FLAG.NOT_PROCESSED | ERROR_FLAG.RETRYABLE,
);
const OTHER_CODEC = refusal(
  CODE.INVALID_ARGUMENT,
  "the call with this idempotency key had another codec",
  0,
);

/** A result that is in the map. */
interface Kept {
  /** When it goes, in the wire's time. */
  readonly untilMs: number;
  readonly bytes: number;
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
  /** Results of this thread's, the oldest first. */
  readonly #own = new Map<string, Kept>();
  /** In use by them, about. */
  #ownBytes = 0;
  readonly #mostBytes: number;

  constructor(hub: Hub) {
    this.#hub = hub;
    this.#mostBytes = MOST_BYTES / hub.context.threads;
    this.#map = hub.context.map<Entry>("swp results");
  }

  /**
   * Undefined: it is the caller's to execute, and `store` must follow. Otherwise what is to be answered: the
   * result there is; or a refusal, because somebody executes it, the result is in another codec, or there is no room.
   */
  async begin(key: string, codec: number): Promise<Result | undefined> {
    const by = randomUUID();
    let entry: Entry | undefined;
    try {
      entry = await this.#map.update(key, (there) => there ?? { by });
    } catch (error) {
      this.#hub.report(error);
      return NO_ROOM;
    }
    if (entry?.by === by) return undefined;
    const result = entry?.result ?? RUNNING;
    return result.body.length > 0 && result.codec !== codec ? OTHER_CODEC : result;
  }

  /** INTERNAL is nobody's business: the next one executes. A detail that is too large is left out. */
  store(key: string, { code, message, eflags, codec, body }: Result): void {
    if (code === CODE.INTERNAL) return this.forget(key);
    const fits = body.length <= LARGEST_RESULT;
    const result: Result = {
      code,
      message,
      codec,
      eflags: fits ? eflags : eflags & ~ERROR_FLAG.DETAIL,
      // A copy: what it lies in may be used again before it is there.
      body: fits ? Buffer.from(body) : Buffer.alloc(0),
    };
    this.#keep(key, 2 * (key.length + message.length) + result.body.length + ENTRY_BYTES);
    const done = this.#map.update(key, (there) => there && { ...there, result });
    done.catch((error) => this.#hub.report(error));
  }

  forget(key: string): void {
    this.#ownBytes -= this.#own.get(key)?.bytes ?? 0;
    this.#own.delete(key);
    this.#map.delete(key).catch((error) => this.#hub.report(error));
  }

  due(nowMs: number): number {
    for (const [key, { untilMs }] of this.#own) {
      if (untilMs > nowMs) return untilMs;
      this.forget(key);
    }
    return Number.POSITIVE_INFINITY;
  }

  #keep(key: string, bytes: number): void {
    const untilMs = this.#hub.wire.now() + KEPT_MS;
    this.#own.set(key, { untilMs, bytes });
    this.#ownBytes += bytes;
    this.#hub.wire.agenda.atLatest(this, untilMs);
    for (const oldest of this.#own.keys()) {
      const fits = this.#own.size <= MOST_ENTRIES && this.#ownBytes <= this.#mostBytes;
      if (fits || oldest === key) return;
      this.forget(oldest);
    }
  }
}

/**
 * Results are kept for who asked: another identity with the same key is another call.
 * @throws TypeError for an identity that its data does not tell from others
 */
export function resultKey(route: string, identity: unknown, key: string): string {
  const data = String(JSON.stringify(identity, distinct));
  // No JSON begins with "#".
  const short = Buffer.byteLength(data) <= LONGEST_IDENTITY;
  const who = short ? data : `#${createHash("sha256").update(data).digest("base64")}`;
  return `${route}\n${who}\n${key}`;
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
