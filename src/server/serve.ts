// serve(): the public entry. Checks what it was told, chooses the driver, starts the model, and hands out the server.

import { type AnyHandlers, checkHandlers, separate } from "../checks.ts";
import { socketOptionsOf } from "../connection-options.ts";
import {
  blockingDriver,
  chooseDriver,
  type ServingDriver,
  sharesDescriptors,
} from "../driver/choose-driver.ts";
import type { Handlers, SharedCounter, SharedMap } from "../handlers.ts";
import { OptionError } from "../limits.ts";
import type { Address } from "../sys/address.ts";
import { demoteHelpers } from "../sys/priority.ts";
import { descriptorLimit } from "../sys/socket-calls.ts";
import { moduleUrl } from "./handler-module.ts";
import { startEventLoop } from "./models/event-loop.ts";
import { startHybrid } from "./models/hybrid.ts";
import type { RunningModel, StartModel } from "./models/model.ts";
import { startMultiReactor } from "./models/multi-reactor.ts";
import { startThreadPerConnection } from "./models/thread-per-connection.ts";
import { startThreadPool } from "./models/thread-pool.ts";
import {
  balanceOf,
  blocks,
  type CheckedOptions,
  checkOptions,
  type ModelName,
  type ServeOptions,
} from "./options.ts";
import { Ledger, type Statistics } from "./statistics.ts";

export interface CloseOptions {
  /** How long connections may finish what they have received, in ms. Default 10,000. */
  readonly drainMs?: number;
}

export interface ReloadOptions extends CloseOptions {
  /** How long connections of the old threads may go on before they drain, in ms. Default 5,000. */
  readonly graceMs?: number;
}

/** A running server. Its methods belong to the thread that called `serve`. */
export interface Server {
  /** Where it listens; the port that the system chose, where 0 was asked for. */
  readonly address: Address;
  readonly driver: ServingDriver;
  /** Why this driver, in words. */
  readonly why: string;
  readonly model: ModelName;
  readonly threads: number;
  /** Resolves when the server has closed; rejects when it could not go on by itself. */
  readonly ended: Promise<void>;
  /** What all threads have done so far. */
  statistics(): Statistics;
  /**
   * Sends bytes (a string as UTF-8), as they are and not through the codec, to every connection in every thread that is
   * subscribed to the topic. Else as `context.publish`, which see.
   * @throws RangeError for a topic that is none, or more bytes than a mailbox can carry (`limits.mailboxBytes`)
   */
  publish(topic: string, data: Uint8Array | string): boolean;
  /**
   * Hands a value that can be cloned to the `broadcast` handler of every thread. False: at least one thread's mailbox is
   * full, and it does not get this one.
   * @throws TypeError for a value that cannot be cloned, RangeError for more than a mailbox can carry
   */
  broadcast(data: unknown): boolean;
  /** As `context.counter`. */
  counter(name: string): SharedCounter;
  /** As `context.map`. */
  map<Value = unknown>(name: string): SharedMap<Value>;
  /**
   * Moves connections from threads with more than their share to those with less, each between two of its messages; resolves
   * with how many have moved. One stays whose handler is busy for a second, whose state cannot be cloned, or whose codec does
   * not say what it keeps (`Decoder.kept`); so do all where the driver has no descriptors. See the handlers `departed` and
   * `arrived`. A second call joins the first.
   */
  rebalance(): Promise<number>;
  /**
   * Starts new threads with the handler module as it now is, on the same listening socket, and resolves when only they
   * accept. The old ones go on with their connections for `graceMs`, then drain. No client is refused or reset. When the
   * new threads cannot start, the old ones go on and it rejects with the reason. One reload happens after the other; a
   * further one ends the grace of threads that still go on.
   * @throws OptionError for a model whose handlers cannot be loaded anew
   */
  reload(options?: ReloadOptions): Promise<void>;
  /**
   * Stops accepting, lets every connection finish what it has received and sends what is queued, then ends. True when all
   * finished within `drainMs`; the others were closed. A second call joins the first.
   */
  close(options?: CloseOptions): Promise<boolean>;
}

const MODELS: Readonly<Record<ModelName, StartModel>> = {
  "event-loop": startEventLoop,
  "multi-reactor": (plan) => startMultiReactor(plan),
  hybrid: (plan) => startHybrid(plan),
  "thread-pool": startThreadPool,
  "thread-per-connection": startThreadPerConnection,
};
const DRAIN_MS = 10_000;
const GRACE_MS = 5_000;
/** Share of the descriptor limit that connections may use. */
const CONNECTIONS_PER_DESCRIPTOR = 0.8;
const OPTION_NAMES: ReadonlySet<string> = new Set<keyof ServeOptions>([
  "port",
  "host",
  "path",
  "ipv6Only",
  "driver",
  "model",
  "threads",
  "computeThreads",
  "balance",
  "pin",
  "adoptOrphans",
  "backlog",
  "limits",
  "overflow",
  "slowSubscriber",
  "noDelay",
  "keepAlive",
  "userTimeoutMs",
  "reusePort",
  "receiveBufferBytes",
  "sendBufferBytes",
  "deferAcceptSeconds",
  "onError",
]);

/**
 * Serves a handler module (its default export is a table of handlers; each thread loads it) on all cores, or one table of
 * handlers in the calling thread.
 * @throws OptionError for options that cannot be, DriverRefusedError for a driver that the host refuses, SystemError when
 *   it cannot listen (EADDRINUSE, EACCES, EADDRNOTAVAIL, …)
 */
export function serve(module: URL | string, options?: ServeOptions): Promise<Server>;
export function serve<Message = Buffer, Sent = Uint8Array | string, State = unknown>(
  table: Handlers<Message, Sent, State> & ServeOptions,
): Promise<Server>;
export async function serve(
  source: URL | string | (AnyHandlers & ServeOptions),
  given?: ServeOptions,
): Promise<Server> {
  if (typeof source === "string" || source instanceof URL) {
    const options = checkOptions(onlyOptions(given ?? {}), true);
    return start(options, { module: moduleUrl(source) });
  }
  const { handlers, options } = separate<ServeOptions>(source, OPTION_NAMES);
  return start(checkOptions(options, false), { table: checkHandlers(handlers, "serve") });
}

async function start(
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
      if (closing !== undefined) throw new Error("the server is closing");
      if (model.reload === undefined) throw cannotReload(options.model);
      await model.reload(graceMs, drainMs);
    },
    close({ drainMs = DRAIN_MS } = {}) {
      closing ??= model.close(drainMs);
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

function onlyOptions(options: ServeOptions): ServeOptions {
  const unknown = Object.keys(options).find((name) => !OPTION_NAMES.has(name));
  if (unknown === undefined) return options;
  throw new OptionError(`there is no option ${unknown}; there are ${[...OPTION_NAMES].join(", ")}`);
}
