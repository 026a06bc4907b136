// A result as text: what a terminal shows.

import type {
  LatencyFigures,
  LoadResult,
  PlanFigures,
  ServerFigures,
  StageResult,
} from "./result.ts";
import { bytes, count, memory, time } from "./units.ts";

const COLUMNS = ["min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"] as const;
/** A time that nothing had. */
const NONE = "-";
const LABEL = 12;
const WIDTH = 10;
const LONGEST_COMMAND = 60;
/** In each second, others having a thread's core for longer is worth a word. */
const DISTURBED_MS = 20;

export function textReport(result: LoadResult): string {
  const lines = [headline(result), conditions(result), ""];
  const [only] = result.stages;
  if (result.stages.length === 1 && only !== undefined) lines.push(...oneStage(result.plan, only));
  else lines.push(...severalStages(result));
  if (result.findMax !== null) {
    const { condition, rate, why } = result.findMax;
    lines.push(
      "",
      ...(rate > 0
        ? [`${condition} holds up to ${count(rate)}/s`, `no higher, since ${why}`]
        : [`${condition} holds at no rate that was tried: ${why}`]),
    );
  }
  lines.push(...ownStatistics(result));
  if (result.interrupted) lines.push("", "interrupted: this is what there was so far");
  return lines.join("\n");
}

/** What was run, in a line. */
export function headline({ plan, stages, findMax }: LoadResult): string {
  const { workload, size, mode, connections, idle, depth, rate } = plan;
  const parts = [size === "" ? workload : `${workload}, ${size} bytes`];
  if (mode === "closed") parts.push(`closed loop, ${depth} in flight on each connection`);
  if (findMax !== null) parts.push(`open loops, in search of the highest rate`);
  else if (stages.length > 1) parts.push(`open loops, ${rateRange(stages)}`);
  else if (mode === "open") parts.push(`open loop, ${count(rate)}/s`);
  if (mode === "churn") parts.push("churn: connect, exchange, close");
  if (connections > 0) parts.push(several(connections, "connection"));
  if (idle > 0) parts.push(several(idle, "idle connection"));
  return `${plan.target}: ${parts.join(", ")}`;
}

function rateRange(stages: readonly StageResult[]): string {
  const [from, to] = [stages[0], stages.at(-1)].map((stage) => count(stage?.wantedRate ?? 0));
  return `${from}/s to ${to}/s`;
}

function several(n: number, what: string): string {
  return `${count(n)} ${what}${n === 1 ? "" : "s"}`;
}

function conditions({ plan, stages }: LoadResult): string {
  const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const threads = several(plan.threads, "thread");
  const checked = plan.verified ? "content checked" : "content not checked";
  return `${seconds.toFixed(1)} s measured after ${(plan.warmUpMs / 1000).toFixed(1)} s of warm-up, ${threads}, ${plan.driver} driver, seed ${plan.seed}, ${checked}`;
}

function oneStage(plan: PlanFigures, stage: StageResult): string[] {
  const sent = bytes(stage.bytesSentPerSecond);
  const received = bytes(stage.bytesReceivedPerSecond);
  const rate = `${count(stage.messagesPerSecond)}/s`;
  const lines = [
    row("messages", `${count(stage.messages)} answered: ${rate}, ${sent}/s out, ${received}/s in`),
  ];
  if (stage.wantedRate > 0) {
    const share = (stage.sentPerSecond / stage.wantedRate) * 100;
    const sentRate = `${count(stage.sentPerSecond)}/s left (${share.toFixed(1)} %)`;
    lines.push(row("rate", `${count(stage.wantedRate)}/s wanted, ${sentRate}`));
  }
  if (stage.replaced > 0) {
    const replaced = several(stage.replaced, "connection");
    lines.push(row("replaced", `${replaced} that the target ended between two answers`));
  }
  lines.push(...timesTable(plan, stage), "");
  lines.push(...aboutServer(stage), ...aboutGenerator(plan, stage), ...aboutErrors(stage));
  return lines;
}

function timesTable(plan: PlanFigures, stage: StageResult): string[] {
  if (stage.response.count === 0 && plan.mode !== "idle") return [];
  const lines = ["", label("") + COLUMNS.map((name) => name.padStart(WIDTH)).join("")];
  if (plan.mode !== "idle") lines.push(times("response", stage.response));
  if (plan.mode === "closed") lines.push(row("service", "the same: in a closed loop it is"));
  else if (plan.mode !== "idle") lines.push(times("service", stage.service));
  // Opened all at once, each connection waits for the others: only churn says how long one takes.
  if (plan.mode === "churn") lines.push(times("connect", stage.connect));
  return lines.length > 2 ? lines : [];
}

