// The entry of a generator thread: one generator, told what to do by messages, which computes nothing else meanwhile.

import { parentPort, workerData } from "node:worker_threads";
import { Random } from "../driver/random.ts";
import { OptionError } from "../limits.ts";
import { settleCompilation } from "../reactor/compilation.ts";
import { formatAddress } from "../sys/address.ts";
import { Churn } from "./churn.ts";
import { ClosedLoop } from "./closed-loop.ts";
import { ErrorCounts } from "./error-counts.ts";
import { Generator } from "./generator.ts";
import { CLOSED } from "./load-connection.ts";
import type { LoadPlan } from "./load-plan.ts";
import { OpenLoop } from "./open-loop.ts";
import { Opening, Silence } from "./opening.ts";
import type { Pace } from "./pace.ts";
import { Recorder } from "./recorder.ts";
import type { ErrorFigures } from "./result.ts";
import { parseSizes } from "./sizes.ts";
import { Stage } from "./stage.ts";
import {
  type FromThread,
  STOP_WORD,
  type StageOrder,
  type ThreadStart,
  type ToThread,
} from "./thread-messages.ts";
import { turnUntilDone } from "./turning.ts";
import { workloadKind } from "./workloads/choose-workload.ts";

const SWEEP_MS = 50;

async function makeGenerator(start: ThreadStart, random: Random): Promise<Generator> {
  const { plan } = start;
  const recorder = new Recorder(start.recorder);
  const errors = new ErrorCounts();
  const workload = await workloadKind(plan.workload).make({
    sizes: parseSizes(plan.size === "" ? "1" : plan.size),
    verify: plan.verify,
    random: random.fork(),
    host: plan.address.family === "unix" ? "localhost" : formatAddress(plan.address),
    path: plan.path,
    connections: plan.connections + plan.idle,
    scenario: plan.scenario,
    report: (code, text) => generator.report(code, text),
  });
  const { address, driver, connections, idle, timeoutMs } = plan;
  const depth = Math.max(plan.depth, 1);
  const generator = new Generator({
    ...{ address, driver, connections, idle, timeoutMs },
    ...{ depth, recorder, errors, workload },
  });
  return generator;
}

class GeneratorThread {
  readonly #start: ThreadStart;
  readonly #stop: Int32Array;
  readonly #random: Random;
  readonly #generator: Generator;

  constructor(start: ThreadStart, generator: Generator, random: Random) {
    this.#start = start;
    this.#stop = new Int32Array(start.control);
    this.#generator = generator;
    this.#random = random;
  }

  async handle(order: ToThread): Promise<FromThread> {
    if (order.kind === "open") return this.#open();
    if (order.kind === "stage") return this.#stage(order);
    for (const connection of this.#generator.connections) this.#generator.close(connection);
    for (const connection of this.#generator.idle) this.#generator.close(connection);
    this.#generator.turn(0);
    this.#generator.driver.dispose();
    if (this.#generator.driver.capabilities.descriptors) settleCompilation();
    return { kind: "closed" };
  }

  async #open(): Promise<FromThread> {
    const generator = this.#generator;
    const active = this.#start.plan.mode === "churn" ? [] : generator.connections;
    const absent = [...active, ...generator.idle].filter(({ state }) => state === CLOSED);
    const opening = new Opening(generator, absent);
    generator.pace = opening;
    let sweepMs = 0;
    await turnUntilDone(generator, (nowMs) => {
      if (nowMs >= sweepMs) {
        sweepMs = nowMs + SWEEP_MS;
        generator.sweep(nowMs);
      }
      const wait = opening.step(nowMs);
      return opening.over || this.#stopOrdered ? undefined : wait;
    });
    generator.pace = undefined;
    return { kind: "opened", open: generator.openCount, errors: this.#takeErrors() };
  }

  async #stage(order: StageOrder): Promise<FromThread> {
    const { plan } = this.#start;
    const { durationMs, coolDownMs, timeoutMs } = plan;
    const beginMs = order.beginEpochMs - performance.timeOrigin;
    const times = { beginMs, durationMs, coolDownMs, timeoutMs };
    const pace = this.#pace(plan, order);
    const churns = plan.mode === "churn";
    const stage = new Stage(this.#generator, pace, times, churns, () => this.#stopOrdered);
    const reading = await stage.run();
    return { kind: "stage", reading, errors: this.#takeErrors() };
  }

  #pace(plan: LoadPlan, { rate, startEpochMs }: StageOrder): Pace {
    const generator = this.#generator;
    if (plan.mode === "closed") return new ClosedLoop(generator, plan.depth);
    if (plan.mode === "churn") return new Churn(generator);
    if (plan.mode === "idle") return new Silence();
    const random = plan.arrivals === "poisson" ? this.#random.fork() : undefined;
    const phase = this.#start.index / plan.threads;
    const startMs = startEpochMs - performance.timeOrigin;
    return new OpenLoop(generator, { rate, phase, startMs, random });
  }

  get #stopOrdered(): boolean {
    return Atomics.load(this.#stop, STOP_WORD) !== 0;
  }

  #takeErrors(): ErrorFigures[] {
    const figures = this.#generator.errors.figures();
    this.#generator.errors.clear();
    return figures;
  }
}

const start = workerData as ThreadStart;
const port = parentPort;
if (port === null) throw new Error("generator-thread.ts is the entry of a Worker");

function broken(error: unknown): FromThread {
  const message = error instanceof Error ? error.message : String(error);
  return { kind: "broken", message, usage: error instanceof OptionError };
}

try {
  const random = new Random(start.plan.seed + start.index * 0x9e3779b9);
  const thread = new GeneratorThread(start, await makeGenerator(start, random), random);
  port.on("message", async (order: ToThread) => {
    const answer = await thread.handle(order).catch(broken);
    port.postMessage(answer);
    if (answer.kind === "closed" || answer.kind === "broken") port.close();
  });
} catch (error) {
  port.postMessage(broken(error));
}
