// The section of RESULTS.md about messages between threads.
import { format, formatSpread, NOTHING, occasion, roundsOf, table } from "./markdown.ts";
import type { HopMeasurement, MailboxResult } from "./results.ts";
import { median, spread } from "./statistics.ts";

const REFERENCE = "postMessage";
/** Messages/s of a mailbox as a ratio to postMessage. */
const TO_REACH = 5;

const TITLES: Readonly<Record<string, string>> = {
  postMessage: "postMessage, between two bare threads",
  mailbox: "mailbox, between two bare threads",
  "broadcast of bytes": "`context.broadcast` of bytes, between two reactors",
  "broadcast of an object": "`context.broadcast` of a small object, between two reactors",
};

export function mailboxReport({ provenance, hops, fanOuts }: MailboxResult): string {
  const ways = Map.groupBy(hops, ({ way }) => way);
  const bursts = Map.groupBy(fanOuts, ({ burst }) => burst);
  const subscribers = fanOuts[0]?.subscribers ?? 0;
  return [
    "## Messages between threads",
    "A hop: messages of 64 bytes from one thread to another, nothing pinned. A flood one way, timed by who takes it; then one message at a time, there and back. Ratios are taken to postMessage of the same round.",
    table(
      ["way", "messages/s", "ratio", "to reach", "round trip, p50 µs", "p99 µs"],
      [...ways].map(([way, group]) => hopRow(way, group, hops)),
      1,
    ),
    `A fan-out: \`server.publish\` of 64 bytes to ${format(subscribers)} subscribers on two threads, until the last of them has read it in another process: with the kernel's part, and the reading of it on the same two cores.`,
    table(
      ["published at once", "deliveries/s", "lowest – highest"],
      [...bursts].map(([burst, group]) => {
        const found = spread(group.map(({ deliveriesPerSecond }) => deliveriesPerSecond));
        const range =
          found === undefined ? NOTHING : `${format(found.low)} – ${format(found.high)}`;
        return [String(burst), format(found?.median), range];
      }),
      1,
    ),
    `${occasion(provenance)}: ${roundsOf(provenance.rounds)}, \`${provenance.command}\`.`,
  ].join("\n\n");
}

function hopRow(
  way: string,
  group: readonly HopMeasurement[],
  all: readonly HopMeasurement[],
): string[] {
  const ratios = group.flatMap((own) => {
    const reference = all.find((other) => other.way === REFERENCE && other.round === own.round);
    return reference === undefined ? [] : [own.messagesPerSecond / reference.messagesPerSecond];
  });
  return [
    TITLES[way] ?? way,
    format(median(group.map((each) => each.messagesPerSecond))),
    way === REFERENCE ? "1" : formatSpread(spread(ratios)),
    way === "mailbox" || way === "broadcast of bytes" ? `≥ ${TO_REACH}` : NOTHING,
    format(median(group.map((each) => each.p50Us)), 1),
    format(median(group.map((each) => each.p99Us)), 1),
  ];
}
