// What reactors and compute threads say to each other, over a port for each pair, and what they share.
//
// Twist: an AbortSignal cannot interrupt a loop in another thread, since the message that would abort it is never read.
// So each task has a word in shared memory beside its message, and the signal looks there whenever it is asked.

import type { MessagePort } from "node:worker_threads";

/** Given to a compute thread at its start. */
export interface ComputeStart {
  readonly module: string;
  /** COMPUTE_BEAT words: how it gets on, for whoever watches over it. */
  readonly beat: Int32Array<SharedArrayBuffer>;
  /** Somebody asked for compute threads: without anything to compute that is a mistake. */
  readonly wanted: boolean;
}

/** What a compute thread answers once it is ready: whether its handlers have anything that is computed apart. */
export type Computes = boolean;

/** Tasks begun and ended, and the thread's number in the kernel. */
export const COMPUTE_STEPS = 0;
export const COMPUTE_THREAD = 1;
export const COMPUTE_BEAT = 2;

/** Given to a reactor's thread at its start, and to its successor. */
export interface ComputeSeat {
  /** Tasks of each reactor at each compute thread: a row for each reactor, written by nobody else. */
  readonly loads: Int32Array<SharedArrayBuffer>;
  readonly reactor: number;
  readonly threads: number;
  /** A word for each task under way of this reactor: 1 once nobody waits for it any more. */
  readonly cancelled: Int32Array<SharedArrayBuffer>;
  /** Tasks of all reactors together, at the most. */
  readonly queue: number;
}

/** From a reactor to a compute thread. `slot` is its word in `cancelled`. */
export type ToCompute =
  | {
      readonly kind: "task";
      readonly slot: number;
      readonly task: unknown;
      readonly isBuffer: boolean;
    }
  | { readonly kind: "cancel"; readonly slot: number };

/** Back again: exactly one for each task, also for a cancelled one. */
export type FromCompute =
  | { readonly slot: number; readonly result: unknown; readonly isBuffer: boolean }
  | { readonly slot: number; readonly error: unknown };

/** From the server: another end of a pair. For a compute thread `cancelled` is the reactor's. */
export interface ComputePort {
  readonly kind: "compute port";
  readonly peer: number;
  readonly port: MessagePort;
  readonly cancelled?: Int32Array<SharedArrayBuffer>;
}

/** A thread says that it is ready for ports. */
export const READY_FOR_PORTS = "ready for compute ports";

export function isComputePort(message: unknown): message is ComputePort {
  return (
    typeof message === "object" &&
    message !== null &&
    "kind" in message &&
    message.kind === "compute port"
  );
}

/**
 * A value on its way. Of a view on part of a buffer the whole buffer would be cloned, and a Buffer would arrive as a
 * Uint8Array: as the outermost value, which bytes mostly are, it is neither.
 */
export function packed(value: unknown): { readonly value: unknown; readonly isBuffer: boolean } {
  if (!(value instanceof Uint8Array)) return { value, isBuffer: false };
  const whole = value.byteLength === value.buffer.byteLength;
  return { value: whole ? value : Uint8Array.from(value), isBuffer: Buffer.isBuffer(value) };
}

export function unpacked(value: unknown, isBuffer: boolean): unknown {
  if (!isBuffer || !(value instanceof Uint8Array)) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
