// Values on their way between threads, as bytes: bytes and text as they are, which is several times faster, everything else
// as a structured clone. A byte in front says which.

import { Buffer } from "node:buffer";
import { deserialize, serialize } from "node:v8";

const BYTES = 0;
const TEXT = 1;
const CLONE = 2;

/** What says how a value was written, and the value's bytes. */
export interface Packed {
  readonly form: Buffer;
  readonly bytes: Uint8Array;
}

const FORMS: readonly Buffer[] = [BYTES, TEXT, CLONE].map((form) => Buffer.of(form));

/** @throws TypeError for what cannot be cloned (a function, a socket, …) */
export function pack(value: unknown): Packed {
  if (value instanceof Uint8Array) return { form: FORMS[BYTES] as Buffer, bytes: value };
  if (typeof value === "string") return { form: FORMS[TEXT] as Buffer, bytes: Buffer.from(value) };
  return { form: FORMS[CLONE] as Buffer, bytes: bytesOf(value) };
}

/** A copy of the value; bytes are a Buffer. */
export function unpack(form: number, bytes: Buffer): unknown {
  if (form === TEXT) return bytes.toString();
  // What lies in a mailbox is overwritten afterwards.
  const copy = Buffer.from(bytes);
  return form === BYTES ? copy : valueOfBytes(copy);
}

/** Always as a clone. @throws TypeError for what cannot be cloned (a function, a socket, …) */
export function bytesOf(value: unknown): Buffer {
  try {
    return serialize(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TypeError(`between threads go values that can be cloned: ${why}`);
  }
}

/** `bytes` must not lie in memory that is shared. */
export function valueOfBytes(bytes: Uint8Array): unknown {
  return deserialize(bytes);
}
