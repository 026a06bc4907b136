// cpu-bound: what becomes of a server when its messages cost CPU time, all alike or a few much more than others.

import { figureCard, type PartAbout, sweepCards } from "../report/cards.ts";
import { P50, P99, P99_9 } from "../report/figure.ts";
import { stepsPerUs } from "../served/work.ts";
import type { Workbench } from "../workbench.ts";
import type { Experiment } from "./experiment.ts";
import { echoContenders } from "./models.ts";

const COST: PartAbout = {
  part: "cost",
  x: { label: "CPU time of a message", unit: "time", scale: "log" },
  at: (x) => (x < 1000 ? `${x} µs a message` : `${x / 1000} ms a message`),
};

const FEW: PartAbout = {
  part: "heavy ones",
  x: { label: "CPU time of one in 200", unit: "time", scale: "log" },
  at: (x) => `${x / 1000} ms for one in 200`,
};

const HEAVY_US = 1000;
const HEAVY_BYTES = 512;
const CONNECTIONS = 16;
const RATE = 1000;

export const cpuBound: Experiment = {
  name: "cpu-bound",
  summary: "messages that cost CPU time: all alike, or one in 200 much more",
  question:
    "When messages cost CPU time, threads are what counts: how many messages does each model compute, and who waits for whom? And when only one message in 200 is heavy: do the light ones have to wait behind it?",
  method: `16 connections. The work is a fixed number of steps, calibrated once for all, so that every model does the same. From ${HEAVY_US / 1000} ms on it is marked heavy: the model hybrid computes it in threads of its own. Cost: a closed loop, all messages alike. Heavy ones: an open loop of ${RATE} messages/s, in which one in 200 costs as much as the axis says: p99 is then that of light messages.`,
  async run(bench, choice) {
    const { quick, costsUs } = bench.settings;
    const contenders = echoContenders(bench, choice, [CONNECTIONS], COST.part);
    const costs = costsUs ?? (quick ? [1, 100, 2000] : [1, 10, 100, 1000, 5000]);
    const steps = stepsPerUs();
    await bench.sweep({
      part: COST.part,
      describe: COST.at,
      contenders,
      points: costs.map((x) => ({
        x,
        load: { workload: "lines" as const, size: "64", connections: CONNECTIONS },
        environment: cost(x, steps),
      })),
    });
    await few(bench, steps, contenders);
  },
  cards: (result) => [
    ...sweepCards(result, COST).filter(({ title }) => title !== "Memory" && title !== "Threads"),
    ...fewCards(result),
  ],
};

async function few(
  bench: Workbench,
  steps: number,
  contenders: ReturnType<typeof echoContenders>,
): Promise<void> {
  const costs = bench.settings.quick ? [20_000] : [1000, 5000, 20_000, 50_000];
  await bench.sweep({
    part: FEW.part,
    describe: FEW.at,
    contenders,
    points: costs.map((x) => ({
      x,
      load: {
        workload: "lines" as const,
        size: `64:199,${HEAVY_BYTES * 2}:1`,
        connections: CONNECTIONS,
        rate: RATE,
        durationMs: Math.max(bench.settings.durationMs, 1500),
      },
      environment: { ...cost(x, steps), SLUICE_LAB_HEAVY_BYTES: String(HEAVY_BYTES) },
    })),
  });
}

function cost(us: number, steps: number): Record<string, string> {
  return {
    SLUICE_LAB_STEPS: String(Math.round(us * steps)),
    SLUICE_LAB_HEAVY_STEPS: String(Math.round(HEAVY_US * steps)),
  };
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
