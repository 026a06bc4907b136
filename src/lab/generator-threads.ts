// The generator threads of a run, from the main thread's side: started, asked together, and ended.

import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { deferred } from "../deferred.ts";
import { OptionError } from "../limits.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { type LoadPlan, shareOfPlan } from "./load-plan.ts";
import { Recorder, recorderMemory } from "./recorder.ts";
import {
  CONTROL_BYTES,
  type FromThread,
  STOP_WORD,
  type ThreadStart,
  type ToThread,
} from "./thread-messages.ts";

interface Seat {
  readonly worker: Worker;
  readonly recorder: Recorder;
  answer: PromiseWithResolvers<FromThread>;
}

export class GeneratorThreads {
  readonly #control = new SharedArrayBuffer(CONTROL_BYTES);
  readonly #seats: readonly Seat[];

  constructor(plan: LoadPlan) {
    this.#seats = Array.from({ length: plan.threads }, (_, index) => this.#start(plan, index));
  }

  /** What a counter (recorder.ts) is now, over all threads. */
  sum(counter: number): number {
    return this.#seats.reduce(
      (sum, { recorder }) => sum + (recorder.counters[counter] as number),
      0,
    );
  }

  /** What a histogram holds now, over all threads. */
  merged(name: "response" | "service" | "connect" | "lateness"): LatencyHistogram {
    const all = new LatencyHistogram();
    for (const { recorder } of this.#seats) all.add(recorder[name]);
    return all;
  }

  /** Orders them to end what they are doing. */
  stop(): void {
    Atomics.store(new Int32Array(this.#control), STOP_WORD, 1);
  }

  /** All answers. @throws what a thread could not survive */
  async askAll(order: ToThread): Promise<FromThread[]> {
    const answers = this.#seats.map(async (seat) => {
      seat.worker.postMessage(order);
      const answer = await seat.answer.promise;
      seat.answer = quietly(deferred<FromThread>());
      return answer;
    });
    return Promise.all(answers);
  }

  /** Closes all connections, and ends the threads. */
  async close(): Promise<void> {
    try {
      await this.askAll({ kind: "close" });
    } finally {
      this.stop();
      await Promise.all(this.#seats.map(({ worker }) => worker.terminate()));
    }
  }

  #start(plan: LoadPlan, index: number): Seat {
    const recorder = recorderMemory();
    const share = shareOfPlan(plan, index);
    const start: ThreadStart = { plan: share, index, recorder, control: this.#control };
    const worker = new Worker(entry(), { name: `sluice load ${index}`, workerData: start });
    const answer = quietly(deferred<FromThread>());
    const seat: Seat = { worker, recorder: new Recorder(recorder), answer };
    worker.on("message", (message: FromThread) => {
      if (message.kind !== "broken") seat.answer.resolve(message);
      else seat.answer.reject(new (message.usage ? OptionError : Error)(message.message));
    });
    worker.on("error", (error) => seat.answer.reject(error));
    worker.on("exit", (code) =>
      seat.answer.reject(new Error(`generator thread ${index} ended by itself with code ${code}`)),
    );
    return seat;
  }
}

/** A thread may break while nobody waits for its answer: who asks next hears of it. */
function quietly<Value>(answer: PromiseWithResolvers<Value>): PromiseWithResolvers<Value> {
  answer.promise.catch(() => {
    // Kept in the promise.
  });
  return answer;
}

/** The thread's file beside this one: .ts while developing, .js as published. */
function entry(): URL {
  return new URL(
    `./generator-thread${extname(new URL(import.meta.url).pathname)}`,
    import.meta.url,
  );
}
