// Tables and numbers for the reports.
import type { Provenance } from "./results.ts";
import { DISTURBED, isDisturbed, type Spread } from "./statistics.ts";

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

/** When, with what and where: the tables of one page need not come from one machine. */
export const occasion = ({ date, machine }: Provenance): string =>
  `Measured ${date} with Sluice ${machine.versions.Sluice} on ${machine.cpu}`;

export interface Disturbance {
  readonly name: string;
  readonly serverKeptWaiting: number;
  readonly loadKeptWaiting: number;
}

/** Says of whom measurements were taken while other processes had one of the two cores, and of how many. */
export function disturbanceNote(all: readonly Disturbance[]): string[] {
  const disturbed = all.filter((one) => isDisturbed(one.serverKeptWaiting, one.loadKeptWaiting));
  if (disturbed.length === 0) return [];
  const which = [...Map.groupBy(disturbed, ({ name }) => name)].map(
    ([name, { length }]) => `${name} ${length}`,
  );
  return [
    `- **disturbed**: in ${disturbed.length} of ${all.length} measurements other processes kept the server or the load from running for more than ${percent(DISTURBED)} of the time: ${which.join(", ")}`,
  ];
}
