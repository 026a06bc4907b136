// The reactor threads of a server that were started together. A server has one generation, and for a while two, when it is
// reloaded: the new one starts beside the old one, on the same listening socket, and then the old one ends.
//
// Each has counters, notes and seats of its own; the mailboxes are the server's, so that messages reach both.

import { deferred } from "../deferred.ts";
import type { ListenTarget } from "../driver/driver.ts";
import type { Limits } from "../limits.ts";
import type { Address } from "../sys/address.ts";
import { Balancing } from "./balancing.ts";
import { READY_FOR_PORTS } from "./compute-messages.ts";
import type { ComputeThreads } from "./compute-threads.ts";
import type { Threads } from "./generations.ts";
import type { Mailboxes } from "./mailboxes.ts";
import type { ModelPlan } from "./models/model.ts";
import { Moves, type MovesOptions } from "./moves.ts";
import { Orphans } from "./orphans.ts";
import { ReactorKind } from "./reactor-kind.ts";
import { Supervisor } from "./supervisor.ts";
import type { ServerMail } from "./thread-mail.ts";
import { RETIRED, type ToReactor } from "./worker-messages.ts";

export interface GenerationOptions {
  /** With counters that are this generation's. */
  readonly plan: ModelPlan;
  /** The share of one thread. */
  readonly limits: Limits;
  readonly mailboxes: Mailboxes;
  /** Who computes for its reactors, when somebody does; started and ended with them. */
  readonly pool: ComputeThreads | undefined;
  readonly target: () => ListenTarget;
  /** See SupervisorOptions. */
  readonly gaveUp: (error: Error) => void;
}

export class Generation implements Threads {
  /** How the server reaches its threads, those of other generations included. */
  readonly mail: ServerMail;
  readonly #options: GenerationOptions;
  readonly #threads: Supervisor<Address>;
  readonly #balancing: Balancing | undefined;
  readonly #moves: Moves;
  readonly #orphans: Orphans | undefined;
  readonly #allRetired = deferred<void>();
  #retired = 0;

  constructor(options: GenerationOptions) {
    const { plan, limits, mailboxes, pool, target, gaveUp } = options;
    const { threads, onError } = plan.options;
    this.#options = options;
    this.#balancing = balancingOf(plan, limits.connections);
    const ways: MovesOptions = {
      seats: threads,
      counters: plan.counters,
      say: (seat, message) => this.#threads.say(seat, message),
      works: (seat) => this.#threads.works(seat),
    };
    this.#moves = new Moves(ways);
    if (plan.options.adoptOrphans) this.#orphans = new Orphans(this.#moves, ways);
    const kind = new ReactorKind({
      plan,
      seats: threads,
      driver: plan.driver.driver,
      limits,
      mailboxes,
      target,
      balancing: this.#balancing,
      moves: this.#moves,
      orphans: this.#orphans,
      compute: pool,
      died: () => this.look(),
      heard: (seat, message) => {
        if (message === RETIRED && ++this.#retired === threads) this.#allRetired.resolve();
        if (message !== READY_FOR_PORTS) return;
        pool?.reactorReady(seat, (said, ports) => this.#threads.say(seat, said, ports));
      },
    });
    pool?.ended.catch(gaveUp);
    this.mail = kind.mail;
    const { limits: whole } = plan.options;
    this.#threads = new Supervisor({ kind, seats: threads, limits: whole, onError, gaveUp });
  }

  /** Starts one thread; resolves with the address where it listens. @throws what keeps it from doing so */
  async startFirst(): Promise<Address> {
    await this.#options.pool?.start();
    return this.#threads.start(0);
  }

  /** Starts the others. */
  async startOthers(): Promise<void> {
    const { threads } = this.#options.plan.options;
    const others = Array.from({ length: threads - 1 }, (_, n) => n + 1);
    await Promise.all(others.map((seat) => this.#threads.start(seat)));
  }

  /** Evens out how many connections its threads have; how many have moved. */
  rebalance(): Promise<number> {
    return this.#moves.rebalance();
  }

  /**
   * Its threads look for connections anew: one may have been meant for a thread that accepts no more. The kernel wakes one for
   * each connection, and does not wake another when that one dies before it has accepted.
   */
  look(): void {
    const { threads } = this.#options.plan.options;
    for (let seat = 0; seat < threads; seat++) {
      this.#threads.say(seat, { kind: "look" } satisfies ToReactor);
    }
  }

  /**
   * Its threads accept no more, go on for `graceMs` (1 at least) and then drain. Resolves when none accepts, with the promise
   * of their end.
   */
  async retire(drainMs: number, graceMs: number): Promise<{ ended: Promise<boolean> }> {
    const ended = this.close(drainMs, Math.max(graceMs, 1));
    // Who dies meanwhile does not answer, but accepts no more either.
    await Promise.race([this.#allRetired.promise, ended]);
    return { ended };
  }

  /** See Supervisor. */
  async close(drainMs: number, graceMs: number): Promise<boolean> {
    this.#orphans?.close();
    const clean = await this.#threads.close(drainMs, graceMs);
    // Its reactors may have waited for results until now.
    await this.#options.pool?.close();
    this.#release();
    return clean;
  }

  /** Ends without draining. */
  async abandon(): Promise<void> {
    this.#orphans?.close();
    await Promise.all([this.#threads.abandon(), this.#options.pool?.abandon()]);
    this.#release();
  }

  #release(): void {
    const { ledger, counters } = this.#options.plan;
    this.#balancing?.close();
    this.#moves.close();
    ledger.retire(counters);
  }
}

function balancingOf({ options, counters }: ModelPlan, most: number): Balancing | undefined {
  const { balance = "kernel", threads } = options;
  if (balance === "kernel" || threads === 1) return undefined;
  return new Balancing(balance, counters, threads, most);
}
