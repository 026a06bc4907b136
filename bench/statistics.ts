// Medians over rounds, and ratios to the reference of the same round: neighbours in time
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

/** One ratio per round in which both took part. */
export function ratios(
  measurements: readonly Measurement[],
  server: string,
  figure: (measurement: Measurement) => number | undefined,
): number[] {
  return ofServer(measurements, server).flatMap((own) => {
    const reference = measurements.find(
      (other) => other.server === REFERENCE && other.round === own.round,
    );
    const [a, b] = [figure(own), reference === undefined ? undefined : figure(reference)];
    return a === undefined || b === undefined || b === 0 ? [] : [a / b];
  });
}

/** From this share of the window on, waiting for a core that others had counts as a disturbance. */
export const DISTURBED = 0.05;

export const isDisturbed = (serverKeptWaiting: number, loadKeptWaiting: number): boolean =>
  Math.max(serverKeptWaiting, loadKeptWaiting) > DISTURBED;
