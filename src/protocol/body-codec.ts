// Bodies: from a value to bytes and back, by the codec that a stream names. Raw, JSON and UTF-8 text are built in; MessagePack
// and CBOR come from packages that the user has (msgpackr, cbor-x) and hands in.
//
// What comes from a peer is decoded with care: keys that reach into prototypes are refused wherever they stand, and so is
// what is nested too deep for the code that will walk it.

import { Buffer, isUtf8 } from "node:buffer";
import { utf8 } from "../codec/buffer-calls.ts";
import { copyMessage } from "../codec/message-memory.ts";
import { OptionError } from "../limits.ts";
import { CODEC } from "./codes.ts";

export interface BodyCodec {
  /** One of CODEC, or 16 to 255 for an application's own. */
  readonly id: number;
  readonly name: string;
  /** @throws TypeError for a value that it cannot carry */
  encode(value: unknown): Uint8Array;
  /** What lies at `[start, end)`, safe to keep. @throws Error when it is malformed */
  decode(bytes: Buffer, start: number, end: number): unknown;
}

/** @throws OptionError for what is no list of codecs */
export function assertBodyCodecs(given: readonly BodyCodec[]): void {
  if (!Array.isArray(given)) throw new OptionError("codecs must be a list of codecs");
  for (const codec of given) assertBodyCodec(codec);
}

/** @throws OptionError for what is none */
export function assertBodyCodec(given: BodyCodec): void {
  const { id, name, encode, decode } = Object(given);
  const knows = typeof encode === "function" && typeof decode === "function";
  if (knows && typeof name === "string" && Number.isInteger(id) && id >= 0 && id <= 255) return;
  throw new OptionError(
    "a codec has an id from 0 to 255, a name, encode and decode: messagePack(…), cbor(…) or your own",
  );
}

/** The body is not what its codec says. */
export class BodyError extends Error {
  override readonly name = "BodyError";
}

const NOTHING = Buffer.alloc(0);
/** Levels below the outermost one. */
const DEEPEST = 64;
/** JSON from here on is looked at before it is parsed; what is shorter takes little, however deep it is. */
const LONG_BYTES = 4096;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Without this bit a brace is a bracket. */
const BRACE = 0x20;
const OPENING = 0x5b;
const CLOSING = 0x5d;
const FORBIDDEN: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);
/** Keys that might be forbidden ones; an escape may hide one. */
const SUSPICIOUS = /__proto__|constructor|prototype|\\u/;

export const rawCodec: BodyCodec = {
  id: CODEC.RAW,
  name: "raw",
  encode(value) {
    if (value instanceof Uint8Array) return value;
    if (value === undefined || value === null) return NOTHING;
    throw new TypeError("the codec raw carries bytes");
  },
  decode: (bytes, start, end) => copyMessage(bytes, start, end - start),
};

export const utf8Codec: BodyCodec = {
  id: CODEC.UTF8,
  name: "utf8",
  encode(value) {
    if (typeof value === "string") return Buffer.from(value);
    if (value === undefined || value === null) return NOTHING;
    throw new TypeError("the codec utf8 carries a string");
  },
  decode: textAt,
};

/** Nothing at all is an empty body. Bytes stand as they are behind a zero byte: no JSON text begins with one. */
export const jsonCodec: BodyCodec = {
  id: CODEC.JSON,
  name: "json",
  encode(value) {
    if (value === undefined) return NOTHING;
    if (value instanceof Uint8Array) return behindZero(value);
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`JSON has no ${typeof value}`);
    return Buffer.from(text);
  },
  decode(bytes, start, end) {
    if (start === end) return undefined;
    if (bytes[start] === 0) return copyMessage(bytes, start + 1, end - start - 1);
    const long = end - start >= LONG_BYTES;
    const branched = long && opensMany(bytes.subarray(start, end));
    // Before it is parsed: the parser takes 50 bytes for each level, of what may be nothing but brackets.
    if (branched) assertShallow(bytes, start, end);
    const text = textAt(bytes, start, end);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // Its message quotes what the peer sent.
      throw new BodyError("not JSON");
    }
    // To look at every key costs as much as to parse, unless there are few places to look at.
    if (branched ? mayHide(text) : text.length > DEEPEST || SUSPICIOUS.test(text)) {
      assertHarmless(value);
    }
    return value;
  },
};