function severalStages({ stages }: LoadResult): string[] {
  const names = ["wanted/s", "left/s", "answered/s", "p50", "p99", "p99.9", "max", "errors"];
  const lines = [names.map((name) => name.padStart(WIDTH + 1)).join("")];
  for (const stage of stages) {
    const { response, errors } = stage;
    const cells = [
      count(stage.wantedRate),
      count(stage.sentPerSecond),
      count(stage.messagesPerSecond),
      ...[response.p50, response.p99, response.p99_9, response.max].map((us) =>
        response.count === 0 ? NONE : time(us),
      ),
      count(errors.reduce((sum, error) => sum + error.count, 0)),
    ];
    const mark = stage.generator.bottleneck === null ? "" : "  the generator was late";
    lines.push(cells.map((cell) => cell.padStart(WIDTH + 1)).join("") + mark);
  }
  const last = stages.at(-1);
  if (last !== undefined) lines.push("", ...aboutServer(last), ...aboutErrors(last));
  return lines;
}

function times(name: string, figures: LatencyFigures): string {
  const { min, mean, p50, p90, p99, p99_9, p99_99, max } = figures;
  const cells = [min, mean, p50, p90, p99, p99_9, p99_99, max];
  return label(name) + cells.map((us) => time(us).padStart(WIDTH)).join("");
}

function aboutServer({ server, seconds }: StageResult): string[] {
  if (server === null) return [];
  const perSecond = (total: number) => count(seconds > 0 ? total / seconds : 0);
  return [
    row("server", commands(server)),
    row(
      "",
      `${server.busy.toFixed(2)} cores, ${server.cpuUsPerMessage.toFixed(2)} µs CPU a message, ${memory(server.memoryBytes)} (at most ${memory(server.peakMemoryBytes)})`,
    ),
    row(
      "",
      `${several(server.threads, "thread")}, ${several(server.descriptors, "descriptor")}, ${perSecond(server.voluntarySwitches)} + ${perSecond(server.involuntarySwitches)} context switches/s`,
    ),
  ];
}

/** What the server says of itself; zeros say nothing. */
function ownStatistics({ serverStatistics }: LoadResult): string[] {
  const told = Object.entries(serverStatistics ?? {}).filter(([, value]) => value !== 0);
  if (told.length === 0) return [];
  return [row("it counted", told.map(([name, value]) => `${name} ${count(value)}`).join(", "))];
}

function commands({ processes }: ServerFigures): string {
  const [first] = processes;
  if (first === undefined) return "gone";
  const { command, pid } = first;
  const short =
    command.length > LONGEST_COMMAND ? `${command.slice(0, LONGEST_COMMAND - 1)}…` : command;
  const more = processes.length > 1 ? `, and ${processes.length - 1} more` : "";
  return `${short} (pid ${pid}${more})`;
}

function aboutGenerator(plan: PlanFigures, { generator, seconds }: StageResult): string[] {
  const { threads, lateness, bottleneck } = generator;
  const busy = threads.reduce((sum, thread) => sum + thread.busy, 0);
  const late =
    lateness.count > 0
      ? `, behind its schedule by ${time(lateness.p50)} (p50), ${time(lateness.p99)} (p99)`
      : "";
  const spins = plan.mode === "open" ? " (it spins before each message)" : "";
  const waited = threads.reduce((sum, { keptWaitingMs }) => sum + keptWaitingMs, 0);
  const kept = `, kept waiting ${(waited / 10 / threads.length / seconds).toFixed(0)} % by others`;
  const disturbed = waited / threads.length > seconds * DISTURBED_MS ? kept : "";
  const lines = [row("generator", `${busy.toFixed(2)} cores${spins}${late}${disturbed}`)];
  if (bottleneck !== null) lines.push(row("WARNING", bottleneck));
  return lines;
}

function aboutErrors({ errors }: StageResult): string[] {
  if (errors.length === 0) return [row("errors", "none")];
  return errors.map((error, n) =>
    row(n === 0 ? "errors" : "", `${count(error.count)} × ${error.code}: ${error.text}`),
  );
}

function row(name: string, text: string): string {
  return label(name) + text;
}

function label(name: string): string {
  return name.padEnd(LABEL);
}
