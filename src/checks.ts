// Checking what a caller passed: every mistake is refused with a sentence that says what would be right, nothing is
// quietly repaired.

import { errorText } from "./error-text.ts";
import type { Handlers } from "./handlers.ts";
import { OptionError } from "./limits.ts";

/** Handlers of whatever types their author chose. */
export type AnyHandlers = Handlers<unknown, unknown, unknown>;

const FUNCTIONS = [
  ...["started", "broadcast", "state"],
  ...["opened", "message", "ended", "departed", "arrived", "adopted", "draining", "closed"],
  ...["compute", "computed", "refused"],
];
const OTHERS = ["codec", "borrow"];

/** @throws OptionError */
export function integer(name: string, value: number, minimum: number, maximum: number): number {
  if (Number.isInteger(value) && value >= minimum && value <= maximum) return value;
  throw new OptionError(
    `${name} must be an integer from ${minimum} to ${maximum}, not ${String(value)}`,
  );
}

/** @throws OptionError */
export function text(name: string, value: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new OptionError(`${name} must be a string that is not empty`);
}

/** @throws OptionError */
export function oneOf<Choice extends string>(
  name: string,
  value: Choice,
  choices: readonly Choice[],
): Choice {
  if (choices.includes(value)) return value;
  throw new OptionError(`${name} must be one of ${choices.join(", ")}, not ${String(value)}`);
}

/** @throws OptionError */
export function flag(name: string, value: boolean): boolean {
  if (typeof value === "boolean") return value;
  throw new OptionError(`${name} must be true or false, not ${String(value)}`);
}

/** @throws OptionError for what is there and no function */
export function callable(name: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw new OptionError(`${name} must be a function, not ${String(value)}`);
}

/** @throws OptionError for what is no object, and for members that nobody knows */
export function assertOptions(what: string, given: unknown, names: ReadonlySet<string>): void {
  if (typeof given !== "object" || given === null) {
    throw new OptionError(`${what} must be an object, not ${String(given)}`);
  }
  const unknown = Object.keys(given).find((name) => !names.has(name));
  if (unknown === undefined) return;
  throw new OptionError(`there is no option ${unknown}; there are ${[...names].join(", ")}`);
}

/** @throws OptionError that names the member which is wrong */
export function checkHandlers(table: unknown, where: string): AnyHandlers {
  if (typeof table !== "object" || table === null) {
    throw new OptionError(`${where} must have a table of handlers as its default export`);
  }
  for (const [name, value] of Object.entries(table)) {
    if (FUNCTIONS.includes(name) && value !== undefined && typeof value !== "function") {
      throw new OptionError(`${where}: ${name} must be a function`);
    }
    if (![...FUNCTIONS, ...OTHERS].includes(name)) {
      const known = [...FUNCTIONS, ...OTHERS].join(", ");
      throw new OptionError(`${where}: there is no handler ${name}; there are ${known}`);
    }
  }
  if (!("message" in table) || table.message === undefined) {
    throw new OptionError(`${where} must have a message handler`);
  }
  if ("codec" in table && !isCodec(table.codec)) {
    throw new OptionError(`${where}: codec must be one, as lines() or lengthPrefix() make them`);
  }
  if ("borrow" in table && table.borrow !== undefined) {
    flag(`${where}: borrow`, table.borrow as boolean);
  }
  if ("compute" in table !== "computed" in table) {
    throw new OptionError(`${where} must have both compute and computed, or neither`);
  }
  return table as AnyHandlers;
}

function isCodec(codec: unknown): boolean {
  if (codec === undefined) return true;
  if (typeof codec !== "object" || codec === null) return false;
  return (
    typeof Reflect.get(codec, "decoder") === "function" &&
    typeof Reflect.get(codec, "encode") === "function"
  );
}

/** What is done for each connection, and would silently be missing from one whose thread has died. */
const PER_CONNECTION = ["state", "opened", "departed", "arrived"] as const;

/** @throws OptionError for handlers that would not notice that a connection has lost its thread */
export function checkAdoptable(table: AnyHandlers): void {
  const missed = PER_CONNECTION.find((name) => table[name] !== undefined);
  if (missed === undefined || table.adopted !== undefined) return;
  throw new OptionError(
    `adoptOrphans: these handlers have ${missed}, which is lost with a connection's thread: they need a handler ` +
      "adopted(connection) that makes up for it (or does nothing), or leave adoptOrphans out",
  );
}

/**
 * Options and handlers stand beside each other in one table: the two parts.
 * @param names those of the options
 * @throws OptionError for what is no table
 */
export function separate<Options extends object>(
  where: string,
  source: object,
  names: ReadonlySet<string>,
): { readonly handlers: object; readonly options: Options } {
  if (typeof source !== "object" || source === null) {
    throw new OptionError(`${where} needs a table of handlers, not ${String(source)}`);
  }
  const entries = Object.entries(source);
  return {
    handlers: Object.fromEntries(entries.filter(([name]) => !names.has(name))),
    options: Object.fromEntries(entries.filter(([name]) => names.has(name))) as Options,
  };
}

/**
 * Who is told of errors that have no caller. It is called in the middle of a turn: what it throws must not end that.
 * @throws OptionError for what is no function
 */
export function reporter(
  onError: ((error: unknown) => void) | undefined,
): (error: unknown) => void {
  callable("onError", onError);
  if (onError === undefined) return printError;
  return (error) => {
    try {
      onError(error);
    } catch (thrown) {
      printError(thrown);
    }
  };
}

function printError(error: unknown): void {
  console.error(`sluice: ${errorText(error)}`);
}
