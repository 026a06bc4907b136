// All servers of a scenario in one round: each is started afresh and warmed up, then they are measured in short bursts by turns.
//
// Why: on a machine that others use too, the seconds differ more than the servers do. A burst's neighbours in time share its
// mood, so each is held against the reference's bursts right beside it (statistics.ts).
import { type Cores, type Figures, measureLoad, type Timing } from "./measure.ts";
import type { Scenario } from "./scenarios.ts";
import { REFERENCE, type RunningServer, type Server, startServer } from "./servers.ts";

/** Bursts of each server in a round. */
const BURSTS = 4;
/** The reference has a burst before every third of the others, and one at the end. */
const OTHERS_PER_REFERENCE = 3;
/** Of a burst: its connections are there and the code is in the caches again. */
const BURST_WARMUP_SECONDS = 0.1;
/** Loads of a warm-up, one after the other: what happens when connections close is code, too, and is compiled only once it has been seen. */
const WARMUPS = 2;
/** Shortest window that the load generator takes. */
const SHORTEST_SECONDS = 0.1;

export interface Outcome {
  measured(server: Server, burst: number, figures: Figures): void;
  failed(server: Server, error: unknown): void;
}

/** `timing.seconds` is what the bursts of one server take together. */
export async function measureInTurns(
  scenario: Scenario,
  servers: readonly Server[],
  timing: Timing,
  outcome: Outcome,
  cores?: Cores,
): Promise<void> {
  const running = new Map<Server, RunningServer>();
  const attempt = async (server: Server, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
      const end = running.get(server)?.ended();
      if (end !== undefined) throw new Error(end);
    } catch (error) {
      outcome.failed(server, error);
      await running.get(server)?.stop();
      running.delete(server);
    }
  };
  try {
    for (const server of servers) {
      await attempt(server, async () => {
        const started = await startServer(server, cores?.server);
        running.set(server, started);
        const warmup = { warmupSeconds: timing.warmupSeconds / WARMUPS, seconds: SHORTEST_SECONDS };
        for (let n = 0; n < WARMUPS; n++) await measureLoad(scenario, started, warmup, cores);
      });
    }
    const burstTiming = { seconds: timing.seconds / BURSTS, warmupSeconds: BURST_WARMUP_SECONDS };
    for (const [burst, server] of turnsOf([...running.keys()]).entries()) {
      const started = running.get(server);
      if (started === undefined) continue;
      await attempt(server, async () => {
        outcome.measured(server, burst, await measureLoad(scenario, started, burstTiming, cores));
      });
    }
  } finally {
    for (const started of running.values()) await started.stop();
  }
}

/** Who is measured when: every second time around in reverse order. */
function turnsOf(servers: readonly Server[]): Server[] {
  const reference = servers.filter(({ name }) => name === REFERENCE);
  const others = servers.filter(({ name }) => name !== REFERENCE);
  const turns: Server[] = [];
  for (let around = 0; around < BURSTS; around++) {
    const order = around % 2 === 0 ? others : others.toReversed();
    if (order.length === 0) turns.push(...reference);
    for (let n = 0; n < order.length; n += OTHERS_PER_REFERENCE) {
      turns.push(...reference, ...order.slice(n, n + OTHERS_PER_REFERENCE));
    }
  }
  return [...turns, ...reference];
}
