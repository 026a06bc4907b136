// Who has failed to say who it is, by address (of IPv6 by network: networkOf): after a few times it has to wait, longer each
// time. Addresses are forgotten after a while, and there is room for so many: guessing costs the guesser, not us.

import { type Address, networkOf } from "../sys/address.ts";

const FREE = 5;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;
const FORGOTTEN_MS = 600_000;
const MOST_ADDRESSES = 10_000;

interface Failures {
  count: number;
  lastMs: number;
}

export class FailedAttempts {
  /** In the order of their last failure. */
  readonly #byAddress = new Map<string, Failures>();

  /** Whether it has to wait. */
  mustWait(address: Address | undefined, nowMs: number): boolean {
    const failures = this.#byAddress.get(hostOf(address));
    if (failures === undefined || failures.count < FREE) return false;
    const wait = Math.min(FIRST_WAIT_MS * 2 ** (failures.count - FREE), LONGEST_WAIT_MS);
    return nowMs - failures.lastMs < wait;
  }

  failed(address: Address | undefined, nowMs: number): void {
    const name = hostOf(address);
    const before = this.#byAddress.get(name);
    const known = before !== undefined && nowMs - before.lastMs < FORGOTTEN_MS;
    this.#byAddress.delete(name);
    this.#byAddress.set(name, { count: known ? before.count + 1 : 1, lastMs: nowMs });
    if (this.#byAddress.size <= MOST_ADDRESSES) return;
    const [oldest] = this.#byAddress.keys();
    if (oldest !== undefined) this.#byAddress.delete(oldest);
  }

  succeeded(address: Address | undefined): void {
    this.#byAddress.delete(hostOf(address));
  }
}

/** Whom a client counts for: networkOf; all clients of a Unix socket are one. */
export function hostOf(address: Address | undefined): string {
  return address === undefined || address.family === "unix" ? "" : networkOf(address);
}
