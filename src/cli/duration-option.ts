// Durations on the command line: 250ms, 10s, 2m.

import { UsageError } from "./command.ts";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** In ms. @throws UsageError for anything without a unit */
export function durationOption(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value);
  if (match !== null) return Number(match[1]) * (UNITS[match[2] ?? ""] ?? 0);
  throw new UsageError(`--${name} takes a time like 250ms, 10s or 2m, not "${value}"`);
}
