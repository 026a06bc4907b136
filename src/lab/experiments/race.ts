// race: a counter that several Workers add to, without and with synchronisation. What is lost is counted.

import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { ownModule } from "../contender.ts";
import type { ExperimentResult } from "../lab-result.ts";
import { figureCard } from "../report/cards.ts";
import { counted } from "../report/figure.ts";
import { gridOf } from "../report/grid.ts";
import type { PartAbout } from "../report/plot.ts";
import { capital } from "../report/sentences.ts";
import { count, digits } from "../units.ts";
import type { Experiment } from "./experiment.ts";
import { COUNTER, type RaceKind, type RaceOrder, WORDS } from "./race-worker.ts";

const KINDS: Readonly<Record<RaceKind, string>> = {
  plain: "without synchronisation",
  mutex: "with a mutex",
  atomic: "atomic addition",
};
/** Long enough that the threads run beside each other; with a lock that is soon. */
const TIMES: Readonly<Record<RaceKind, number>> = {
  plain: 12_000_000,
  mutex: 1_200_000,
  atomic: 12_000_000,
};
/** What a run takes on two cores. */
const RUN_MS = 1000;
const QUICK_RUN_MS = 350;
const THREADS: PartAbout = {
  part: "threads",
  x: { label: "threads", unit: "count", scale: "log" },
  at: (x) => (x === 1 ? "1 thread" : `${x} threads`),
};

const LOST = counted("lostShare", {
  label: "lost updates",
  unit: "percent",
  better: "less",
  best: "loses the fewest updates",
});
const SPEED = counted("perSecond", {
  label: "additions/s",
  unit: "rate",
  better: "more",
  best: "counts fastest",
});

export const race: Experiment = {
  name: "race",
  summary: "a shared counter without and with synchronisation: what is lost is counted",
  question:
    "Several threads count on one number in shared memory. Without synchronisation, two read the same value, both add one, both write: one update is lost. How many are, and what does each way to prevent it cost?",
  method:
    "Workers over one SharedArrayBuffer begin together and add the same number of times each (with the mutex a tenth as often). Lost is what is missing in the sum at the end. The mutex is a futex (Atomics.wait and notify), taken and given back for each addition.",
  closed: "it has no server",
  async run(bench) {
    const { quick, rounds } = bench.settings;
    const most = Math.max(availableParallelism() * 2, 4);
    const threads = [1, 2, 4, 8, 16, 32].filter((n) => n <= most);
    const kinds = Object.keys(KINDS) as RaceKind[];
    const runs = rounds * kinds.length * threads.length;
    if (bench.rehearses) return bench.expect(runs, runs * (quick ? QUICK_RUN_MS : RUN_MS));
    for (let round = 1; round <= rounds; round++) {
      if (!bench.mayBegin(round, THREADS.part)) return;
      for (const kind of round % 2 === 1 ? kinds : kinds.toReversed()) {
        for (const x of threads) {
          if (bench.signal.aborted) return;
          const values = await runRace(kind, x, quick ? TIMES[kind] / 4 : TIMES[kind]);
          const line = `${THREADS.at(x)}: ${count(values.lost)} of ${count(values.expected)} lost`;
          bench.record({ part: THREADS.part, contender: KINDS[kind], x, round, values }, line);
        }
      }
    }
  },
  cards: (result) => {
    const lost = figureCard(result, THREADS, { title: "Lost updates", figures: [LOST] });
    return [
      { ...lost, views: lost.views.map((view) => ({ ...view, text: lostText(result) })) },
      figureCard(result, THREADS, {
        title: "What synchronisation costs",
        figures: [SPEED],
        scale: "log",
      }),
    ];
  },
};

/** Starts the threads, lets them count, and looks at what is there. */
export async function runRace(kind: RaceKind, threads: number, times: number) {
  const memory = new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT);
  const order: RaceOrder = { memory, kind, times, threads };
  const workers = Array.from(
    { length: threads },
    () => new Worker(ownModule("./experiments/race-worker"), { workerData: { race: order } }),
  );
  const told = await Promise.all(
    workers.map(async (worker) => {
      const [[message]] = await Promise.all([once(worker, "message"), once(worker, "exit")]);
      return message as { readonly beganMs: number; readonly endedMs: number };
    }),
  );
  const expected = threads * times;
  const total = new Int32Array(memory)[COUNTER] as number;
  const tookMs =
    Math.max(...told.map(({ endedMs }) => endedMs)) -
    Math.min(...told.map(({ beganMs }) => beganMs));
  return {
    expected,
    counted: total,
    lost: expected - total,
    lostShare: ((expected - total) / expected) * 100,
    perSecond: (expected * 1000) / Math.max(tookMs, 0.001),
  };
}

function lostText(result: ExperimentResult): string[] {
  const names = result.contenders.map(({ name }) => name);
  const grid = gridOf(result.runs, names, LOST);
  const lossy = grid.rows.flatMap(({ contender, cells }) => {
    const losses = cells.flatMap((cell, index) =>
      cell !== undefined && cell.upper > 0
        ? [`${digits(cell.value)} % at ${THREADS.at(grid.xs[index] as number)}`]
        : [],
    );
    return losses.length === 0 ? [] : [`${contender} loses ${losses.join(", ")}`];
  });
  const lost = result.runs.reduce((sum, { values }) => sum + (values.lost ?? 0), 0);
  const all = result.runs.reduce((sum, { values }) => sum + (values.expected ?? 0), 0);
  const safe = grid.rows
    .filter(({ cells }) => cells.every((cell) => cell === undefined || cell.upper === 0))
    .map(({ contender }) => contender);
  const said = lossy.length === 0 ? "No update was lost in these runs" : capital(lossy.join("; "));
  const kept = safe.length === 0 ? "" : ` Nothing at all is lost: ${safe.join(", ")}.`;
  return [
    `${said} (median of the rounds).${kept} Altogether ${count(lost)} of ${count(all)} additions are missing.`,
  ];
}
