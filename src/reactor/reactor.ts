// One thread's world: its connections, and the turn that moves them.
//
// The path of a message: the driver delivers `received` → the connection's slot → incoming.ts takes messages out of the
// bytes and calls the handler → the handler writes into the send queue → at the end of the turn everything written is
// handed to the driver → `sent` frees it. Nothing above the driver knows what the driver is.
//
// A turn: the driver's events (in which handlers run); then, by the thread's loop, promises; then `afterTurn`: who can
// go on with unread input does, deadlines fire, everything written is flushed.

import { deferred } from "../deferred.ts";
import type { Driver, DriverEvents, Handle, ListenTarget } from "../driver/driver.ts";
import { slotOf } from "../driver/handle.ts";
import type { Handlers } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import { ECANCELED, EMFILE, SystemError } from "../sys/errno.ts";
import { ownThread } from "../sys/thread-time.ts";
import { Acceptor } from "./acceptor.ts";
import { Closing } from "./closing.ts";
import { Connecting, type ConnectTarget, connectFailure } from "./connecting.ts";
import { GONE, HAS_SPOKEN, MOVING, type ReactorConnection } from "./connection.ts";
import {
  BUFFER_STARVATION,
  BYTES_RECEIVED,
  BYTES_SENT,
  CLOSED,
  DEPARTED,
  OUTPUT_BYTES,
  TURNS,
} from "./counters.ts";
import { Deadlines } from "./deadlines.ts";
import { type HandlerTable, handlerTable } from "./handler-table.ts";
import { Incoming } from "./incoming.ts";
import { Milestones } from "./milestones.ts";
import { type MovedConnection, Moving } from "./moving.ts";
import { Placement } from "./placement.ts";
import { type Mail, Publishing } from "./publishing.ts";
import { IN_CALLBACK, Pulse } from "./pulse.ts";
import type { ReactorOptions } from "./reactor-options.ts";
import { Rest } from "./rest.ts";
import { Roster } from "./roster.ts";
import { SendQueue } from "./send-queue.ts";
import { Silence } from "./silence.ts";
import { Writing } from "./writing.ts";

const TICK_MS = 100;
/** Share of the output memory above which no more connections are accepted. */
const SCARCE = 0.8;
const NEVER = Number.POSITIVE_INFINITY;

export class Reactor<Message, Sent, State> implements DriverEvents {
  readonly driver: Driver;
  readonly limits: Limits;
  readonly closing: Closing<Message, Sent, State>;
  readonly incoming: Incoming<Message, Sent, State>;
  readonly writing: Writing<Message, Sent, State>;
  readonly moving: Moving<Message, Sent, State>;
  /** Only where connections may outlive this thread. */
  readonly rest: Rest | undefined;
  readonly roster: Roster<Message, Sent, State>;
  readonly #milestones: Milestones<Message, Sent, State>;
  readonly publishing: Publishing<Message, Sent, State>;
  readonly #mail: Mail | undefined;
  /** What accepted connections are served with. */
  readonly #table: HandlerTable<Message, Sent, State>;
  readonly #counters: Float64Array;
  readonly #pulse: Pulse;
  readonly #acceptor: Acceptor;
  readonly #placement: Placement | undefined;
  readonly #connecting: Connecting<Message, Sent, State>;
  readonly #deadlines: Deadlines;
  readonly #sends: SendQueue;
  readonly #silence: Silence<Message, Sent, State>;
  /** The roster's own. */
  readonly #connections: readonly (ReactorConnection<Message, Sent, State> | undefined)[];
  /** Accepted when there was no more room; paused, and nobody knows of them yet. */
  readonly #waiting: Handle[] = [];
  /** The time of this turn, or −1 before it was asked for. */
  #nowMs = -1;
  #draining = false;
  #emptied: (() => void) | undefined;

