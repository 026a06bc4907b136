// One reactor with its driver and its loop, running in the calling thread: the piece that every model is made of.

import { type AnyHandlers, checkAdoptable } from "../checks.ts";
import { deferred } from "../deferred.ts";
import type { Handle, ListenTarget } from "../driver/driver.ts";
import type { MakeDriver } from "../driver/load-driver.ts";
import { errorLine } from "../error-text.ts";
import type { Limits } from "../limits.ts";
import { settleCompilationAtExit } from "../reactor/compilation.ts";
import type { Compute } from "../reactor/computing.ts";
import type { PlacementSeat } from "../reactor/placement.ts";
import type { SlowSubscriberPolicy } from "../reactor/publishing.ts";
import { Reactor } from "../reactor/reactor.ts";
import { startLoop, type ThreadLoop } from "../reactor/thread-loop.ts";
import type { OverflowPolicy } from "../reactor/writing.ts";
import type { Address } from "../sys/address.ts";
import { setSlice } from "../sys/priority.ts";
import type { MoveFromThread } from "./moves.ts";
import { ThreadMail, type ThreadPlace } from "./thread-mail.ts";
import { ThreadMoves } from "./thread-moves.ts";
import type { ToReactor } from "./worker-messages.ts";

export interface ReactorThreadOptions {
  readonly makeDriver: MakeDriver;
  readonly handlers: AnyHandlers;
  /** This reactor's share. */
  readonly limits: Limits;
  readonly overflow: OverflowPolicy;
  readonly slowSubscriber: SlowSubscriberPolicy;
  /** Among the server's threads. */
  readonly place: ThreadPlace;
  readonly counters: Float64Array;
  /** What the driver holds of the process, for whoever cleans up after this thread. */
  readonly notes?: Int32Array;
  /** See ReactorOptions. */
  readonly rests?: Int32Array | undefined;
  readonly ids?: Int32Array | undefined;
  readonly report: (error: unknown) => void;
  /** See ReactorOptions. */
  readonly placement?: PlacementSeat | undefined;
  readonly pulse?: Int32Array | undefined;
  readonly compute?: Compute | undefined;
  /** Says something to the server's model; without it no connection is moved. */
  readonly say?: (message: MoveFromThread) => void;
}

/** Listeners and whatever else needs a slot beside the connections. */
const SPARE_SLOTS = 16;

/** Until then what was being accepted when a reactor retired has come in. */
const SETTLE_MS = 20;
/**
 * What a reactor asks of the scheduler: to be back on the core soon when a message wakes it. V8's compilers and whatever else
 * computes have slices of 2 to 3 ms. Shorter than this brought no more (docs/decisions/0005).
 */
const SLICE_MS = 0.5;

/** How many slots a reactor needs for so many connections. */
export function slotsFor(connections: number): number {
  return connections + SPARE_SLOTS;
}

export class ReactorThread {
  /** How it is reached, and reaches the others. */
  readonly mail: ThreadMail;
  /** How connections leave for other threads, and come from them. */
  readonly moves: ThreadMoves;
  readonly #handlers: AnyHandlers;
  readonly #reactor: Reactor<unknown, unknown, unknown>;
  readonly #loop: ThreadLoop;
  #closing: Promise<boolean> | undefined;
  readonly #hastened = deferred<void>();
  #drainMs = 0;
  #deadline: NodeJS.Timeout | undefined;
  #cutOff = 0;

  /**
   * Starts turning at once.
   * @throws SystemError when the host refuses the driver, OptionError when its connections cannot be adopted and are to be
   */
  constructor(options: ReactorThreadOptions) {
    const { limits, notes, place, placement, rests } = options;
    if (rests !== undefined) checkAdoptable(options.handlers);
    this.#handlers = options.handlers;
    this.mail = new ThreadMail(options);
    const wakeDescriptor = place.mailbox?.wakeDescriptor ?? -1;
    const slots = slotsFor(limits.connections);
    this.#reactor = new Reactor({
      handlers: options.handlers,
      limits,
      overflow: options.overflow,
      slowSubscriber: options.slowSubscriber,
      mail: this.mail,
      slots,
      ids: options.ids,
      rests,
      counters: options.counters,
      report: options.report,
      placement,
      pulse: options.pulse,
      compute: options.compute,
      poison: process.env.SLUICE_DEBUG_BORROW === "1",
      makeDriver: (events) =>
        options.makeDriver({
          events,
          slots,
          outputBytes: limits.outputBytes,
          rests,
          ...(notes !== undefined && { notes }),
          ...(wakeDescriptor >= 0 && { wakeDescriptor }),
        }),
    });
    if (this.#reactor.driver.capabilities.descriptors) {
      settleCompilationAtExit();
      setSlice(SLICE_MS);
    }
    this.moves = new ThreadMoves(this.#reactor, options.say);
    this.#loop = startLoop(this.#reactor);
    this.mail.begin(this.#reactor);
  }

  /**
   * Tells the handlers that their thread has started, then resolves with the address once connections are accepted.
   * @throws SystemError, or Error when the handlers' `started` throws: that is its cause
   */
  async listen(target: ListenTarget): Promise<Address> {
    try {
      await this.#handlers.started?.(this.mail.context);
    } catch (cause) {
      throw new Error(`the handler started failed: ${errorLine(cause)}`, { cause });
    }
    const listener: Handle = await this.#reactor.listen(target);
    const address = this.#reactor.driver.localAddress(listener);
    if (typeof address === "number") throw new Error(`a listener without an address (${address})`);
    return address;
  }

  /** What its model has to say to it. */
  hear(message: ToReactor): void {
    if (message.kind === "look") this.#reactor.lookAgain();
  }

  /**
   * Stops accepting, lets each connection finish what it has received, closes those that are left after `drainMs`, and ends.
   * With `graceMs` they may first go on for so long as if nothing had happened. True when all finished in time. A second call
   * hastens the first: no more grace, and its own `drainMs` from then. `retired` is called once it accepts no more.
   */
  close(drainMs: number, graceMs = 0, retired?: () => void): Promise<boolean> {
    this.#drainMs = drainMs;
    if (this.#closing === undefined) this.#closing = this.#finish(graceMs, retired);
    else this.#hastened.resolve();
    if (this.#deadline !== undefined) this.#cutOffLater();
    return this.#closing;
  }

  async #finish(graceMs: number, retired: (() => void) | undefined): Promise<boolean> {
    if (graceMs > 0) await this.#retire(graceMs, retired);
    const drained = this.#reactor.drain();
    this.#cutOffLater();
    await drained;
    clearTimeout(this.#deadline);
    this.#loop.stop();
    this.mail.end();
    this.moves.close();
    this.#reactor.driver.dispose();
    return this.#cutOff === 0;
  }

  /** Accepts no more, and waits for the last connection to end by itself, but not for long. */
  async #retire(graceMs: number, retired: (() => void) | undefined): Promise<void> {
    this.#reactor.retire();
    const late = setTimeout(this.#hastened.resolve, graceMs);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    retired?.();
    await Promise.race([this.#reactor.emptied(), this.#hastened.promise]);
    clearTimeout(late);
  }

  #cutOffLater(): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.#cutOff = this.#reactor.count;
      this.#reactor.closeAll();
    }, this.#drainMs);
  }
}
