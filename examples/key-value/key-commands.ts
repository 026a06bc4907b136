// Commands on keys, whatever their values: are they there, and for how long.

import { type Client, type Command, fail, findKey, integer, ok, plain, SYNTAX } from "./command.ts";
import { type ExpiryForm, readExpiry } from "./expiry.ts";
import type { Request } from "./request.ts";
import { ABSENT, NEVER, type Store } from "./store.ts";

export const keyCommands: readonly Command[] = [
  { name: "del", arity: -2, writes: true, keys: [1, -1, 1], run: del },
  { name: "exists", arity: -2, writes: false, keys: [1, -1, 1], run: exists },
  expire("expire", { unitMs: 1000, absolute: false }),
  expire("pexpire", { unitMs: 1, absolute: false }),
  expire("expireat", { unitMs: 1000, absolute: true }),
  expire("pexpireat", { unitMs: 1, absolute: true }),
  // Rounded to the nearest second, as Redis does.
  timeToLive("ttl", (ms) => Math.floor((ms + 500) / 1000)),
  timeToLive("pttl", (ms) => ms),
  { name: "persist", arity: 2, writes: true, keys: [1, 1, 1], run: persist },
  plain("dbsize", 1, (_request, client, store) => integer(client, store.size)),
  { ...plain("flushall", -1, flushAll), writes: true },
];

function del(request: Request, client: Client, store: Store): void {
  let deleted = 0;
  for (let index = 1; index < request.count; index++) {
    const slot = findKey(store, request, index);
    if (slot === ABSENT) continue;
    store.delete(slot);
    deleted++;
  }
  integer(client, deleted);
}

function exists(request: Request, client: Client, store: Store): void {
  let found = 0;
  for (let index = 1; index < request.count; index++) {
    if (findKey(store, request, index) !== ABSENT) found++;
  }
  integer(client, found);
}

function persist(request: Request, client: Client, store: Store): void {
  const slot = findKey(store, request, 1);
  const has = slot !== ABSENT && store.expiresAt(slot) !== NEVER;
  if (has) store.expire(slot, NEVER);
  integer(client, has ? 1 : 0);
}

function flushAll(request: Request, client: Client, store: Store): void {
  const isKnown = request.count === 1 || request.is(1, "ASYNC") || request.is(1, "SYNC");
  if (request.count > 2 || !isKnown) {
    fail(client, SYNTAX);
    return;
  }
  store.clear();
  ok(client);
}

/** −2: no such key; −1: it does not expire. */
function timeToLive(name: string, rounded: (ms: number) => number): Command {
  return {
    name,
    arity: 2,
    writes: false,
    keys: [1, 1, 1],
    run(request, client, store) {
      const slot = findKey(store, request, 1);
      const expiresAt = slot === ABSENT ? NEVER : store.expiresAt(slot);
      if (slot === ABSENT) integer(client, -2);
      else if (expiresAt === NEVER) integer(client, -1);
      else integer(client, rounded(Math.max(0, expiresAt - store.now())));
    },
  };
}

interface ExpireConditions {
  nx: boolean;
  xx: boolean;
  gt: boolean;
  lt: boolean;
}

function expire(name: string, form: ExpiryForm): Command {
  return {
    name,
    arity: -3,
    writes: true,
    keys: [1, 1, 1],
    run(request, client, store) {
      const conditions = readConditions(request, client);
      if (conditions === undefined) return;
      const expiresAt = readExpiry(request, 2, form, false, name, client, store);
      if (expiresAt === undefined) return;
      const slot = findKey(store, request, 1);
      const applies = slot !== ABSENT && meets(conditions, store.expiresAt(slot), expiresAt);
      if (applies && expiresAt <= store.now()) store.delete(slot);
      else if (applies) store.expire(slot, expiresAt);
      integer(client, applies ? 1 : 0);
    },
  };
}

/** A key that does not expire counts as one that expires last. */
function meets({ nx, xx, gt, lt }: ExpireConditions, old: number, expiresAt: number): boolean {
  if (nx && old !== NEVER) return false;
  if (xx && old === NEVER) return false;
  if (gt && expiresAt <= old) return false;
  return !(lt && expiresAt >= old);
}

/** The options of EXPIRE, or undefined when the client has been told what is wrong with them. */
function readConditions(request: Request, client: Client): ExpireConditions | undefined {
  const given: ExpireConditions = { nx: false, xx: false, gt: false, lt: false };
  for (let index = 3; index < request.count; index++) {
    if (request.is(index, "NX")) given.nx = true;
    else if (request.is(index, "XX")) given.xx = true;
    else if (request.is(index, "GT")) given.gt = true;
    else if (request.is(index, "LT")) given.lt = true;
    else {
      fail(client, `ERR Unsupported option ${request.text(index)}`);
      return undefined;
    }
  }
  if (given.nx && (given.xx || given.gt || given.lt)) {
    fail(client, "ERR NX and XX, GT or LT options at the same time are not compatible");
    return undefined;
  }
  if (given.gt && given.lt) {
    fail(client, "ERR GT and LT options at the same time are not compatible");
    return undefined;
  }
  return given;
}
