// multi-reactor: N reactors, each in a thread of its own, all accepting from one listening descriptor: nginx's shape, in
// threads. The calling thread only looks after them: it starts, replaces and closes.
//
// A thread that ends by itself (its handler threw where nobody could catch it, it ran out of heap, somebody called
// process.exit in it) costs its own connections and nothing else: what it left open is closed from here, by the table
// that its driver kept in shared memory, and another thread takes its place.

import { extname } from "node:path";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { deferred } from "../../deferred.ts";
import { sharesDescriptors } from "../../driver/choose-driver.ts";
import type { ListenTarget } from "../../driver/driver.ts";
import { cleanUpAfterThread, notesLength } from "../../driver/thread-notes.ts";
import { type Limits, shareOf } from "../../limits.ts";
import {
  CLOSED,
  CONNECTIONS,
  countersOf,
  INPUT_BYTES,
  OUTPUT_BYTES,
} from "../../reactor/counters.ts";
import type { Address } from "../../sys/address.ts";
import { claimAddress, listenAddress, openSharedListener, ownTarget } from "../listener.ts";
import { slotsFor } from "../reactor-thread.ts";
import { type FromWorker, receivedError, type WorkerStart } from "../worker-messages.ts";
import type { ModelPlan, RunningModel } from "./model.ts";

const FIRST_RESTART_MS = 50;
const LONGEST_RESTART_MS = 1000;
/** A server whose threads end so often within a minute gives up. */
const RESTARTS_PER_MINUTE = 30;
const MINUTE_MS = 60_000;

export async function startMultiReactor(plan: ModelPlan): Promise<RunningModel> {
  const model = new MultiReactor(plan);
  await model.start();
  return model;
}

interface Seat {
  readonly index: number;
  readonly notes: Int32Array<SharedArrayBuffer>;
  worker: Worker | undefined;
  port: MessagePort | undefined;
  /** Settles when the present worker listens or has failed to. */
  listening: PromiseWithResolvers<Address>;
  /** Set while the worker is asked to close. */
  closed: PromiseWithResolvers<boolean> | undefined;
}

class MultiReactor implements RunningModel {
  address: Address = { family: "unix", path: "" };
  readonly ended: Promise<void>;
  readonly #plan: ModelPlan;
  readonly #limits: Limits;
  readonly #seats: readonly Seat[];
  readonly #end = deferred<void>();
  #listener: { readonly descriptor: number; readonly address: Address; close(): void } | undefined;
  #wanted: Address | undefined;
  #closing = false;
  #restarts: number[] = [];

