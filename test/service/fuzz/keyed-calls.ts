// What docs/protocol.md promises of calls with an idempotency key: for each identity and key the handler runs once, its result is
// kept for 60 s, and who asks again gets that or a refusal. What INTERNAL or a retryable error has ended may run again.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { KIND } from "./spec-stream.ts";

const KEPT_MS = 60_000;
const LONGEST_KEY = 64;
const KEY = 2;
const FLAG = { END: 1, MORE: 2 };
const FAILED_PRECONDITION = 9;
/** CANCELLED, INVALID_ARGUMENT (another codec), DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, REFUSED, TOO_LARGE, BAD_CODEC. */
const REFUSALS: ReadonlySet<unknown> = new Set([1, 3, 4, 13, 14, 32, 33, 34]);

/** The route whose answers are looked at. */
export const KEYED_ROUTE = "once";

export interface Execution {
  /** Its answer says it: `#NUMBER`. */
  readonly number: number;
  running: boolean;
  /** Since when its result is kept. */
  keptMs: number | undefined;
  answers: number;
}

type Frame = Readonly<Record<string, unknown>>;

export class KeyedCalls {
  /** Answers to the session of the moment that were given before. */
  repeated = 0;
  /** The last execution, by identity and key. */
  readonly #last = new Map<string, Execution>();
  /** Streams that wait for an answer, and what was asked. */
  readonly #asked = new Map<number, string>();
  #executions = 0;
  #fault: string | undefined;

  connected(): void {
    this.repeated = 0;
    this.#asked.clear();
  }

  /** @throws AssertionError when a handler has begun that must not */
  assertOnce(): void {
    assert.equal(this.#fault, undefined);
  }

  /** A handler begins; what is wrong with that is told by `assertOnce`, since what handlers throw is the service's. */
  begins(identity: unknown, key: string): Execution {
    const name = nameOf(identity, key);
    const last = this.#last.get(name);
    if (last?.running === true) this.#fault ??= `${name} is being executed twice`;
    const agoMs = last?.keptMs === undefined ? KEPT_MS : performance.now() - last.keptMs;
    if (agoMs < KEPT_MS) this.#fault ??= `${name} is executed again after ${agoMs} ms`;
    const number = ++this.#executions;
    const one: Execution = { number, running: true, keptMs: undefined, answers: 0 };
    this.#last.set(name, one);
    return one;
  }

  /** It has ended; `kept`: with what is to be kept. */
  settles(execution: Execution, kept: boolean): void {
    execution.running = false;
    execution.keptMs = kept ? performance.now() : undefined;
  }

  /** The server has read an OPEN for a stream that was free. */
  opened({ kind, name, route_id: route, meta }: Frame, id: number, identity: unknown): void {
    this.#asked.delete(id);
    const given = (meta as { key: number; value: string }[]).find(({ key }) => key === KEY);
    const key = Buffer.from(given?.value ?? "", "hex");
    const usable = key.length > 0 && key.length <= LONGEST_KEY;
    if (kind !== KIND.CALL || name !== KEYED_ROUTE || route !== 0 || !usable) return;
    this.#asked.set(id, nameOf(identity, key.toString("latin1")));
  }

  /** The server has written a frame. @throws AssertionError for an answer that is not the one there is */
  written(frame: Frame): void {
    const name = this.#asked.get(Number(frame.stream));
    if (name === undefined || !isLast(frame)) return;
    this.#asked.delete(Number(frame.stream));
    const failed = frame.frame === "ERROR";
    if (failed && REFUSALS.has(frame.code)) return;
    assert.ok(
      !failed || frame.code === FAILED_PRECONDITION,
      `a key is no reason for ${frame.code}`,
    );
    const text = failed ? String(frame.message) : Buffer.from(String(frame.body), "hex").toString();
    const last = this.#last.get(name);
    assert.ok(last !== undefined, `${name} was never executed, and is answered`);
    assert.equal(/#(\d+)/.exec(text)?.[1], String(last.number), `the answer to ${name}`);
    if (++last.answers > 1) this.repeated++;
  }
}

function nameOf(identity: unknown, key: string): string {
  return `${String(identity)}, ${key}`;
}

function isLast({ frame, flags }: Frame): boolean {
  const end = (Number(flags) & FLAG.END) !== 0 && (Number(flags) & FLAG.MORE) === 0;
  return frame === "ERROR" || (frame === "DATA" && end);
}
