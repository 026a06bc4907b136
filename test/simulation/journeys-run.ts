// What the simulations of several reactors have in common, in which each connection has a journey (journey.ts): the network and
// its clients, what is due between two turns, and what their servers ask for.

import type { Random } from "../../src/driver/random.ts";
import { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import { Client } from "./client.ts";
import type { Journey } from "./journey.ts";
import type { MovingPlan } from "./moving-plan.ts";
import type { MovingStage } from "./moving-server.ts";
import { ADDRESS, SimulatedRun } from "./simulated-run.ts";

/** Without faults a client that keeps to the rules has all its answers by then. */
export const PATIENCE_MS = 600_000;
/** More than every deadline of the plan, which is an hour each. */
export const LATEST_MS = 6 * 3_600_000;

export abstract class JourneysRun<Plan extends MovingPlan>
  extends SimulatedRun
  implements MovingStage
{
  readonly plan: Plan;
  readonly network: SimulatedNetwork;
  readonly random: Random;
  readonly ids = new Int32Array(1);
  readonly journeys = new Map<number, Journey>();
  protected clients: readonly Client[] = [];
  /** What is due between two turns. */
  protected due: (() => void)[] = [];
  protected expectedReports = 0;
  protected reports = 0;

  constructor(plan: Plan, random: Random, tell: ((line: string) => void) | undefined) {
    super(tell);
    this.plan = plan;
    this.random = random.fork();
    this.network = new SimulatedNetwork({ ...plan, random: random.fork() });
    this.network.trace = tell;
    this.trace(`plan ${JSON.stringify({ ...plan, wire: plan.wire.name })}`);
  }

  /** Clients come once the servers listen. */
  protected open(random: Random): void {
    const { network, plan } = this;
    this.listen();
    this.clients = plan.peers.map(
      (peer) => new Client(network, random.fork(), peer, plan.wire, ADDRESS.port),
    );
  }

  get wire() {
    return this.plan.wire;
  }

  get lossless(): boolean {
    return this.plan.lossless;
  }

  later(delayMs: number, run: () => void): void {
    this.network.clock.after(delayMs, () => this.due.push(run));
  }

  thrown(): Error {
    this.expectedReports++;
    return new Error(`thrown ${this.expectedReports}`);
  }

  reported(): void {
    this.reports++;
  }

  protected get areClientsDone(): boolean {
    return this.clients.every((client) => this.isDone(client));
  }

  protected journeyOf(client: Client): Journey | undefined {
    for (const journey of this.journeys.values()) if (journey.client === client) return journey;
    return undefined;
  }

  protected isDone(client: Client): boolean {
    const journey = this.journeyOf(client);
    if (journey !== undefined && !journey.isOver && !journey.lost) return false;
    const wouldNotNotice = journey !== undefined && client.plan.kind === "deaf";
    return client.isOver || client.hasLeft || wouldNotNotice;
  }

  /** It ends by itself once it has its answers, which nothing in this run can keep from it. */
  protected endsByItself(client: Client): boolean {
    return this.lossless && client.isClean && client.plan.kind !== "waiting";
  }

  /** `closed` was told once to whoever lived to hear it, and no handler is left in the middle. */
  protected checkJourneys(): void {
    for (const journey of this.journeys.values()) {
      const { id, closings, openDrains, handling } = journey;
      if (closings !== (journey.lost || journey.died ? 0 : 1))
        this.breach(`${id} was closed ${closings} times`);
      if (openDrains > 0) this.breach(`${openDrains} drained() of ${id} never resolve`);
      if (handling) this.breach(`a handler of ${id} never ends`);
    }
  }

  protected expectZeros(zeros: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(zeros)) {
      if (value !== 0) this.breach(`${name}: ${value} at the end`);
    }
  }
}
