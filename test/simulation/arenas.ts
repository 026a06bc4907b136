// The arena behind a driver's output: it is the send queue's own, and a ledger must see how much of it is in use.

import type { Buffer } from "node:buffer";
import { OutputArena } from "../../src/reactor/output-arena.ts";

const arenas = new WeakMap<Buffer, OutputArena>();
const unused = { inUse: 0, capacity: 1 };

const allocate = OutputArena.prototype.allocate;
OutputArena.prototype.allocate = function noted(this: OutputArena, sizeClass: number): number {
  arenas.set(this.bytes, this);
  return allocate.call(this, sizeClass);
};

/** Before anything was written there is none. */
export function arenaOf(output: Buffer): { readonly inUse: number; readonly capacity: number } {
  return arenas.get(output) ?? unused;
}
