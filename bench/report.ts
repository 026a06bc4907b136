// Writes RESULTS.md from everything in results.json: what was measured and where, which
// figures are reached, then a table per scenario.
import { keyValueReport } from "./key-value-report.ts";
import { mailboxReport } from "./mailbox-report.ts";
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
import { modelsReport } from "./models-report.ts";
import { peersReport } from "./peers-report.ts";
import type { Measurement, Provenance, Results, ScenarioResult } from "./results.ts";
import { KERNEL_TICK_MS, type Scenario, scenarios } from "./scenarios.ts";
import { LOAD_CORE, REFERENCE, SERVER_CORE, servers } from "./servers.ts";
import { DISTURBED, median, ofServer, ratios, spread } from "./statistics.ts";
import { swpReport } from "./swp-report.ts";
import {
  isGeneratorBound,
  judge,
  merit,
  peersToBeat,
  sluiceServer,
  type Verdict,
} from "./thresholds.ts";

export function report(results: Results): string {
  const measured = scenarios.flatMap((scenario) => {
    const result = results.scenarios[scenario.name];
    return result === undefined ? [] : [{ scenario, result }];
  });
  const parts = [
    "# Results",
    "Written by `npm run bench`, `npm run bench:key-value`, `npm run bench:mailbox`, `npm run bench:models`, `npm run bench:peers` and `npm run bench:swp` from `results.json`; changes made by hand are lost.",
    machineSection([
      ...measured.map(({ result }) => result.provenance),
      ...(results.keyValue === undefined ? [] : [results.keyValue.provenance]),
      ...(results.mailbox === undefined ? [] : [results.mailbox.provenance]),
      ...(results.models === undefined ? [] : [results.models.provenance]),
      ...(results.swp === undefined ? [] : [results.swp.provenance]),
      ...(results.peers === undefined ? [] : [results.peers.provenance]),
    ]),
  ];
  if (measured.length > 0) {
    parts.push(method(), thresholdSection(results), peerSection(results));
    for (const { scenario, result } of measured) parts.push(scenarioSection(scenario, result));
  }
  if (results.keyValue !== undefined) parts.push(keyValueReport(results.keyValue));
  if (results.mailbox !== undefined) parts.push(mailboxReport(results.mailbox));
  if (results.models !== undefined) parts.push(modelsReport(results.models));
  if (results.swp !== undefined) parts.push(swpReport(results.swp));
  if (results.peers !== undefined) parts.push(peersReport(results.peers));
  return `${parts.join("\n\n")}\n`;
}

/** The newest machine; below each table stands where that one was measured. */
function machineSection(provenances: readonly Provenance[]): string {
  const newest = [...provenances].sort((a, b) => b.date.localeCompare(a.date))[0];
  if (newest === undefined) return "Nothing has been measured yet.";
  const { machine } = newest;
  return [
    "## Machine and versions",
    "Of the newest measurement; below each table stands when, with what and where that one was measured.",
    table(
      ["what", "which"],
      [
        ["date", newest.date],
        ["machine", `${machine.cpu}, ${machine.memoryGiB} GiB`],
        ["kernel", `${machine.kernel}, TCP congestion control ${machine.congestionControl}`],
        ...Object.entries(machine.versions),
      ],
      2,
    ),
  ].join("\n\n");
}

function method(): string {
  return [
    "## How it is measured",
    [
      `- Every server runs alone on core ${SERVER_CORE}, the load generator (\`bench/c/load.c\`) on core ${LOAD_CORE}, all over 127.0.0.1; the servers take turns within a round, every second round in reverse order. Below each table stands how a round went:`,
      "- **by turns**: every server is started afresh and works for 3 s, in the open loop for 10 s (as many messages as in the closed loops), halfway with new connections, so that its code is compiled; then they are measured in four short bursts each. On a machine that is shared the seconds differ more than the servers do.",
      "- **one after the other**: a server is started afresh, works for 1.5 s (in the open loop for 10 s, where the table is not about the first seconds), and is measured in one piece.",
      `- Figures are medians. Ratios are taken to the C io_uring server (\`bench/c/echo-uring.c\`): a burst's to the mean of its bursts *right before and right after* (at most three others lie between), of which a round's ratio is the median; else to its measurement *of the same round*. Then comes the median of the rounds, and in brackets the lowest and the highest.`,
      "- Server CPU is the process's CPU clock, in nanoseconds, read at the first and at the last moment of the measured window. On loopback the sender also pays for the receiver's half of the TCP stack, for all servers alike.",
      "- Every echoed byte is compared with what was sent.",
      `- **disturbed**: named below a table when other processes had one of the two cores for more than ${percent(DISTURBED)} of a measured window; the ratios and the CPU column suffer less from it than messages/s.`,
      "- **gen**: the load generator set the pace (it was never idle while the server was), so messages/s is a lower bound for that server and the CPU column is the one that tells.",
    ].join("\n"),
  ].join("\n\n");
}

