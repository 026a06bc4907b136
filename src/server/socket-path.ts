// A Unix socket's path in the file system. It outlives a process that crashed, and while its server runs anybody may remove it or
// put something else in its place: what is removed is a socket, and our own.

import { lstatSync, type Stats, unlinkSync } from "node:fs";
import type { Address } from "../sys/address.ts";

type PathAddress = Address & { readonly family: "unix" };

/** An abstract address (`\0name`) has no path. */
export function hasPath(address: Address): address is PathAddress {
  return address.family === "unix" && !address.path.startsWith("\0");
}

/** True when it was removed. A file that is no socket is somebody's data: it stays, and nobody can listen there. */
export function removeSocket(path: string): boolean {
  if (found(path)?.isSocket() !== true) return false;
  unlinkSync(path);
  return true;
}

/** The path that a socket was bound to just now. */
export class BoundPath {
  readonly #path: string;
  readonly #bound: Stats | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#bound = found(path);
  }

  /** Unless it is gone, another's by now, or not to be removed: then it stays for the next server, which takes it over. */
  remove(): void {
    try {
      const [bound, now] = [this.#bound, found(this.#path)];
      if (bound === undefined || now === undefined) return;
      if (now.ino === bound.ino && now.dev === bound.dev) unlinkSync(this.#path);
    } catch {
      // A server's end does not depend on it.
    }
  }
}

function found(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