/** What MessagePack needs of the package msgpackr, CBOR of cbor-x: `messagePack(await import("msgpackr"))`. */
export interface Packing {
  pack?(value: unknown): Uint8Array;
  unpack?(bytes: Uint8Array): unknown;
  encode?(value: unknown): Uint8Array;
  decode?(bytes: Uint8Array): unknown;
}

/** MessagePack, by the package msgpackr or one like it. */
export function messagePack(packing: Packing): BodyCodec {
  return packed(
    CODEC.MSGPACK,
    "msgpack",
    packing.pack ?? packing.encode,
    packing.unpack ?? packing.decode,
  );
}

/** CBOR, by the package cbor-x or one like it. */
export function cbor(packing: Packing): BodyCodec {
  return packed(CODEC.CBOR, "cbor", packing.encode, packing.decode);
}

function packed(
  id: number,
  name: string,
  pack: ((value: unknown) => Uint8Array) | undefined,
  unpack: ((bytes: Uint8Array) => unknown) | undefined,
): BodyCodec {
  if (pack === undefined || unpack === undefined) {
    throw new TypeError(`${name}: hand in the package, as in ${name}(await import("…"))`);
  }
  return {
    id,
    name,
    encode: (value) => (value === undefined ? NOTHING : pack(value)),
    decode(bytes, start, end) {
      if (start === end) return undefined;
      let value: unknown;
      try {
        // A copy: such a package may hand out views on what it is given.
        value = unpack(Buffer.from(bytes.subarray(start, end)));
      } catch {
        // Its message quotes what the peer sent.
        throw new BodyError(`not ${name}`);
      }
      assertHarmless(value);
      return value;
    },
  };
}

function behindZero(bytes: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(bytes.length + 1);
  body[0] = 0;
  body.set(bytes, 1);
  return body;
}

/** The bytes of a body in JSON that carries bytes; undefined when it carries JSON. */
export function bytesInJson(body: Uint8Array): Uint8Array | undefined {
  return body[0] === 0 ? body.subarray(1) : undefined;
}

function textAt(bytes: Buffer, start: number, end: number): string {
  const text = utf8(bytes, start, end);
  if (text.includes("\ufffd") && !isUtf8(bytes.subarray(start, end))) {
    throw new BodyError("not UTF-8");
  }
  return text;
}

/** As SUSPICIOUS, for long texts: the engine finds words faster than it matches. */
function mayHide(text: string): boolean {
  return text.includes("proto") || text.includes("constructor") || text.includes("\\u");
}

/** Counts brackets outside of strings. @throws BodyError for too many levels */
function assertShallow(bytes: Buffer, start: number, end: number): void {
  let depth = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < OPENING) {
      if (byte === QUOTE) at = endOfString(bytes, at + 1, end);
      continue;
    }
    const bracket = byte & ~BRACE;
    if (bracket === CLOSING) depth--;
    else if (bracket === OPENING && ++depth > DEEPEST + 1) throw tooDeep();
  }
}

/** Whether there are more opening brackets than there may be levels: the engine finds them much faster than a loop does. */
function opensMany(body: Buffer): boolean {
  let count = 0;
  for (const opening of [OPENING, OPENING | BRACE]) {
    for (let at = body.indexOf(opening); at >= 0; at = body.indexOf(opening, at + 1)) {
      if (++count > DEEPEST + 1) return true;
    }
  }
  return false;
}

/** Where its closing quote is, or `end`. */
function endOfString(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  for (let byte = bytes[at]; at < end && byte !== QUOTE; byte = bytes[at]) {
    at += byte === BACKSLASH ? 2 : 1;
  }
  return at;
}

function tooDeep(): BodyError {
  return new BodyError(`nested deeper than ${DEEPEST} levels`);
}

/** @throws BodyError for a key that reaches into a prototype, or too many levels */
function assertHarmless(value: unknown): void {
  let level: object[] = isObject(value) ? [value] : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST) throw tooDeep();
    const next: object[] = [];
    for (const one of level) inner(one, next);
    level = next;
  }
}

function inner(value: object, next: object[]): void {
  if (Array.isArray(value)) {
    for (const item of value) if (isObject(item)) next.push(item);
    return;
  }
  const entries: Iterable<[unknown, unknown]> =
    value instanceof Map ? value.entries() : Object.entries(value);
  for (const [key, item] of entries) {
    if (typeof key === "string" && FORBIDDEN.has(key))
      throw new BodyError("a key that is not allowed");
    if (isObject(item)) next.push(item);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
}
