// Medians over rounds, and ratios to the reference of the same moment: neighbours in time
// share the machine's moods, so their ratio is steadier than the figures themselves.
import type { Measurement } from "./results.ts";
import { REFERENCE } from "./servers.ts";

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function spread(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[0];
  const high = sorted.at(-1);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (low === undefined || high === undefined) return undefined;
  if (upper === undefined || lower === undefined) return undefined;
  return { median: (lower + upper) / 2, low, high };
}

export const median = (values: readonly number[]): number | undefined => spread(values)?.median;

export function ofServer(measurements: readonly Measurement[], server: string): Measurement[] {
  return measurements.filter((measurement) => measurement.server === server);
}

/** What places a measurement in time. */
export interface Placed {
  readonly server: string;
  readonly round: number;
  readonly burst?: number;
}

/**
 * One ratio for each round in which both took part. Where a round consists of bursts it is the median of theirs, each held
 * against the reference's bursts right before and right after it.
 */
export function ratios<M extends Placed>(
  measurements: readonly M[],
  server: string,
  figure: (measurement: M) => number | undefined,
  reference: string = REFERENCE,
): number[] {
  const rounds = Map.groupBy(measurements, ({ round }) => round);
  return [...rounds.values()].flatMap((round) => {
    const references = round.filter((one) => one.server === reference);
    const own = round.filter((one) => one.server === server);
    const found = own.flatMap((one) => {
      const [a, b] = [figure(one), besides(one, references, figure)];
      return a === undefined || b === undefined || b === 0 ? [] : [a / b];
    });
    return median(found) ?? [];
  });
}

/** The mean of the nearest reference before and the nearest after, or the only one there is. */
function besides<M extends Placed>(
  { burst = 0 }: M,
  references: readonly M[],
  figure: (measurement: M) => number | undefined,
): number | undefined {
  const before = references.findLast((one) => (one.burst ?? 0) <= burst);
  const after = references.find((one) => (one.burst ?? 0) >= burst);
  const values = [before, after].flatMap((one) => (one && figure(one)) ?? []);
  return values.length === 0 ? undefined : values.reduce((a, b) => a + b) / values.length;
}

/** From this share of the window on, waiting for a core that others had counts as a disturbance. */
export const DISTURBED = 0.05;

export const isDisturbed = (serverKeptWaiting: number, loadKeptWaiting: number): boolean =>
  Math.max(serverKeptWaiting, loadKeptWaiting) > DISTURBED;
