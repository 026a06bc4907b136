// Who owns the thread: a reactor that waits in the kernel and Node's own event loop take turns in one thread, so that
// timers, promises, fetch, message ports and process.exit work as in any Node program.
//
// How (each step was measured, see docs/decisions/0003-who-owns-the-thread.md):
// 1. The loop is entered from an immediate that does not hold the thread (`unref`), set by a message that the thread posts
//    to itself. With an ordinary immediate libuv would report work for ever (its idle handle is active). And in the
//    message's own callback libuv has read its descriptor but not yet served the ports behind ours: to wait there is to
//    wait for what has already come.
// 2. Before each wait libuv is asked how long it could sleep. Never: the reactor waits as long as it likes; its wait also
//    ends when libuv's own descriptor becomes readable. Now: one turn without waiting, then libuv gets the thread.
// 3. After each turn promises and nextTicks run (`_tickCallback`), since no Node frame is left in between that would.
// 4. To leave, the next message is posted: libuv polls before the immediate that it sets.
// Invariant: while the loop is not running, one message or immediate that re-enters it is on its way.

import { executionAsyncId } from "node:async_hooks";
import { MessageChannel } from "node:worker_threads";
import { eventLoopDescriptor, eventLoopTimeout } from "../sys/event-loop-calls.ts";

/** What the loops need of a reactor. */
export interface Turning {
  /** A turn of the driver that waits at most `timeoutMs`; how many events it delivered. */
  turn(timeoutMs: number): number;
  /** See Reactor.afterTurn. */
  afterTurn(): boolean;
  readonly driver: {
    readonly capabilities: { readonly waits: boolean };
    readonly watchedReady: boolean;
    wanted: (() => void) | undefined;
    watch(descriptor: number): void;
    wake(): void;
  };
  /** How long until the next deadline, in ms; Infinity when there is none. */
  untilNextMs(): number;
}

/** Keeps a reactor turning in this thread until it is stopped. */
export interface ThreadLoop {
  /** The reactor turns no more after the present turn; the thread may then end. */
  stop(): void;
}

/**
 * After so many turns libuv gets the thread even if it reports nothing to do. Rarely: to leave and to come back takes 0.15 ms,
 * which is a few messages' latency each time.
 */
const TURNS_PER_VISIT = 4096;
/** Rounds of promises and what they let go on, after one turn. */
const ROUNDS_PER_TURN = 16;
/** No async id is this. */
const NO_ID = -1;

/** Starts the loop that fits the reactor's driver. */
export function startLoop(reactor: Turning): ThreadLoop {
  return reactor.driver.capabilities.waits ? new WaitingLoop(reactor) : new HostedLoop(reactor);
}

/** The loops of this thread that wait in the kernel, and their turns since one of them last had an event. */
const waiting = { loops: new Set<object>(), quietTurns: 0 };
/**
 * Where several share a thread none sees what the others wait for: each waits this long at most, then it is the next one's
 * turn. That costs such a thread some CPU also when it is idle.
 */
const SHARED_WAIT_MS = 1;
/**
 * And none waits at all while there is something to do: an event of one is often answered through another (a client and a
 * server in one process). Each has this many turns without an event before they wait again.
 */
const QUIET_TURNS = 8;

/** For drivers that wait in the kernel. */
class WaitingLoop implements ThreadLoop {
  readonly #reactor: Turning;
  readonly #channel = new MessageChannel();
  readonly #runTicks = tickRunner();
  #stopped = false;

  constructor(reactor: Turning) {
    this.#reactor = reactor;
    reactor.driver.watch(eventLoopDescriptor());
    waiting.loops.add(this);
    // Not by `onmessage`: an event of its kind would have Node load its whole client for HTTP, 45 ms of CPU in each thread.
    this.#channel.port1.on("message", () => void setImmediate(() => this.#visit()).unref());
    this.#enterLater();
  }

  stop(): void {
    this.#stopped = true;
    waiting.loops.delete(this);
    this.#reactor.driver.wake();
    this.#channel.port1.close();
  }

