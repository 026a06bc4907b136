// serve(): the public entry. Checks what it was told; the rest is loaded by who calls it. Handler modules import it too, and each
// thread that loads one would load all that only the thread of the server needs.

import { type AnyHandlers, assertOptions, checkHandlers, separate } from "../checks.ts";
import type { ServingDriver } from "../driver/choices.ts";
import type { Handlers, SharedCounter, SharedMap } from "../handlers.ts";
import type { Address } from "../sys/address.ts";
import { moduleUrl } from "./handler-module.ts";
import { checkOptions, type ModelName, type ServeOptions } from "./options.ts";
import type { Statistics } from "./statistics.ts";

export interface CloseOptions {
  /** How long connections may finish what they have received, in ms, 0 to 2^31 - 1. Default 10,000. */
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
    assertOptions("the options of serve", given ?? {}, OPTION_NAMES);
    const options = checkOptions(given ?? {}, true);
    const { start } = await import("./start.ts");
    return start(options, { module: moduleUrl(source) });
  }
  const { handlers, options } = separate<ServeOptions>("serve", source, OPTION_NAMES);
  const [checked, table] = [checkOptions(options, false), checkHandlers(handlers, "serve")];
  const { start } = await import("./start.ts");
  return start(checked, { table });
}
