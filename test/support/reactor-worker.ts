// A thread with one reactor, as a server's own worker has it, but with nobody who looks after it: for tests that
// terminate it.

import { parentPort, workerData } from "node:worker_threads";
import type { DriverChoice } from "../../src/driver/choices.ts";
import { loadDriver } from "../../src/driver/load-driver.ts";
import { completeLimits } from "../../src/limits.ts";
import { loadHandlers } from "../../src/server/handler-module.ts";
import { ReactorThread } from "../../src/server/reactor-thread.ts";
import { ALONE } from "../../src/server/thread-mail.ts";

export interface ReactorWorkerData {
  readonly driver: DriverChoice;
  readonly handlers: string;
  readonly descriptor: number;
  readonly counters: Float64Array;
  readonly notes: Int32Array;
  readonly connections: number;
}

const { driver, handlers, descriptor, counters, notes, connections } =
  workerData as ReactorWorkerData;

const thread = new ReactorThread({
  makeDriver: await loadDriver(driver),
  handlers: await loadHandlers(new URL(handlers)),
  limits: completeLimits({ connections }),
  overflow: "close",
  slowSubscriber: "drop",
  place: ALONE,
  counters,
  notes,
  report(error) {
    throw error;
  },
});
await thread.listen({ descriptor, shared: true });
parentPort?.postMessage("listening");
