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
  const at = BigInt(value) * BigInt(form.unitMs);
  const latest = form.absolute ? INT64_MAXIMUM : INT64_MAXIMUM - BigInt(now);
  if ((mustBePositive && value <= 0) || at > latest || at < INT64_MINIMUM) {
    fail(client, `ERR invalid expire time in '${command}' command`);
    return undefined;
  }
  return form.absolute ? Number(at) : now + Number(at);
}
