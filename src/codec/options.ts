// Checks on the options of codecs: a mistake is refused where it is made, with what would be right instead.

import { inspect } from "node:util";

/** A message is held whole in memory, so no codec goes beyond 1 GiB. */
export const LARGEST_MESSAGE = 1024 * 1024 * 1024;

/**
 * @throws TypeError for options that are no object, or a name that `codec` does not know
 */
export function checkNames(codec: string, options: object, names: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${codec}: options must be an object, not ${inspect(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    throw new TypeError(`${codec} has no option "${name}"; there are: ${names.join(", ")}`);
  }
}

/**
 * @throws TypeError for what is no number, RangeError for one that is no integer from `least` to `most`
 */
export function checkInteger(what: string, value: number, least: number, most: number): void {
  const wanted = `${what} must be an integer from ${least} to ${most}, not ${inspect(value)}`;
  if (typeof value !== "number") throw new TypeError(wanted);
  if (!Number.isInteger(value) || value < least || value > most) throw new RangeError(wanted);
}

/**
 * @throws TypeError for what is neither true nor false
 */
export function checkBoolean(what: string, value: boolean): void {
  if (typeof value === "boolean") return;
  throw new TypeError(`${what} must be true or false, not ${inspect(value)}`);
}

/**
 * @throws TypeError for what is none of `choices`
 */
export function checkChoice(what: string, value: string, choices: readonly string[]): void {
  if (choices.includes(value)) return;
  const listed = choices.map((choice) => `"${choice}"`).join(", ");
  throw new TypeError(`${what} must be one of ${listed}, not ${inspect(value)}`);
}
