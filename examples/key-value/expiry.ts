// When a key expires: from what a command says to the clock's milliseconds, with Redis' bounds and errors.
//
// Times are numbers: exact to the year 287396, and later ones are rounded.

import { type Client, fail, NOT_AN_INTEGER } from "./command.ts";
import type { Request } from "./request.ts";
import type { Store } from "./store.ts";

export interface ExpiryForm {
  /** Milliseconds of one unit. */
  readonly unitMs: 1 | 1000;
  /** Counted from 1970, not from now. */
  readonly absolute: boolean;
}

const INT64_MAXIMUM = 2n ** 63n - 1n;
const INT64_MINIMUM = -(2n ** 63n);

/** The time that an argument stands for, or undefined when the client has been told that it is none. */
export function readExpiry(
  request: Request,
  index: number,
  form: ExpiryForm,
  mustBePositive: boolean,
  command: string,
  client: Client,
  store: Store,
): number | undefined {
  const value = request.integer(index);
  if (value === undefined) {
    fail(client, NOT_AN_INTEGER);
    return undefined;
  }
  const now = store.now();
  if ((mustBePositive && value <= 0) || !fits(value, form, now)) {
    fail(client, `ERR invalid expire time in '${command}' command`);
    return undefined;
  }
  const time = Number(value) * form.unitMs;
  return form.absolute ? time : now + time;
}

/** A number has 15 digits at the most: it fits in any unit. */
function fits(value: number | bigint, form: ExpiryForm, now: number): boolean {
  if (typeof value === "number") return true;
  const ms = value * BigInt(form.unitMs);
  const latest = form.absolute ? INT64_MAXIMUM : INT64_MAXIMUM - BigInt(now);
  return ms <= latest && ms >= INT64_MINIMUM;
}
