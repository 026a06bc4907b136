// From checked options to a running server: chooses the driver, starts the model, and hands out the server.

import { type AnyHandlers, integer } from "../checks.ts";
import { socketOptionsOf } from "../connection-options.ts";
import { type ServingDriver, sharesDescriptors } from "../driver/choices.ts";
import { blockingDriver, chooseDriver } from "../driver/choose-driver.ts";
import { OptionError } from "../limits.ts";
import { demoteHelpers } from "../sys/priority.ts";
import { descriptorLimit } from "../sys/socket-calls.ts";
import { startEventLoop } from "./models/event-loop.ts";
import { startHybrid } from "./models/hybrid.ts";
import type { RunningModel, StartModel } from "./models/model.ts";
import { startMultiReactor } from "./models/multi-reactor.ts";
import { startThreadPerConnection } from "./models/thread-per-connection.ts";
import { startThreadPool } from "./models/thread-pool.ts";
import { balanceOf, blocks, type CheckedOptions, type ModelName } from "./options.ts";
import type { Server } from "./serve.ts";
import { Ledger } from "./statistics.ts";

const MODELS: Readonly<Record<ModelName, StartModel>> = {
  "event-loop": startEventLoop,
  "multi-reactor": (plan) => startMultiReactor(plan),
  hybrid: (plan) => startHybrid(plan),
  "thread-pool": startThreadPool,
  "thread-per-connection": startThreadPerConnection,
};
const DRAIN_MS = 10_000;
const GRACE_MS = 5_000;
/** What a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1;
/** Share of the descriptor limit that connections may use. */
const CONNECTIONS_PER_DESCRIPTOR = 0.8;

/** @throws what `serve` throws, but for options that cannot be by themselves */
export async function start(
  given: CheckedOptions,
  handlers: { readonly module: URL } | { readonly table: AnyHandlers },
): Promise<Server> {
  const driver = blocks(given.model) ? blockingDriver() : chooseDriver(given.driver);
  const hasDescriptors = sharesDescriptors(driver.driver);
  const options = {
    ...given,
    threads: withinConnections(given, threadsOf(given, driver.driver, hasDescriptors)),
    limits: withinDescriptors(given, hasDescriptors),
    balance: balanceOf(given, driver.driver, hasDescriptors),
    socket: socketOptionsOf(given.socket, driver.driver, hasDescriptors),
  };
  if (options.adoptOrphans && !hasDescriptors) {
    throw new OptionError(
      `the ${driver.driver} driver cannot adopt connections: leave out adoptOrphans, or choose another driver`,
    );
  }
  if (hasDescriptors) demoteHelpers();
  const ledger = new Ledger(options.threads);
  const counters = ledger.open();
  const model = await MODELS[options.model]({ options, driver, handlers, counters, ledger });
  let closing: Promise<boolean> | undefined;
  return {
    address: model.address,
    driver: driver.driver,
    why: driver.why,
    model: options.model,
    threads: options.threads,
    ended: quiet(model),
    statistics: () => ledger.read(),
    publish: (topic, data) => model.mail.publish(topic, data),
    broadcast: (data) => model.mail.broadcast(data),
    counter: (name) => model.mail.counter(name),
    map: (name) => model.mail.map(name),
    rebalance: () => model.rebalance?.() ?? Promise.resolve(0),
    async reload({ graceMs = GRACE_MS, drainMs = DRAIN_MS } = {}) {
      integer("graceMs", graceMs, 0, LONGEST_MS);
      integer("drainMs", drainMs, 0, LONGEST_MS);
      if (closing !== undefined) throw new Error("the server is closing");
      if (model.reload === undefined) throw cannotReload(options.model);
      await model.reload(graceMs, drainMs);
    },
    async close({ drainMs = DRAIN_MS } = {}) {
      closing ??= model.close(integer("drainMs", drainMs, 0, LONGEST_MS));
      return closing;
    },
  };
}

function cannotReload(model: ModelName): OptionError {
  return new OptionError(
    `model ${model} cannot reload: start the process anew, or use multi-reactor (threads: 1 for one reactor)`,
  );
}

/** `ended` may be looked at late or never: that alone must not end the process. */
function quiet(model: RunningModel): Promise<void> {
  model.ended.catch(() => undefined);
  return model.ended;
}

/** Several threads can listen where they share a descriptor, or at least a port. */
function threadsOf(
  options: CheckedOptions,
  driver: ServingDriver,
  hasDescriptors: boolean,
): number {
  if (hasDescriptors || options.threads === 1) return options.threads;
  if (options.path === undefined && canSharePorts()) return options.threads;
  if (!options.threadsChosen) return 1;
  const what = options.path === undefined ? "a port" : "a Unix socket";
  throw new OptionError(
    `the ${driver} driver serves ${what} with one thread here: choose threads: 1 or another driver`,
  );
}

/** Each thread has a share of the connections, and so at least one. */
function withinConnections(options: CheckedOptions, threads: number): number {
  const { connections } = options.limits;
  if (options.model !== "multi-reactor" || connections >= threads) return threads;
  if (!options.threadsChosen) return connections;
  throw new OptionError(
    `limits.connections is ${connections}: that is too few for ${threads} threads, which have equal shares of it`,
  );
}

/** Whether node:net can listen on one port several times: since 22.12 and 23.1, where the system spreads connections. */
function canSharePorts(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const knows = major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
  return knows && ["linux", "freebsd"].includes(process.platform);
}

/** Connections never use up all descriptors: the rest of the process needs some too. */
function withinDescriptors(options: CheckedOptions, native: boolean): CheckedOptions["limits"] {
  const limit = native ? descriptorLimit() : 0;
  if (typeof limit === "number") return options.limits;
  const most = Math.floor(limit.soft * CONNECTIONS_PER_DESCRIPTOR);
  const { connections } = options.limits;
  if (connections <= most) return options.limits;
  if (options.connectionsChosen) {
    throw new OptionError(
      `limits.connections is ${connections}, but this process may open ${limit.soft} descriptors, of which ` +
        `${most} can be connections: raise the limit (ulimit -n) or choose fewer`,
    );
  }
  return { ...options.limits, connections: most };
}
