// c10k: connections up to the descriptor limit, nearly all of them idle. What does one cost, and what do the active ones notice?

import { descriptorLimit } from "../../sys/socket-calls.ts";
import type { LabRun } from "../lab-result.ts";
import { figureCard } from "../report/cards.ts";
import { MEMORY, P50, P99, P99_9, THREADS, THROUGHPUT } from "../report/figure.ts";
import type { PartAbout } from "../report/plot.ts";
import type { Experiment } from "./experiment.ts";
import { echoContenders } from "./models.ts";

const ACTIVE = 16;
/** One client address has some 28,000 ports to one target. */
const MOST_IDLE = 25_000;
const IDLE: PartAbout = {
  part: "idle connections",
  x: { label: "idle connections", unit: "count", scale: "log" },
  at: (x) => `${x.toLocaleString("en-US")} idle`,
  burden: true,
};

/** Over the least that this contender was measured with: what its runtime takes is not the connections'. */
function perConnection(runs: readonly LabRun[]) {
  const memoryOf = ({ load }: LabRun) => load?.stages[0]?.server?.memoryBytes;
  return {
    ...MEMORY,
    name: "memory a connection",
    best: "takes the least memory a connection",
    ofRun: (run: LabRun) => {
      const own = runs.filter(
        ({ contender, round }) => contender === run.contender && round === run.round,
      );
      const first = own.reduce((least, other) => (other.x < least.x ? other : least), run);
      const [more, base] = [memoryOf(run), memoryOf(first)];
      if (more === undefined || base === undefined || first.x === run.x) return undefined;
      return Math.max((more - base) / (run.x - first.x), 0);
    },
  };
}

export const c10k: Experiment = {
  name: "c10k",
  summary: "idle connections up to the descriptor limit, beside active ones",
  question:
    "Thousands of connections that say nothing, beside a few that do: what does each cost in memory, and do the active ones notice the idle?",
  method: `So many idle connections as the axis says, each of which has exchanged a line before and exchanges one afterwards, beside ${ACTIVE} active ones in a closed loop. Up to what descriptors and ports allow here. Models whose threads block end at their threads.`,
  async run(bench, choice) {
    const limit = process.platform === "linux" ? descriptorLimit() : 0;
    const soft = typeof limit === "number" ? 1024 : limit.soft;
    // A server takes 80 % of its descriptors for connections, unless told otherwise.
    const most = Math.min(Math.floor(soft * 0.78) - ACTIVE, MOST_IDLE);
    const wanted =
      bench.settings.connections ??
      (bench.settings.quick ? [16, 1000, most] : [16, 200, 1000, 5000, 10_000, most]);
    const counts = [...new Set(wanted.filter((x) => x <= most))].sort((a, b) => a - b);
    for (const x of wanted.filter((n) => n > most)) {
      const reason = `this process and its servers may have ${soft} descriptors each (ulimit -n)`;
      bench.miss({ part: IDLE.part, contender: "everybody", x, reason });
    }
    await bench.sweep({
      part: IDLE,
      contenders: [
        ...echoContenders(bench, choice, [Math.min(...counts) + ACTIVE + 1, 64], IDLE.part),
        ...bench.settings.servers,
      ],
      points: counts.map((x) => ({
        x,
        connections: x + ACTIVE,
        load: {
          ...{ workload: "lines" as const, size: "64", connections: ACTIVE, idle: x },
          timeoutMs: 30_000,
        },
      })),
    });
  },
  cards: (result) => [
    figureCard(result, IDLE, { title: "Memory", figures: [MEMORY] }),
    figureCard(result, IDLE, {
      title: "Memory for a connection",
      figures: [perConnection(result.runs)],
      scale: "log",
    }),
    figureCard(result, IDLE, { title: "Throughput of the active", figures: [THROUGHPUT] }),
    figureCard(result, IDLE, {
      title: "Response time of the active",
      figures: [P99, P50, P99_9],
      scale: "log",
    }),
    figureCard(result, IDLE, { title: "Threads", figures: [THREADS], scale: "log" }),
  ],
};
