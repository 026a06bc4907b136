// What is seen in a grid, in sentences made of its figures: who is best where, by how much, where growth ends, who changes
// places. Nothing is said that the intervals do not allow: what overlaps is called no difference.

import type { Interval } from "../rank-statistics.ts";
import { count, digits, memory, time } from "../units.ts";
import type { Figure } from "./figure.ts";
import type { Grid, Row } from "./grid.ts";
import type { PartAbout, Unit } from "./plot.ts";

/** Closer than this is no difference, whatever the intervals say: as `sluice compare` has it. */
const MARGIN = 0.03;
/** The same where nothing is known of how much figures vary: of a single run. */
const MARGIN_OF_ONE = 0.1;
/** Growth below this share for a step is none. */
const KNEE_GROWTH = 0.1;
/** A difference that is worth a factor: beyond it "times" reads better than "%". */
const TIMES = 2;

/** How a value is written, by its unit. */
export function written(value: number, unit: Unit): string {
  if (unit === "time") return time(value);
  if (unit === "memory") return memory(value);
  if (unit === "rate") return `${count(value)}/s`;
  if (unit === "percent" || unit === "quantile") return `${digits(value)} %`;
  if (unit === "seconds") return `${digits(value)} s`;
  return Number.isInteger(value) ? count(value) : digits(value);
}

/** All that is to be said about a grid; `at` names a point: "32 connections". */
export function sentences(
  grid: Grid,
  { at, burden = false }: Pick<PartAbout, "at" | "burden">,
): string[] {
  const last = lastShared(grid);
  if (last === undefined) return ["Nothing was measured here."];
  const said = [ranking(grid, last, at)];
  const first = grid.xs.findIndex((_, index) => present(grid, index).length > 1);
  if (first >= 0 && first < last) said.push(changeOfPlaces(grid, first, last, at));
  if (grid.figure.better === "more" && !burden) said.push(...knees(grid, at), ...drops(grid));
  else said.push(...growth(grid, at));
  return said.filter((sentence) => sentence !== "");
}

/** Who is best at a point, who is as good, and who is last by how much. */
export function ranking(grid: Grid, index: number, at: (x: number) => string): string {
  const ranked = rank(grid, index);
  const [best, ...others] = ranked;
  if (best === undefined) return "";
  const { figure } = grid;
  const where = at(grid.xs[index] as number);
  if (others.length === 0)
    return `${capital(best.name)} at ${where}: ${valueText(best.cell, figure)}.`;
  const ties = others.filter(({ cell }) => alike(best.cell, cell));
  const alone = ties.length === 0;
  if (ties.length === others.length) {
    const all = listed(ranked.map(({ name }) => name));
    return `At ${where}: no difference in ${figure.name} between ${all} (${rangeText(ranked, figure)}).`;
  }
  const lead = alone
    ? `At ${where} ${best.name} ${figure.best}: ${valueText(best.cell, figure)}.`
    : `At ${where} ${best.name} ${figure.best} (${valueText(best.cell, figure)}), with no difference shown to ${listed(ties.map(({ name }) => name))}.`;
  const rest = others.filter(({ cell }) => !alike(best.cell, cell));
  const [next] = rest;
  const worst = ranked.at(-1);
  const parts = [lead];
  // Often zeros: nobody of them is last.
  if (rest.length > 1 && rest.every(({ cell }) => cell.value === worst?.cell.value)) {
    const value = gapText(best.cell, rest[0]?.cell ?? best.cell, figure);
    return `${lead} ${capital(listed(rest.map(({ name }) => name)))} have ${value}.`;
  }
  if (worst !== undefined && others.length === 1) {
    return `${lead} ${capital(worst.name)} has ${gapText(best.cell, worst.cell, figure)}.`;
  }
  if (next !== undefined && next !== worst) {
    parts.push(`${capital(next.name)} follows with ${gapText(best.cell, next.cell, figure)}.`);
  }
  if (worst !== undefined) {
    parts.push(`Last is ${worst.name} with ${gapText(best.cell, worst.cell, figure)}.`);
  }
  return parts.join(" ");
}