function provenanceLine({ provenance, measurements }: ScenarioResult): string {
  const { command, rounds, seconds } = provenance;
  const how = measurements.some(({ burst }) => burst !== undefined)
    ? "by turns"
    : "one after the other";
  return `${occasion(provenance)}: ${roundsOf(rounds)} of ${seconds} s, ${how}, \`${command}\`.`;
}

// ---- what has to be reached ----

function thresholdSection(results: Results): string {
  const verdicts = scenarios.flatMap((scenario) =>
    judge(scenario, results.scenarios[scenario.name]),
  );
  const reached = verdicts.filter((verdict) => verdict.reached).length;
  return [
    `## Figures to reach: ${reached} of ${verdicts.length}`,
    table(
      ["scenario", "driver", "figure", "to reach", "measured", "reached"],
      verdicts.map(verdictRow),
      3,
    ),
  ].join("\n\n");
}

const figureNames: Record<Verdict["threshold"]["figure"], string> = {
  messagesRatio: "messages/s, ratio to C",
  cpuRatio: "server CPU/message, ratio to C",
  p99Ratio: "p99 latency, ratio to C",
  rssPerConnectionBytes: "RSS per connection",
  idleCpuMs: "CPU of 10 s idle",
};

const relationSigns = { ">=": "≥", "<=": "≤", "<": "<" } as const;

function verdictRow({ scenario, threshold, value, reached, generatorBound }: Verdict): string[] {
  const show = (figure: number): string => {
    if (threshold.figure === "rssPerConnectionBytes") return `${format(figure / 1024, 2)} KiB`;
    if (threshold.figure === "idleCpuMs") return `${format(figure, 2)} ms`;
    return format(figure, 2);
  };
  const mark = value === undefined ? "not measured" : reached ? "yes" : "**no**";
  return [
    scenario.name,
    threshold.driver,
    figureNames[threshold.figure],
    `${relationSigns[threshold.relation]} ${show(threshold.value)}`,
    value === undefined ? NOTHING : show(value),
    generatorBound && value !== undefined ? `${mark} (gen)` : mark,
  ];
}

/** Messages/s, or less p99, or less memory: by what factor Sluice is ahead of each peer. */
function peerSection(results: Results): string {
  const drivers = ["io_uring", "epoll"] as const;
  const rows = scenarios.flatMap((scenario) => {
    const result = results.scenarios[scenario.name];
    if (result === undefined) return [];
    return drivers.map((driver) => [
      scenario.name,
      driver,
      ...peersToBeat.map((peer) => comparison(scenario, result, sluiceServer(driver), peer)),
    ]);
  });
  return [
    "## Ahead of the other runtimes?",
    "Messages/s, p99 in the open loop, and RSS per connection when idle. In brackets the factor by which Sluice is better; **no** where it isn't.",
    table(["scenario", "driver", ...peersToBeat], rows, 2),
  ].join("\n\n");
}

function comparison(
  scenario: Scenario,
  result: ScenarioResult,
  server: string,
  peer: string,
): string {
  const own = merit(scenario, result.measurements, server);
  const other = merit(scenario, result.measurements, peer);
  if (own === undefined || other === undefined) return "not measured";
  const factor = own > 0 ? own / other : other / own;
  const answer = own > other ? "yes" : "**no**";
  return Number.isFinite(factor) && factor > 0 ? `${answer} (${format(factor, 2)} ×)` : answer;
}

// ---- one scenario ----

interface Column {
  readonly head: string;
  cell(measurements: readonly Measurement[], server: string): string;
}

const medianColumn = (
  head: string,
  figure: (measurement: Measurement) => number | undefined,
  digits = 0,
): Column => ({
  head,
  cell: (measurements, server) =>
    format(median(ofServer(measurements, server).flatMap((m) => figure(m) ?? [])), digits),
});

const ratioColumn = (figure: (measurement: Measurement) => number | undefined): Column => ({
  head: "ratio",
  cell: (measurements, server) =>
    server === REFERENCE ? "1" : formatSpread(spread(ratios(measurements, server, figure))),
});

const shareColumn = (head: string, figure: (measurement: Measurement) => number): Column => ({
  head,
  cell: (measurements, server) => percent(median(ofServer(measurements, server).map(figure))),
});

const mebibytes = (bytes: number | undefined): number | undefined =>
  bytes === undefined ? undefined : bytes / 2 ** 20;