  constructor(plan: ModelPlan) {
    const { threads } = plan.options;
    this.#plan = plan;
    this.#limits = shareOf(plan.options.limits, threads);
    this.ended = this.#end.promise;
    const entries = notesLength(slotsFor(this.#limits.connections));
    this.#seats = Array.from({ length: threads }, (_, index) => ({
      index,
      notes: new Int32Array(new SharedArrayBuffer(entries * 4)).fill(-1),
      worker: undefined,
      port: undefined,
      listening: deferred<Address>(),
      closed: undefined,
    }));
  }

  async start(): Promise<void> {
    const { options, driver } = this.#plan;
    this.#wanted = await listenAddress(options);
    const shares = sharesDescriptors(driver.driver) && !options.reusePort;
    if (shares) this.#listener = openSharedListener(this.#wanted, options);
    else if (!options.reusePort) await claimAddress(this.#wanted);
    try {
      // The first one decides the port, where the system chooses and each has a socket of its own.
      const [first, ...others] = this.#seats;
      if (first === undefined) throw new Error("no threads");
      this.address = await this.#occupy(first);
      this.#wanted = this.address;
      if (this.#listener !== undefined) this.address = this.#listener.address;
      await Promise.all(others.map((seat) => this.#occupy(seat)));
    } catch (error) {
      await this.#abandon();
      throw error;
    }
  }

  async close(drainMs: number): Promise<boolean> {
    this.#closing = true;
    const answers = await Promise.all(this.#seats.map((seat) => this.#closeSeat(seat, drainMs)));
    this.#listener?.close();
    this.#end.resolve();
    return answers.every((clean) => clean);
  }

  /** Puts a new worker on a seat; resolves with its address once it listens. */
  #occupy(seat: Seat): Promise<Address> {
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(workerEntry(), {
      name: `sluice reactor ${seat.index}`,
      workerData: this.#startData(seat, port2),
      transferList: [port2],
    });
    seat.worker = worker;
    seat.port = port1;
    seat.listening = deferred<Address>();
    port1.on("message", (message: FromWorker) => this.#heard(seat, message));
    worker.on("error", (error) => this.#plan.options.onError(error));
    worker.on("exit", (code) => this.#left(seat, worker, code));
    return seat.listening.promise;
  }

  #startData(seat: Seat, port: MessagePort): WorkerStart {
    const { handlers, counters, driver, options } = this.#plan;
    if (!("module" in handlers)) throw new Error("multi-reactor needs a handler module");
    return {
      // The two MessagePort types of Node's declarations describe one class.
      port: port as unknown as WorkerStart["port"],
      module: handlers.module.href,
      driver: driver.driver,
      target: this.#target(),
      limits: this.#limits,
      overflow: options.overflow,
      counters: countersOf(counters, seat.index),
      notes: seat.notes,
    };
  }

  #target(): ListenTarget {
    if (this.#listener !== undefined) {
      return { descriptor: this.#listener.descriptor, shared: this.#seats.length > 1 };
    }
    const { options } = this.#plan;
    if (this.#wanted === undefined) throw new Error("no address");
    // A driver that cannot share a descriptor can share a port.
    const reusePort = options.reusePort || this.#seats.length > 1;
    return ownTarget(this.#wanted, { ...options, socket: { ...options.socket, reusePort } });
  }

  #heard(seat: Seat, message: FromWorker): void {
    if (message.kind === "listening") seat.listening.resolve(message.address);
    else if (message.kind === "failed") this.#failed(seat, receivedError(message.error));
    else if (message.kind === "error") this.#plan.options.onError(message.error);
    else seat.closed?.resolve(message.clean);
  }

  #failed(seat: Seat, error: Error): void {
    seat.listening.reject(error);
    void seat.worker?.terminate();
  }

  #left(seat: Seat, worker: Worker, code: number): void {
    if (seat.worker !== worker) return;
    seat.worker = undefined;
    seat.port?.close();
    cleanUpAfterThread(seat.notes);
    countAsClosed(countersOf(this.#plan.counters, seat.index));
    const error = new Error(`reactor ${seat.index} ended by itself with code ${code}`);
    seat.listening.reject(error);
    seat.closed?.resolve(false);
    if (this.#closing) return;
    this.#plan.options.onError(error);
    this.#replace(seat);
  }

  #replace(seat: Seat): void {
    const now = performance.now();
    this.#restarts = this.#restarts.filter((at) => now - at < MINUTE_MS);
    this.#restarts.push(now);
    if (this.#restarts.length > RESTARTS_PER_MINUTE) {
      const error = new Error(`${RESTARTS_PER_MINUTE} threads ended within a minute: giving up`);
      void this.#abandon().then(() => this.#end.reject(error));
      return;
    }
    const wait = Math.min(FIRST_RESTART_MS * 2 ** (this.#restarts.length - 1), LONGEST_RESTART_MS);
    setTimeout(() => {
      if (!this.#closing) this.#occupy(seat).catch(this.#plan.options.onError);
    }, wait);
  }

  async #closeSeat(seat: Seat, drainMs: number): Promise<boolean> {
    const { worker, port } = seat;
    if (worker === undefined || port === undefined) return true;
    seat.closed = deferred<boolean>();
    port.postMessage({ kind: "close", drainMs });
    const clean = await seat.closed.promise;
    await worker.terminate();
    return clean;
  }

  /** Ends without draining. */
  async #abandon(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#seats.map((seat) => seat.worker?.terminate()));
    this.#listener?.close();
  }
}

/** What the thread had open and kept is gone with it; the next thread on its seat goes on counting from there. */
function countAsClosed(counters: Float64Array): void {
  counters[CLOSED] = (counters[CLOSED] as number) + (counters[CONNECTIONS] as number);
  counters[CONNECTIONS] = 0;
  counters[OUTPUT_BYTES] = 0;
  counters[INPUT_BYTES] = 0;
}

/** The worker's file beside this one: .ts while developing, .js as published. */
function workerEntry(): URL {
  return new URL(`../worker-thread${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
}
