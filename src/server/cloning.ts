// Values on their way between threads: as the bytes of a structured clone.

import { deserialize, serialize } from "node:v8";

/** @throws TypeError for what cannot be cloned (a function, a socket, …) */
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