/** Neither is better, as far as these figures go. */
export function alike(a: Interval, b: Interval): boolean {
  if (a.lower <= b.upper && b.lower <= a.upper) return true;
  const known = a.lower < a.upper || b.lower < b.upper;
  return Math.abs(Math.log(a.value / b.value)) < Math.log(1 + (known ? MARGIN : MARGIN_OF_ONE));
}

export function listed(names: readonly string[]): string {
  if (names.length < 2) return names.join("");
  // "C, epoll" is one.
  const between = names.some((name) => name.includes(",")) ? "; " : ", ";
  return `${names.slice(0, -1).join(between)} and ${names.at(-1)}`;
}

function changeOfPlaces(
  grid: Grid,
  first: number,
  last: number,
  at: (x: number) => string,
): string {
  const [early] = rank(grid, first);
  const [late] = rank(grid, last);
  if (early === undefined || late === undefined || early.name === late.name) return "";
  const lateAtFirst = rank(grid, first).find(({ name }) => name === late.name);
  if (lateAtFirst !== undefined && alike(early.cell, lateAtFirst.cell)) return "";
  const where = at(grid.xs[first] as number);
  const { figure } = grid;
  const compared =
    lateAtFirst === undefined
      ? ""
      : `, ${late.name} has ${written(lateAtFirst.cell.value, figure.unit)} there`;
  return `At ${where} it is ${early.name} that ${figure.best}: ${written(early.cell.value, figure.unit)}${compared}.`;
}

/** From which point on more of x brings no more. */
function knees(grid: Grid, at: (x: number) => string): string[] {
  if (grid.xs.length < 3) return [];
  const byX = new Map<number, string[]>();
  const growing: string[] = [];
  for (const row of grid.rows) {
    const knee = kneeOf(grid, row);
    if (knee === undefined) growing.push(row.contender);
    else byX.set(knee, [...(byX.get(knee) ?? []), row.contender]);
  }
  const said = [...byX]
    .sort(([a], [b]) => a - b)
    .map(([x, names]) => `${at(x)} for ${listed(names)}`);
  const parts: string[] = [];
  if (said.length > 0)
    parts.push(
      `The knee, beyond which less than ${KNEE_GROWTH * 100} % is gained, is at ${said.join("; ")}.`,
    );
  if (growing.length > 0 && said.length > 0)
    parts.push(
      `${capital(listed(growing))} still ${growing.length > 1 ? "gain" : "gains"} at the end.`,
    );
  return parts;
}

/** Who has less at the end than at its best. */
function drops(grid: Grid): string[] {
  const falling = grid.rows.flatMap((row) => dropOf(grid, row) ?? []);
  return falling.length === 0 ? [] : [`${capital(falling.join("; "))}.`];
}

function kneeOf(grid: Grid, row: Row): number | undefined {
  const known = row.cells.flatMap((cell, index) =>
    cell === undefined ? [] : [{ x: grid.xs[index] as number, value: cell.value }],
  );
  if (known.length < 3) return undefined;
  const most = Math.max(...known.map(({ value }) => value));
  const knee = known.find(({ value }) => value >= most / (1 + KNEE_GROWTH));
  return knee === undefined || knee === known.at(-1) ? undefined : knee.x;
}

/** It loses again behind its best point. */
function dropOf(grid: Grid, row: Row): string | undefined {
  const cells = row.cells.filter((cell) => cell !== undefined);
  const last = cells.at(-1);
  const most = cells.reduce(
    (best, cell) => (cell.value > best.value ? cell : best),
    cells[0] as Interval,
  );
  if (last === undefined || alike(most, last) || last.value > most.value / (1 + KNEE_GROWTH))
    return undefined;
  const lost = ((1 - last.value / most.value) * 100).toFixed(0);
  return `${row.contender} loses ${lost} % again from its best (${written(most.value, grid.figure.unit)}) to the end (${written(last.value, grid.figure.unit)})`;
}

