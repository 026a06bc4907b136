// A process with two reactor threads. Over IPC it is told to terminate one of them and puts another in its place, as a
// server does with a thread that died.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { deferred } from "../../src/deferred.ts";
import type { DriverChoice } from "../../src/driver/choices.ts";
import { cleanUpAfterThread, notesLength } from "../../src/driver/thread-notes.ts";
import { countersOf, makeCounters } from "../../src/reactor/counters.ts";
import { openSharedListener } from "../../src/server/listener.ts";
import { checkOptions } from "../../src/server/options.ts";
import { slotsFor } from "../../src/server/reactor-thread.ts";
import type { ReactorWorkerData } from "./reactor-worker.ts";

const CONNECTIONS = 200;
const driver = process.argv[2] as DriverChoice;
const listener = openSharedListener(
  { family: "ipv4", host: "127.0.0.1", port: 0 },
  checkOptions({}, true),
);
const counters = makeCounters(2);

class Seat {
  readonly #data: ReactorWorkerData;
  #worker: Worker;

  constructor(index: number) {
    const notes = new Int32Array(new SharedArrayBuffer(notesLength(slotsFor(CONNECTIONS)) * 4));
    this.#data = {
      driver,
      handlers: new URL("./handlers/lethal.ts", import.meta.url).href,
      descriptor: listener.descriptor,
      counters: countersOf(counters, index),
      notes: notes.fill(-1),
      connections: CONNECTIONS,
    };
    this.#worker = this.#start();
  }

  get threadId(): number {
    return this.#worker.threadId;
  }

  listening(): Promise<unknown> {
    return once(this.#worker, "message");
  }

  async replace(): Promise<void> {
    await this.#worker.terminate();
    cleanUpAfterThread(this.#data.notes);
    this.#worker = this.#start();
    await this.listening();
  }

  #start(): Worker {
    return new Worker(new URL("./reactor-worker.ts", import.meta.url), { workerData: this.#data });
  }
}

const seats = [new Seat(0), new Seat(1)];
await Promise.all(seats.map((seat) => seat.listening()));

process.on("message", async (message) => {
  if (message === "stop") process.kill(process.pid, "SIGKILL");
  const seat = seats.find(({ threadId }) => `terminate ${threadId}` === message);
  const done = deferred<void>();
  void seat?.replace().then(done.resolve);
  await done.promise;
  process.send?.("replaced");
});

if (listener.address.family !== "unix") console.log(`port ${listener.address.port}`);
