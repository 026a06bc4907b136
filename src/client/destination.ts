// Where one line dials: the address that its user gave, or one that a server has sent it to.
//
// A server, or whoever stands in between, could send a client anywhere, its credentials included: it follows to what its user
// allows, and nowhere else. Where it cannot be let in there any more it comes back to the address that it was given.

import { type HostAndPort, parseHostAndPort } from "../protocol/address.ts";
import { GOAWAY, GOAWAY_KEY } from "../protocol/codes.ts";
import type { Goaway } from "../protocol/connection-frames.ts";
import { strictText, tlv } from "../protocol/tlv.ts";

/** Attempts in a row that may fail before the address that was followed is given up. */
const ATTEMPTS = 3;

/** One attempt to connect, and what comes of it. */
export interface Visit {
  /** Undefined: where the client was told to connect. */
  readonly at: HostAndPort | undefined;
  /** It is ready. */
  reached(): void;
  /** It could not be had, or ended before it was ready. */
  failed(): void;
  /**
   * GOAWAY has come, perhaps with another address.
   * @throws WireError PROTOCOL for an address that is not UTF-8
   */
  told(goaway: Goaway): void;
}

export class Destination {
  readonly #follows: (address: string) => boolean;
  #followed: HostAndPort | undefined;
  #failures = 0;

  /** `follows`: whether the user allows this HOST:PORT. */
  constructor(follows: (address: string) => boolean) {
    this.#follows = follows;
  }

  visit(): Visit {
    const at = this.#followed;
    // Where the client has gone on already, nobody that it came from has a say.
    const current = () => at === this.#followed;
    return {
      at,
      reached: () => {
        if (current()) this.#failures = 0;
      },
      failed: () => {
        if (at !== undefined && current() && ++this.#failures >= ATTEMPTS) this.#go(undefined);
      },
      told: (goaway) => {
        const target = current() ? this.#allowed(goaway) : undefined;
        if (target !== undefined) this.#go(target);
      },
    };
  }

  #allowed({ code, tlvs }: Goaway): HostAndPort | undefined {
    const value = tlv(tlvs, GOAWAY_KEY.ADDRESS);
    if (value === undefined || (code !== GOAWAY.DRAIN && code !== GOAWAY.MOVED)) return undefined;
    const address = strictText(value, "another address");
    const target = parseHostAndPort(address);
    return target !== undefined && this.#follows(address) ? target : undefined;
  }

  #go(target: HostAndPort | undefined): void {
    this.#followed = target;
    this.#failures = 0;
  }
}
