// A load's result as one HTML file: the figures, its times by percentile and along the run, and the raw data.

import { embeddedJson, escapeHtml, htmlPage } from "./html-page.ts";
import type { LatencyFigures, LoadResult, StageResult } from "./result.ts";
import { headline, textReport } from "./text-report.ts";
import { count, time } from "./units.ts";

const WIDTH = 720;
const HEIGHT = 260;
const LEFT = 64;
const BOTTOM = 28;
const MARGIN = 12;
const NINES = [0, 0.5, 0.9, 0.99, 0.999, 0.9999];

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Series {
  readonly name: string;
  readonly color: string;
  readonly points: readonly Point[];
}

export function htmlReport(result: LoadResult): string {
  const { machine } = result;
  const title = headline(result);
  const about = `${result.startedAt} · sluice ${result.sluice} · Node ${machine.node} · ${machine.platform} ${machine.kernel} · ${machine.cores} cores, ${machine.cpu} · sluice load ${result.arguments.join(" ")}`;
  const body = [
    `<h1>${escapeHtml(title)}</h1>`,
    `<p class="soft">${escapeHtml(about)}</p>`,
    ...result.stages.map((stage) => stageSection(stage, result)),
    `<h2>As text</h2><div class="scroll"><pre>${escapeHtml(textReport(result))}</pre></div>`,
    download(result),
  ];
  return htmlPage(title, body.join("\n"));
}

function stageSection(stage: StageResult, { plan, stages }: LoadResult): string {
  const { errors, generator } = stage;
  const several = stages.length > 1;
  // In a closed loop both times are one, and would lie upon each other.
  const both = plan.mode !== "closed";
  const parts = [
    several ? `<h2>${count(stage.wantedRate)} messages/s</h2>` : "",
    `<p>${count(stage.messages)} messages in ${stage.seconds.toFixed(1)} s: <b>${count(stage.messagesPerSecond)}/s</b>.</p>`,
    ...errors.map(
      ({ code, count: times, text }) =>
        `<p class="bad">${count(times)} × ${code}: ${escapeHtml(text)}</p>`,
    ),
    generator.bottleneck === null ? "" : `<p class="bad">${escapeHtml(generator.bottleneck)}</p>`,
    timesTable(stage, both),
    plot("Time by percentile", byPercentile(stage, both), NINES.map(nines), time),
    plot("Along the run", alongTheRun(stage), secondsTicks(stage), time),
    plot("Messages/s along the run", ratesAlong(stage), secondsTicks(stage), count),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function timesTable({ response, service, connect }: StageResult, both: boolean): string {
  if (response.count === 0) return "";
  const names = ["", "min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];
  const row = (name: string, f: LatencyFigures) => {
    const cells = [f.min, f.mean, f.p50, f.p90, f.p99, f.p99_9, f.p99_99, f.max];
    return `<tr><td>${name}</td>${cells.map((us) => `<td>${time(us)}</td>`).join("")}</tr>`;
  };
  const head = names.map((name) => `<th>${name}</th>`).join("");
  const rows = [row("response", response), ...(both ? [row("service", service)] : [])];
  if (connect.count > 0) rows.push(row("connect", connect));
  return `<div class="scroll"><table><tr>${head}</tr>${rows.join("")}</table></div>`;
}

function byPercentile({ response, service }: StageResult, both: boolean): Series[] {
  const series = (name: string, color: string, figures: LatencyFigures): Series => {
    let seen = 0;
    const points = figures.histogram.flatMap(([us, times]) => {
      seen += times;
      const left = Math.max(1 - seen / figures.count, 1 / (figures.count * 2));
      return left < 1e-5 ? [] : [{ x: -Math.log10(left), y: us }];
    });
    return { name, color, points };
  };
  const responses = series("response", "var(--a)", response);
  return both ? [responses, series("service", "var(--b)", service)] : [responses];
}

function alongTheRun({ slices }: StageResult): Series[] {
  const series = (name: string, color: string, figure: "p50" | "p99"): Series => ({
    name,
    color,
    points: slices
      .filter(({ messages }) => messages > 0)
      .map((slice) => ({ x: slice.toMs, y: slice[figure] })),
  });
  return [series("p99", "var(--b)", "p99"), series("p50", "var(--a)", "p50")];
}

function ratesAlong({ slices }: StageResult): Series[] {
  const points = slices.map(({ fromMs, toMs, messages }) => ({
    x: toMs,
    y: toMs > fromMs ? (messages * 1000) / (toMs - fromMs) : 0,
  }));
  return [{ name: "messages/s", color: "var(--a)", points }];
}

type Tick = readonly [x: number, text: string];

function nines(share: number): Tick {
  return [share === 0 ? 0 : -Math.log10(1 - share), `${Number((share * 100).toFixed(4))} %`];
}

function secondsTicks({ seconds }: StageResult): Tick[] {
  const digits = seconds < 4 ? 2 : 1;
  return [0, 0.25, 0.5, 0.75, 1].map((part) => [
    part * seconds * 1000,
    `${(part * seconds).toFixed(digits)} s`,
  ]);
}

function plot(
  title: string,
  all: readonly Series[],
  ticks: readonly Tick[],
  unit: (value: number) => string,
): string {
  const points = all.flatMap((series) => series.points);
  // A line takes two.
  if (!all.some((series) => series.points.length > 1)) return "";
  const mostX = Math.max(...points.map(({ x }) => x), ...ticks.map(([x]) => x));
  const mostY = Math.max(...points.map(({ y }) => y)) || 1;
  const atX = (x: number) => LEFT + (x / (mostX || 1)) * (WIDTH - LEFT - MARGIN);
  const atY = (y: number) => HEIGHT - BOTTOM - (y / mostY) * (HEIGHT - BOTTOM - MARGIN);
  const lines = all.map(({ name, color, points: own }, n) => {
    const path = own.map(({ x, y }) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`).join(" ");
    const legend = `<text x="${LEFT + 8 + n * 90}" y="${MARGIN + 8}" style="fill:${color}">${name}</text>`;
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="1.5"/>${legend}`;
  });
  const levels = [0, 0.5, 1].map((part) => {
    const y = atY(part * mostY).toFixed(1);
    const text = `<text x="${LEFT - 6}" y="${Number(y) + 4}" text-anchor="end">${unit(part * mostY)}</text>`;
    return `<line x1="${LEFT}" x2="${WIDTH - MARGIN}" y1="${y}" y2="${y}" stroke="var(--line)"/>${text}`;
  });
  const marks = ticks.map(([x, text]) => {
    // The last one must not stick out.
    const anchor = atX(x) > WIDTH - LEFT / 2 ? "end" : "middle";
    return `<text x="${atX(x).toFixed(1)}" y="${HEIGHT - 8}" text-anchor="${anchor}">${text}</text>`;
  });
  const drawing = [...levels, ...lines, ...marks].join("");
  const svg = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">${drawing}</svg>`;
  return `<h2>${title}</h2><div class="scroll">${svg}</div>`;
}

/** The data is in the page; the link makes a file of it. */
function download(result: LoadResult): string {
  return `<p><a id="raw" download="load.json" href="#">Raw data</a></p>
<script type="application/json" id="data">${embeddedJson(result)}</script>
<script>
const text = document.getElementById("data").textContent;
document.getElementById("raw").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
</script>`;
}
