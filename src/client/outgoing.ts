// The outgoing connections of one thread: a reactor that only connects. Every connection brings its own handlers and codec.
//
// Twist: it turns only while it has a connection or is making one. So a process whose connections have ended ends too, and
// one that connects again finds its driver ready: what the driver holds is kept until the thread ends.

import type { AnyHandlers } from "../checks.ts";
import type { DriverChoice } from "../driver/choices.ts";
import { chooseDriver, makeDriver } from "../driver/choose-driver.ts";
import type { Connection } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import { settleCompilationAtExit } from "../reactor/compilation.ts";
import type { ConnectTarget } from "../reactor/connecting.ts";
import { makeCounters } from "../reactor/counters.ts";
import { Reactor } from "../reactor/reactor.ts";
import { startLoop, type ThreadLoop } from "../reactor/thread-loop.ts";
import type { OverflowPolicy } from "../reactor/writing.ts";

export interface OutgoingOptions {
  readonly driver: DriverChoice;
  /** Of all connections of this reactor together, as those of a server with one thread. */
  readonly limits: Limits;
  readonly overflow: OverflowPolicy;
}

export interface OutgoingWanted extends Omit<OutgoingOptions, "driver"> {
  readonly driver: DriverChoice | "auto";
}

/** Slots beside those of connections: attempts that were given up keep theirs for a moment. */
const SPARE_SLOTS = 16;

/** By driver, limits and overflow policy. */
const reactors = new Map<string, Outgoing>();

/**
 * The outgoing connections of a thread share one reactor when their driver, limits and overflow policy are the same: a
 * reactor is a ring or an epoll set and memory, and several in one thread have to take turns.
 * @throws DriverRefusedError
 */
export function outgoingFor(wanted: OutgoingWanted): Outgoing {
  const key = JSON.stringify([wanted.driver, wanted.overflow, wanted.limits]);
  let reactor = reactors.get(key);
  if (reactor === undefined) {
    reactor = new Outgoing({ ...wanted, driver: chooseDriver(wanted.driver).driver });
    reactors.set(key, reactor);
  }
  return reactor;
}

/** All calls belong to the thread that made it. */
export class Outgoing {
  readonly driver: DriverChoice;
  readonly #reactor: Reactor<unknown, unknown, unknown>;
  #loop: ThreadLoop | undefined;

  /** @throws SystemError or NativeUnavailableError when the host refuses the driver */
  constructor(options: OutgoingOptions) {
    const { driver, limits, overflow } = options;
    const slots = limits.connections + SPARE_SLOTS;
    this.driver = driver;
    this.#reactor = new Reactor({
      handlers: NO_HANDLERS,
      limits,
      overflow,
      slots,
      counters: makeCounters(1),
      report: () => undefined,
      poison: process.env.SLUICE_DEBUG_BORROW === "1",
      emptied: () => this.#rest(),
      makeDriver: (events) =>
        makeDriver(driver, { events, slots, outputBytes: limits.outputBytes }),
    });
    if (this.#reactor.driver.capabilities.descriptors) settleCompilationAtExit();
    process.on("exit", () => this.#reactor.driver.dispose());
  }

  /** Whether its driver has descriptors, and so all socket options. */
  get hasDescriptors(): boolean {
    return this.#reactor.driver.capabilities.descriptors;
  }

  /** Connections that are open or closing. */
  get count(): number {
    return this.#reactor.count;
  }

  /** See Reactor.connect. @throws SystemError, AddressError */
  connect(
    target: ConnectTarget,
    handlers: AnyHandlers,
    report: (error: unknown) => void,
  ): Promise<Connection<unknown, unknown>> {
    this.#loop ??= startLoop(this.#reactor);
    return this.#reactor.connect(target, handlers, report);
  }

  /** Where the loop is libuv's, nothing that has ended keeps the process alive. */
  #rest(): void {
    if (!this.#reactor.driver.capabilities.waits) return;
    this.#loop?.stop();
    this.#loop = undefined;
  }
}

const NO_HANDLERS: AnyHandlers = {
  message() {
    throw new Error("a connection without handlers of its own");
  },
};
