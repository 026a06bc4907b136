// Who has failed to say who it is, by address (of IPv6 by network: networkOf): after a few times it has to wait, longer each
// time. Addresses are forgotten after a while, and there is room for so many: guessing costs the guesser, not us.
//
// The threads of a server tell each other, so that a guesser gains nothing by coming back to another one. What a thread is told
// late, or not at all since a mailbox is full, costs it a few attempts more.

import { type Address, networkOf } from "../sys/address.ts";

const FREE = 5;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;
const FORGOTTEN_MS = 600_000;
const MOST_ADDRESSES = 10_000;

/** What threads tell each other: somebody has failed, or has been let in. */
export interface AttemptNews {
  readonly swp: "attempt";
  /** See hostOf. */
  readonly host: string;
  readonly failed: boolean;
}

interface Failures {
  count: number;
  lastMs: number;
}

export class FailedAttempts {
  /** In the order of their last failure. */
  readonly #byAddress = new Map<string, Failures>();
  readonly #tell: (news: AttemptNews) => void;

  /** @param tell says it to the other threads */
  constructor(tell: (news: AttemptNews) => void) {
    this.#tell = tell;
  }

  /** Whether it has to wait. */
  mustWait(address: Address | undefined, nowMs: number): boolean {
    const failures = this.#byAddress.get(hostOf(address));
    if (failures === undefined || failures.count < FREE) return false;
    const wait = Math.min(FIRST_WAIT_MS * 2 ** (failures.count - FREE), LONGEST_WAIT_MS);
    return nowMs - failures.lastMs < wait;
  }

  failed(address: Address | undefined, nowMs: number): void {
    const host = hostOf(address);
    this.#count(host, nowMs);
    this.#tell({ swp: "attempt", host, failed: true });
  }

  succeeded(address: Address | undefined): void {
    const host = hostOf(address);
    if (this.#byAddress.delete(host)) this.#tell({ swp: "attempt", host, failed: false });
  }

  /** Another thread has told. */
  heard({ host, failed }: AttemptNews, nowMs: number): void {
    if (failed) this.#count(host, nowMs);
    else this.#byAddress.delete(host);
  }

  #count(host: string, nowMs: number): void {
    const before = this.#byAddress.get(host);
    const known = before !== undefined && nowMs - before.lastMs < FORGOTTEN_MS;
    this.#byAddress.delete(host);
    this.#byAddress.set(host, { count: known ? before.count + 1 : 1, lastMs: nowMs });
    if (this.#byAddress.size <= MOST_ADDRESSES) return;
    const [oldest] = this.#byAddress.keys();
    if (oldest !== undefined) this.#byAddress.delete(oldest);
  }
}

/** Whom a client counts for: networkOf; all clients of a Unix socket are one. */
export function hostOf(address: Address | undefined): string {
  return address === undefined || address.family === "unix" ? "" : networkOf(address);
}
