// pool-starvation: connections that are idle occupy the threads of a pool; who comes behind them waits, with nothing to do
// anywhere.

import { availableParallelism } from "node:os";
import { modelChoices, ownModule, sluiceServer } from "../contender.ts";
import { HeldConnections } from "../held-connections.ts";
import type { ExperimentResult } from "../lab-result.ts";
import { figureCard, sweepCards } from "../report/cards.ts";
import { CPU, counted, THROUGHPUT } from "../report/figure.ts";
import type { PartAbout } from "../report/plot.ts";
import { capital } from "../report/sentences.ts";
import type { Beside } from "../workbench.ts";
import type { Experiment } from "./experiment.ts";

const POOL = 4;
const ACTIVE = 4;
const RATE = 400;

const IDLE: PartAbout = {
  part: "idle connections",
  x: { label: "idle connections before", unit: "count", scale: "linear" },
  at: (x) => `${x} idle`,
  burden: true,
};

const SERVED = counted("heldServed", {
  label: "idle connections served",
  unit: "count",
  better: "more",
  best: "has served most of the idle connections",
});
const ANSWERED = {
  ...THROUGHPUT,
  name: "answered/s",
  best: "answers most of those behind",
};

export const poolStarvation: Experiment = {
  name: "pool-starvation",
  summary: "idle connections occupy the threads of a pool",
  question: `A pool of ${POOL} threads, each blocked in the connection that it serves. Idle connections come first and stay; what do the ${ACTIVE} that come behind them and have something to say get? And why does an event loop not care?`,
  method: `So many idle connections as the axis says, each of which has said a line first; then ${ACTIVE} active ones in an open loop of ${RATE} messages/s. What is not answered when the run ends counts as not answered; CPU shows that nobody is busy.`,
  async run(bench) {
    const { quick } = bench.settings;
    const held = quick ? [0, 2, 4] : [0, 1, 2, 3, 4, 6, 8];
    const handlers = ownModule("./served/costly-lines");
    const pool = sluiceServer({
      ...{ model: "thread-pool", driver: undefined, handlers, threads: POOL },
      name: `thread-pool of ${POOL}`,
    });
    const [loop] = modelChoices(["event-loop"], undefined, true);
    const [reactors] = quick ? [] : modelChoices(["multi-reactor"], undefined, true);
    const others = [loop, reactors].flatMap((choice) =>
      choice === undefined
        ? []
        : [sluiceServer({ ...choice, handlers, threads: availableParallelism() })],
    );
    await bench.sweep({
      part: IDLE,
      // The pool's own bound is what is looked at here.
      contenders: [
        { ...pool, mostConnections: Number.POSITIVE_INFINITY },
        ...others,
        ...bench.settings.servers,
      ],
      points: held.map((x) => ({
        x,
        load: {
          workload: "lines" as const,
          connections: ACTIVE,
          rate: RATE,
          timeoutMs: Math.max(bench.settings.durationMs * 1.5, 600),
        },
        // What was not answered in one run would still wait in the next one's queue.
        environment: {},
        beside: async (server) => hold(x, server.address),
      })),
    });
  },
  cards: (result) => {
    const [, times, ...rest] = sweepCards(result, IDLE);
    const answered = figureCard(result, IDLE, {
      title: "What those behind them get",
      figures: [ANSWERED],
    });
    const wanted = { ...answered, text: [starvation(result)] };
    const timeline = rest.at(-1);
    return [
      wanted,
      ...(times === undefined ? [] : [{ ...times, title: "How long they wait" }]),
      figureCard(result, IDLE, { title: "Idle connections that were served", figures: [SERVED] }),
      figureCard(result, IDLE, { title: "CPU time of the server for a message", figures: [CPU] }),
      ...(timeline === undefined ? [] : [timeline]),
    ];
  },
};

async function hold(
  count: number,
  address: Parameters<typeof HeldConnections.hold>[0],
): Promise<Beside> {
  const held = await HeldConnections.hold(address, {
    ...{ count, request: "here\n", reads: true, patienceMs: 300 },
  });
  const served = held.answered;
  return {
    end: async () => {
      held.end();
      return { heldServed: served };
    },
  };
}

/** From how many idle connections on nobody behind them is answered any more. */
function starvation(result: ExperimentResult): string {
  const starved = result.contenders.flatMap(({ name }) => {
    const own = result.runs.filter(({ contender }) => contender === name);
    const dead = own.filter(({ load }) => (load?.stages[0]?.messages ?? 0) === 0);
    const least = Math.min(...dead.map(({ x }) => x));
    return Number.isFinite(least)
      ? [`${name} answers nothing any more from ${least} idle connections on`]
      : [];
  });
  return starved.length === 0
    ? "Everybody was answered by everyone."
    : `${capital(starved.join("; "))}.`;
}
