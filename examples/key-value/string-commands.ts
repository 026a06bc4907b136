// Commands on values: SET, GET and the counters.
//
// The twist: GET, and SET without options, are what a benchmark measures and what a cache does all day. They take the
// short way: one look-up by the received bytes, one write, and no object or string made.

import {
  type Client,
  type Command,
  fail,
  findKey,
  integer,
  NOT_AN_INTEGER,
  nothing,
  ok,
  SYNTAX,
  wrongArity,
} from "./command.ts";
import { type ExpiryForm, readExpiry } from "./expiry.ts";
import { bodyStart } from "./reply.ts";
import { int64, type Request, readInteger } from "./request.ts";
import { ABSENT, NEVER, type Store } from "./store.ts";

/** Where a counter is written before it is stored; 64 bits have 20 characters at the most. */
const DIGITS = Buffer.alloc(20);

export const stringCommands: readonly Command[] = [
  { name: "get", arity: 2, writes: false, keys: [1, 1, 1], run: get },
  { name: "set", arity: -3, writes: true, keys: [1, 1, 1], run: set },
  { name: "mget", arity: -2, writes: false, keys: [1, -1, 1], run: mget },
  { name: "mset", arity: -3, writes: true, keys: [1, -1, 2], run: mset },
  counter("incr", 2, () => 1),
  counter("decr", 2, () => -1),
  counter("incrby", 3, (request) => request.integer(2)),
  counter("decrby", 3, negated),
];

function get(request: Request, client: Client, store: Store): void {
  writeValue(client, store, findKey(store, request, 1));
}

function writeValue(client: Client, store: Store, slot: number): void {
  if (slot === ABSENT) nothing(client);
  else client.write(store.value(slot));
}

function mget(request: Request, client: Client, store: Store): void {
  client.write(`*${request.count - 1}\r\n`);
  for (let index = 1; index < request.count; index++) {
    writeValue(client, store, findKey(store, request, index));
  }
}

function mset(request: Request, client: Client, store: Store): void {
  if (request.count % 2 === 0) {
    wrongArity(client, "mset");
    return;
  }
  for (let index = 1; index < request.count; index += 2) {
    setKey(store, request, index, index + 1, NEVER);
  }
  ok(client);
}

function set(request: Request, client: Client, store: Store): void {
  if (request.count > 3) {
    setWithOptions(request, client, store);
    return;
  }
  setKey(store, request, 1, 2, NEVER);
  ok(client);
}

interface SetOptions {
  /** Only when the key is not there, or only when it is. */
  readonly condition: "NX" | "XX" | undefined;
  /** Answer the old value instead of OK. */
  readonly get: boolean;
  readonly keepTtl: boolean;
  readonly expiresAt: number;
}

function setWithOptions(request: Request, client: Client, store: Store): void {
  const options = readSetOptions(request, client, store);
  if (options === undefined) return;
  const slot = findKey(store, request, 1);
  // Before it's overwritten in place.
  if (options.get) writeValue(client, store, slot);
  if (options.condition !== undefined && (options.condition === "XX") !== (slot !== ABSENT)) {
    if (!options.get) nothing(client);
    return;
  }
  const keeps = options.keepTtl && slot !== ABSENT;
  setKey(store, request, 1, 2, keeps ? store.expiresAt(slot) : options.expiresAt);
  if (!options.get) ok(client);
}

/** The options of SET, or undefined when the client has been told what is wrong with them. */
function readSetOptions(request: Request, client: Client, store: Store): SetOptions | undefined {
  let condition: SetOptions["condition"];
  let get = false;
  let keepTtl = false;
  let form: ExpiryForm | undefined;
  let time = 0;
  for (let index = 3; index < request.count; index++) {
    const expiry = expiryForm(request, index);
    if (request.is(index, "NX") && condition !== "XX") condition = "NX";
    else if (request.is(index, "XX") && condition !== "NX") condition = "XX";
    else if (request.is(index, "GET")) get = true;
    else if (request.is(index, "KEEPTTL") && form === undefined) keepTtl = true;
    else if (
      expiry !== undefined &&
      !keepTtl &&
      // Twice the same is no contradiction: the last counts.
      (form ?? expiry) === expiry &&
      index + 1 < request.count
    ) {
      form = expiry;
      time = ++index;
    } else {
      fail(client, SYNTAX);
      return undefined;
    }
  }
  if (form === undefined) return { condition, get, keepTtl, expiresAt: NEVER };
  const expiresAt = readExpiry(request, time, form, true, "set", client, store);
  return expiresAt === undefined ? undefined : { condition, get, keepTtl, expiresAt };
}

const EX: ExpiryForm = { unitMs: 1000, absolute: false };
const PX: ExpiryForm = { unitMs: 1, absolute: false };
const EXAT: ExpiryForm = { unitMs: 1000, absolute: true };
const PXAT: ExpiryForm = { unitMs: 1, absolute: true };

function expiryForm(request: Request, index: number): ExpiryForm | undefined {
  if (request.is(index, "EX")) return EX;
  if (request.is(index, "PX")) return PX;
  if (request.is(index, "EXAT")) return EXAT;
  if (request.is(index, "PXAT")) return PXAT;
  return undefined;
}

/** INCR and its like; `change` gives what is added. */
function counter(
  name: string,
  arity: number,
  change: (request: Request, client: Client) => number | bigint | undefined | "told",
): Command {
  return {
    name,
    arity,
    writes: true,
    keys: [1, 1, 1],
    run(request, client, store) {
      const by = change(request, client);
      if (by === "told") return;
      if (by === undefined) fail(client, NOT_AN_INTEGER);
      else add(request, by, client, store);
    },
  };
}

function negated(request: Request, client: Client): number | bigint | undefined | "told" {
  const by = request.integer(2);
  if (by === undefined) return undefined;
  if (typeof by === "number") return -by;
  if (int64(-by) !== undefined) return -by;
  fail(client, "ERR decrement would overflow");
  return "told";
}

function add(request: Request, by: number | bigint, client: Client, store: Store): void {
  const slot = findKey(store, request, 1);
  const old = slot === ABSENT ? 0 : readValue(store.value(slot));
  if (old === undefined) {
    fail(client, NOT_AN_INTEGER);
    return;
  }
  // Two numbers of up to 15 digits have an exact sum.
  const sum =
    typeof old === "number" && typeof by === "number" ? old + by : int64(BigInt(old) + BigInt(by));
  if (sum === undefined) {
    fail(client, "ERR increment or decrement would overflow");
    return;
  }
  const length = DIGITS.write(String(sum), "latin1");
  const expiresAt = slot === ABSENT ? NEVER : store.expiresAt(slot);
  const [start, end] = [request.start(1), request.end(1)];
  store.set(request.bytes, start, end, DIGITS, 0, length, expiresAt);
  integer(client, sum);
}

function readValue(bulkString: Buffer): number | bigint | undefined {
  return readInteger(bulkString, bodyStart(bulkString), bulkString.length - 2);
}

/** Sets the key that one argument names to what another one is. */
function setKey(
  store: Store,
  request: Request,
  key: number,
  value: number,
  expiresAt: number,
): void {
  const { bytes } = request;
  const [valueStart, valueEnd] = [request.start(value), request.end(value)];
  store.set(bytes, request.start(key), request.end(key), bytes, valueStart, valueEnd, expiresAt);
}
