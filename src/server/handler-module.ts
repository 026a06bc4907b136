// Loads a handler module and makes sure that it is one, with an error that says what is wrong otherwise.

import { pathToFileURL } from "node:url";
import { type AnyHandlers, checkHandlers } from "../checks.ts";
import { OptionError } from "../limits.ts";

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
