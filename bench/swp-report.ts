// The section of RESULTS.md about SWP/1.
import { format, formatSpread, occasion, roundsOf, table } from "./markdown.ts";
import type { SwpMeasurement, SwpResult } from "./results.ts";
import { median, spread } from "./statistics.ts";

const TITLES: Readonly<Record<string, string>> = {
  call: "SWP/1 calls",
  "length-prefix echo": "length-prefix echo, same reactor",
  "grpc-js": "@grpc/grpc-js, unary calls",
  ws: "WebSocket echo, `ws`",
  nats: "NATS request/reply, nats-server and responder",
  "call, one at a time": "SWP/1 calls, one at a time",
  "length-prefix echo, one at a time": "length-prefix echo, one at a time",
  deliveries: "deliveries to 1,000 subscribers",
  decoder: "decoder alone, frames of 32 bytes",
  "idle sessions": "15,000 sessions opened, a call each",
};

type Figure = (measurement: SwpMeasurement) => number | undefined;

const perSecond: Figure = (m) => m.perSecond;
const perCpuSecond: Figure = (m) => 1 / m.cpuUs;
const p50: Figure = (m) => m.p50Us;

export function swpReport({ provenance, measurements, absences }: SwpResult): string {
  const subjects = Map.groupBy(measurements, ({ subject }) => subject);
  const middle = (subject: string, figure: Figure) =>
    median((subjects.get(subject) ?? []).flatMap((m) => figure(m) ?? []));
  const ratio = (one: string, other: string, figure: Figure) =>
    spread(ratiosOf(subjects.get(one) ?? [], subjects.get(other) ?? [], figure));
  const reached = (value: number | undefined, least: number) =>
    value === undefined ? "not measured" : value >= least ? "yes" : "**no**";
  const against = (other: string, figure: Figure, what: string, least: number) => {
    const found = ratio("call", other, figure);
    const title = `calls to ${TITLES[other]}, ${what}`;
    return [title, `≥ ${least}`, formatSpread(found), reached(found?.median, least)];
  };
  const latency = ratio("call, one at a time", "length-prefix echo, one at a time", p50);
  const deliveries = middle("deliveries", perSecond);
  const decoder = middle("decoder", perSecond);
  const idle = middle("idle sessions", (m) => m.rssPerSessionBytes);
  const parts = [
    "## SWP/1",
    "Calls with a raw body of 32 bytes, 50 connections with 16 in flight each; one reactor on core 0, the load on core 1. What serves is on core 0, for NATS both nats-server and a responder of its own client. The load of WebSocket and NATS is a bare socket, that of gRPC its own client, which may set the pace: messages for the same CPU of the server is the figure that does not depend on it.",
    table(
      ["what", "messages/s", "server CPU µs/message", "p50 µs"],
      [...subjects].map(([subject]) => [
        TITLES[subject] ?? subject,
        format(middle(subject, perSecond)),
        format(
          middle(subject, (m) => m.cpuUs),
          2,
        ),
        format(middle(subject, p50), 1),
      ]),
    ),
    table(
      ["ratio or figure", "to reach", "measured", "reached"],
      [
        against("length-prefix echo", perSecond, "messages/s", 0.5),
        against("grpc-js", perSecond, "messages/s", 8),
        against("grpc-js", perCpuSecond, "for the same CPU", 8),
        against("ws", perSecond, "messages/s", 4),
        against("ws", perCpuSecond, "for the same CPU", 4),
        against("nats", perCpuSecond, "for the same CPU", 1),
        [
          "p50 of a call to that of the echo, one at a time",
          "≤ 1.15",
          formatSpread(latency),
          latency === undefined ? "not measured" : latency.median <= 1.15 ? "yes" : "**no**",
        ],
        ["deliveries/s", "≥ 1,000,000", format(deliveries), reached(deliveries, 1e6)],
        ["decoded frames/s", "≥ 20,000,000", format(decoder), reached(decoder, 20e6)],
        [
          "RSS of the server for each of 15,000 idle sessions",
          "≤ 3.00 KiB",
          idle === undefined ? "not measured" : `${format(idle / 1024, 2)} KiB`,
          idle === undefined ? "not measured" : idle <= 3072 ? "yes" : "**no**",
        ],
      ],
    ),
  ];
  if (absences.length > 0) {
    parts.push(
      absences
        .map(({ server, reason }) => `- **missing: ${TITLES[server] ?? server}**: ${reason}`)
        .join("\n"),
    );
  }
  const { rounds, seconds, command } = provenance;
  parts.push(`${occasion(provenance)}: ${roundsOf(rounds)} of ${seconds} s, \`${command}\`.`);
  return parts.join("\n\n");
}

/** Of the same round. */
function ratiosOf(
  ones: readonly SwpMeasurement[],
  others: readonly SwpMeasurement[],
  figure: Figure,
): number[] {
  return ones.flatMap((one) => {
    const other = others.find(({ round }) => round === one.round);
    const [a, b] = [figure(one), other === undefined ? undefined : figure(other)];
    return a === undefined || b === undefined || b === 0 ? [] : [a / b];
  });
}
