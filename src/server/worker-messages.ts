// What a server and its worker threads say to each other, over a port of their own.

import type { DriverChoice } from "../driver/choose-driver.ts";
import type { ListenTarget } from "../driver/driver.ts";
import type { Limits } from "../limits.ts";
import type { OverflowPolicy } from "../reactor/reactor.ts";
import type { Address } from "../sys/address.ts";

/** Given to a worker at its start. */
export interface WorkerStart {
  readonly port: MessagePort;
  readonly module: string;
  readonly driver: DriverChoice;
  readonly target: ListenTarget;
  readonly limits: Limits;
  readonly overflow: OverflowPolicy;
  readonly counters: Float64Array;
  readonly notes: Int32Array;
}

export type ToWorker = { readonly kind: "close"; readonly drainMs: number };

export type FromWorker =
  | { readonly kind: "listening"; readonly address: Address }
  | { readonly kind: "failed"; readonly error: Error }
  | { readonly kind: "error"; readonly error: unknown }
  | { readonly kind: "closed"; readonly clean: boolean };