/** How much a cost grows along the axis, or what a burden leaves of a gain: the most and the least. */
function growth(grid: Grid, at: (x: number) => string): string[] {
  const grown = grid.rows.flatMap((row) => {
    const known = row.cells.flatMap((cell, index) => (cell === undefined ? [] : [{ cell, index }]));
    const [from, to] = [known[0], known.at(-1)];
    if (from === undefined || to === undefined || from === to || from.cell.value <= 0) return [];
    return [{ row, from, to, factor: to.cell.value / from.cell.value }];
  });
  const sorted = grown.sort((a, b) => b.factor - a.factor);
  const [most, least] = [sorted[0], sorted.at(-1)];
  if (most === undefined || least === undefined || alike(most.from.cell, most.to.cell)) return [];
  const { unit } = grid.figure;
  const text = ({ row, from, to }: (typeof grown)[number]) =>
    `${row.contender} (${written(from.cell.value, unit)} at ${at(grid.xs[from.index] as number)}, ${written(to.cell.value, unit)} at ${at(grid.xs[to.index] as number)}: ${change(from.cell, to.cell)})`;
  const falls = (one: (typeof grown)[number]) =>
    one.factor < 1 && !alike(one.from.cell, one.to.cell);
  if (most === least) return [`It ${falls(most) ? "falls" : "grows"} for ${text(most)}.`];
  if (falls(most)) return [`All fall, least for ${text(most)}, most for ${text(least)}.`];
  const other = falls(least) ? "and falls" : "least";
  return [`It grows most for ${text(most)}, ${other} for ${text(least)}.`];
}

function change(from: Interval, to: Interval): string {
  if (alike(from, to)) return "no difference";
  const factor = to.value / from.value;
  return factor >= TIMES ? `${digits(factor)} times` : percent(factor);
}

interface Ranked {
  readonly name: string;
  readonly cell: Interval;
}

/** The best first. */
function rank(grid: Grid, index: number): Ranked[] {
  const sign = grid.figure.better === "more" ? -1 : 1;
  return present(grid, index).sort((a, b) => sign * (a.cell.value - b.cell.value));
}

function present(grid: Grid, index: number): Ranked[] {
  return grid.rows.flatMap(({ contender, cells }) => {
    const cell = cells[index];
    return cell === undefined ? [] : [{ name: contender, cell }];
  });
}

/** The last point that most contenders have reached. */
function lastShared(grid: Grid): number | undefined {
  const counts = grid.xs.map((_, index) => present(grid, index).length);
  const most = Math.max(...counts, 0);
  return most === 0 ? undefined : counts.lastIndexOf(most);
}

function valueText(cell: Interval, { unit }: Figure): string {
  const [value, lower, upper] = [cell.value, cell.lower, cell.upper].map((n) => written(n, unit));
  return lower === upper ? `${value}` : `${value}, between ${lower} and ${upper}`;
}

function gapText(best: Interval, other: Interval, { unit, better }: Figure): string {
  const value = written(other.value, unit);
  if (best.value <= 0 || other.value <= 0) return value;
  const factor = better === "more" ? best.value / other.value : other.value / best.value;
  const word = better === "more" ? "less" : "more";
  if (factor >= TIMES) return `${value}, ${digits(factor)} times ${word}`;
  const share = better === "more" ? 1 - other.value / best.value : other.value / best.value - 1;
  return `${value}, ${(share * 100).toFixed(0)} % ${word}`;
}

function rangeText(ranked: readonly Ranked[], { unit }: Figure): string {
  const values = ranked.map(({ cell }) => cell.value);
  if (new Set(values).size === 1) return `${written(values[0] ?? 0, unit)} each`;
  return `${written(Math.min(...values), unit)} to ${written(Math.max(...values), unit)}`;
}

function percent(factor: number): string {
  return `${factor >= 1 ? "+" : "−"}${(Math.abs(factor - 1) * 100).toFixed(0)} %`;
}

/** As a sentence begins. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
