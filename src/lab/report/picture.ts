// A plot as one SVG file, for a page that runs no script: lines with their names at the right, in light and dark.

import { escapeHtml } from "../html-page.ts";
import { count, digits, memory, time } from "../units.ts";
import { type Axis, PALETTE, type Plot, type Series, type Unit } from "./plot.ts";

/** Colors of series, by their place. */
export interface Palette {
  readonly light: readonly string[];
  readonly dark: readonly string[];
}

/** Those of the report's page: of its style, where they stand for light first. */
export function paletteOf(style: string): Palette {
  const all = [...style.matchAll(/--c\d+: (#\w+);/g)].map(([, color = ""]) => color);
  return { light: all.slice(0, PALETTE), dark: all.slice(PALETTE) };
}

const WIDTH = 860;
const HEIGHT = 400;
/** Around the lines: axes at the left and below, names at the right. */
const BOX = { left: 76, right: 650, top: 44, bottom: 348 };
/** Names do not lie upon each other. */
const NAME_HEIGHT = 17;
/** As text: UTF-8, complete, without anything from elsewhere. */
export function picture(title: string, plot: Plot, palette: Palette): string {
  const toX = scaleOf(plot.x, plot.xs, BOX.left + 12, BOX.right - 12);
  const values = plot.series.flatMap(({ ys }) => ys.filter((y) => y !== null));
  const ticks = ticksOf(plot.y, values);
  const toY = scaleOf(plot.y, ticks, BOX.bottom, BOX.top);
  const parts = [
    `<text x="${BOX.left}" y="22" class="title">${escapeHtml(title)}</text>`,
    ...ticks.map((value) => tickOfY(value, toY(value), plot.y.unit)),
    ...plot.xs.map((value) => text(toX(value), BOX.bottom + 18, "middle", count(value))),
    text((BOX.left + BOX.right) / 2, BOX.bottom + 40, "middle", plot.x.label),
    ...plot.series.map((series) => lineOf(series, plot.xs.map(toX), toY)),
    ...namesOf(plot.series, toY),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">
${style(palette)}
${parts.join("\n")}
</svg>
`;
}

function style({ light, dark }: Palette): string {
  const colors = (all: readonly string[]) =>
    all.map((color, n) => `.c${n}{stroke:${color}}.n${n}{fill:${color}}`).join("");
  return `<style>text{font:13px system-ui,sans-serif;fill:#555}.title{font-size:15px;fill:#111}.grid{stroke:#ddd}path{fill:none;stroke-width:2.2}.dashed{stroke-dasharray:7 4}${colors(light)}
@media(prefers-color-scheme:dark){text{fill:#aaa}.title{fill:#eee}.grid{stroke:#333}${colors(dark)}}</style>`;
}

function scaleOf({ scale }: Axis, values: readonly number[], from: number, to: number) {
  const place = scale === "log" ? Math.log10 : (value: number) => value;
  const low = place(Math.min(...values));
  const span = place(Math.max(...values)) - low || 1;
  return (value: number) => from + ((place(value) - low) / span) * (to - from);
}

/** Round numbers that hold all values between them; a linear axis begins at 0. */
function ticksOf({ scale }: Axis, values: readonly number[]): number[] {
  const most = Math.max(...values, Number.MIN_VALUE);
  if (scale === "log") {
    const first = Math.floor(Math.log10(Math.min(...values)));
    const last = Math.ceil(Math.log10(most));
    return Array.from({ length: Math.max(last - first, 1) + 1 }, (_, n) => 10 ** (first + n));
  }
  const power = 10 ** Math.floor(Math.log10(most / 4));
  const step = power * ([1, 2, 5, 10].find((factor) => (power * factor * 5) / most >= 1) ?? 10);
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, n) => n * step);
}

const WRITE: Readonly<Record<Unit, (value: number) => string>> = {
  rate: (value) => (value >= 1000 ? `${digits(value / 1000)} k/s` : `${digits(value)}/s`),
  time,
  memory,
  count,
  percent: (value) => `${digits(value)} %`,
  seconds: (value) => `${digits(value)} s`,
  quantile: digits,
};

function tickOfY(value: number, y: number, unit: Unit): string {
  const line = `<line class="grid" x1="${BOX.left}" x2="${BOX.right}" y1="${at(y)}" y2="${at(y)}"/>`;
  return line + text(BOX.left - 8, y + 4, "end", value === 0 ? "0" : WRITE[unit](value));
}

function lineOf({ color, dashed, ys }: Series, xs: readonly number[], toY: (y: number) => number) {
  const points = ys.flatMap((y, n) => (y === null ? [] : [`${at(xs[n] ?? 0)} ${at(toY(y))}`]));
  const dots = points.map((point) => {
    const [x, y] = point.split(" ");
    return `<circle class="n${color}" cx="${x}" cy="${y}" r="3.2"/>`;
  });
  return `<path class="c${color}${dashed === true ? " dashed" : ""}" d="M${points.join("L")}"/>${dots.join("")}`;
}

/** In the order of where the lines end, pushed apart. */
function namesOf(series: readonly Series[], toY: (y: number) => number): string[] {
  const ends = series
    .flatMap(({ name, color, dashed, ys }) => {
      const last = ys.findLast((y) => y !== null) ?? null;
      const shown = dashed === true ? `${name} (dashed)` : name;
      return last === null ? [] : [{ name: shown, color, y: toY(last) }];
    })
    .sort((a, b) => a.y - b.y);
  let free = BOX.top;
  const placed = ends.map((end) => {
    const y = Math.max(end.y, free);
    free = y + NAME_HEIGHT;
    return { ...end, y };
  });
  // Those at the end may have been pushed out: back up, as far as it takes.
  let most = BOX.bottom;
  for (const end of placed.toReversed()) {
    end.y = Math.min(end.y, most);
    most = end.y - NAME_HEIGHT;
  }
  return placed.map(
    ({ name, color, y }) =>
      `<text class="n${color}" x="${BOX.right + 10}" y="${at(y + 4)}">${escapeHtml(name)}</text>`,
  );
}

function text(x: number, y: number, anchor: string, words: string): string {
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}">${escapeHtml(words)}</text>`;
}

function at(value: number): string {
  return String(Math.round(value * 10) / 10);
}
