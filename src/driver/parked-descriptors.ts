// Accepted descriptors for which there was no slot: kept open until there is one, or until their listener is closed.
//
// A multishot accept may bring some more after the one that found no slot. To close them would reset clients that the
// kernel has already greeted.
//
// Invariant: what is parked, or was taken out and has not been delivered yet, is noted as parked.

import { closeDescriptor } from "../sys/socket-calls.ts";
import type { Handle } from "./driver.ts";
import type { ThreadNotes } from "./thread-notes.ts";

export class ParkedDescriptors {
  readonly #parked: { readonly listener: Handle; readonly descriptor: number }[] = [];
  readonly #notes: ThreadNotes;

  constructor(notes: ThreadNotes) {
    this.#notes = notes;
  }

  add(listener: Handle, descriptor: number): void {
    this.#notes.noteParked(descriptor);
    this.#parked.push({ listener, descriptor });
  }

  /** Takes out at most `most` of a listener's, oldest first. */
  take(listener: Handle, most: number): number[] {
    const taken: number[] = [];
    for (let at = 0; at < this.#parked.length && taken.length < most; ) {
      const parked = this.#parked[at];
      if (parked?.listener !== listener) {
        at++;
        continue;
      }
      this.#parked.splice(at, 1);
      taken.push(parked.descriptor);
    }
    return taken;
  }

  /** Nobody will ask for what this listener has accepted and could not hand out. */
  drop(listener: Handle): void {
    for (const descriptor of this.take(listener, this.#parked.length)) this.#close(descriptor);
  }

  closeAll(): void {
    for (const { descriptor } of this.#parked.splice(0)) this.#close(descriptor);
  }

  #close(descriptor: number): void {
    this.#notes.forgetParked(descriptor);
    closeDescriptor(descriptor);
  }
}
