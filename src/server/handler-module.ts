// Loads a handler module and makes sure that it is one, with an error that says what is wrong otherwise.

import { pathToFileURL } from "node:url";
import type { Handlers } from "../handlers.ts";
import { OptionError } from "../limits.ts";

/** Handlers of whatever types the module has. */
export type AnyHandlers = Handlers<unknown, unknown, unknown>;

const FUNCTIONS = ["state", "opened", "message", "ended", "draining", "closed"];
const OTHERS = ["codec", "borrow"];

/** The URL of a module given as a URL or a path. */
export function moduleUrl(module: URL | string): URL {
  if (module instanceof URL) return module;
  return /^[a-z]+:\/\//.test(module) ? new URL(module) : pathToFileURL(module);
}

/** @throws OptionError when the module cannot be found or its default export is not a table of handlers */
export async function loadHandlers(url: URL): Promise<AnyHandlers> {
  let module: { readonly default?: unknown };
  try {
    module = await import(url.href);
  } catch (error) {
    if (isMissing(error, url)) throw new OptionError(`there is no handler module ${url.pathname}`);
    throw error;
  }
  return checkHandlers(module.default, url.pathname);
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
  if (!("message" in table)) throw new OptionError(`${where} must have a message handler`);
  return table as AnyHandlers;
}

/** It, and not one of the modules that it imports. */
function isMissing(error: unknown, url: URL): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    error.code === "ERR_MODULE_NOT_FOUND" &&
    "url" in error &&
    error.url === url.href
  );
}
