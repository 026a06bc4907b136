// The percentile text of HDR histograms (.hgrm): what HdrHistogram's plotter and many others read. Values in ms.
//
// The ticks are HdrHistogram's own: `TICKS` of them in each half of the distance that is left to 100 %.

import { histogramOf } from "./figures.ts";
import { BUCKETS, type LatencyHistogram } from "./latency-histogram.ts";
import type { LatencyFigures } from "./result.ts";

const TICKS = 5;
const NS_PER_MS = 1e6;

export function hgrm(figures: LatencyFigures): string {
  const histogram = histogramOf(figures);
  const lines = ["       Value     Percentile TotalCount 1/(1-Percentile)", ""];
  for (const share of ticks(histogram.count)) lines.push(row(histogram, share));
  const ms = (us: number) => (us / 1000).toFixed(3).padStart(12);
  lines.push(
    `#[Mean    = ${ms(figures.mean)}, StdDeviation   = ${ms(figures.deviation)}]`,
    `#[Max     = ${ms(figures.max)}, Total count    = ${String(figures.count).padStart(12)}]`,
    `#[Buckets = ${String(BUCKETS / 128).padStart(12)}, SubBuckets     = ${"128".padStart(12)}]`,
  );
  return `${lines.join("\n")}\n`;
}

function row(histogram: LatencyHistogram, share: number): string {
  const value = (histogram.quantileNs(share) / NS_PER_MS).toFixed(3);
  const count = Math.ceil(histogram.count * share);
  const inverse = share < 1 ? (1 / (1 - share)).toFixed(2) : "";
  const line = [value.padStart(12), share.toFixed(12), String(count).padStart(10)];
  return `${line.join(" ")} ${inverse.padStart(14)}`.trimEnd();
}

/** 0, then finer and finer until a tick stands for less than one message, then 1. */
function ticks(count: number): number[] {
  const shares = [0];
  if (count === 0) return shares;
  for (let left = 1; left * count > 1 && shares.length < 1000; left /= 2) {
    for (let tick = 1; tick <= TICKS; tick++) shares.push(1 - left + ((left / 2) * tick) / TICKS);
  }
  shares.push(1);
  return shares;
}