  constructor(options: ReactorOptions<Message, Sent, State>) {
    this.#table = handlerTable(options.handlers, options.report, options.compute);
    this.limits = options.limits;
    this.#counters = options.counters;
    this.#pulse = new Pulse(options.pulse);
    if (options.pulse !== undefined) this.#pulse.belongsTo(ownThread());
    this.roster = new Roster(this, this.#table, options);
    this.#connections = this.roster.connections;
    this.driver = options.makeDriver(this);
    this.#deadlines = new Deadlines(options.slots, TICK_MS, this.driver.now());
    const rest = options.rests === undefined ? undefined : new Rest(options.rests);
    this.rest = rest;
    const failed = (connection: unknown, errno: number) =>
      this.#failed(connection as ReactorConnection<Message, Sent, State>, "send", errno);
    const turnsTime = () => this.nowMs();
    this.#sends = new SendQueue(this.driver, options.counters, failed, turnsTime, rest);
    const { driver, limits } = this;
    const { counters } = options;
    this.closing = new Closing(driver, limits, this.#deadlines, counters, rest);
    this.writing = new Writing(driver, limits, options.overflow, this.#sends, this.closing);
    this.#mail = options.mail;
    this.publishing = new Publishing(options, this.#table.codec, this.#sends.arena, this);
    this.#silence = new Silence(limits, this.#deadlines, this.#sends, this.closing);
    this.incoming = new Incoming(
      driver,
      limits,
      counters,
      this.closing,
      options.poison,
      this.#pulse,
      rest,
    );
    this.#milestones = new Milestones(driver, this.incoming, this.closing, this.#pulse, rest);
    this.#acceptor = new Acceptor(driver, limits, counters);
    this.#placement = options.placement && new Placement(options.placement, driver);
    this.#connecting = new Connecting(driver, this.#deadlines);
    this.#emptied = options.emptied;
    this.moving = this.#makeMoving();
    this.incoming.boundary = (connection) => this.moving.proceed(connection);
  }

  #makeMoving(): Moving<Message, Sent, State> {
    const { driver, closing, incoming, writing, publishing } = this;
    return new Moving({
      ...{ driver, closing, incoming, writing, publishing },
      milestones: this.#milestones,
      sends: this.#sends,
      rest: this.rest,
      serves: (connection) => connection.table === this.#table,
      hasRoom: () => !this.#draining && this.roster.count < this.limits.connections,
      drains: () => this.#draining,
      arrived: (handle, moved) => this.#enter(handle, moved),
      departed: (connection) => {
        this.#leave(connection);
        this.#counters[DEPARTED] = (this.#counters[DEPARTED] as number) + 1;
        this.#left();
      },
      returned: (connection, handle) => {
        this.#deadlines.clear(slotOf(connection.handle));
        this.roster.rename(connection, handle);
        if ((connection.flags & GONE) === 0) this.#deadlines.set(slotOf(handle), this.nowMs());
      },
    });
  }

  /** Connections of this reactor. */
  get count(): number {
    return this.roster.count;
  }

  /** Resolves with the listener once it accepts. @throws SystemError (EADDRINUSE, EACCES, …; ECANCELED: it drains meanwhile) */
  async listen(target: ListenTarget): Promise<Handle> {
    const listener = await this.#acceptor.listen(target);
    this.#placement?.open();
    return listener;
  }

  /**
   * Resolves with an outgoing connection, after its `opened` has been called; nothing is read before that. `handlers` are its
   * own; without them it gets those of accepted connections. It may be silent for `limits.idleMs`: it is this side that
   * speaks first.
   * @throws SystemError with the errno's name as code: ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENOENT (a Unix path), EMFILE
   *   (also when `limits.connections` is reached), ECANCELED (given up by its signal, or the reactor is closing)
   */
  async connect(
    target: ConnectTarget,
    handlers?: Handlers<Message, Sent, State>,
    report?: (error: unknown) => void,
  ): Promise<ReactorConnection<Message, Sent, State>> {
    const full = this.roster.count + this.#connecting.count >= this.limits.connections;
    if (this.#draining || full) throw connectFailure(target, this.#draining ? ECANCELED : EMFILE);
    const table =
      handlers === undefined ? this.#table : handlerTable(handlers, report ?? this.#table.report);
    return this.#connecting.start(target, table);
  }

  /** Accepts no more; its connections go on, and what is being accepted still comes in. */
  retire(): void {
    // Where each reactor has a listening socket of its own, the kernel would go on giving it connections.
    if (this.driver.capabilities.descriptors) this.#acceptor.retire();
    else this.#acceptor.close();
    this.#placement?.close();
    this.driver.wake();
  }

  /** See Acceptor. */
  lookAgain(): void {
    this.#acceptor.lookAgain();
    this.driver.wake();
  }

  /** Resolves when there is no connection. */
  emptied(): Promise<void> {
    const { promise, resolve } = deferred<void>();
    this.#emptied = resolve;
    this.#tellIfEmpty();
    return promise;
  }

  /**
   * No more connections, and each one closes as soon as what it has received is handled and answered. Resolves when
   * none is left; `closeAll` hastens that.
   */
  drain(): Promise<void> {
    this.#acceptor.close();
    this.#placement?.close();
    this.#connecting.close();
    this.#draining = true;
    for (const handle of this.#waiting.splice(0)) this.driver.close(handle, true);
    for (const connection of this.#connections) {
      if (connection !== undefined) this.#milestones.draining(connection);
    }
    this.driver.wake();
    return this.emptied();
  }

  /** Ends every connection now; an answer that is cut off by it must not look like a whole one. */
  closeAll(): void {
    for (const connection of this.#connections) {
      if (connection === undefined) continue;
      this.closing.terminate(connection, "shutdown", undefined, connection.pendingBytes > 0);
    }
    this.driver.wake();
  }

  // The turn.

  /** One turn of the driver; waits no longer than `timeoutMs` (−1: no limit) or the next deadline. */
  turn(timeoutMs: number): number {
    const wait = this.#waitFor(timeoutMs);
    this.#nowMs = -1;
    this.#counters[TURNS] = (this.#counters[TURNS] as number) + 1;
    const mail = this.#mail;
    this.#pulse.turn();
    const events = this.driver.turn(wait === 0 || mail?.fallAsleep() !== false ? wait : 0);
    this.#pulse.leave(IN_CALLBACK);
    mail?.receive();
    this.#placement?.receive(this.#arrived);
    return events;
  }

  /**
   * What a turn left to do. True when handlers have run, so that promises must be looked after and this called again.
   */
  afterTurn(): boolean {
    const now = this.nowMs();
    let ran = this.incoming.runContinuing();
    if (now >= this.#deadlines.nextMs) {
      this.#deadlines.expire(now, (slot) => {
        const connection = this.#connections[slot];
        if (connection === undefined) this.#connecting.expired(slot);
        else this.#silence.expired(connection, now);
      });
      ran = true;
    }
    if (now >= this.#acceptor.retryMs) this.#acceptor.retry(now);
    if (now >= this.#silence.sweepMs) this.#silence.sweep(this.#connections, now);
    if (this.#sends.hasWork) this.#flush(now);
    this.#account();
    this.rest?.settle();
    // The thread may be somebody else's until this is called again: what is written then must not get this time.
    this.#nowMs = -1;
    return ran;
  }

  /** How long until a deadline wants a turn, in ms; Infinity when none is set. */
  untilNextMs(): number {
    const next = Math.min(this.#deadlines.nextMs, this.#acceptor.retryMs, this.#silence.sweepMs);
    return next === NEVER ? NEVER : Math.max(0, Math.ceil(next - this.driver.now()));
  }

  /** The time of this turn in whole ms: read once, however many events there are. */
  nowMs(): number {
    if (this.#nowMs < 0) this.#nowMs = Math.floor(this.driver.now());
    return this.#nowMs;
  }

  // Events of the driver.

  listening(listener: Handle, result: number): void {
    this.#acceptor.listening(listener, result);
  }

  accepted(listener: Handle, result: Handle | number): void {
    if (result < 0) return this.#acceptor.failed(listener, result, this.nowMs());
    if (this.#placement?.sendsAway(result) !== true) this.#arrived(result);
  }

  connected(handle: Handle, result: number): void {
    const attempt = this.#connecting.connected(handle, result);
    if (attempt === undefined) return this.#tellIfEmpty();
    const connection = this.#open(handle, attempt.table);
    if (connection === undefined) {
      this.driver.close(handle, true);
      return attempt.reject(new Error("the codec or `state` of the connection failed"));
    }
    connection.flags |= HAS_SPOKEN;
    attempt.resolve(connection);
    this.#milestones.opened(connection);
  }

  received(handle: Handle, result: number, offset: number): void {
    const connection = this.#connections[slotOf(handle)];
    if (connection === undefined) return;
    if (result <= 0) {
      if (result === 0) this.incoming.peerEnded(connection);
      else this.#failed(connection, "recv", result);
      return;
    }
    this.#counters[BYTES_RECEIVED] = (this.#counters[BYTES_RECEIVED] as number) + result;
    connection.activeMs = this.nowMs();
    connection.flags |= HAS_SPOKEN;
    this.incoming.received(connection, offset, offset + result);
    this.rest?.consider(connection);
  }

  sent(handle: Handle, result: number): void {
    const connection = this.#connections[slotOf(handle)];
    if (connection === undefined) return;
    if (result > 0) this.#counters[BYTES_SENT] = (this.#counters[BYTES_SENT] as number) + result;
    // While its bytes still count as waiting: they are why it failed, whatever it was about to end for.
    if (result < 0) this.#failed(connection, "send", result);
    this.#sends.sent(connection, result >= 0);
    if (result < 0) return;
    if (connection.pendingBytes <= this.limits.lowWaterBytes) {
      if (this.writing.drained(connection)) this.incoming.goOn(connection);
    }
    if (connection.pendingBytes > 0) return;
    this.closing.flushed(connection);
    this.rest?.consider(connection);
    if ((connection.flags & MOVING) !== 0) this.moving.proceed(connection);
  }

  closed(handle: Handle): void {
    const slot = slotOf(handle);
    this.#acceptor.released();
    const connection = this.#connections[slot];
    if (connection === undefined || connection.handle !== handle) {
      this.#connecting.closed(handle);
      return this.#tellIfEmpty();
    }
    // Before there is one less: who reads from another thread must not see one that is neither open nor closed.
    this.#counters[CLOSED] = (this.#counters[CLOSED] as number) + 1;
    this.#leave(connection);
    if ((connection.flags & MOVING) !== 0) this.moving.stay(connection);
    this.#milestones.closed(connection);
    this.#left();
  }

  /** Takes it out of the tables; whether it has ended is another matter. */
  #leave(connection: ReactorConnection<Message, Sent, State>): void {
    this.roster.remove(connection);
    this.#deadlines.clear(slotOf(connection.handle));
    this.#sends.drop(connection);
    this.#counters[OUTPUT_BYTES] = this.#sends.arena.inUse;
    this.incoming.release(connection);
    if (connection.topics !== undefined) this.publishing.forget(connection);
    this.#acceptor.dismissed(connection.countedAddress, this.roster.count + this.#waiting.length);
    this.writing.tellWaiting(connection);
  }

  /** There is one connection less. */
  #left(): void {
    while (this.#waiting.length > 0 && this.roster.count < this.limits.connections) {
      this.#letIn(this.#waiting.shift() as Handle);
    }
    this.#tellIfEmpty();
  }

  detached(handle: Handle, descriptor: number): void {
    if (this.moving.detached(handle, descriptor)) return;
    this.#placement?.detached(handle, descriptor, this.#arrived);
    this.#tellIfEmpty();
  }

  /** A connection that is this reactor's now, accepted here or by another. */
  readonly #arrived = (handle: Handle): void => {
    // One that was on its way when the limit was reached waits, as those in the kernel's queue do.
    if (this.roster.count >= this.limits.connections) this.#waiting.push(handle);
    else this.#letIn(handle);
  };

  #tellIfEmpty(): void {
    const leaving = this.#placement?.leaving ?? 0;
    if (this.roster.count + this.#connecting.count + leaving === 0) this.#emptied?.();
  }

  #letIn(handle: Handle): void {
    const address = this.#acceptor.admit(handle, this.roster.count + 1);
    const refused = address === false || this.#draining;
    const connection = refused ? undefined : this.#open(handle, this.#table);
    if (connection === undefined) {
      // Also one too many from its address took the last place for a moment, and must give it back.
      this.#acceptor.dismissed(address || undefined, this.roster.count + this.#waiting.length);
      this.driver.close(handle, true);
      return;
    }
    connection.countedAddress = address || undefined;
    this.#milestones.opened(connection);
  }

  /** Undefined when its state or decoder cannot be made. */
  #open(
    handle: Handle,
    table: HandlerTable<Message, Sent, State>,
  ): ReactorConnection<Message, Sent, State> | undefined {
    const connection = this.roster.open(handle, table, this.nowMs());
    if (connection !== undefined) this.#silence.begin(slotOf(handle), this.nowMs());
    return connection;
  }

  /** One from another reactor. Undefined when its decoder cannot be made. */
  #enter(
    handle: Handle,
    moved: MovedConnection,
  ): ReactorConnection<Message, Sent, State> | undefined {
    const connection = this.roster.enter(handle, moved, this.nowMs());
    if (connection === undefined) return undefined;
    connection.countedAddress = this.#acceptor.take(handle, this.roster.count);
    // What is left of its deadline is found out when this one fires.
    this.#deadlines.set(slotOf(handle), this.nowMs());
    return connection;
  }

  #failed(connection: ReactorConnection<Message, Sent, State>, call: string, errno: number): void {
    this.closing.terminate(connection, "error", new SystemError(call, errno), false);
  }

  #waitFor(timeoutMs: number): number {
    if (timeoutMs === 0) return 0;
    const untilNext = this.untilNextMs();
    if (untilNext === NEVER) return timeoutMs;
    return timeoutMs < 0 ? untilNext : Math.min(timeoutMs, untilNext);
  }

  #flush(now: number): void {
    this.#sends.flush(now);
    this.#counters[BUFFER_STARVATION] = this.driver.counters.bufferStarvation;
    this.#silence.watchSends(now);
  }

  /** Memory also becomes free in turns in which nothing is flushed. */
  #account(): void {
    const { arena } = this.#sends;
    this.#counters[OUTPUT_BYTES] = arena.inUse;
    this.#acceptor.setMemoryScarce(arena.inUse > arena.capacity * SCARCE);
  }
}
