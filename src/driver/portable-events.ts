// The events of the portable driver between the callback of libuv's that brought them and the turn that delivers them.

import type { Buffer } from "node:buffer";
import type { PortableConnection } from "./portable-connection.ts";
import type { PortableListener } from "./portable-listener.ts";

export const LISTENING = 0;
export const ARRIVED = 1;
export const ACCEPT_FAILED = 2;
export const CONNECTED = 3;
export const RECEIVED = 4;
export const SENT = 5;
export const CLOSED = 6;

export type Entry = PortableListener | PortableConnection;

/** What the entries ask of their driver. */
export interface Owner {
  /** An event from a callback of libuv's. */
  post(kind: number, entry: Entry, result: number, bytes?: Buffer): void;
  /** An event that a verb caused: the turn is asked for once the verb has returned. */
  postFromVerb(kind: number, entry: Entry, result: number): void;
}

/** Events in order, as columns: no object per event. */
export class PortableEvents {
  kind = 0;
  result = 0;
  bytes: Buffer | undefined = undefined;
  #at = 0;
  readonly #kinds: number[] = [];
  readonly #entries: Entry[] = [];
  readonly #results: number[] = [];
  readonly #bytes: (Buffer | undefined)[] = [];

  get length(): number {
    return this.#kinds.length - this.#at;
  }

  /** Of the present event. */
  get entry(): Entry {
    return this.#entries[this.#at - 1] as Entry;
  }

  push(kind: number, entry: Entry, result: number, bytes: Buffer | undefined): void {
    this.#kinds.push(kind);
    this.#entries.push(entry);
    this.#results.push(result);
    this.#bytes.push(bytes);
  }

  /** Moves to the next event; false, and empty, when there is none. */
  next(): boolean {
    if (this.#at === this.#kinds.length) {
      this.clear();
      return false;
    }
    const at = this.#at++;
    this.kind = this.#kinds[at] as number;
    this.result = this.#results[at] as number;
    this.bytes = this.#bytes[at];
    return true;
  }

  putInFront(other: PortableEvents): void {
    if (other.length === 0) return;
    this.#kinds.unshift(...other.#kinds.slice(other.#at));
    this.#entries.unshift(...other.#entries.slice(other.#at));
    this.#results.unshift(...other.#results.slice(other.#at));
    this.#bytes.unshift(...other.#bytes.slice(other.#at));
    other.clear();
  }

  clear(): void {
    this.#at = 0;
    this.bytes = undefined;
    this.#kinds.length = 0;
    this.#entries.length = 0;
    this.#results.length = 0;
    this.#bytes.length = 0;
  }
}
