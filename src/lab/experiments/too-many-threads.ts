// too-many-threads: more threads than cores, with the same connections.

import { availableParallelism } from "node:os";
import { modelChoices, ownModule, sluiceServer } from "../contender.ts";
import { sweepCards } from "../report/cards.ts";
import type { PartAbout } from "../report/plot.ts";
import type { Experiment } from "./experiment.ts";

const CONNECTIONS = 64;
const THREADS: PartAbout = {
  part: "threads",
  x: { label: "threads", unit: "count", scale: "log" },
  at: (x) => (x === 1 ? "1 thread" : `${x} threads`),
};

export const tooManyThreads: Experiment = {
  name: "too-many-threads",
  summary: "more reactors than cores",
  question:
    "One reactor a core is the rule. What do more of them bring, and what do they cost in memory and context switches?",
  method: `A closed loop of ${CONNECTIONS} connections and 64 bytes against multi-reactor with so many threads as the axis says; this machine has ${availableParallelism()} cores, and the load's threads are on them too.`,
  closed: "it is about the number of Sluice's threads",
  async run(bench, { drivers, bestDriver }) {
    const threads = bench.settings.quick ? [1, 2, 8] : [1, 2, 4, 8, 16, 32, 64];
    const handlers = ownModule("./served/costly-lines");
    const load = { workload: "lines" as const, size: "64", connections: CONNECTIONS };
    const choices = modelChoices(["multi-reactor"], drivers, bestDriver);
    const server = (choice: (typeof choices)[number], x: number) =>
      sluiceServer({ ...choice, handlers, threads: x });
    await bench.sweep({
      part: THREADS,
      contenders: choices.map((choice) => server(choice, 1)),
      points: threads.map((x) => ({
        x,
        load,
        as: (contender) => {
          const choice = choices.find((one) => server(one, 1).name === contender.name);
          return choice === undefined ? contender : server(choice, x);
        },
      })),
    });
  },
  cards: (result) => sweepCards(result, THREADS),
};
