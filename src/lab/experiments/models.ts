// models: the same handler and the same load under every concurrency model and driver, over the number of connections.

import { availableParallelism } from "node:os";
import type { ModelName } from "../../server/options.ts";
import {
  type Contender,
  MOST_THREADS,
  modelChoices,
  ownModule,
  refusedDrivers,
  sluiceServer,
  USUAL_THREADS,
} from "../contender.ts";
import { sweepCards } from "../report/cards.ts";
import type { PartAbout } from "../report/plot.ts";
import type { Bench } from "../workbench.ts";
import type { Experiment, ModelsAndDrivers } from "./experiment.ts";

export const CONNECTIONS: PartAbout = {
  part: "connections",
  x: { label: "connections", unit: "count", scale: "log" },
  at: (x) => (x === 1 ? "1 connection" : `${x} connections`),
};

export const models: Experiment = {
  name: "models",
  summary: "the same handler and load under every model and driver, over connections",
  question:
    "The same handler, which answers each line with itself, under every concurrency model: who owns a socket, and how many threads there are, is all that differs. What does that do to throughput, waiting, memory and threads as connections grow?",
  method: `A closed loop: each connection sends a line of 64 bytes, waits for its answer, and sends the next. Models whose threads block have a thread for each connection, up to ${USUAL_THREADS} (${MOST_THREADS} where --connections asks for them); the others have one for each core.`,
  async run(bench, choice) {
    const { quick, connections } = bench.settings;
    const counts = connections ?? (quick ? [1, 4, 16] : [1, 4, 16, 64, 256, 1000]);
    await bench.sweep({
      part: CONNECTIONS,
      contenders: [...echoContenders(bench, choice, counts), ...bench.settings.servers],
      points: counts.map((x) => ({
        x,
        load: { workload: "lines" as const, size: "64", connections: x },
      })),
    });
  },
  cards: (result) => sweepCards(result, CONNECTIONS),
};

/** Every model and driver with the lab's handler; refused drivers are named. */
export function echoContenders(
  bench: Bench,
  { models: names, drivers, bestDriver }: ModelsAndDrivers,
  counts: readonly number[],
  part = CONNECTIONS.part,
): Contender[] {
  for (const { driver, reason } of refusedDrivers(drivers)) {
    bench.miss({ part, contender: driver, x: null, reason });
  }
  const most = bench.settings.connections === undefined ? USUAL_THREADS : MOST_THREADS;
  const served = counts.filter((count) => count <= most);
  const blocking = Math.max(...served, 1);
  return modelChoices(names, drivers, bestDriver).map(({ model, driver }) =>
    sluiceServer({
      model,
      driver,
      handlers: ownModule("./served/costly-lines"),
      threads: driver === undefined ? blockingThreads(model, blocking) : availableParallelism(),
      computeThreads: availableParallelism(),
    }),
  );
}

/**
 * As many as there are connections. Where each connection has a thread started for it, that is no more than a bound: those of the load before
 * may still be ending when the next ones come, which would be refused for it.
 */
function blockingThreads(model: ModelName, connections: number): number {
  return model === "thread-per-connection" ? connections * 2 : connections;
}
