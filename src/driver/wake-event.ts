// What ends a driver's wait from another thread: an eventfd, the driver's own or one that it was given.

import { SystemError } from "../sys/errno.ts";
import { closeDescriptor, openEventfd } from "../sys/socket-calls.ts";
import type { ThreadNotes } from "./thread-notes.ts";

export class WakeEvent {
  readonly descriptor: number;
  readonly #notes: ThreadNotes;
  readonly #isOwn: boolean;

  /** Opens one, unless `given` is one that somebody else will close. @throws SystemError EMFILE */
  constructor(given: number | undefined, notes: ThreadNotes) {
    this.descriptor = given ?? openEventfd();
    if (this.descriptor < 0) throw new SystemError("eventfd", this.descriptor);
    this.#notes = notes;
    this.#isOwn = given === undefined;
    if (this.#isOwn) notes.noteOwn(this.descriptor);
  }

  dispose(): void {
    if (!this.#isOwn) return;
    this.#notes.forgetOwn(this.descriptor);
    closeDescriptor(this.descriptor);
  }
}
