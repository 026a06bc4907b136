// Outgoing connections until they are connections: attempts under way, and how each one ends.
//
// An attempt ends exactly once: connected, refused by the system, timed out, or given up. Whoever asked learns it through a
// promise. The two last ones close the handle; nothing else is told of it then (the driver's contract), and its slot stays
// taken until the driver has let go of it.

import { deferred } from "../deferred.ts";
import type { Driver, Handle } from "../driver/driver.ts";
import { slotOf } from "../driver/handle.ts";
import { type Address, formatAddress } from "../sys/address.ts";
import { ECANCELED, ETIMEDOUT, SystemError } from "../sys/errno.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import type { ReactorConnection } from "./connection.ts";
import type { Deadlines } from "./deadlines.ts";
import type { HandlerTable } from "./handler-table.ts";

export interface ConnectTarget {
  readonly address: Address;
  readonly options: SocketOptions;
  /** Most ms until it is connected; ends up to a tenth of a second late. */
  readonly withinMs: number;
  /** Gives the attempt up; once it is connected it does nothing. */
  readonly signal?: AbortSignal | undefined;
}

type Ends<Message, Sent, State> = PromiseWithResolvers<ReactorConnection<Message, Sent, State>>;

export interface Attempt<Message, Sent, State> extends Ends<Message, Sent, State> {
  readonly handle: Handle;
  readonly target: ConnectTarget;
  readonly table: HandlerTable<Message, Sent, State>;
  readonly giveUp: () => void;
}

export class Connecting<Message, Sent, State> {
  readonly #driver: Driver;
  readonly #deadlines: Deadlines;
  /** By slot. */
  readonly #attempts = new Map<number, Attempt<Message, Sent, State>>();
  /** Given up, and still in the driver's hands. */
  readonly #abandoned = new Set<Handle>();

  constructor(driver: Driver, deadlines: Deadlines) {
    this.#driver = driver;
    this.#deadlines = deadlines;
  }

  /** Attempts that need the driver: under way, or given up a moment ago. */
  get count(): number {
    return this.#attempts.size + this.#abandoned.size;
  }

  /** Resolves with the connection. @throws SystemError (ECONNREFUSED, ETIMEDOUT, …), AddressError */
  async start(
    target: ConnectTarget,
    table: HandlerTable<Message, Sent, State>,
  ): Promise<ReactorConnection<Message, Sent, State>> {
    const { address, options, withinMs, signal } = target;
    if (signal?.aborted === true) throw connectFailure(target, -ECANCELED);
    const handle = this.#driver.connect(address, options);
    if (handle < 0) throw connectFailure(target, handle);
    const slot = slotOf(handle);
    const ends = deferred<ReactorConnection<Message, Sent, State>>();
    const giveUp = () => this.#abandon(slot, -ECANCELED);
    this.#attempts.set(slot, { ...ends, handle, target, table, giveUp });
    this.#deadlines.set(slot, this.#driver.now() + withinMs);
    signal?.addEventListener("abort", giveUp);
    this.#driver.wake();
    return ends.promise;
  }

  /** The driver says how an attempt ended; gives the attempt of one that is now connected. */
  connected(handle: Handle, result: number): Attempt<Message, Sent, State> | undefined {
    const attempt = this.#take(slotOf(handle));
    if (result === 0 || attempt === undefined) return attempt;
    attempt.reject(connectFailure(attempt.target, result));
    return undefined;
  }

  /** The deadline of a slot without a connection has passed. */
  expired(slot: number): void {
    this.#abandon(slot, -ETIMEDOUT);
  }

  /** The driver has let go of a handle that never became a connection. */
  closed(handle: Handle): void {
    this.#abandoned.delete(handle);
  }

  /** Gives all up. */
  close(): void {
    for (const slot of [...this.#attempts.keys()]) this.#abandon(slot, -ECANCELED);
  }

  #abandon(slot: number, errno: number): void {
    const attempt = this.#take(slot);
    if (attempt === undefined) return;
    this.#abandoned.add(attempt.handle);
    this.#driver.close(attempt.handle, false);
    this.#driver.wake();
    attempt.reject(connectFailure(attempt.target, errno));
  }

  #take(slot: number): Attempt<Message, Sent, State> | undefined {
    const attempt = this.#attempts.get(slot);
    if (attempt === undefined) return undefined;
    this.#attempts.delete(slot);
    this.#deadlines.clear(slot);
    attempt.target.signal?.removeEventListener("abort", attempt.giveUp);
    return attempt;
  }
}

export function connectFailure(target: ConnectTarget, errno: number): SystemError {
  return new SystemError("connect to", errno, formatAddress(target.address));
}
