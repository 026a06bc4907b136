// What a server and its worker threads say to each other, over a port of their own.

import type { ServingDriver } from "../driver/choices.ts";
import type { ListenTarget } from "../driver/driver.ts";
import { type Limits, OptionError } from "../limits.ts";
import type { PlacementSeat } from "../reactor/placement.ts";
import type { SlowSubscriberPolicy } from "../reactor/publishing.ts";
import type { OverflowPolicy } from "../reactor/writing.ts";
import { SystemError } from "../sys/errno.ts";
import type { ComputeSeat } from "./compute-messages.ts";
import type { ThreadPlace } from "./thread-mail.ts";

/** Given to the worker of a reactor at its start. */
export interface ReactorStart {
  readonly module: string;
  readonly driver: ServingDriver;
  readonly target: ListenTarget;
  readonly limits: Limits;
  readonly overflow: OverflowPolicy;
  readonly slowSubscriber: SlowSubscriberPolicy;
  readonly place: ThreadPlace;
  readonly counters: Float64Array;
  readonly notes: Int32Array;
  /** See ReactorOptions. */
  readonly rests: Int32Array | undefined;
  readonly ids: Int32Array;
  /** Its seat among the reactors that hand connections to each other, when they do. */
  readonly placement?: PlacementSeat;
  readonly pulse: Int32Array;
  /** The only one to run on; undefined: any. */
  readonly core: number | undefined;
  /** How to reach the compute threads, where there are any. */
  readonly compute?: ComputeSeat;
}

/** Every worker gets one with its start data. */
export interface WithPort {
  readonly port: MessagePort;
}

/** What the models of reactors say to their threads: look for connections anew. */
export type ToReactor = { readonly kind: "look" };

/** What they answer when they have been asked to close: they accept no more. */
export const RETIRED = "retired";

/** What they say at their start: the thread has loaded all its code, what it still waits for takes no processor. */
export const LOADED = "loaded";

/** `model`: what the model has to say to its threads, and they to it, is its own business. */
export type ToWorker =
  | { readonly kind: "close"; readonly drainMs: number; readonly graceMs: number }
  | { readonly kind: "model"; readonly message: unknown };

/** `Ready` is what a thread says of itself once it works: of a reactor the address where it listens. */
export type FromWorker<Ready> =
  | { readonly kind: "ready"; readonly ready: Ready }
  | { readonly kind: "failed"; readonly error: SentError }
  | { readonly kind: "error"; readonly error: unknown }
  | { readonly kind: "closed"; readonly clean: boolean }
  | { readonly kind: "model"; readonly message: unknown };

/** An error on its way between threads: a structured clone would keep neither its class nor its code. */
export interface SentError {
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly call: string | undefined;
  readonly errno: number | undefined;
}

export function errorToSend(thrown: unknown): SentError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const { message, stack } = error;
  const system = error instanceof SystemError ? error : undefined;
  const code = error instanceof OptionError ? error.code : undefined;
  return { message, stack, code, call: system?.call, errno: system?.errno };
}

export function receivedError(sent: SentError): Error {
  const { message, stack, code, call, errno } = sent;
  if (code === OPTION_ERROR) return new OptionError(message);
  if (call !== undefined && errno !== undefined) return new SystemError(call, errno);
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** A handler may throw anything, also what cannot cross threads. */
export function cloneable(error: unknown): unknown {
  try {
    return structuredClone(error);
  } catch {
    return new Error(String(error));
  }
}

const OPTION_ERROR: OptionError["code"] = "ERR_SLUICE_OPTION";
