// backpressure: what a handler that ignores the answer of write costs in memory, beside one that listens to it.

import { availableParallelism } from "node:os";
import { modelChoices, ownModule, sluiceServer } from "../contender.ts";
import type { ExperimentResult } from "../lab-result.ts";
import { figureCard, sweepCards } from "../report/cards.ts";
import { counted, PEAK_MEMORY } from "../report/figure.ts";
import type { PartAbout } from "../report/plot.ts";
import type { Experiment } from "./experiment.ts";
import { slow } from "./slow-client.ts";

/** Below the hard bound of a connection (limits.connectionOutputBytes, 8 MiB): nobody is cut off for it. */
const TAKE = 7 * 1024 * 1024;

const SLOW: PartAbout = {
  part: "clients that do not read",
  x: { label: "clients that do not read", unit: "count", scale: "linear" },
  at: (x) => (x === 1 ? "1 client" : `${x} clients`),
  burden: true,
};
const CUT = counted("heldCut", {
  label: "clients cut off",
  unit: "count",
  better: "less",
  best: "cuts off the fewest",
});

export const backpressure: Experiment = {
  name: "backpressure",
  summary: "memory with and without it, for clients that do not read",
  question: `Clients ask for ${TAKE / 1024 / 1024} MiB each and read nothing. One handler goes on writing whatever \`write\` answers; the other stops when it answers false, and waits for \`drained()\`. What does the server hold?`,
  method:
    "So many clients as the axis says; beside them one connection exchanges lines, so that the server is seen to live. Memory is the most that was resident in the run. Both have the default limits: there is a hard bound for all connections together (limits.outputBytes, 256 MiB), at which writers are cut off.",
  closed: "it is about two handlers of Sluice",
  async run(bench, { drivers }) {
    const counts = bench.settings.quick ? [0, 8, 16] : [0, 4, 8, 16, 32, 64];
    const handlers = ownModule("./served/answers");
    const [choice] = modelChoices(["multi-reactor"], drivers, true);
    if (choice === undefined) return;
    const contenders = ["with", "without"].map((name) =>
      sluiceServer({
        ...choice,
        handlers,
        threads: availableParallelism(),
        name: `${name} backpressure`,
        environment: { SLUICE_LAB_BACKPRESSURE: name === "with" ? "yes" : "no" },
      }),
    );
    await bench.sweep({
      part: SLOW,
      contenders,
      points: counts.map((x) => ({
        x,
        load: { workload: "lines" as const, size: "64", connections: 1, rate: 100 },
        // Memory that one point has taken would be there at the next one.
        environment: {},
        beside: (server) => slow(x, server.address, TAKE),
      })),
    });
  },
  cards,
};

function cards(result: ExperimentResult) {
  const [, times] = sweepCards(result, SLOW);
  return [
    figureCard(result, SLOW, { title: "Memory", figures: [PEAK_MEMORY] }),
    figureCard(result, SLOW, { title: "Clients that were cut off", figures: [CUT] }),
    ...(times === undefined ? [] : [{ ...times, title: "Response time of the one beside them" }]),
  ];
}
