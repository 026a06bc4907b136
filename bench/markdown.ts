// Tables and numbers for the reports.
import type { Spread } from "./statistics.ts";

/** So many columns from the left are text, all others are figures. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  textColumns = 1,
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, index) => (index < textColumns ? "---" : "---:"));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

export const NOTHING = "–";

export function format(value: number | undefined, digits = 0): string {
  if (value === undefined) return NOTHING;
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** The median, and how far the rounds lie apart. */
export function formatSpread(value: Spread | undefined, digits = 2): string {
  if (value === undefined) return NOTHING;
  if (value.low === value.high) return format(value.median, digits);
  return `${format(value.median, digits)} (${format(value.low, digits)}–${format(value.high, digits)})`;
}

export const percent = (share: number | undefined): string =>
  share === undefined ? NOTHING : `${format(share * 100)} %`;

export const roundsOf = (rounds: number): string => (rounds === 1 ? "1 round" : `${rounds} rounds`);
