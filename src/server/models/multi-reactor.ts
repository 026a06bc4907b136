// multi-reactor: N reactors, each in a thread of its own, all accepting from one listening descriptor: nginx's shape, in
// threads. The calling thread only looks after them, by a supervisor.
//
// A thread that ends by itself (its handler threw where nobody could catch it, it ran out of heap, somebody called
// process.exit in it) costs its own connections and nothing else: what it left open is closed from here, by the table
// that its driver kept in shared memory, and another thread takes its place.

import { deferred } from "../../deferred.ts";
import { sharesDescriptors } from "../../driver/choose-driver.ts";
import type { ListenTarget } from "../../driver/driver.ts";
import { type Limits, OptionError, shareOf } from "../../limits.ts";
import type { Address } from "../../sys/address.ts";
import type { ComputeThreads } from "../compute-threads.ts";
import { GENERATIONS, Generation } from "../generation.ts";
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
  #present: Generation;
  /** What the last reload is replacing, until it has ended. */
  #past: Generation | undefined;
  #coming: Generation | undefined;
  #reloads: Promise<void> = Promise.resolve();
  #closing = false;
  #listener: SharedListener | undefined;
  #wanted: Address | undefined;

  constructor(plan: ModelPlan, makePool: MakePool | undefined) {
    const { limits, threads } = plan.options;
    const hasDescriptors = sharesDescriptors(plan.driver.driver);
    this.#plan = plan;
    this.#makePool = makePool;
    this.ended = this.#end.promise;
    this.#mailboxes = new Mailboxes(threads * GENERATIONS, limits, hasDescriptors);
    this.#present = this.#generation(plan);
  }

  get mail(): ServerMail {
    return this.#present.mail;
  }

  async start(): Promise<void> {
    const { options, driver } = this.#plan;
    this.#wanted = await listenAddress(options);
    const shares = sharesDescriptors(driver.driver) && !options.reusePort;
    if (shares) this.#listener = openSharedListener(this.#wanted, options);
    else if (!options.reusePort) await claimAddress(this.#wanted);
    try {
      // The first one decides the port, where the system chooses and each has a socket of its own.
      this.address = await this.#present.startFirst();
      this.#wanted = this.address;
      if (this.#listener !== undefined) this.address = this.#listener.address;
      await this.#present.startOthers();
    } catch (error) {
      await this.#present.abandon();
      this.#release();
      throw error;
    }
  }

  rebalance(): Promise<number> {
    return this.#present.rebalance();
  }

  reload(graceMs: number, drainMs: number): Promise<void> {
    if (this.#listener === undefined && !this.#sharesPort) {
      throw new OptionError("threads: 1 with this driver cannot reload: the port is its own");
    }
    const reloaded = this.#reloads.then(() => this.#replace(graceMs, drainMs));
    // Whether one succeeded is for its caller; the next one comes all the same.
    this.#reloads = reloaded.catch(() => undefined);
    return reloaded;
  }

  async close(drainMs: number): Promise<boolean> {
    this.#closing = true;
    this.#listener?.stop();
    void this.#coming?.abandon();
    const ends = [this.#present.close(drainMs, 0), this.#past?.close(drainMs, 0)];
    const answers = await Promise.all(ends);
    await this.#reloads;
    this.#release();
    this.#end.resolve();
    return answers.every((clean) => clean !== false);
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

  async #replace(graceMs: number, drainMs: number): Promise<void> {
    if (this.#past !== undefined) await this.#past.close(drainMs, 0);
    if (this.#closing) throw new Error("the server is closing");
    const coming = this.#generation({ ...this.#plan, counters: this.#plan.ledger.open() });
    this.#coming = coming;
    try {
      await coming.startFirst();
      await coming.startOthers();
      if (this.#closing) throw new Error("the server is closing");
    } catch (error) {
      await coming.abandon();
      throw error;
    } finally {
      this.#coming = undefined;
    }
    const past = this.#present;
    this.#past = past;
    this.#present = coming;
    const { ended } = await past.retire(drainMs, graceMs);
    coming.look();
    void ended.then(() => {
      if (this.#past === past) this.#past = undefined;
    });
  }

  async #giveUp(error: Error): Promise<void> {
    this.#closing = true;
    await Promise.all([this.#present.abandon(), this.#past?.abandon()]);
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
