// The section of RESULTS.md about the key-value example and redis-server.
import {
  disturbanceNote,
  format,
  formatSpread,
  NOTHING,
  occasion,
  percent,
  roundsOf,
  table,
} from "./markdown.ts";
import type { KeyValueMeasurement, KeyValueResult } from "./results.ts";
import { median, spread } from "./statistics.ts";

const REFERENCE = "redis-server";

/** Operations/s as a ratio to redis-server, by pipeline depth. */
const THRESHOLDS: ReadonlyMap<number, number> = new Map([
  [1, 1.0],
  [16, 0.8],
]);

const testNames: Readonly<Record<string, string>> = { ping_mbulk: "PING", set: "SET", get: "GET" };

export function keyValueReport({ provenance, measurements, absences }: KeyValueResult): string {
  const groups = Map.groupBy(measurements, (m) => `${m.pipeline} ${m.test} ${m.server}`);
  const rows = [...groups.values()]
    .toSorted((a, b) => order(a[0]) - order(b[0]))
    .map((group) => row(group, measurements));
  const notes = [
    ...absences.map(({ server, round, reason }) =>
      round === undefined
        ? `- **missing: ${server}**: ${reason}`
        : `- **failed: ${server}**, round ${round}: ${reason}`,
    ),
    ...disturbanceNote(
      measurements.map((m) => ({
        name: `${m.server} ${m.test} -P ${m.pipeline}`,
        serverKeptWaiting: m.serverKeptWaiting,
        loadKeptWaiting: m.generatorKeptWaiting,
      })),
    ),
  ];
  const parts = [
    "## Key-value example against redis-server",
    "`examples/key-value.ts` and redis-server (no persistence), one thread each on the server core, `redis-benchmark` with 50 connections on the load core. Ratios are taken to redis-server of the same round. **gen**: redis-benchmark was busy all the time and the server was not, so operations/s is a lower bound for that server and CPU per operation is the column that tells.",
    table(
      [
        ...["command", "-P", "server", "operations/s", "ratio", "to reach", "reached"],
        ...["server CPU µs/operation", "ratio", "p99 ms", "server busy", "redis-benchmark busy"],
      ],
      rows,
      3,
    ),
  ];
  if (notes.length > 0) parts.push(notes.join("\n"));
  parts.push(
    `${occasion(provenance)}: ${roundsOf(provenance.rounds)}, about ${provenance.seconds} s per measurement, \`${provenance.command}\`.`,
  );
  return parts.join("\n\n");
}

/** Pipeline depth, then command, then server; the rounds' order within stays. */
function order(measurement: KeyValueMeasurement | undefined): number {
  if (measurement === undefined) return 0;
  const tests = Object.keys(testNames);
  const servers = [REFERENCE, "sluice-io_uring", "sluice-epoll"];
  const { pipeline, test, server } = measurement;
  return pipeline * 100 + tests.indexOf(test) * 10 + servers.indexOf(server);
}

function row(group: readonly KeyValueMeasurement[], all: readonly KeyValueMeasurement[]): string[] {
  const first = group[0];
  if (first === undefined) return [];
  const isReference = first.server === REFERENCE;
  const ratio = spread(ratiosOf(group, all, (m) => m.operationsPerSecond));
  const cpuRatio = spread(ratiosOf(group, all, (m) => m.cpuUsPerOperation));
  const threshold = isReference ? undefined : THRESHOLDS.get(first.pipeline);
  const bound = group.filter((m) => m.generatorBound).length * 2 > group.length;
  const busy = percent(median(group.map((m) => m.generatorBusy)));
  return [
    testNames[first.test] ?? first.test,
    String(first.pipeline),
    first.server,
    format(median(group.map((m) => m.operationsPerSecond))),
    isReference ? "1" : formatSpread(ratio),
    threshold === undefined ? NOTHING : `≥ ${format(threshold, 1)}`,
    reachedCell(threshold, ratio?.median),
    format(median(group.map((m) => m.cpuUsPerOperation)), 3),
    isReference ? "1" : formatSpread(cpuRatio),
    format(median(group.map((m) => m.p99Ms)), 2),
    percent(median(group.map((m) => m.serverBusy))),
    bound ? `${busy} gen` : busy,
  ];
}

function reachedCell(threshold: number | undefined, value: number | undefined): string {
  if (threshold === undefined || value === undefined) return NOTHING;
  return value >= threshold ? "yes" : "**no**";
}

function ratiosOf(
  group: readonly KeyValueMeasurement[],
  all: readonly KeyValueMeasurement[],
  figure: (measurement: KeyValueMeasurement) => number,
): number[] {
  return group.flatMap((own) => {
    const reference = all.find(
      (m) =>
        m.server === REFERENCE &&
        m.round === own.round &&
        m.test === own.test &&
        m.pipeline === own.pipeline,
    );
    return reference === undefined ? [] : [figure(own) / figure(reference)];
  });
}
