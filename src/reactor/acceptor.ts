// When a reactor accepts, and whom: the limits on connections, and what happens when descriptors or memory run out.
//
// Nothing that the kernel has queued is ever thrown away for our want of room: accepting stops, the backlog waits, and
// accepting goes on when there is room again. After EMFILE and its kin that is tried with a back-off, never in a loop.

import { deferred } from "../deferred.ts";
import type { Driver, Handle, ListenTarget } from "../driver/driver.ts";
import type { Limits } from "../limits.ts";
import { type Address, networkOf } from "../sys/address.ts";
import { ECANCELED, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, SystemError } from "../sys/errno.ts";
import { ACCEPT_ERRORS, REFUSED } from "./counters.ts";

const FIRST_BACKOFF_MS = 5;
const LONGEST_BACKOFF_MS = 1000;
const SCARCE = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM]);
const NEVER = Number.POSITIVE_INFINITY;

/** Why accepting is stopped; bits. */
const NO_ROOM = 1;
const NO_DESCRIPTORS = 2;
const NO_MEMORY = 4;
/** For good: others accept from the same listeners. */
const RETIRED = 8;

export class Acceptor {
  readonly #driver: Driver;
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  readonly #listeners = new Set<Handle>();
  /** Asked for, and not yet known whether they can be had. */
  readonly #opening = new Map<Handle, { resolve: () => void; reject: (error: Error) => void }>();
  readonly #perAddress = new Map<string, number>();
  #stopped = 0;
  #closed = false;
  #backoffMs = 0;
  /** When accepting is tried again, in ms of the driver's clock. */
  retryMs = NEVER;

  constructor(driver: Driver, limits: Limits, counters: Float64Array) {
    this.#driver = driver;
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Resolves with the listener once it accepts. @throws SystemError (EADDRINUSE, EACCES, …; ECANCELED: closed meanwhile) */
  async listen(target: ListenTarget): Promise<Handle> {
    const listener = this.#driver.listen(target);
    if (listener < 0) throw new SystemError("listen", listener);
    const { promise, resolve, reject } = deferred<void>();
    this.#opening.set(listener, { resolve, reject });
    await promise;
    if (this.#closed) {
      this.#driver.close(listener, false);
      throw new SystemError("listen", -ECANCELED);
    }
    this.add(listener);
    return listener;
  }

  /** What the driver says of one that was asked for: 0, or −errno. */
  listening(listener: Handle, result: number): void {
    const opening = this.#opening.get(listener);
    this.#opening.delete(listener);
    if (result < 0) opening?.reject(new SystemError("listen", result));
    else opening?.resolve();
  }

  add(listener: Handle): void {
    this.#listeners.add(listener);
    if (this.#stopped === 0) this.#driver.resume(listener);
  }

  /** Closes all listeners, and those that are being opened once they are. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#listeners) this.#driver.close(listener, false);
    this.#listeners.clear();
    this.retryMs = NEVER;
  }

  /** Accepts no more, but for what is on its way already. */
  retire(): void {
    this.#stop(RETIRED);
  }

  /**
   * Starts accepting anew. The kernel wakes one reactor for a connection: when that one has just stopped accepting, nobody
   * else knows of it.
   */
  lookAgain(): void {
    if (this.#stopped !== 0) return;
    for (const listener of this.#listeners) {
      this.#driver.pause(listener);
      this.#driver.resume(listener);
    }
  }

  /** An accept failed with −errno; the driver has paused the listener. */
  failed(listener: Handle, errno: number, nowMs: number): void {
    // The server has stopped listening on it: this reactor is about to be told.
    if (errno === -EINVAL) return;
    this.#counters[ACCEPT_ERRORS] = (this.#counters[ACCEPT_ERRORS] as number) + 1;
    if (!SCARCE.has(-errno)) {
      // The one connection failed before it was accepted (ECONNABORTED and the like): the next one may not.
      if (this.#stopped === 0) this.#driver.resume(listener);
      return;
    }
    this.#backoffMs = Math.min(Math.max(this.#backoffMs * 2, FIRST_BACKOFF_MS), LONGEST_BACKOFF_MS);
    this.retryMs = nowMs + this.#backoffMs;
    this.#stop(NO_DESCRIPTORS);
  }

  /** Takes a new connection into account; false: it is one too many from its address. */
  admit(handle: Handle, connections: number): string | undefined | false {
    this.#backoffMs = 0;
    return this.#count(handle, connections, this.#limits.connectionsPerAddress);
  }

  /** As `admit`, one that another reactor has admitted: it is not refused. */
  take(handle: Handle, connections: number): string | undefined {
    return this.#count(handle, connections, Number.POSITIVE_INFINITY) || undefined;
  }

  #count(handle: Handle, connections: number, most: number): string | undefined | false {
    if (connections >= this.#limits.connections) this.#stop(NO_ROOM);
    const address = countableAddress(this.#driver.remoteAddress(handle));
    if (address === undefined) return undefined;
    const count = this.#perAddress.get(address) ?? 0;
    if (count >= most) {
      this.#counters[REFUSED] = (this.#counters[REFUSED] as number) + 1;
      return false;
    }
    this.#perAddress.set(address, count + 1);
    return address;
  }

  /** A connection is gone. */
  dismissed(address: string | undefined, connections: number): void {
    if (connections < this.#limits.connections) this.#go(NO_ROOM);
    if (address === undefined) return;
    const count = (this.#perAddress.get(address) ?? 1) - 1;
    if (count === 0) this.#perAddress.delete(address);
    else this.#perAddress.set(address, count);
  }

  /** A descriptor and a slot are free: whoever waited for one need not wait for the back-off. */
  released(): void {
    this.#go(NO_DESCRIPTORS);
  }

  /** The back-off is over: try again. */
  retry(nowMs: number): void {
    if (nowMs < this.retryMs) return;
    this.#go(NO_DESCRIPTORS);
  }

  /** Whether memory is too scarce for more connections. */
  setMemoryScarce(scarce: boolean): void {
    if (scarce) this.#stop(NO_MEMORY);
    else this.#go(NO_MEMORY);
  }

  #stop(reason: number): void {
    if (this.#stopped === 0) {
      for (const listener of this.#listeners) this.#driver.pause(listener);
    }
    this.#stopped |= reason;
  }

  #go(reason: number): void {
    if ((this.#stopped & reason) === 0) return;
    this.#stopped &= ~reason;
    if (reason === NO_DESCRIPTORS) this.retryMs = NEVER;
    if (this.#stopped !== 0) return;
    for (const listener of this.#listeners) this.#driver.resume(listener);
  }
}

/** The address, or network (networkOf), that a peer counts for. Loopback and Unix peers are this machine's own: not counted. */
export function countableAddress(address: Address | number): string | undefined {
  if (typeof address === "number" || address.family === "unix") return undefined;
  const { host } = address;
  const loopback = host.startsWith("127.") || host === "::1" || host.startsWith("::ffff:127.");
  return loopback ? undefined : networkOf(address);
}
