// The section of RESULTS.md about the concurrency models.
import { format, formatSpread, NOTHING, occasion, roundsOf, table } from "./markdown.ts";
import {
  ECHO_SCENARIOS,
  EVENT_LOOP,
  HEAVY_SERVERS,
  MULTI_REACTOR_ONE,
  ONE_THREAD,
  THREAD_COUNTS,
  TWO_THREADS,
  threadServers,
} from "./models-servers.ts";
import type { ModelMeasurement, ModelsResult } from "./results.ts";
import { REFERENCE } from "./servers.ts";
import { median, ratios, type Spread, spread } from "./statistics.ts";

const ONE_THREAD_RATIO = 0.97;
const TWO_THREADS_RATIO = 0.9;
const HEAVY_FACTOR = 3;
const MIB = 2 ** 20;

type Figure = (measurement: ModelMeasurement) => number | undefined;
const rate: Figure = (m) => m.messagesPerSecond;
const p99: Figure = (m) => m.p99Us;

export function modelsReport({ provenance, measurements, absences }: ModelsResult): string {
  const of = (part: ModelMeasurement["part"]) => measurements.filter((m) => m.part === part);
  const { rounds, seconds, command } = provenance;
  const parts = [
    "## Concurrency models",
    ...part(
      "### One thread: event-loop, and multi-reactor with one Worker",
      of("one-thread"),
      oneThread,
    ),
    ...part("### Two threads, nothing pinned", of("two-threads"), twoThreads),
    ...part("### 1 in 100 messages costs 20 ms of CPU", of("heavy"), heavyTable),
    ...part("### Threads that block", of("threads"), threadsTable),
  ];
  const missing = absences.map(
    ({ server, round, reason }) => `- **failed: ${server}**, round ${round}: ${reason}`,
  );
  if (missing.length > 0) parts.push(missing.join("\n"));
  parts.push(`${occasion(provenance)}: ${roundsOf(rounds)} of ${seconds} s, \`${command}\`.`);
  return parts.join("\n\n");
}

function part(
  title: string,
  measurements: readonly ModelMeasurement[],
  show: (measurements: readonly ModelMeasurement[]) => string,
): string[] {
  return measurements.length === 0 ? [] : [title, show(measurements)];
}

function oneThread(all: readonly ModelMeasurement[]): string {
  const rows = ECHO_SCENARIOS.map((scenario) => {
    const ratio = ratioOf(all, scenario, EVENT_LOOP, MULTI_REACTOR_ONE, rate);
    const rates = ONE_THREAD.map(({ name }) => format(medianOf(all, scenario, name, rate)));
    return [scenario, ...rates, formatSpread(ratio), reached(ratio, (r) => r >= ONE_THREAD_RATIO)];
  });
  const text = `Messages/s on one core, the load on the other, by turns; event-loop as a ratio to the bursts of multi-reactor around its own, to reach: ≥ ${ONE_THREAD_RATIO}.`;
  return `${text}\n\n${table(["scenario", "event-loop", "multi-reactor, 1", "ratio", "reached"], rows)}`;
}

function twoThreads(all: readonly ModelMeasurement[]): string {
  const rows = ECHO_SCENARIOS.flatMap((scenario) =>
    TWO_THREADS.map(({ name, title }) => {
      const ratio = ratioOf(all, scenario, name, REFERENCE, rate);
      return [
        scenario,
        title,
        format(medianOf(all, scenario, name, rate)),
        name === REFERENCE ? "1" : formatSpread(ratio),
        format(medianOf(all, scenario, name, p99)),
        name === "sluice-io_uring" ? reached(ratio, (r) => r >= TWO_THREADS_RATIO) : NOTHING,
      ];
    }),
  );
  const text = `Servers and load share the machine's cores as the kernel sees fit: the load is one thread beside two. By turns; ratios to the C server's bursts around each (\`bench/c/echo-uring.c\`, one thread accepts and hands every second connection to the other's ring); to reach by io_uring: ≥ ${TWO_THREADS_RATIO}.`;
  return `${text}\n\n${table(["scenario", "server", "messages/s", "ratio", "p99 µs", "reached"], rows, 2)}`;
}

function heavyTable(all: readonly ModelMeasurement[]): string {
  const rows = HEAVY_SERVERS.map(({ name }) => {
    const [alone, mixed] = ["alone", "1 in 100 heavy"];
    const factors = all
      .filter((m) => m.server === name && m.scenario === mixed)
      .flatMap((m) => {
        const base = all.find(
          (o) => o.server === name && o.scenario === alone && o.round === m.round,
        );
        return base === undefined ? [] : [m.p99Us / base.p99Us];
      });
    const factor = spread(factors);
    return [
      name,
      format(medianOf(all, alone, name, p99)),
      format(medianOf(all, mixed, name, p99)),
      formatSpread(factor),
      name === "hybrid" ? reached(factor, (f) => f <= HEAVY_FACTOR) : NOTHING,
    ];
  });
  const text = `2,000 light messages/s (64 B, open loop, 20 connections), alone and with 20 heavy ones/s on connections of their own; one reactor, for hybrid one compute thread, nothing pinned. To reach: p99 of the light ones ≤ ${HEAVY_FACTOR} × their p99 alone. event-loop shows what goes wrong.`;
  const head = ["model", "p99 alone, µs", "p99 with heavy ones, µs", "factor", "reached"];
  return `${text}\n\n${table(head, rows)}`;
}

function threadsTable(all: readonly ModelMeasurement[]): string {
  const rows = THREAD_COUNTS.flatMap((connections) =>
    threadServers(connections).map(({ name }) => {
      const scenario = String(connections);
      const rss = medianOf(all, scenario, name, (m) => m.rssBytes);
      const each = medianOf(all, scenario, name, (m) => m.rssPerConnectionBytes);
      return [
        scenario,
        name,
        format(medianOf(all, scenario, name, rate)),
        format(medianOf(all, scenario, name, p99)),
        rss === undefined ? NOTHING : format(rss / MIB),
        each === undefined ? NOTHING : format(each / MIB, 2),
      ];
    }),
  );
  const text =
    "64 B, one message in flight on each connection, nothing pinned, as they are: they are the lesson. The pool has as many threads as connections, all started before; with fewer, the connections that are too many wait until others close. Memory per connection is what came on top of the started server, by their number.";
  const head = ["connections", "model", "messages/s", "p99 µs", "RSS MiB", "MiB per connection"];
  return `${text}\n\n${table(head, rows, 2)}`;
}

function medianOf(
  all: readonly ModelMeasurement[],
  scenario: string,
  server: string,
  figure: Figure,
): number | undefined {
  const own = all.filter((m) => m.scenario === scenario && m.server === server);
  return median(own.flatMap((m) => figure(m) ?? []));
}

/** By rounds in which both took part. */
function ratioOf(
  all: readonly ModelMeasurement[],
  scenario: string,
  server: string,
  reference: string,
  figure: Figure,
): Spread | undefined {
  const ofScenario = all.filter((m) => m.scenario === scenario);
  return spread(ratios(ofScenario, server, figure, reference));
}

function reached(value: Spread | undefined, test: (value: number) => boolean): string {
  if (value === undefined) return "not measured";
  return test(value.median) ? "yes" : "**no**";
}
