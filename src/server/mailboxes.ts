// The mailboxes of a server: gives each thread a box, takes it back when the thread is gone, and has one itself (box 0).
//
// Twist: the eventfd that wakes a thread belongs to the server and not to the thread's driver. A thread may die while another
// one is about to wake it; were its eventfd closed then, the number could by now be a client's connection, and the wake
// would be eight bytes in somebody's stream. So these stay open until all threads have ended.

import type { Limits } from "../limits.ts";
import { SystemError } from "../sys/errno.ts";
import { closeDescriptor, openEventfd } from "../sys/socket-calls.ts";
import {
  controlOf,
  leaveBox,
  Mailbox,
  type MailboxSeat,
  mailboxMemory,
  prepareBox,
} from "./mailbox.ts";
import { MapOwner } from "./map-owner.ts";
import { countersLength, SharedCounters } from "./named-counters.ts";

/** All rings of a server together, at the most. Only what messages have touched is taken from the system. */
const MOST_MEMORY = 1024 * 1024 * 1024;
const ALIGNMENT = 16;
/** The server's own box. */
export const SERVER_BOX = 0;

/** The capacity of a ring with so many boxes: what was asked for, or less when there are very many. */
export function ringBytesFor(boxes: number, mailboxBytes: number): number {
  return Math.min(mailboxBytes, Math.floor(MOST_MEMORY / boxes ** 2)) & -ALIGNMENT;
}

export class Mailboxes {
  readonly own: Mailbox;
  readonly maps: MapOwner;
  readonly counters: SharedCounters;
  readonly ringBytes: number;
  readonly #memory: SharedArrayBuffer;
  readonly #countersMemory: SharedArrayBuffer;
  readonly #boxes: number;
  /** The eventfd of each box: opened for its first owner, kept for all. */
  readonly #descriptors = new Map<number, number>();
  readonly #free: number[];
  readonly #wakeDescriptors: boolean;

  /**
   * For at most `threads` at a time. With `wakeDescriptors` each is woken by an eventfd, else through Node's event loop.
   * @throws SystemError EMFILE
   */
  constructor(threads: number, limits: Limits, wakeDescriptors: boolean) {
    this.#boxes = threads + 1;
    this.ringBytes = ringBytesFor(this.#boxes, limits.mailboxBytes);
    this.#memory = new SharedArrayBuffer(mailboxMemory(this.#boxes, this.ringBytes));
    this.#wakeDescriptors = wakeDescriptors;
    this.#free = Array.from({ length: threads }, (_, n) => threads - n);
    this.#countersMemory = new SharedArrayBuffer(countersLength(this.#boxes));
    this.own = new Mailbox(this.#seat(SERVER_BOX, -1));
    this.counters = new SharedCounters(this.#countersMemory, SERVER_BOX);
    this.maps = new MapOwner(this.own, limits.mapBytes);
    this.maps.listen();
  }

  /** A box for a thread that is about to start. @throws RangeError when there is none left, SystemError EMFILE */
  open(): MailboxSeat {
    const box = this.#free.pop();
    if (box === undefined) throw new RangeError(`all ${this.#boxes - 1} mailboxes are in use`);
    return this.#seat(box, this.#wakeDescriptors ? this.#descriptorOf(box) : -1);
  }

  /** The thread with this box has ended, in whatever way. */
  vacate(seat: MailboxSeat): void {
    this.maps.hearLastWordsOf(seat.box);
    const control = controlOf(this.#memory, this.#boxes);
    leaveBox(control, seat.box);
    this.#free.push(seat.box);
    // It may have died between putting something into a box and saying so.
    for (let box = 0; box < this.#boxes; box++) if (box !== seat.box) this.own.ring(box);
  }

  /** Once all threads have ended. */
  close(): void {
    this.own.leave();
    for (const descriptor of this.#descriptors.values()) closeDescriptor(descriptor);
    this.#descriptors.clear();
  }

  #seat(box: number, wakeDescriptor: number): MailboxSeat {
    const seat = {
      memory: this.#memory,
      boxes: this.#boxes,
      box,
      ringBytes: this.ringBytes,
      wakeDescriptor,
      counters: this.#countersMemory,
    };
    return { ...seat, generation: prepareBox(seat) };
  }

  #descriptorOf(box: number): number {
    const known = this.#descriptors.get(box);
    if (known !== undefined) return known;
    const opened = openEventfd();
    if (opened < 0) throw new SystemError("eventfd", opened);
    this.#descriptors.set(box, opened);
    return opened;
  }
}
