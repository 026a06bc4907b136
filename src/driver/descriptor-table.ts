// Which descriptor lies in which slot, in what state: a raw driver's table of what is open.
//
// Invariant: a slot is in use from `take` to `free`. What this driver owns is noted in shared memory for whoever cleans
// up after its thread, and the note is gone before the descriptor is given to close(2): a number that may be used again
// must never be closed by somebody else. A listener that belongs to someone else is never noted.

import { EMFILE } from "../sys/errno.ts";
import { closeDescriptor } from "../sys/socket-calls.ts";
import type { Handle } from "./driver.ts";
import { SlotTable, slotOf } from "./handle.ts";
import { CLOSING, FOREIGN } from "./slot-states.ts";
import type { ThreadNotes } from "./thread-notes.ts";

export class DescriptorTable {
  readonly slots: SlotTable;
  /** States (slot-states.ts), by slot; 0: not in use. */
  readonly flags: Uint32Array;
  /** By slot; −1: none. */
  readonly descriptors: Int32Array;
  readonly #notes: ThreadNotes;

  constructor(slots: number, notes: ThreadNotes) {
    this.slots = new SlotTable(slots);
    this.flags = new Uint32Array(slots);
    this.descriptors = new Int32Array(slots).fill(-1);
    this.#notes = notes;
  }

  isOpen(handle: Handle): boolean {
    if (!this.slots.holds(handle)) return false;
    // A free slot has no flags: its handle is one that was never given out.
    const flags = this.flags[slotOf(handle)] as number;
    return flags !== 0 && (flags & CLOSING) === 0;
  }

  /** A handle for a descriptor (below 0: it has none yet), or −EMFILE when all slots are in use. */
  take(descriptor: number, flags: number): Handle | number {
    const handle = this.slots.take();
    if (handle < 0) return -EMFILE;
    const slot = slotOf(handle);
    this.flags[slot] = flags;
    this.descriptors[slot] = descriptor < 0 ? -1 : descriptor;
    if ((flags & FOREIGN) === 0) this.#notes.noteSlot(slot, descriptor);
    return handle;
  }

  /** Takes the descriptor out of the table, to be closed or given away. */
  forgetDescriptor(handle: Handle): number {
    const slot = slotOf(handle);
    const descriptor = this.descriptors[slot] as number;
    this.descriptors[slot] = -1;
    this.#notes.forgetSlot(slot);
    return descriptor;
  }

  free(handle: Handle): void {
    const slot = slotOf(handle);
    this.flags[slot] = 0;
    this.descriptors[slot] = -1;
    this.#notes.forgetSlot(slot);
    this.slots.release(handle);
  }

  /** Closes every descriptor that is not somebody else's. */
  closeAll(): void {
    for (let slot = 0; slot < this.slots.capacity; slot++) {
      const descriptor = this.descriptors[slot] as number;
      if (descriptor < 0) continue;
      this.descriptors[slot] = -1;
      this.#notes.forgetSlot(slot);
      if (((this.flags[slot] as number) & FOREIGN) === 0) closeDescriptor(descriptor);
    }
  }
}
