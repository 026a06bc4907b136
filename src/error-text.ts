// What is told of an error to who runs a server: a condition of Sluice's own as one line, what a handler threw with the place
// in the handler's own code.
//
// Which of the two it is, its stack says: frames of Sluice and of Node tell a user nothing and are left out, and what has no
// other frames was not thrown by anybody's code.

import { inspect } from "node:util";

const OWN = new URL(".", import.meta.url);
const FRAME = /^\s+at /;

export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error);
  if (usersFrames(error).length === 0) {
    // What a thread ended of says where.
    return [error.message, ...usersFrames(error.cause)].join("\n");
  }
  return inspect(error)
    .split("\n")
    .filter((line) => !isForeign(line))
    .join("\n");
}

/** In one line: what was thrown, and where in the user's own code. */
export function errorLine(error: unknown): string {
  const message = error instanceof Error ? error.message : inspect(error);
  const [place] = usersFrames(error);
  return place === undefined ? message : `${message} (${place.trim()})`;
}

function usersFrames(error: unknown): string[] {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  return stack.split("\n").filter((line) => FRAME.test(line) && !isForeign(line));
}

/** A frame of Sluice's or Node's code. */
function isForeign(line: string): boolean {
  const ours = line.includes(OWN.href) || line.includes(OWN.pathname);
  return FRAME.test(line) && (ours || /\bnode:|<anonymous>\)?$/.test(line));
}
