// multi-reactor: N reactors, each in a thread of its own, all accepting from one listening descriptor: nginx's shape, in
// threads. The calling thread only looks after them, by a supervisor.
//
// A thread that ends by itself (its handler threw where nobody could catch it, it ran out of heap, somebody called
// process.exit in it) costs its own connections and nothing else: what it left open is closed from here, by the table
// that its driver kept in shared memory, and another thread takes its place.

import { deferred } from "../../deferred.ts";
import { sharesDescriptors } from "../../driver/choose-driver.ts";
import type { ListenTarget } from "../../driver/driver.ts";
import { type Limits, shareOf } from "../../limits.ts";
import type { Address } from "../../sys/address.ts";
import { Balancing } from "../balancing.ts";
import { READY_FOR_PORTS } from "../compute-messages.ts";
import type { ComputeThreads } from "../compute-threads.ts";
import {
  claimAddress,
  listenAddress,
  openSharedListener,
  ownTarget,
  type SharedListener,
} from "../listener.ts";
import { Moves } from "../moves.ts";
import { ReactorKind } from "../reactor-kind.ts";
import { Supervisor } from "../supervisor.ts";
import type { ServerMail } from "../thread-mail.ts";
import type { ModelPlan, RunningModel } from "./model.ts";

/** With a pool, its reactors have that compute what is heavy. */
export async function startMultiReactor(
  plan: ModelPlan,
  pool?: ComputeThreads,
): Promise<RunningModel> {
  const model = new MultiReactor(plan, pool);
  await model.start();
  return model;
}

class MultiReactor implements RunningModel {
  address: Address = { family: "unix", path: "" };
  readonly ended: Promise<void>;
  readonly #plan: ModelPlan;
  readonly #kind: ReactorKind;
  readonly #threads: Supervisor<Address>;
  readonly #balancing: Balancing | undefined;
  readonly #moves: Moves;
  readonly #end = deferred<void>();
  #listener: SharedListener | undefined;
  #wanted: Address | undefined;

  constructor(plan: ModelPlan, pool: ComputeThreads | undefined) {
    const { threads, onError } = plan.options;
    this.#plan = plan;
    this.ended = this.#end.promise;
    const limits = limitsOfOne(plan);
    this.#balancing = balancingOf(plan, limits.connections);
    this.#moves = new Moves({
      seats: threads,
      counters: plan.counters,
      say: (seat, message) => this.#threads.say(seat, message),
      works: (seat) => this.#threads.works(seat),
    });
    this.#kind = new ReactorKind({
      plan,
      seats: threads,
      driver: plan.driver.driver,
      limits,
      target: () => this.#target(),
      balancing: this.#balancing,
      moves: this.#moves,
      compute: pool,
      heard: (seat, message) => {
        if (message !== READY_FOR_PORTS) return;
        pool?.reactorReady(seat, (said, ports) => this.#threads.say(seat, said, ports));
      },
    });
    this.#threads = new Supervisor({
      kind: this.#kind,
      seats: threads,
      limits: plan.options.limits,
      onError,
      gaveUp: (error) => {
        this.#release();
        this.#end.reject(error);
      },
    });
  }

  get mail(): ServerMail {
    return this.#kind.mail;
  }

  async start(): Promise<void> {
    const { options, driver } = this.#plan;
    this.#wanted = await listenAddress(options);
    const shares = sharesDescriptors(driver.driver) && !options.reusePort;
    if (shares) this.#listener = openSharedListener(this.#wanted, options);
    else if (!options.reusePort) await claimAddress(this.#wanted);
    try {
      // The first one decides the port, where the system chooses and each has a socket of its own.
      this.address = await this.#threads.start(0);
      this.#wanted = this.address;
      if (this.#listener !== undefined) this.address = this.#listener.address;
      const others = Array.from({ length: options.threads - 1 }, (_, n) => n + 1);
      await Promise.all(others.map((seat) => this.#threads.start(seat)));
    } catch (error) {
      await this.#threads.abandon();
      this.#release();
      throw error;
    }
  }

  rebalance(): Promise<number> {
    return this.#moves.rebalance();
  }

  async close(drainMs: number): Promise<boolean> {
    this.#listener?.stop();
    const clean = await this.#threads.close(drainMs);
    this.#release();
    this.#end.resolve();
    return clean;
  }

  /** What outlives the threads. */
  #release(): void {
    this.#listener?.close();
    this.#balancing?.close();
    this.#moves.close();
    this.#kind.close();
  }

  #target(): ListenTarget {
    const { options } = this.#plan;
    const shared = options.threads > 1;
    if (this.#listener !== undefined) return { descriptor: this.#listener.descriptor, shared };
    if (this.#wanted === undefined) throw new Error("no address");
    // A driver that cannot share a descriptor can share a port.
    const reusePort = options.reusePort || shared;
    return ownTarget(this.#wanted, { ...options, socket: { ...options.socket, reusePort } });
  }
}

/** The share of one thread. By address hash, all connections of an address are the same thread's: so is their limit. */
function limitsOfOne({ options }: ModelPlan): Limits {
  const share = shareOf(options.limits, options.threads);
  if (options.balance !== "address-hash") return share;
  return { ...share, connectionsPerAddress: options.limits.connectionsPerAddress };
}

function balancingOf({ options, counters }: ModelPlan, most: number): Balancing | undefined {
  const { balance = "kernel", threads } = options;
  if (balance === "kernel" || threads === 1) return undefined;
  return new Balancing(balance, counters, threads, most);
}
