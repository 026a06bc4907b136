// What the report draws, as data: the page's script (page.js) makes pictures of it. A card is a title, what is seen, and one
// or several views to choose from, each of one or more plots.

/** How numbers are written. */
export type Unit = "rate" | "time" | "memory" | "count" | "percent" | "seconds" | "quantile";

export interface Axis {
  readonly label: string;
  readonly unit: Unit;
  readonly scale: "linear" | "log";
}

/** A part of an experiment: what its runs go along. */
export interface PartAbout {
  readonly part: string;
  readonly x: Axis;
  /** A point in a sentence: "32 connections". */
  readonly at: (x: number) => string;
  /** More of x is a burden, that brings nobody more of anything: there is no knee to look for. */
  readonly burden?: boolean;
}

export interface Series {
  readonly name: string;
  /** Its color, by place in the palette: a contender has the same one everywhere. */
  readonly color: number;
  readonly dashed?: boolean;
  /** One for each x; null where there is none. */
  readonly ys: readonly (number | null)[];
  /** Ends of the intervals, where there are any. */
  readonly lows?: readonly (number | null)[];
  readonly highs?: readonly (number | null)[];
}

export interface Plot {
  readonly x: Axis;
  readonly y: Axis;
  /** Where values stand: each x gets a tick when they are few. */
  readonly xs: readonly number[];
  readonly points: boolean;
  readonly series: readonly Series[];
}

export interface View {
  /** In the list to choose from. */
  readonly name: string;
  /** What is seen in it, where that differs from view to view. */
  readonly text: readonly string[];
  readonly plots: readonly Plot[];
}

export interface Card {
  readonly title: string;
  /** What is seen in all of its views: sentences, made of the figures. */
  readonly text: readonly string[];
  readonly views: readonly View[];
  /** Needs the whole width. */
  readonly wide?: boolean;
}

/** More than these, and colors come again, dashed. */
export const PALETTE = 8;

export function seriesOf(name: string, place: number, ys: readonly (number | null)[]): Series {
  const color = place % PALETTE;
  return { name, color, ys, ...(place >= PALETTE && { dashed: true }) };
}