  #enterLater(): void {
    this.#channel.port2.postMessage(0);
  }

  #visit(): void {
    if (this.#stopped) return;
    try {
      this.#turnUntilOthersWantTheThread();
    } finally {
      // Also when a promise's rejection is thrown through here: the server goes on.
      if (!this.#stopped) this.#enterLater();
    }
  }

  #turnUntilOthersWantTheThread(): void {
    const reactor = this.#reactor;
    const { driver } = reactor;
    // What ran since the last visit (a timer, a message) may have written.
    if (reactor.afterTurn()) this.#settle();
    for (let turns = 0; turns < TURNS_PER_VISIT; turns++) {
      const others = eventLoopTimeout();
      const alone = waiting.loops.size === 1;
      const events = reactor.turn(alone || others === 0 ? others : sharedWaitMs());
      waiting.quietTurns = events > 0 ? 0 : waiting.quietTurns + 1;
      this.#settle();
      if (!alone || others === 0 || driver.watchedReady || this.#stopped) return;
      if (this.#runTicks === undefined) return;
    }
  }

  /** Promises run, and what they let go on, until both are quiet. */
  #settle(): void {
    for (let round = 0; round < ROUNDS_PER_TURN; round++) {
      if (this.#runTicks !== undefined) runGuarded(this.#runTicks);
      if (!this.#reactor.afterTurn()) return;
    }
    this.#reactor.driver.wake();
  }
}

function sharedWaitMs(): number {
  return waiting.quietTurns < waiting.loops.size * QUIET_TURNS ? 0 : SHARED_WAIT_MS;
}

/** For drivers whose events come from Node's own event loop. */
class HostedLoop implements ThreadLoop {
  readonly #reactor: Turning;
  #turnAsked = false;
  #turning = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(reactor: Turning) {
    this.#reactor = reactor;
    reactor.driver.wanted = () => this.#ask();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /**
   * A turn at the end of this phase of the event loop, so that one serves all who became ready in it (measured: half as many
   * messages again as with a turn for each), or right after the present one.
   */
  #ask(): void {
    if (this.#turnAsked) return;
    this.#turnAsked = true;
    if (!this.#turning) setImmediate(() => this.#run());
  }

  #run(): void {
    if (this.#stopped) return;
    this.#turnAsked = false;
    this.#turning = true;
    try {
      this.#reactor.turn(0);
      this.#reactor.afterTurn();
    } finally {
      this.#turning = false;
    }
    if (this.#turnAsked) setImmediate(() => this.#run());
    else this.#sleep();
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    const wait = this.#reactor.untilNextMs();
    if (wait === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#run(), Math.ceil(wait));
    this.#timer.unref();
  }
}

/**
 * A tick that throws leaves its async id on Node's stack. If the error passed through our frames, the callback scope that we
 * are called in would find that and abort the process. Thrown in a microtask it is an uncaught exception like any other,
 * and Node clears the stack. What was queued behind the tick runs in the next round.
 *
 * Only a thread that is terminated while its end is being told (`process.on("exit")` may take its time) never gets to that, and
 * Node goes on here as if nothing were. Then the error has to pass through our frames: the scope of a thread that is
 * being stopped clears the stack, but the immediate that we are called in would abort the process if we returned to it.
 */
function runGuarded(runTicks: () => void): void {
  let left = NO_ID;
  for (let round = 0; round < ROUNDS_PER_TURN; round++) {
    try {
      runTicks();
      break;
    } catch (error) {
      left = executionAsyncId();
      queueMicrotask(() => {
        throw error;
      });
    }
  }
  if (left !== NO_ID && executionAsyncId() === left) throw new Error("this thread was terminated");
}

/** Node's own way to run nextTicks and promise jobs between callbacks; missing, the loop would leave after each turn. */
function tickRunner(): (() => void) | undefined {
  const candidate: unknown = Reflect.get(process, "_tickCallback");
  return typeof candidate === "function" ? () => Reflect.apply(candidate, process, []) : undefined;
}
