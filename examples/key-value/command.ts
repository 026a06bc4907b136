// What a command is, and what all of them share: who asks, and the answers that are given often.

import type { Connection } from "../../src/index.ts";
import { bulk, Failure, NOTHING, OK, type Reply } from "./reply.ts";
import type { Request } from "./request.ts";
import type { Store } from "./store.ts";

/** What belongs to one connection. */
export interface Session {
  /** CLIENT SETNAME; empty when it has none. */
  name: string;
}

export type Client = Connection<Reply, Session>;

export interface Command {
  /** Lower-case; that of a subcommand is `command|subcommand`. */
  readonly name: string;
  /** Arguments with the name; a negative one is the least there must be. */
  readonly arity: number;
  readonly writes: boolean;
  /** Which arguments are keys: first, last (−1: the last there is), step; 0 for none. */
  readonly keys: readonly [first: number, last: number, step: number];
  /** The number of arguments has been checked. */
  run(request: Request, client: Client, store: Store): void;
  readonly subcommands?: ReadonlyMap<string, Command>;
}

/** A command that takes no keys. */
export function plain(name: string, arity: number, run: Command["run"]): Command {
  return { name, arity, writes: false, keys: [0, 0, 0], run };
}

export const NOT_AN_INTEGER = "ERR value is not an integer or out of range";
export const SYNTAX = "ERR syntax error";

export function fail(client: Client, text: string): void {
  client.send(new Failure(text));
}

export function wrongArity(client: Client, name: string): void {
  fail(client, `ERR wrong number of arguments for '${name}' command`);
}

export function ok(client: Client): void {
  client.write(OK);
}

export function nothing(client: Client): void {
  client.write(NOTHING);
}

export function integer(client: Client, value: number | bigint): void {
  client.write(`:${value}\r\n`);
}

/** An argument as it came. */
export function echo(client: Client, request: Request, index: number): void {
  client.write(bulk(request.bytes, request.start(index), request.end(index)));
}

/** The slot of the key that an argument names. */
export function findKey(store: Store, request: Request, index: number): number {
  return store.find(request.bytes, request.start(index), request.end(index));
}
