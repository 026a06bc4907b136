// What a reactor's thread is doing, in shared memory, for whoever watches over it from another thread: a thread that loops
// for ever cannot say so itself.
//
// A word says which handler runs and others for which connection; the number of turns says whether it gets on. They are
// plain stores, four for a chunk of received bytes, whatever the number of its messages.
// Invariant: while the thread waits in its driver, `doing` is IN_DRIVER.

/** The driver waits, or delivers: never for long. */
export const IN_DRIVER = 0;
/** A promise's continuation, a timer, anything else of Node's event loop. */
export const IN_CALLBACK = 1;
export const IN_MESSAGE = 2;
export const IN_OPENED = 3;
export const IN_ENDED = 4;
export const IN_DRAINING = 5;
export const IN_CLOSED = 6;
export const IN_DEPARTED = 7;
export const IN_ARRIVED = 8;
export const IN_ADOPTED = 9;

/** In words, by `doing`. */
const DOINGS = [
  "the driver",
  "a promise, a timer or another callback",
  "the message handler",
  "the opened handler",
  "the ended handler",
  "the draining handler",
  "the closed handler",
  "the departed handler",
  "the arrived handler",
  "the adopted handler",
] as const;

const DOING = 0;
const CONNECTION = 1;
const SLOT = 2;
const TURNS = 3;
/** The thread's number in the kernel; 0: not known. */
const THREAD = 4;
/** 32-bit entries: one cache line of 64 bytes. */
const LENGTH = 16;

/** What can be seen of a thread from outside. */
export interface PulseReading {
  /** Turns so far. */
  readonly turns: number;
  /** It waits, for whatever may come. */
  readonly waits: boolean;
  /** In words. */
  readonly doing: string;
  /** The connection that it is doing that for, by its id and its driver's slot. */
  readonly connection: number | undefined;
  readonly slot: number;
  /** Which one it is, in the kernel; 0: not known. */
  readonly thread: number;
}

/** Room for what one thread is doing, to be shared with it. */
export function makePulse(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(LENGTH * 4));
}

/** For the one that watches. */
export function readPulse(pulse: Int32Array): PulseReading {
  const doing = pulse[DOING] as number;
  return {
    turns: pulse[TURNS] as number,
    waits: doing === IN_DRIVER,
    doing: DOINGS[doing] ?? "something",
    connection: doing > IN_CALLBACK ? (pulse[CONNECTION] as number) : undefined,
    slot: pulse[SLOT] as number,
    thread: pulse[THREAD] as number,
  };
}

/** The writing side: belongs to the reactor's thread. */
export class Pulse {
  readonly #words: Int32Array;

  constructor(words: Int32Array = new Int32Array(LENGTH)) {
    this.#words = words.fill(0);
  }

  /** Whose pulse this is, by its number in the kernel. */
  belongsTo(thread: number): void {
    this.#words[THREAD] = thread;
  }

  /** A turn begins: the driver has the thread. */
  turn(): void {
    this.#words[TURNS] = ((this.#words[TURNS] as number) + 1) | 0;
    this.#words[DOING] = IN_DRIVER;
  }

  /** A handler is called; what the thread did before is the answer, for `leave`. */
  enter(doing: number, connection: number, slot: number): number {
    const words = this.#words;
    const before = words[DOING] as number;
    words[CONNECTION] = connection;
    words[SLOT] = slot;
    words[DOING] = doing;
    return before;
  }

  /** It has returned; or whatever else now has the thread. */
  leave(doing: number): void {
    this.#words[DOING] = doing;
  }
}
