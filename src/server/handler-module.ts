// Loads a handler module and makes sure that it is one, with an error that says what is wrong otherwise.

import { fileURLToPath, pathToFileURL } from "node:url";
import { type AnyHandlers, checkHandlers } from "../checks.ts";
import { OptionError } from "../limits.ts";

/** Where what the package exports lies once it is built, whether this runs from there or from its source. */
const BUILT = new URL("../../dist/", import.meta.url).href;
const UNBUILT = 'imports "sluice", which is not built here: run "npm run build" first';

/** The URL of a module given as a URL or a path. */
export function moduleUrl(module: URL | string): URL {
  if (module instanceof URL) return module;
  return /^[a-z]+:\/\//.test(module) ? new URL(module) : pathToFileURL(module);
}

/**
 * @throws OptionError when the module cannot be found or its default export is not a table of handlers; an Error that names
 *   the file when it cannot be loaded, with what it threw as its cause
 */
export async function loadHandlers(url: URL): Promise<AnyHandlers> {
  let module: { readonly default?: unknown };
  try {
    module = await import(url.href);
  } catch (error) {
    if (isMissing(error, url)) throw new OptionError(`there is no handler module ${url.pathname}`);
    if (isUnbuilt(error)) throw new Error(`${pathOf(url)} ${UNBUILT}`, { cause: error });
    throw loadError(error, url);
  }
  return checkHandlers(module.default, url.pathname);
}

function loadError(thrown: unknown, url: URL): Error {
  const path = pathOf(url);
  const what = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
  const place = placeIn(stack);
  const at = place === undefined ? "" : ` (${place})`;
  const error = new Error(`the handler module ${path} cannot be loaded: ${what}${at}`, {
    cause: thrown,
  });
  // Where it was loaded says nothing; and a cause does not get from one thread to another.
  error.stack = `Error: ${error.message}\n${stack}`;
  return error;
}

function pathOf(url: URL): string {
  return url.protocol === "file:" ? fileURLToPath(url) : url.href;
}

/** The first file and line of a stack that are not Node's own. A syntax error of plain JavaScript has none. */
function placeIn(stack: string): string | undefined {
  const [, path, line] = /(?:file:\/\/|^|\()((?:\/|[A-Z]:[\\/])[^\s:()]+):(\d+)/m.exec(stack) ?? [];
  return path === undefined ? undefined : `${path}:${line}`;
}

/** Inside a checkout "sluice" is the checkout itself, as it was built last. */
function isUnbuilt(error: unknown): boolean {
  return isNotFound(error) && error.url.startsWith(BUILT);
}

/** It, and not one of the modules that it imports. */
function isMissing(error: unknown, url: URL): boolean {
  return isNotFound(error) && error.url === url.href;
}

function isNotFound(error: unknown): error is Error & { readonly url: string } {
  return (
    error instanceof Error &&
    "code" in error &&
    error.code === "ERR_MODULE_NOT_FOUND" &&
    "url" in error &&
    typeof error.url === "string"
  );
}
