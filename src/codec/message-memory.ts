// Memory for copied messages that are too large for Node's own pool: cut from slabs.
//
// Why: a buffer of its own for each message of 16 KiB makes V8 collect all garbage 25 times a second on a busy connection,
// since it counts those bytes as its heap's. Cut from slabs of 256 KiB there is one such object for 16 messages; measured,
// a copy then costs half. The price is the one of any pool: a message that is kept keeps its slab, so slabs are small.

import { Buffer } from "node:buffer";

const SLAB_BYTES = 262_144;
/** Below this Node's pool does as well. */
const LEAST = 4096;
/** Above this a slab would be mostly waste. */
const MOST = 65_536;

/** The slab in use; one for each thread, since modules are loaded once a thread. */
const current = { slab: Buffer.alloc(0), used: 0 };

/** Memory for a message of `length` bytes, not initialised, that nobody else will ever write to. */
export function allocateMessage(length: number): Buffer {
  if (length < LEAST || length > MOST) return Buffer.allocUnsafe(length);
  if (current.used + length > current.slab.length) {
    current.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    current.used = 0;
  }
  const start = current.used;
  // Rounded up to 8 bytes, so that copies are aligned.
  current.used = (start + length + 7) & ~7;
  return current.slab.subarray(start, start + length);
}
