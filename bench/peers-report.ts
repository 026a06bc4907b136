// The section of RESULTS.md about other servers, as the lab's experiment `peers` has them.
import { format, NOTHING, occasion, roundsOf, table } from "./markdown.ts";
import type { PeerMeasurement, PeersResult } from "./results.ts";
import { median } from "./statistics.ts";

/** At so many connections the times are told. */
const TIMES_AT = 50;

const TITLES: Readonly<Record<string, string>> = {
  echo: "Echo of 64 bytes",
  resp: "RESP: PING, SET and GET as 1 : 3 : 6",
  http: "HTTP/1.1: GET of two bytes (which Sluice does not speak)",
};

export function peersReport({ provenance, lab, ...result }: PeersResult): string {
  const parts = Map.groupBy(result.measurements, ({ part }) => part);
  return [
    "## Beside others, by connections",
    "A closed loop over loopback with one message in flight on each connection. Nothing is pinned: servers and the load's threads share the two cores, so figures of many connections tell what a server leaves to its load. CPU is the server's, with all its threads. Medians of the rounds.",
    ...[...parts].flatMap(([part, all]) => [`### ${TITLES[part] ?? part}`, partTable(all, result)]),
    ...result.absences.map(({ server, reason }) => `- ${server} is missing: ${reason}`),
    `${occasion(provenance)}: ${roundsOf(provenance.rounds)} of ${provenance.seconds} s, \`${provenance.command}\`, which runs \`${lab}\`.`,
  ].join("\n\n");
}

function partTable(
  all: readonly PeerMeasurement[],
  { contenders }: Pick<PeersResult, "contenders">,
): string {
  const counts = [...new Set(all.map(({ connections }) => connections))].sort((a, b) => a - b);
  const head = counts.map((n) => `messages/s, ${n} conn.`);
  const rows = contenders.flatMap(({ name, version }) => {
    const own = all.filter(({ server }) => server === name);
    if (own.length === 0) return [];
    const at = (connections: number, figure: (one: PeerMeasurement) => number | undefined) =>
      median(own.flatMap((one) => (one.connections === connections ? (figure(one) ?? []) : [])));
    return [
      [
        name,
        version === "" ? NOTHING : version,
        ...counts.map((n) => format(at(n, (one) => one.messagesPerSecond))),
        format(at(TIMES_AT, (one) => one.p50Us)),
        format(at(TIMES_AT, (one) => one.p99Us)),
        format(
          at(TIMES_AT, (one) => one.cpuUs),
          2,
        ),
      ],
    ];
  });
  const times = [`p50 µs, ${TIMES_AT}`, `p99 µs, ${TIMES_AT}`, `CPU µs/message, ${TIMES_AT}`];
  return table(["server", "version", ...head, ...times], rows, 2);
}
