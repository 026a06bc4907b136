// multi-reactor: N reactors, each in a thread of its own, all accepting from one listening descriptor: nginx's shape, in
// threads. The calling thread only looks after them, by a supervisor.
//
// A thread that ends by itself (its handler threw where nobody could catch it, it ran out of heap, somebody called
// process.exit in it) costs its own connections and nothing else: what it left open is closed from here, by the table
// that its driver kept in shared memory, and another thread takes its place.

import { deferred } from "../../deferred.ts";
import { sharesDescriptors } from "../../driver/choices.ts";
import type { ListenTarget } from "../../driver/driver.ts";
import { type Limits, OptionError, shareOf } from "../../limits.ts";
import { settleCompilationAtExit } from "../../reactor/compilation.ts";
import type { Address } from "../../sys/address.ts";
import type { ComputeThreads } from "../compute-threads.ts";
import { Generation } from "../generation.ts";
import { GENERATIONS, Generations } from "../generations.ts";
import {
  claimAddress,
  listenAddress,
  openSharedListener,
  ownTarget,
  type SharedListener,
} from "../listener.ts";
import { Mailboxes } from "../mailboxes.ts";
import type { ServerMail } from "../thread-mail.ts";
import type { ModelPlan, RunningModel } from "./model.ts";

type MakePool = (plan: ModelPlan) => ComputeThreads;

/** With a pool, the reactors of each generation have that compute what is heavy. */
export async function startMultiReactor(
  plan: ModelPlan,
  makePool?: MakePool,
): Promise<RunningModel> {
  const model = new MultiReactor(plan, makePool);
  await model.start();
  return model;
}

class MultiReactor implements RunningModel {
  address: Address = { family: "unix", path: "" };
  readonly ended: Promise<void>;
  readonly #plan: ModelPlan;
  readonly #makePool: MakePool | undefined;
  readonly #mailboxes: Mailboxes;
  readonly #end = deferred<void>();
  readonly #generations: Generations<Generation>;
  #listener: SharedListener | undefined;
  #wanted: Address | undefined;

  constructor(plan: ModelPlan, makePool: MakePool | undefined) {
    const { limits, threads } = plan.options;
    const hasDescriptors = sharesDescriptors(plan.driver.driver);
    this.#plan = plan;
    this.#makePool = makePool;
    this.ended = this.#end.promise;
    this.#mailboxes = new Mailboxes(threads * GENERATIONS, limits, hasDescriptors);
    this.#generations = new Generations(this.#generation(plan));
    // Cleaning up after threads is native calls in loops, and the last of it is done right before many a process ends.
    if (hasDescriptors) settleCompilationAtExit();
  }

  get mail(): ServerMail {
    return this.#generations.present.mail;
  }

  async start(): Promise<void> {
    const { options, driver } = this.#plan;
    this.#wanted = await listenAddress(options);
    const shares = sharesDescriptors(driver.driver) && !options.reusePort;
    if (shares) this.#listener = openSharedListener(this.#wanted, options);
    else if (!options.reusePort) await claimAddress(this.#wanted);
    try {
      // The first one decides the port, where the system chooses and each has a socket of its own.
      this.address = await this.#generations.present.startFirst();
      this.#wanted = this.address;
      if (this.#listener !== undefined) this.address = this.#listener.address;
      await this.#generations.present.startOthers();
    } catch (error) {
      await this.#generations.present.abandon();
      this.#release();
      throw error;
    }
  }

  rebalance(): Promise<number> {
    return this.#generations.present.rebalance();
  }

  reload(graceMs: number, drainMs: number): Promise<void> {
    if (this.#listener === undefined && !this.#sharesPort) {
      throw new OptionError("threads: 1 with this driver cannot reload: the port is its own");
    }
    const succession = {
      make: () => this.#generation({ ...this.#plan, counters: this.#plan.ledger.open() }),
      start: async (coming: Generation) => {
        await coming.startFirst();
        await coming.startOthers();
      },
      retire: async (past: Generation, coming: Generation) => {
        const retired = await past.retire(drainMs, graceMs);
        coming.look();
        return retired;
      },
    };
    return this.#generations.replace(succession, drainMs);
  }

  async close(drainMs: number): Promise<boolean> {
    this.#listener?.stop();
    const clean = await this.#generations.close(drainMs);
    this.#release();
    this.#end.resolve();
    return clean;
  }

  #generation(plan: ModelPlan): Generation {
    return new Generation({
      plan,
      limits: limitsOfOne(plan),
      pool: this.#makePool?.(plan),
      mailboxes: this.#mailboxes,
      target: () => this.#target(),
      gaveUp: (error) => void this.#giveUp(error),
    });
  }

  async #giveUp(error: Error): Promise<void> {
    await this.#generations.abandon();
    this.#release();
    this.#end.reject(error);
  }

  /** What outlives the threads. */
  #release(): void {
    this.#listener?.close();
    this.#mailboxes.close();
  }

  #target(): ListenTarget {
    const { options } = this.#plan;
    if (this.#listener !== undefined) {
      return { descriptor: this.#listener.descriptor, shared: options.threads > 1 };
    }
    if (this.#wanted === undefined) throw new Error("no address");
    const socket = { ...options.socket, reusePort: this.#sharesPort };
    return ownTarget(this.#wanted, { ...options, socket });
  }

  /** A driver that cannot share a descriptor can share a port. */
  get #sharesPort(): boolean {
    const { reusePort, threads } = this.#plan.options;
    return reusePort || threads > 1;
  }
}

/** The share of one thread. By address hash, all connections of an address are the same thread's: so is their limit. */
function limitsOfOne({ options }: ModelPlan): Limits {
  const share = shareOf(options.limits, options.threads);
  if (options.balance !== "address-hash") return share;
  return { ...share, connectionsPerAddress: options.limits.connectionsPerAddress };
}
