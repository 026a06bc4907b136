// Results of calls with an idempotency key, kept for a minute in the map of all threads: who asks again, on whatever
// connection and thread, gets the same answer, and nothing is executed twice.
//
// The first one to write an entry is the one who executes. While it does, others are told to come back; when it has failed for
// reasons that are nobody's business, the entry goes, and the next one executes.
//
// Threads die and are replaced, so no thread has to clear up: the entry of one who executes goes with its thread, and a
// result after its time, or earlier when the map needs the room (decision 0050).

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { SharedMap, Tenure } from "../handlers.ts";
import { CODE, ERROR_FLAG } from "../protocol/codes.ts";
import type { Hub } from "./hub.ts";

const EXECUTED: Tenure = Object.freeze({ withThread: true });
const RESULT: Tenure = Object.freeze({ keepMs: 60_000 });
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

interface Entry {
  /** Undefined: whoever has put it there executes. */
  readonly result?: Result;
}

export class Results {
  readonly #hub: Hub;
  readonly #map: SharedMap<Entry>;

  constructor(hub: Hub) {
    this.#hub = hub;
    this.#map = hub.context.map<Entry>("swp results");
  }

  /**
   * Undefined: it is the caller's to execute, and `store` must follow. Otherwise what is to be answered: the
   * result there is; or a refusal, because somebody executes it, the result is in another codec, or there is no room.
   */
  async begin(key: string, codec: number): Promise<Result | undefined> {
    let there: Entry | undefined;
    try {
      there = await this.#map.add(key, {}, EXECUTED);
    } catch (error) {
      this.#hub.report(error);
      return NO_ROOM;
    }
    if (there === undefined) return undefined;
    const result = there.result ?? RUNNING;
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
    this.#map.set(key, { result }, RESULT).catch((error) => this.#hub.report(error));
  }

  forget(key: string): void {
    this.#map.delete(key).catch((error) => this.#hub.report(error));
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
