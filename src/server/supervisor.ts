// Looks after threads: each seat has one Worker, which is started, replaced when it ends by itself, and closed in the end.
//
// What a thread does is the business of its kind (a reactor, a worker of a pool): the supervisor knows only the
// messages of worker-messages.ts, and hands on what a model and its threads have to say to each other. It runs in the thread that started the server.
//
// Invariant: a seat is told `left` once for each worker that was on it, after that has ended and before the next one
// starts: whatever the dead one noted in shared memory is cleaned up by nobody else.

import { MessageChannel, type MessagePort, type ResourceLimits, Worker } from "node:worker_threads";
import { deferred } from "../deferred.ts";
import { type FromWorker, receivedError, type ToWorker } from "./worker-messages.ts";

const FIRST_RESTART_MS = 50;
const LONGEST_RESTART_MS = 1000;
/** A server whose threads end so often within a minute gives up. */
const RESTARTS_PER_MINUTE = 30;
const MINUTE_MS = 60_000;

/** What a model's threads are. */
export interface ThreadKind {
  /** The worker's file: .ts while developing, .js as published. */
  readonly entry: URL;
  /** Bounds of its heap; Node's own when left out. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /** What the thread is called, in errors and in `top -H`, which shows the first 15 letters. */
  name(seat: number): string;
  /** Given to the worker as its workerData, with `port` added. */
  startData(seat: number): object;
  /** The thread of a seat is gone, however it ended: clean up what it left. */
  left(seat: number): void;
  /** What the thread has to say to its model. */
  heard?(seat: number, message: unknown): void;
}

export interface SupervisorOptions {
  readonly kind: ThreadKind;
  /** Threads at the most. */
  readonly seats: number;
  readonly onError: (error: unknown) => void;
  /** The threads end too often: all have been terminated, and none is started any more. */
  readonly gaveUp: (error: Error) => void;
}

interface Seat<Ready> {
  readonly index: number;
  worker: Worker | undefined;
  port: MessagePort | undefined;
  /** Settles when the present worker works or has failed to. */
  ready: PromiseWithResolvers<Ready>;
  /** Set while the worker is asked to close. */
  closed: PromiseWithResolvers<boolean> | undefined;
}

export class Supervisor<Ready> {
  readonly #options: SupervisorOptions;
  readonly #seats: readonly Seat<Ready>[];
  #closing = false;
  #restarts: number[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#seats = Array.from({ length: options.seats }, (_, index) => ({
      index,
      worker: undefined,
      port: undefined,
      ready: deferred<Ready>(),
      closed: undefined,
    }));
  }

  /** Puts a worker on a free seat; resolves once it works. @throws what its start failed with */
  start(index: number): Promise<Ready> {
    return this.#occupy(this.#seat(index));
  }

  /** Says something of the model's to the thread of a seat; false when there is none at the moment. */
  say(index: number, message: unknown): boolean {
    const { port } = this.#seat(index);
    if (port === undefined) return false;
    port.postMessage({ kind: "model", message } satisfies ToWorker);
    return true;
  }

  /** Asks every thread to finish and ends it; true when all had finished in time. None is replaced from here on. */
  async close(drainMs: number): Promise<boolean> {
    this.#closing = true;
    const answers = await Promise.all(this.#seats.map((seat) => this.#closeSeat(seat, drainMs)));
    return answers.every((clean) => clean);
  }

  /** Terminates every thread. */
  async abandon(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#seats.map((seat) => seat.worker?.terminate()));
  }

  #seat(index: number): Seat<Ready> {
    const seat = this.#seats[index];
    if (seat === undefined) throw new RangeError(`there is no seat ${index}`);
    return seat;
  }

  #occupy(seat: Seat<Ready>): Promise<Ready> {
    const { kind, onError } = this.#options;
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(kind.entry, {
      name: kind.name(seat.index),
      workerData: { ...kind.startData(seat.index), port: port2 },
      transferList: [port2],
      ...(kind.resourceLimits !== undefined && { resourceLimits: kind.resourceLimits }),
    });
    seat.worker = worker;
    seat.port = port1;
    seat.ready = deferred<Ready>();
    port1.on("message", (message: FromWorker<Ready>) => this.#heard(seat, message));
    worker.on("error", (error) => onError(error));
    worker.on("exit", (code) => this.#left(seat, worker, code));
    return seat.ready.promise;
  }

  #heard(seat: Seat<Ready>, message: FromWorker<Ready>): void {
    if (message.kind === "ready") seat.ready.resolve(message.ready);
    else if (message.kind === "failed") this.#failed(seat, receivedError(message.error));
    else if (message.kind === "error") this.#options.onError(message.error);
    else if (message.kind === "closed") seat.closed?.resolve(message.clean);
    else this.#options.kind.heard?.(seat.index, message.message);
  }

  #failed(seat: Seat<Ready>, error: Error): void {
    seat.ready.reject(error);
    void seat.worker?.terminate();
  }

  #left(seat: Seat<Ready>, worker: Worker, code: number): void {
    if (seat.worker !== worker) return;
    const { kind, onError } = this.#options;
    seat.worker = undefined;
    seat.port?.close();
    seat.port = undefined;
    kind.left(seat.index);
    const error = new Error(`${kind.name(seat.index)} ended by itself with code ${code}`);
    seat.ready.reject(error);
    seat.closed?.resolve(false);
    if (this.#closing) return;
    onError(error);
    this.#replace(seat);
  }

  #replace(seat: Seat<Ready>): void {
    const { onError, gaveUp } = this.#options;
    const now = performance.now();
    this.#restarts = this.#restarts.filter((at) => now - at < MINUTE_MS);
    this.#restarts.push(now);
    if (this.#restarts.length > RESTARTS_PER_MINUTE) {
      const error = new Error(`${RESTARTS_PER_MINUTE} threads ended within a minute: giving up`);
      void this.abandon().then(() => gaveUp(error));
      return;
    }
    const wait = Math.min(FIRST_RESTART_MS * 2 ** (this.#restarts.length - 1), LONGEST_RESTART_MS);
    setTimeout(() => {
      if (!this.#closing) this.#occupy(seat).catch(onError);
    }, wait);
  }

  async #closeSeat(seat: Seat<Ready>, drainMs: number): Promise<boolean> {
    const { worker, port } = seat;
    if (worker === undefined || port === undefined) return true;
    seat.closed = deferred<boolean>();
    port.postMessage({ kind: "close", drainMs } satisfies ToWorker);
    const clean = await seat.closed.promise;
    await worker.terminate();
    return clean;
  }
}
