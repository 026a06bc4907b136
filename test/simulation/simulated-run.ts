// What every simulated run does: tells its story, notes what is not as it must be, and turns its reactors until something is so.

import type { ListenTarget } from "../../src/driver/driver.ts";
import type { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import type { Reactor } from "../../src/reactor/reactor.ts";
import type { InternetAddress } from "../../src/sys/address.ts";
import type { Client } from "./client.ts";

/** An oracle is violated. */
export class Breach extends Error {
  override readonly name = "Breach";
}

export const ADDRESS: InternetAddress = { family: "ipv4", host: "0.0.0.0", port: 7000 };
export const MOST_ADVANCE_MS = 1000;
/** Where every reactor listens, unless they share a listener. */
export const TARGET = { address: ADDRESS, backlog: 64, options: { reusePort: true } };
const MOST_STEPS = 100_000;
/** Of the breaches of a run, so many are told. */
const MOST_TOLD = 5;

interface SimulatedServer {
  readonly reactor: Pick<Reactor<unknown, unknown, unknown>, "listen">;
}

export abstract class SimulatedRun {
  abstract readonly network: SimulatedNetwork;
  protected abstract readonly clients: readonly Client[];
  protected abstract readonly servers: readonly SimulatedServer[];
  protected steps = 0;
  readonly #tell: ((line: string) => void) | undefined;
  readonly #breaches: string[] = [];

  constructor(tell: ((line: string) => void) | undefined) {
    this.#tell = tell;
  }

  /** One turn of each reactor, and what is checked after it. */
  protected abstract step(): void;

  /** Virtual time. */
  get nowMs(): number {
    return this.network.clock.nowMs;
  }

  breach(what: string): void {
    this.trace(`BREACH ${what}`);
    this.#breaches.push(`${this.nowMs.toFixed(3)} ${what}`);
  }

  trace(what: string): void {
    this.#tell?.(`${this.nowMs.toFixed(3)} ${what}`);
  }

  clientAt(address: string): Client | undefined {
    return this.clients.find((client) => client.address === address);
  }

  /** Where its reactors listen. */
  protected get target(): ListenTarget {
    return TARGET;
  }

  protected listen(): void {
    let listening = 0;
    for (const { reactor } of this.servers)
      void reactor.listen(this.target).then(() => listening++);
    this.turnUntil(() => listening === this.servers.length);
  }

  /** @throws Breach */
  protected turnUntil(done: () => boolean, latestMs = Number.POSITIVE_INFINITY): void {
    while (!done()) {
      if (this.steps++ > MOST_STEPS) this.breach("it does not come to an end");
      if (this.nowMs > latestMs) this.breach("it does not end in the time of its deadlines");
      this.step();
      this.throwBreach();
    }
  }

  protected throwBreach(): void {
    if (this.#breaches.length > 0) throw new Breach(this.#breaches.slice(0, MOST_TOLD).join("\n"));
  }
}
