// What the codecs of binary messages share: taking a message out of the input, and writing one.
//
// Copying is the hottest path of the project: see message-memory.ts.

import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import type { Input, Output } from "./codec.ts";
import { copyMessage, LEAST_LARGE } from "./message-memory.ts";

/** What such a codec sends; a string goes out as UTF-8. */
export type MessageBytes = Uint8Array | string;

/** The next `length` bytes of the input as a message: a copy, or a view if the handler borrows. */
export function takeBytes(input: Input, length: number): Buffer {
  const { bytes, offset } = input;
  const end = offset + length;
  input.offset = end;
  if (input.borrow) return bytes.subarray(offset, end);
  if (length >= LEAST_LARGE) {
    input.kept = true;
    if (input.keepable) return bytes.subarray(offset, end);
  }
  return copyMessage(bytes, offset, length);
}

/**
 * How many bytes a message takes on the wire.
 * @throws TypeError for what is neither bytes nor a string
 */
export function sizeOf(message: MessageBytes): number {
  if (typeof message === "string") return Buffer.byteLength(message);
  if (message instanceof Uint8Array) return message.byteLength;
  throw neither(message);
}

/**
 * The bytes of a message on the wire: of a string a copy, else a view.
 * @throws TypeError for what is neither bytes nor a string
 */
export function asBuffer(message: MessageBytes): Buffer {
  if (typeof message === "string") return Buffer.from(message);
  if (!(message instanceof Uint8Array)) throw neither(message);
  return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
}

/**
 * @throws TypeError for what is neither bytes nor a string
 */
export function writeBytes(message: MessageBytes, output: Output): void {
  if (typeof message === "string") output.text(message);
  else if (message instanceof Uint8Array) output.bytes(message);
  else throw neither(message);
}

function neither(value: never): TypeError {
  return new TypeError(`expected a Uint8Array or a string, not ${inspect(value)}`);
}
