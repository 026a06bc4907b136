// The commands by name, and how one is found and run.
//
// The twist: finding a command by its name would need a string of it, in upper case, for each request. Instead the bytes
// are looked up in a small index: the slot says which command it can only be, and the letters are compared.
// The Map is what is true; the index may miss a command (two in one slot), never find a wrong one.

import { type Client, type Command, fail, wrongArity } from "./command.ts";
import { keyCommands } from "./key-commands.ts";
import { RecordsFullError } from "./records.ts";
import type { Request } from "./request.ts";
import { commandCommand, serverCommands } from "./server-commands.ts";
import type { Store } from "./store.ts";
import { stringCommands } from "./string-commands.ts";

/** By upper-case name. The first of a slot is found fastest: the common ones come first. */
export const commands: ReadonlyMap<string, Command> = new Map(
  [
    ...stringCommands,
    ...serverCommands,
    ...keyCommands,
    commandCommand(() => commands.values()),
  ].map((command) => [command.name.toUpperCase(), command]),
);

const SLOTS = 256;
const index = indexed();

/** Runs a request and writes its reply, also when there is no such command. */
export function execute(request: Request, client: Client, store: Store): void {
  const command = find(request);
  if (command === undefined) {
    if (request.error === "") failUnknown(request, client);
    else failProtocol(request, client);
    return;
  }
  if (command.subcommands !== undefined && request.count > 1) {
    const subcommand = command.subcommands.get(request.text(1).toUpperCase());
    if (subcommand !== undefined) run(subcommand, request, client, store);
    else {
      const container = command.name.toUpperCase();
      const name = shown(request, 1, 128);
      fail(client, `ERR unknown subcommand '${name}'. Try ${container} HELP.`);
    }
    return;
  }
  run(command, request, client, store);
}

function run(command: Command, request: Request, client: Client, store: Store): void {
  const { arity } = command;
  if (arity >= 0 ? request.count !== arity : request.count < -arity) {
    wrongArity(client, command.name);
    return;
  }
  try {
    command.run(request, client, store);
  } catch (error) {
    if (!(error instanceof RecordsFullError)) throw error;
    fail(client, "OOM command not allowed when used memory > 'maxmemory'.");
  }
}

function find(request: Request): Command | undefined {
  if (request.count === 0) return undefined;
  const start = request.start(0);
  const end = request.end(0);
  const indexedHere = index[slot(request.bytes, start, end)];
  if (indexedHere !== undefined && request.is(0, indexedHere.upperName)) return indexedHere.command;
  return commands.get(request.text(0).toUpperCase());
}

interface Indexed {
  readonly upperName: string;
  readonly command: Command;
}

function indexed(): readonly (Indexed | undefined)[] {
  const slots = new Array<Indexed | undefined>(SLOTS).fill(undefined);
  for (const [upperName, command] of commands) {
    const name = Buffer.from(upperName, "latin1");
    // Letters only: that is what Request.is compares.
    if (/^[A-Z]+$/.test(upperName)) slots[slot(name, 0, name.length)] ??= { upperName, command };
  }
  return slots;
}

/** From a name's length, first and last letter, the same in either case. */
function slot(bytes: Buffer, start: number, end: number): number {
  if (end === start) return 0;
  const first = (bytes[start] as number) & 0xdf;
  const last = (bytes[end - 1] as number) & 0xdf;
  return (first * 5 + last * 11 + (end - start) * 37) & (SLOTS - 1);
}

function failProtocol(request: Request, client: Client): void {
  fail(client, `ERR ${request.error}`);
  client.close();
}

/** In Redis' words, some clients look for them. */
function failUnknown(request: Request, client: Client): void {
  let quoted = "";
  for (let at = 1; at < request.count && quoted.length < 128; at++) {
    quoted += `'${shown(request, at, 128 - quoted.length)}' `;
  }
  const name = shown(request, 0, 128);
  fail(client, `ERR unknown command '${name}', with args beginning with: ${quoted}`);
}

/** An argument as a C program prints it: to the first NUL, and no more than so much. */
function shown(request: Request, at: number, maximum: number): string {
  const start = request.start(at);
  const end = Math.min(request.end(at), start + maximum);
  return request.bytes.toString("latin1", start, end).split("\0", 1)[0] ?? "";
}
