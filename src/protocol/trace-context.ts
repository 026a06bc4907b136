// W3C trace context: the header `traceparent` as people and tools write it, and its 26 bytes on the wire.

import { Buffer } from "node:buffer";

/** Version, trace id, parent id, flags. */
const BYTES = 26;
const TEXT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
/** A version ff; and ids of zeros, which the standard has ignored. */
const INVALID = /^ff|-0+-/;

/** @throws RangeError for what is none */
export function traceparentBytes(text: string): Buffer {
  if (typeof text === "string" && TEXT.test(text) && !INVALID.test(text)) {
    return Buffer.from(text.replaceAll("-", ""), "hex");
  }
  const like = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const given =
    typeof text === "string" ? `"${text.slice(0, 100)}"` : `a value of type ${typeof text}`;
  throw new RangeError(
    `traceparent must be text as W3C trace context has it, like "${like}", not ${given}`,
  );
}

/** Undefined for bytes that are none. */
export function traceparentText(bytes: Uint8Array | undefined): string | undefined {
  if (bytes?.length !== BYTES) return undefined;
  const hex = Buffer.from(bytes).toString("hex");
  const text = `${hex.slice(0, 2)}-${hex.slice(2, 34)}-${hex.slice(34, 50)}-${hex.slice(-2)}`;
  return INVALID.test(text) ? undefined : text;
}
