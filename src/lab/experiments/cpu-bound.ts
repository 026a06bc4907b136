// cpu-bound: what becomes of a server when its messages cost CPU time, all alike or a few much more than others.

import type { Contender } from "../contender.ts";
import { figureCard, sweepCards } from "../report/cards.ts";
import { P50, P99, P99_9 } from "../report/figure.ts";
import type { PartAbout } from "../report/plot.ts";
import { stepsPerUs } from "../served/work.ts";
import type { Experiment } from "./experiment.ts";
import { echoContenders } from "./models.ts";

const COST: PartAbout = {
  part: "cost",
  x: { label: "CPU time of a message", unit: "time", scale: "log" },
  at: (x) => (x < 1000 ? `${x} µs a message` : `${x / 1000} ms a message`),
  burden: true,
};

const FEW: PartAbout = {
  part: "heavy ones",
  x: { label: "CPU time of one in 200", unit: "time", scale: "log" },
  at: (x) => `${x / 1000} ms for one in 200`,
  burden: true,
};

const HEAVY_US = 1000;
/** Lines of these lengths cost something: one more for each cost. */
const FIRST_BYTES = 64;
const RATE = 1000;

export const cpuBound: Experiment = {
  name: "cpu-bound",
  summary: "messages that cost CPU time: all alike, or one in 200 much more",
  question:
    "When messages cost CPU time, threads are what counts: how many messages does each model compute, and who waits for whom? And when only one message in 200 is heavy: do the light ones have to wait behind it?",
  method: `The work is a fixed number of steps, calibrated once for all, so that every model does the same. From ${HEAVY_US / 1000} ms on it is marked heavy: the model hybrid computes it in threads of its own. Cost: a closed loop of 16 connections (--quick: 8), all messages alike. Heavy ones: an open loop of ${RATE} messages/s, in which one in 200 costs as much as the axis says: p99 is then that of light messages.`,
  closed: "its messages cost CPU time that the lab's own handler spends",
  async run(bench, choice) {
    const { quick, costsUs, durationMs } = bench.settings;
    const connections = quick ? 8 : 16;
    const costs = costsUs ?? (quick ? [100, 2000] : [1, 100, 1000, 5000]);
    const few = quick ? [20_000] : [1000, 5000, 20_000];
    const all = [...new Set([...costs, ...few])];
    const bytesOf = (cost: number) => FIRST_BYTES + 1 + all.indexOf(cost);
    const load = { workload: "lines" as const, connections };
    await bench.sweep({
      part: COST,
      contenders: withWork(echoContenders(bench, choice, [connections], COST.part), all, bytesOf),
      points: [
        ...costs.map((x) => ({ x, load: { ...load, size: withEnding(bytesOf(x)) } })),
        ...few.map((x) => ({
          part: FEW,
          x,
          load: {
            ...{ ...load, rate: RATE, durationMs: Math.max(durationMs, 800) },
            size: `${FIRST_BYTES}:199,${withEnding(bytesOf(x))}:1`,
          },
        })),
      ],
    });
  },
  cards: (result) => [
    ...sweepCards(result, COST).filter(({ title }) => title !== "Memory" && title !== "Threads"),
    ...fewCards(result),
  ],
};

/** Sizes of the workload count the line's ending, the handler does not. */
function withEnding(bytes: number): string {
  return String(bytes + 1);
}

function withWork(
  contenders: readonly Contender[],
  costsUs: readonly number[],
  bytesOf: (cost: number) => number,
): Contender[] {
  const steps = stepsPerUs();
  const work = costsUs.map((us) => `${bytesOf(us)}:${Math.round(us * steps)}`).join(",");
  const environment = {
    SLUICE_LAB_WORK: work,
    SLUICE_LAB_HEAVY_STEPS: String(Math.round(HEAVY_US * steps)),
  };
  return contenders.map((contender) => ({ ...contender, environment }));
}

function fewCards(result: Parameters<Experiment["cards"]>[0]) {
  const runs = result.runs.filter(({ part }) => part === FEW.part);
  if (runs.length === 0) return [];
  const [, , , , , , distribution, timeline] = sweepCards(result, FEW);
  return [
    figureCard(result, FEW, {
      title: "Light messages beside heavy ones",
      figures: [P99, P50, P99_9],
      scale: "log",
    }),
    ...[distribution, timeline].flatMap((card) =>
      card === undefined ? [] : [{ ...card, title: `${card.title}, one in 200 heavy` }],
    ),
  ];
}
