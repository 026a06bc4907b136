// Shared maps as handlers see them: every operation is a question to the thread that owns what they hold.
//
// Why an owner and no shared table: what one thread does one after the other cannot race, is bounded by ordinary numbers,
// and outlives every thread that uses it. The owner is the thread that called `serve`: the only one that does not die
// without the server.

import { Buffer } from "node:buffer";
import { deferred } from "../deferred.ts";
import type { SharedMap, Tenure } from "../handlers.ts";
import { bytesOf, valueOfBytes } from "./cloning.ts";
import type { MapQuestion } from "./map-messages.ts";
import {
  ABSENT,
  CHANGED,
  DELETE,
  DELETE_IF,
  FULL,
  GET,
  type MapAnswer,
  SET,
  SET_IF,
} from "./map-store.ts";

const LONGEST_NAME = 255;
const LONGEST_KEY = 1024;
/** What a question takes beside its name, key and value. */
const FRAME_BYTES = 20;
const NOTHING = Buffer.alloc(0);
const FOR_EVER: Tenure = Object.freeze({});
const LONGEST_KEEP_MS = 0xffff_ffff;

/** Why an operation on a shared map was not done. */
export class SharedMapError extends Error {
  override readonly name = "SharedMapError";
  /**
   * `ERR_SLUICE_MAP_FULL`: `limits.mapBytes` is reached. `ERR_SLUICE_MAILBOX_FULL`: more is being asked for than the owner
   * answers; nothing was changed.
   */
  readonly code: "ERR_SLUICE_MAP_FULL" | "ERR_SLUICE_MAILBOX_FULL";

  constructor(code: SharedMapError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** Puts a question to the owner. */
export type Ask = (question: MapQuestion) => Promise<MapAnswer>;

/** `longestBytes` is what a mailbox carries. @throws RangeError for a name that is none */
export function sharedMap<Value>(ask: Ask, name: string, longestBytes: number): SharedMap<Value> {
  const length = Buffer.byteLength(name);
  if (length < 1 || length > LONGEST_NAME || name.includes("\0")) {
    throw new RangeError(
      `the name of a shared map has 1 to ${LONGEST_NAME} bytes, none of them NUL`,
    );
  }
  return new MapOf<Value>(ask, name, longestBytes - length - FRAME_BYTES);
}

class MapOf<Value> implements SharedMap<Value> {
  readonly #ask: Ask;
  readonly #name: string;
  readonly #longestBytes: number;

  constructor(ask: Ask, name: string, longestBytes: number) {
    this.#ask = ask;
    this.#name = name;
    this.#longestBytes = longestBytes;
  }

  async get(key: string): Promise<Value | undefined> {
    return valueIn<Value>(await this.#put(GET, key, 0, NOTHING));
  }

  async set(key: string, value: Value, tenure?: Tenure): Promise<void> {
    await this.#put(SET, key, 0, bytesToHold(value), tenure);
  }

  async add(key: string, value: Value, tenure?: Tenure): Promise<Value | undefined> {
    const answer = await this.#put(SET_IF, key, ABSENT, bytesToHold(value), tenure);
    return answer.status === CHANGED ? valueIn<Value>(answer) : undefined;
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#put(DELETE, key, 0, NOTHING)).version !== ABSENT;
  }

  async update(
    key: string,
    change: (value: Value | undefined) => Value | undefined,
    tenure?: Tenure,
  ): Promise<Value | undefined> {
    let seen = await this.#put(GET, key, 0, NOTHING);
    for (;;) {
      const changed = change(valueIn<Value>(seen));
      const answer =
        changed === undefined
          ? await this.#put(DELETE_IF, key, seen.version, NOTHING)
          : await this.#put(SET_IF, key, seen.version, bytesOf(changed), tenure);
      // Somebody else was faster, and has got on: with what is there now, again.
      if (answer.status !== CHANGED) return changed;
      seen = answer;
    }
  }

  async #put(
    operation: number,
    key: string,
    version: number,
    value: Uint8Array,
    { keepMs = 0, withThread = false }: Tenure = FOR_EVER,
  ): Promise<MapAnswer> {
    if (!(Number.isInteger(keepMs) && keepMs >= 0 && keepMs <= LONGEST_KEEP_MS)) {
      throw new RangeError(
        `keepMs must be a whole number of ms, 0 (for ever) to ${LONGEST_KEEP_MS}`,
      );
    }
    const keyBytes = Buffer.byteLength(key);
    if (keyBytes > LONGEST_KEY) {
      throw new RangeError(`a key of a shared map has at most ${LONGEST_KEY} bytes`);
    }
    if (keyBytes + value.length > this.#longestBytes) {
      const what = `a key and a value of ${keyBytes + value.length} bytes`;
      throw new RangeError(`${what} do not fit a mailbox: raise limits.mailboxBytes, or split it`);
    }
    const answer = await this.#ask({
      ...{ operation, name: this.#name, key, version, value },
      ...{ keepMs, withThread },
    });
    if (answer.status !== FULL) return answer;
    throw new SharedMapError("ERR_SLUICE_MAP_FULL", "the shared maps are full (limits.mapBytes)");
  }
}

function valueIn<Value>({ value }: MapAnswer): Value | undefined {
  return value === undefined ? undefined : (valueOfBytes(value) as Value);
}

/** @throws TypeError for what cannot be cloned, and for undefined, which says that there is none */
function bytesToHold(value: unknown): Uint8Array {
  if (value !== undefined) return bytesOf(value);
  throw new TypeError("a shared map cannot hold undefined: use delete");
}

/** Questions under way of one thread, and the answers that come. */
export class MapQuestions {
  readonly #waiting = new Map<number, PromiseWithResolvers<MapAnswer>>();
  #lastTag = 0;

  /** `send` hands the question over; false when there is no room. */
  ask(send: (tag: number) => boolean): Promise<MapAnswer> {
    this.#lastTag = (this.#lastTag + 1) | 0;
    const tag = this.#lastTag;
    const waiting = deferred<MapAnswer>();
    if (this.#waiting.size >= MOST_QUESTIONS || !send(tag)) {
      throw new SharedMapError(
        "ERR_SLUICE_MAILBOX_FULL",
        "the owner of the shared maps has too much to answer",
      );
    }
    this.#waiting.set(tag, waiting);
    return waiting.promise;
  }

  answered(tag: number, answer: MapAnswer): void {
    this.#waiting.get(tag)?.resolve(answer);
    this.#waiting.delete(tag);
  }
}

/** Of one thread, under way at a time. */
const MOST_QUESTIONS = 4096;
