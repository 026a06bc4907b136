// A concurrency model: how many threads there are and who owns a socket. One small file each under this interface.

import type { AnyHandlers } from "../../checks.ts";
import type { ChosenDriver } from "../../driver/choose-driver.ts";
import type { Address } from "../../sys/address.ts";
import type { CheckedOptions } from "../options.ts";
import type { Ledger } from "../statistics.ts";
import type { ServerMail } from "../thread-mail.ts";

export interface ModelPlan {
  readonly options: CheckedOptions;
  readonly driver: ChosenDriver;
  /** Where the handlers come from: a module that each thread loads, or a table of this thread. */
  readonly handlers: { readonly module: URL } | { readonly table: AnyHandlers };
  /** Shared counters, COUNTER_STRIDE a thread, and behind them those of the calling thread where it accepts for all. */
  readonly counters: Float64Array<SharedArrayBuffer>;
  /** Where further threads get theirs, after a reload. */
  readonly ledger: Ledger;
}

export interface RunningModel {
  readonly address: Address;
  /** How the calling thread reaches connections and handlers. */
  readonly mail: ServerMail;
  /** Moves connections from threads with many to threads with few; how many. Undefined: there is nowhere to move them to. */
  rebalance?(): Promise<number>;
  /** Drains and ends; true when every connection had finished in time. */
  close(drainMs: number): Promise<boolean>;
  /** New threads with the handlers as they now are, beside the old ones, which then end. Models without it cannot. */
  reload?(graceMs: number, drainMs: number): Promise<void>;
  /** Settles when the model has ended: rejects when it could not go on by itself. */
  readonly ended: Promise<void>;
}

/** Starts a model; resolves when it accepts connections. @throws what keeps it from doing so */
export type StartModel = (plan: ModelPlan) => Promise<RunningModel>;
