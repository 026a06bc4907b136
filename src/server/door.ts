// The door of a server whose threads do not accept themselves: one place, in the calling thread, takes connections from the
// kernel and finds each a place with a thread, or refuses it at once.
//
// A refused connection is reset: its client learns within a round trip that there is no room, instead of waiting in a queue
// that nobody will empty. Every one is counted; the first one is told to `onError`, with what to do.

import { BlockingDriver } from "../driver/blocking-driver.ts";
import type { Driver, DriverEvents, Handle } from "../driver/driver.ts";
import type { Limits } from "../limits.ts";
import { Acceptor } from "../reactor/acceptor.ts";
import { settleCompilationAtExit } from "../reactor/compilation.ts";
import { REFUSED } from "../reactor/counters.ts";
import { startLoop, type ThreadLoop, type Turning } from "../reactor/thread-loop.ts";
import { SystemError } from "../sys/errno.ts";
import { closeDescriptor, setLinger } from "../sys/socket-calls.ts";
import type { SharedListener } from "./listener.ts";

export interface DoorOptions {
  readonly listener: SharedListener;
  readonly limits: Limits;
  /** COUNTER_STRIDE doubles that only the door writes. */
  readonly counters: Float64Array;
  /** Finds a connected descriptor a place; false: there is none, and the door refuses it. */
  readonly place: (descriptor: number) => boolean;
  /** Why there is no place and what to do, for people. */
  readonly full: string;
  readonly onError: (error: unknown) => void;
}

/** Accepted at a time, before they have been given away: one a turn, and what its events still hold. */
const SLOTS = 16;
const OUTPUT_BYTES = 1024 * 1024;

export class Door implements DriverEvents, Turning {
  readonly driver: Driver;
  readonly #options: DoorOptions;
  readonly #acceptor: Acceptor;
  readonly #loop: ThreadLoop;
  #told = false;

  /** Accepts at once. @throws SystemError when the listener cannot be used */
  constructor(options: DoorOptions) {
    const { listener, limits, counters } = options;
    this.#options = options;
    this.driver = new BlockingDriver({ events: this, slots: SLOTS, outputBytes: OUTPUT_BYTES });
    this.#acceptor = new Acceptor(this.driver, limits, counters);
    const handle = this.driver.listen({ descriptor: listener.descriptor, shared: false });
    if (handle < 0) throw new SystemError("listen", handle);
    settleCompilationAtExit();
    this.#loop = startLoop(this);
  }

  /** Accepts no more; who has been accepted and not yet been given away is placed first. */
  close(): void {
    this.#acceptor.close();
    this.driver.turn(0);
    this.#loop.stop();
    this.driver.dispose();
  }

  /** Resets a connection that has no place. */
  refuse(descriptor: number): void {
    const { counters, full } = this.#options;
    setLinger(descriptor, true);
    closeDescriptor(descriptor);
    counters[REFUSED] = (counters[REFUSED] as number) + 1;
    if (this.#told) return;
    this.#told = true;
    this.#report(new Error(full));
  }

  /** After the turn: whoever is told may close the server. */
  #report(error: Error): void {
    queueMicrotask(() => this.#options.onError(error));
  }

  // The loop's side.

  turn(timeoutMs: number): number {
    const untilNext = this.untilNextMs();
    const bounded =
      untilNext < Number.POSITIVE_INFINITY && (timeoutMs < 0 || untilNext < timeoutMs);
    return this.driver.turn(bounded ? untilNext : timeoutMs);
  }

  afterTurn(): boolean {
    this.#acceptor.retry(this.driver.now());
    return false;
  }

  untilNextMs(): number {
    return Math.max(0, Math.ceil(this.#acceptor.retryMs - this.driver.now()));
  }

  // The driver's events.

  listening(listener: Handle, result: number): void {
    if (result < 0) this.#report(new SystemError("listen", result));
    else this.#acceptor.add(listener);
  }

  accepted(listener: Handle, result: Handle | number): void {
    if (result < 0) this.#acceptor.failed(listener, result, this.driver.now());
    else this.driver.detach(result);
  }

  detached(_handle: Handle, descriptor: number): void {
    if (!this.#options.place(descriptor)) this.refuse(descriptor);
  }

  closed(): void {
    // The listener's, when the door is closed: nobody waits for it.
  }

  connected(): void {
    throw new Error("a door does not connect");
  }

  received(): void {
    throw new Error("a door does not read");
  }

  sent(): void {
    throw new Error("a door does not write");
  }
}
