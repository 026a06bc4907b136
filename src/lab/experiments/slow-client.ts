// slow-client: clients that ask for much and never read it, beside others who behave.

import { availableParallelism } from "node:os";
import { MOST_THREADS, modelChoices, ownModule, sluiceServer } from "../contender.ts";
import { HeldConnections } from "../held-connections.ts";
import { sweepCards } from "../report/cards.ts";
import type { PartAbout } from "../report/plot.ts";
import type { Beside } from "../workbench.ts";
import type { Experiment } from "./experiment.ts";

const ACTIVE = 8;
const TAKE = 4 * 1024 * 1024;
const POOL = 16;

const SLOW: PartAbout = {
  part: "slow clients",
  x: { label: "clients that do not read", unit: "count", scale: "linear" },
  at: (x) => (x === 1 ? "1 slow client" : `${x} slow clients`),
  burden: true,
};

export const slowClient: Experiment = {
  name: "slow-client",
  summary: "clients that ask for much and never read it, beside others",
  question:
    "Some clients ask for much and never read it. Does the server keep its answers in memory for them? Do those wait who have done nothing wrong?",
  method: `So many slow clients as the axis says have each asked for ${TAKE / 1024 / 1024} MiB and read nothing; beside them ${ACTIVE} connections exchange lines in a closed loop. The handler waits for \`drained\` as it should. The pool has ${POOL} threads.`,
  closed: "its clients ask for megabytes, which the lab's own handler answers",
  async run(bench, { models, drivers, bestDriver }) {
    const counts = bench.settings.quick ? [0, 8, 16] : [0, 1, 4, 8, 12, 16, 64];
    const handlers = ownModule("./served/answers");
    const contenders = modelChoices(models, drivers, bestDriver).map((choice) => {
      const most = choice.model === "thread-pool" ? POOL : Math.max(...counts) + ACTIVE + 1;
      const threads =
        choice.driver === undefined ? Math.min(most, MOST_THREADS) : availableParallelism();
      return {
        ...sluiceServer({ ...choice, handlers, threads }),
        // That a pool has too few threads is what is looked at.
        mostConnections: Number.POSITIVE_INFINITY,
      };
    });
    await bench.sweep({
      part: SLOW,
      contenders,
      points: counts.map((x) => ({
        x,
        connections: x + ACTIVE,
        load: {
          ...{ workload: "lines" as const, size: "64", connections: ACTIVE },
          timeoutMs: Math.max(bench.settings.durationMs * 2, 1000),
        },
        environment: {},
        beside: (server) => slow(x, server.address),
      })),
    });
  },
  cards: (result) => sweepCards(result, SLOW),
};

/** They stay until the load is over. */
export async function slow(
  count: number,
  address: Parameters<typeof HeldConnections.hold>[0],
  bytes = TAKE,
): Promise<Beside> {
  const request = `take ${bytes}\n`;
  const held = await HeldConnections.hold(address, { count, request, reads: false, patienceMs: 0 });
  return {
    end: async () => {
      const cut = held.failed;
      held.end();
      return { heldCut: cut };
    },
  };
}
