// A thread's mailbox: what other threads have to say to it, in shared memory, and how it is woken for that.
//
// One ring (ring.ts) for each pair of a sender and a receiver: no locks, and who is slow or dead holds up nobody but
// those who write to it, who are told `false`.
//
// Waking costs a system call, so it is done only when the receiver sleeps. Each box has one word for that:
//
//                ┌── sender: exchange ────────────────────────┐
//   AWAKE ───────┴──────────────► PENDING ◄── sender: exchange, and a wake ── ASLEEP
//     ▲  receiver: exchange,         │                                          ▲
//     └──── then read all rings ─────┘      receiver, before it waits: AWAKE → ┘, refused when PENDING
//
// Why no wake is lost: a sender stores its ring's tail first and then looks at the word; the receiver sets the word first and
// then reads the tails. All are sequentially consistent, so one of the two sees the other (Dekker). And as the word is only
// changed by exchange and compareExchange, exactly one sender sees ASLEEP, and it pays for the wake.
// A sender that finds PENDING does nothing: whoever set it did the rest, and the receiver reads the tails after it has
// taken PENDING away.
//
// Invariant: a box has one owner at a time; boxes are given out by mailboxes.ts.

import { signalEventfd } from "../sys/socket-calls.ts";
import { RingReader, RingWriter, ringLength, ringMemory } from "./ring.ts";

const AWAKE = 0;
const PENDING = 1;
const ASLEEP = 2;

// The words of a box; a cache line each box.
const STATE = 0;
/** 1 while a thread has the box. */
const OCCUPIED = 1;
/** It belongs to the server and stays open while any thread may write to it. */
const WAKE_DESCRIPTOR = 2;
/** Counts the threads that have had the box. */
const GENERATION = 3;
const BOX_WORDS = 16;

/** So many records of one ring in one go: I/O gets its turn in between. */
const RECORDS_PER_VISIT = 256;

/** A box for one thread: may be posted to it. */
export interface MailboxSeat {
  readonly memory: SharedArrayBuffer;
  /** Boxes in that memory. */
  readonly boxes: number;
  readonly box: number;
  readonly ringBytes: number;
  readonly generation: number;
  /** The eventfd that wakes its owner from a wait; −1: it is called through Node's event loop. */
  readonly wakeDescriptor: number;
  /** Where the shared counters lie; the box is the number of its owner's region. */
  readonly counters: SharedArrayBuffer;
}

/** Bytes of memory for so many boxes. */
export function mailboxMemory(boxes: number, ringBytes: number): number {
  return boxes * BOX_WORDS * 4 + boxes * boxes * ringLength(ringBytes);
}

/** What has come: its head and body are views, valid during the call. */
export type Message = Pick<RingReader, "kind" | "tag" | "head" | "body">;

/** Takes what has come from a box. */
export type Receiver = (message: Message, from: number) => void;

export class Mailbox {
  readonly box: number;
  readonly generation: number;
  /** Messages that the box's last owner had not read when it died. */
  readonly lost: number;
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #boxes: number;
  readonly #writers: readonly RingWriter[];
  readonly #readers: readonly RingReader[];
  #wanted: (() => void) | undefined = undefined;
  /** An asynchronous wait is under way, or its end is on its way. */
  #called = false;

