// What threads and the owner of the shared maps say to each other, as bytes for the mailboxes.
//
//   question   head: name of the map, NUL, key
//              body: ┌ operation ┬ generation of the asker's mailbox ┬ version ┬ keepMs ┬ value …
//                    └─── u8 ────┴──────────────── u32 ──────────────┴── f64 ──┴─ u32 ──┘
//              The operation's highest bit: the value goes with the asker's thread.
//   answer     body: ┌ status u8 ┬ version f64 ┬ value …            tag: the question's

import { Buffer } from "node:buffer";
import type { MapAnswer } from "./map-store.ts";

const GENERATION_AT = 1;
const VERSION_AT = 5;
const KEEP_AT = 13;
const VALUE_AT = 17;
const WITH_THREAD = 0x80;
const ANSWER_VERSION_AT = 1;
const ANSWER_VALUE_AT = 9;

export interface MapQuestion {
  readonly operation: number;
  readonly name: string;
  readonly key: string;
  readonly version: number;
  readonly value: Uint8Array;
  /** How long the value is kept; 0: for ever. */
  readonly keepMs: number;
  /** It goes with the asker's thread. */
  readonly withThread: boolean;
}

export function questionHead({ name, key }: MapQuestion): Buffer {
  return Buffer.from(`${name}\0${key}`);
}

export function questionBody(
  { operation, version, value, keepMs, withThread }: MapQuestion,
  generation: number,
): Buffer {
  const body = Buffer.allocUnsafe(VALUE_AT + value.length);
  body[0] = withThread ? operation | WITH_THREAD : operation;
  body.writeUInt32LE(generation, GENERATION_AT);
  body.writeDoubleLE(version, VERSION_AT);
  body.writeUInt32LE(keepMs, KEEP_AT);
  body.set(value, VALUE_AT);
  return body;
}

/** A copy: what it is read from is overwritten afterwards. */
export function readQuestion(
  head: Buffer,
  body: Buffer,
): MapQuestion & { readonly generation: number } {
  const text = head.toString();
  const end = text.indexOf("\0");
  const operation = body[0] as number;
  return {
    operation: operation & ~WITH_THREAD,
    withThread: operation >= WITH_THREAD,
    keepMs: body.readUInt32LE(KEEP_AT),
    name: text.slice(0, end),
    key: text.slice(end + 1),
    generation: body.readUInt32LE(GENERATION_AT),
    version: body.readDoubleLE(VERSION_AT),
    value: Uint8Array.from(body.subarray(VALUE_AT)),
  };
}

export function answerBody({ status, version, value }: MapAnswer): Buffer {
  const body = Buffer.allocUnsafe(ANSWER_VALUE_AT + (value?.length ?? 0));
  body[0] = status;
  body.writeDoubleLE(version, ANSWER_VERSION_AT);
  if (value !== undefined) body.set(value, ANSWER_VALUE_AT);
  return body;
}

/** Likewise a copy. */
export function readAnswer(body: Buffer): MapAnswer {
  const version = body.readDoubleLE(ANSWER_VERSION_AT);
  return {
    status: body[0] as number,
    version,
    value: version === 0 ? undefined : Uint8Array.from(body.subarray(ANSWER_VALUE_AT)),
  };
}
