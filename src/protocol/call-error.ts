// An error that one side means for the other: its code, text and detail travel; anything else that is thrown does not.

import { CODE, ERROR_FLAG, FIRST_APPLICATION_CODE, nameOf } from "./codes.ts";

/** The names of the codes, for those who throw and catch. */
export type CodeName = keyof typeof CODE;

export interface CallErrorOptions {
  /** Sent along in the stream's codec. */
  readonly detail?: unknown;
  /** To try again may work, after so many ms. */
  readonly retryAfterMs?: number;
  /** Nothing was executed: to try again is safe. */
  readonly notProcessed?: boolean;
  /** To try again later may work. */
  readonly retryable?: boolean;
}

export class CallError extends Error {
  override readonly name = "CallError";
  /** `NOT_FOUND`, `UNAVAILABLE`, …; the number itself for an application's own. */
  readonly code: string;
  readonly number: number;
  readonly detail: unknown;
  readonly retryAfterMs: number;
  readonly notProcessed: boolean;
  readonly retryable: boolean;

  /**
   * @param code a name of CODE, or a number from 1024 on for one of your own
   * @throws RangeError for a code that is neither
   */
  constructor(code: CodeName | number, message = "", options: CallErrorOptions = {}) {
    super(message);
    this.number = typeof code === "number" ? code : CODE[code];
    const known = typeof code === "string" || nameOf(CODE, code) !== String(code);
    if (
      this.number === undefined ||
      (!known && !(code >= FIRST_APPLICATION_CODE && code <= 0xffff))
    ) {
      throw new RangeError(`${String(code)} is no code: a name like NOT_FOUND, or 1024 to 65535`);
    }
    this.code = nameOf(CODE, this.number);
    this.detail = options.detail;
    this.retryAfterMs = options.retryAfterMs ?? 0;
    this.notProcessed = options.notProcessed ?? false;
    this.retryable = options.retryable ?? this.retryAfterMs > 0;
  }

  /** As the wire says it, without DETAIL. */
  get eflags(): number {
    return (
      (this.notProcessed ? ERROR_FLAG.NOT_PROCESSED : 0) |
      (this.retryable ? ERROR_FLAG.RETRYABLE : 0)
    );
  }
}