  /** Takes the box: what its last owner left unread is lost. */
  constructor(seat: MailboxSeat) {
    const { memory, boxes, box, ringBytes } = seat;
    this.box = box;
    this.generation = seat.generation;
    this.#boxes = boxes;
    const views = ringMemory(memory);
    this.#control = views.words;
    const others = Array.from({ length: boxes }, (_, other) => other);
    const at = (sender: number, receiver: number) =>
      boxes * BOX_WORDS * 4 + (receiver * boxes + sender) * ringLength(ringBytes);
    this.#writers = others.map((other) => new RingWriter(views, at(box, other), ringBytes));
    this.#readers = others.map((other) => new RingReader(views, at(other, box), ringBytes));
    this.lost = this.#readers.reduce((sum, reader) => sum + reader.discard(), 0);
    Atomics.store(this.#control, this.#word(box, OCCUPIED), 1);
    // Who began to send before has perhaps rung before: the first visit looks at all rings.
    Atomics.store(this.#control, this.#word(box, STATE), PENDING);
  }

  // The sending side.

  /** To one box: false when it is full. A box without an owner takes everything: there is nobody to miss it. */
  send(to: number, kind: number, tag: number, head: Uint8Array, body: Uint8Array): boolean {
    if (Atomics.load(this.#control, this.#word(to, OCCUPIED)) === 0) return true;
    const writer = this.#writers[to];
    if (writer === undefined) throw new RangeError(`there is no mailbox ${to}`);
    if (!writer.put(kind, tag, head, body)) return false;
    this.ring(to);
    return true;
  }

  /** To all boxes from `first` on but one's own; how many of them were full. */
  sendAll(first: number, kind: number, head: Uint8Array, body: Uint8Array): number {
    let full = 0;
    for (let to = first; to < this.#boxes; to++) {
      if (to !== this.box && !this.send(to, kind, 0, head, body)) full++;
    }
    return full;
  }

  /** Says that there is something in a box. */
  ring(to: number): void {
    const control = this.#control;
    const word = this.#word(to, STATE);
    if (Atomics.load(control, word) === PENDING) return;
    if (Atomics.exchange(control, word, PENDING) !== ASLEEP) return;
    const descriptor = control[this.#word(to, WAKE_DESCRIPTOR)] as number;
    if (descriptor >= 0) signalEventfd(descriptor);
    else Atomics.notify(control, word);
  }

  /** Counts the threads that a box has had. */
  generationOf(box: number): number {
    return Atomics.load(this.#control, this.#word(box, GENERATION));
  }

  /** Whether the thread that had a box in that generation still has it. */
  isOwned(box: number, generation: number): boolean {
    const occupied = Atomics.load(this.#control, this.#word(box, OCCUPIED)) !== 0;
    return occupied && this.generationOf(box) === generation;
  }

  // The receiving side.

  /** Before a wait that a signal of the box's eventfd ends: false when something has come, and the wait must not be. */
  fallAsleep(): boolean {
    const word = this.#word(this.box, STATE);
    return Atomics.compareExchange(this.#control, word, AWAKE, ASLEEP) !== PENDING;
  }

  /** Awake again: hands over what has come, in each sender's order. */
  receive(receiver: Receiver): void {
    const word = this.#word(this.box, STATE);
    const state = Atomics.load(this.#control, word);
    if (state === PENDING || (state === ASLEEP && !this.#called)) {
      if (Atomics.exchange(this.#control, word, AWAKE) === PENDING) this.#drainAll(receiver);
    }
    if (this.#wanted !== undefined && !this.#called) this.#waitAsync();
  }

  /** Takes everything that one other box has sent by now, before what the others have. */
  receiveAllFrom(box: number, receiver: Receiver): void {
    const reader = this.#readers[box];
    while (reader !== undefined && !this.#drain(box, reader, receiver));
  }

  /**
   * For a thread without a wait of its own: `wanted` is called by Node's event loop whenever something has come, and has to
   * lead to `receive`.
   */
  callWhenPending(wanted: () => void): void {
    this.#wanted = wanted;
    this.#waitAsync();
  }

  /** The thread ends: nothing more is put into its box. */
  leave(): void {
    this.#wanted = undefined;
    leaveBox(this.#control, this.box);
  }

  #waitAsync(): void {
    this.#called = true;
    const arrived = () => {
      this.#called = false;
      this.#wanted?.();
    };
    if (!this.fallAsleep()) return void setImmediate(arrived);
    const waiting = Atomics.waitAsync(this.#control, this.#word(this.box, STATE), ASLEEP);
    if (waiting.async) void waiting.value.then(arrived);
    else setImmediate(arrived);
  }

  #drainAll(receiver: Receiver): void {
    for (const [from, reader] of this.#readers.entries()) {
      if (this.#drain(from, reader, receiver)) continue;
      // The rest in the next turn, which must not wait.
      Atomics.store(this.#control, this.#word(this.box, STATE), PENDING);
    }
  }

  /** True when the ring is empty. */
  #drain(from: number, reader: RingReader, receiver: Receiver): boolean {
    const end = reader.end();
    for (let records = 0; records < RECORDS_PER_VISIT; records++) {
      if (!reader.next(end)) return true;
      try {
        receiver(reader, from);
      } finally {
        reader.done();
      }
    }
    return false;
  }

  #word(box: number, word: number): number {
    return box * BOX_WORDS + word;
  }
}

// What the one who gives out boxes does to them.

/** Prepares a box for its next owner; the generation that it will be. */
export function prepareBox(seat: Omit<MailboxSeat, "generation">): number {
  const control = controlOf(seat.memory, seat.boxes);
  const at = seat.box * BOX_WORDS;
  control[at + WAKE_DESCRIPTOR] = seat.wakeDescriptor;
  return Atomics.add(control, at + GENERATION, 1) + 1;
}

/** Takes a box from its owner, who has ended. */
export function leaveBox(control: Int32Array<SharedArrayBuffer>, box: number): void {
  const at = box * BOX_WORDS;
  Atomics.store(control, at + OCCUPIED, 0);
  // Whoever waits asynchronously waits for nothing any more.
  Atomics.store(control, at + STATE, PENDING);
  Atomics.notify(control, at + STATE);
}

export function controlOf(memory: SharedArrayBuffer, boxes: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(memory, 0, boxes * BOX_WORDS);
}