const throughputColumns: readonly Column[] = [
  medianColumn("messages/s", (m) => m.messagesPerSecond),
  ratioColumn((m) => m.messagesPerSecond),
  medianColumn("server CPU µs/message", (m) => m.cpuUsPerMessage, 3),
  ratioColumn((m) => m.cpuUsPerMessage),
  medianColumn("p50 µs", (m) => m.latencyUs.p50),
  medianColumn("p99 µs", (m) => m.latencyUs.p99),
  medianColumn("RSS MiB", (m) => mebibytes(m.rssBytes), 1),
  shareColumn("server busy", (m) => m.serverBusy),
  {
    head: "load busy",
    cell: (measurements, server) => {
      const busy = percent(median(ofServer(measurements, server).map((m) => m.loadBusy)));
      return isGeneratorBound(measurements, server) ? `${busy} gen` : busy;
    },
  },
];

const openLoopColumns: readonly Column[] = [
  medianColumn("messages/s", (m) => m.messagesPerSecond),
  medianColumn("p50 µs", (m) => m.latencyUs.p50, 1),
  medianColumn("p99 µs", (m) => m.latencyUs.p99, 1),
  ratioColumn((m) => m.latencyUs.p99),
  medianColumn("p99.9 µs", (m) => m.latencyUs.p99_9, 1),
  medianColumn("max µs", (m) => m.latencyUs.max),
  medianColumn("server CPU µs/message", (m) => m.cpuUsPerMessage, 3),
  ratioColumn((m) => m.cpuUsPerMessage),
  medianColumn("sent late, p99 µs", (m) => m.latenessUs?.p99, 1),
];

const idleColumns: readonly Column[] = [
  medianColumn(
    "RSS per connection, KiB",
    (m) => (m.rssPerConnectionBytes === undefined ? undefined : m.rssPerConnectionBytes / 1024),
    2,
  ),
  medianColumn("RSS MiB", (m) => mebibytes(m.rssBytes), 1),
  medianColumn("CPU while idle, ms", (m) => m.idleCpuMs, 2),
  medianColumn("of seconds", (m) => m.idleSeconds),
];

const columnsOf: Record<Scenario["kind"], readonly Column[]> = {
  closed: throughputColumns,
  churn: throughputColumns,
  open: openLoopColumns,
  idle: idleColumns,
};

const explanations: Partial<Record<Scenario["kind"], string>> = {
  churn:
    "A message here is a whole connection: connect, 64 B, its echo, close by the client. On loopback the handshake runs on the client's core, which is why the generator is the first to be full; CPU per connection is the figure that tells.",
  open: "Latency counts from the moment a message was meant to be sent, so a server that stalls is charged for all that would have come meanwhile. The generator never sleeps; how late it sent is in the last column.",
  idle: `RSS per connection: resident memory with 15,000 connections, each of which has echoed 64 B once, less that before they came, by 15,000. "Before" is after the server has served 50 connections for 2 s and rested for 1 s, so that its code is compiled and its heap has grown. It does not include the kernel's memory. CPU: from 1 s after the last connection came; the kernel shows CPU in ticks of ${KERNEL_TICK_MS} ms, so less than that is what it calls 0.`,
};

function scenarioSection(scenario: Scenario, result: ScenarioResult): string {
  const { measurements, absences } = result;
  const columns = columnsOf[scenario.kind];
  const present = servers.filter(({ name }) => ofServer(measurements, name).length > 0);
  const rows = present.map(({ name, title }) => [
    title,
    ...columns.map((column) => column.cell(measurements, name)),
  ]);
  const parts = [`## ${scenario.title}`];
  const explanation = explanations[scenario.kind];
  if (explanation !== undefined) parts.push(explanation);
  parts.push(table(["server", ...columns.map(({ head }) => head)], rows));
  const notes = [
    ...absences.map(({ server, round, reason }) =>
      round === undefined
        ? `- **missing: ${server}**: ${reason}`
        : `- **failed: ${server}**, round ${round}: ${reason}`,
    ),
    ...errorNotes(measurements),
    ...disturbanceNotes(measurements),
  ];
  if (notes.length > 0) parts.push(notes.join("\n"));
  parts.push(provenanceLine(result));
  return parts.join("\n\n");
}

/** Such figures are worth little, and the report says so. */
function disturbanceNotes(measurements: readonly Measurement[]): string[] {
  return disturbanceNote(
    measurements.map(({ server, serverKeptWaiting, loadKeptWaiting }) => ({
      name: server,
      serverKeptWaiting,
      loadKeptWaiting,
    })),
  );
}

function errorNotes(measurements: readonly Measurement[]): string[] {
  return measurements.flatMap(({ server, round, errors }) => {
    const kinds = Object.entries(errors).map(([name, count]) => `${count} × ${name}`);
    return kinds.length === 0 ? [] : [`- errors: ${server}, round ${round}: ${kinds.join(", ")}`];
  });
}
