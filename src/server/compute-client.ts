// A reactor's way to the compute threads: sends each task to the thread that has the fewest, and gives its result to who waits.
//
// What waits, waits with a compute thread: it is at most as much as `limits.computeQueue` says over all reactors, and a task
// that was cancelled before its turn costs that thread one look. While there is no thread, because all are being replaced,
// tasks wait here.
// Invariant: a task counts in `loads` from when it was sent until its answer, or the end of its thread, is known here.

import type { MessagePort } from "node:worker_threads";
import type { Heavy } from "../handlers.ts";
import { type Compute, ComputeFullError } from "../reactor/computing.ts";
import {
  type ComputePort,
  type ComputeSeat,
  type FromCompute,
  packed,
  type ToCompute,
  unpacked,
} from "./compute-messages.ts";

interface Pending {
  /** The compute thread that has it, or NOBODY. */
  thread: number;
  readonly heavy: Heavy<unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

const NOBODY = -1;

export class ComputeClient {
  readonly #seat: ComputeSeat;
  readonly #ports = new Map<number, MessagePort>();
  readonly #pending = new Map<number, Pending>();
  /** Slots that are free, last in first out. */
  readonly #free: number[];
  /** Slots of tasks that wait for any thread at all. */
  readonly #waiting: number[] = [];

  constructor(seat: ComputeSeat) {
    this.#seat = seat;
    this.#free = Array.from({ length: seat.queue }, (_, n) => seat.queue - 1 - n);
    // A predecessor's tasks are nobody's.
    for (let thread = 0; thread < seat.threads; thread++) this.#setLoad(thread, 0);
  }

  /** Takes a task, or throws a ComputeFullError. The promise of a cancelled one is settled all the same. */
  readonly compute: Compute = (heavy, signal) => {
    const slot = this.#total() < this.#seat.queue ? this.#free.pop() : undefined;
    if (slot === undefined) {
      throw new ComputeFullError(
        `${this.#seat.queue} tasks wait to be computed: see limits.computeQueue and computeThreads`,
      );
    }
    return new Promise<unknown>((resolve, reject) => {
      this.#pending.set(slot, { thread: NOBODY, heavy, resolve, reject });
      try {
        this.#send(slot);
      } catch (error) {
        // It cannot be cloned.
        this.#settle(slot)?.reject(error);
      }
      signal.addEventListener("abort", () => this.#cancel(slot, heavy), { once: true });
    });
  };

  /** A compute thread can be reached through this port from now on. */
  connect({ peer: thread, port }: ComputePort): void {
    this.#ports.set(thread, port);
    port.on("message", (answer: FromCompute) => this.#answered(answer));
    port.on("close", () => this.#lost(thread, port));
    for (const slot of this.#waiting.splice(0)) this.#send(slot);
  }

  close(): void {
    for (const port of this.#ports.values()) port.close();
  }

  #send(slot: number): void {
    const pending = this.#pending.get(slot);
    if (pending === undefined) return;
    const thread = this.#leastLoaded();
    const port = this.#ports.get(thread);
    if (port === undefined) return void this.#waiting.push(slot);
    const { task, transfer } = pending.heavy;
    const { value, isBuffer } = packed(task);
    Atomics.store(this.#seat.cancelled, slot, 0);
    const message: ToCompute = { kind: "task", slot, task: value, isBuffer };
    port.postMessage(message, [...transfer]);
    pending.thread = thread;
    this.#setLoad(thread, this.#load(thread) + 1);
  }

  #answered(answer: FromCompute): void {
    const pending = this.#settle(answer.slot);
    if (pending === undefined) return;
    if ("error" in answer) pending.reject(answer.error);
    else pending.resolve(unpacked(answer.result, answer.isBuffer));
  }

  /** The task of a slot is over, one way or the other. */
  #settle(slot: number): Pending | undefined {
    const pending = this.#pending.get(slot);
    if (pending === undefined) return undefined;
    this.#pending.delete(slot);
    this.#free.push(slot);
    if (pending.thread !== NOBODY) this.#setLoad(pending.thread, this.#load(pending.thread) - 1);
    return pending;
  }

  #cancel(slot: number, heavy: Heavy<unknown>): void {
    const pending = this.#pending.get(slot);
    // The slot may be another task's by now.
    if (pending?.heavy !== heavy) return;
    if (pending.thread === NOBODY) {
      this.#waiting.splice(this.#waiting.indexOf(slot), 1);
      this.#settle(slot)?.resolve(undefined);
      return;
    }
    Atomics.store(this.#seat.cancelled, slot, 1);
    this.#ports.get(pending.thread)?.postMessage({ kind: "cancel", slot } satisfies ToCompute);
  }

  /** A compute thread has ended: what it had will not be answered. */
  #lost(thread: number, port: MessagePort): void {
    if (this.#ports.get(thread) === port) this.#ports.delete(thread);
    for (const [slot, pending] of this.#pending) {
      if (pending.thread !== thread) continue;
      this.#settle(slot);
      pending.reject(new Error(`compute thread ${thread} ended while it had this task`));
    }
  }

  #leastLoaded(): number {
    let best = NOBODY;
    let least = Number.POSITIVE_INFINITY;
    for (const thread of this.#ports.keys()) {
      const load = this.#loadOfAll(thread);
      if (load >= least) continue;
      best = thread;
      least = load;
    }
    return best;
  }

  #loadOfAll(thread: number): number {
    const { loads, threads } = this.#seat;
    let sum = 0;
    for (let at = thread; at < loads.length; at += threads) sum += Atomics.load(loads, at);
    return sum;
  }

  #total(): number {
    const { loads } = this.#seat;
    let sum = this.#waiting.length;
    for (let at = 0; at < loads.length; at++) sum += Atomics.load(loads, at);
    return sum;
  }

  #load(thread: number): number {
    return Atomics.load(this.#seat.loads, this.#seat.reactor * this.#seat.threads + thread);
  }

  #setLoad(thread: number, load: number): void {
    Atomics.store(this.#seat.loads, this.#seat.reactor * this.#seat.threads + thread, load);
  }
}
