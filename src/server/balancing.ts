// What a server has for the placement of connections (../reactor/placement.ts): the shared memory, and what becomes
// of connections that were handed to a thread which is gone.

import { DescriptorQueue } from "../driver/descriptor-queue.ts";
import { hasReachedSlot } from "../driver/thread-notes.ts";
import { type Balance, type PlacementSeat, placementWords, Seats } from "../reactor/placement.ts";
import { closeDescriptor } from "../sys/socket-calls.ts";

/** So many can be on their way to one reactor; whoever finds an inbox full keeps what it has accepted. */
const INBOX = 1024;

export class Balancing {
  readonly #seats: Seats;

  /** For threads whose drivers know descriptors; `most` connections each. */
  constructor(balance: Balance, counters: Float64Array, seats: number, most: number) {
    this.#seats = new Seats({
      balance,
      counters,
      words: new Int32Array(new SharedArrayBuffer(placementWords(seats) * 4)),
      inboxes: Array.from({ length: seats }, () => DescriptorQueue.allocate(INBOX).table),
      most,
    });
  }

  /** The seat for a thread that starts now, which is woken by this eventfd: it must stay open until the last one has ended. */
  seatFor(seat: number, wakeDescriptor: number): PlacementSeat {
    this.#seats.setWake(seat, wakeDescriptor);
    return { memory: this.#seats.memory, seat };
  }

  /**
   * The thread of a seat is gone, and what it held is still in its notes: what was handed to it, and has not reached a slot,
   * goes to others. When nobody takes it, it waits for the next thread on the seat.
   */
  left(seat: number, notes: Int32Array): void {
    this.#seats.setOpen(seat, false);
    const inbox = this.#seats.inboxes[seat] as DescriptorQueue;
    const left: number[] = [];
    for (let one = inbox.take(); one >= 0; one = inbox.take()) {
      if (!hasReachedSlot(notes, one)) left.push(one);
    }
    for (const descriptor of left) {
      if (!this.#seats.handOn(descriptor) && !inbox.put(descriptor)) closeDescriptor(descriptor);
    }
  }

  /** After the end of the last thread. */
  close(): void {
    for (const inbox of this.#seats.inboxes) {
      for (let left = inbox.take(); left >= 0; left = inbox.take()) closeDescriptor(left);
    }
  }
}
