// Memory for copied messages that are too large for Node's own pool: cut from slabs.

import { Buffer } from "node:buffer";
import { freshSlab } from "../slabs.ts";

/** Below this Node's pool does as well. */
export const LEAST_LARGE = 4096;
/** Above this a slab would be mostly waste. */
const MOST = 65_536;

/** The slab in use; one for each thread, since modules are loaded once a thread. */
const current: { slab: Buffer; used: number } = { slab: Buffer.alloc(0), used: 0 };

/** Memory for a message of `length` bytes, not initialised, that nobody else will ever write to. */
export function allocateMessage(length: number): Buffer {
  if (length < LEAST_LARGE || length > MOST) return Buffer.allocUnsafe(length);
  if (current.used + length > current.slab.length) {
    current.slab = freshSlab();
    current.used = 0;
  }
  const start = current.used;
  // Rounded up to 8 bytes, so that copies are aligned.
  current.used = (start + length + 7) & ~7;
  return current.slab.subarray(start, start + length);
}
