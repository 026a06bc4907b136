// Holds what was measured against what has to be reached.
import type { Measurement, ScenarioResult } from "./results.ts";
import type { Driver, Figure, Scenario, Threshold } from "./scenarios.ts";
import { median, ofServer, ratios } from "./statistics.ts";

export interface Verdict {
  readonly scenario: Scenario;
  readonly threshold: Threshold;
  /** Undefined: not measured. */
  readonly value: number | undefined;
  readonly reached: boolean;
  readonly generatorBound: boolean;
}

export const sluiceServer = (driver: Driver): string => `sluice-${driver}`;

/** The peers that Sluice has to be ahead of in every row. */
export const peersToBeat: readonly string[] = ["node-net", "bun", "deno", "go", "tokio", "netty"];

export function judge(scenario: Scenario, result: ScenarioResult | undefined): Verdict[] {
  return scenario.thresholds.map((threshold) => {
    const server = sluiceServer(threshold.driver);
    const value =
      result === undefined
        ? undefined
        : measuredValue(threshold.figure, server, result.measurements);
    return {
      scenario,
      threshold,
      value,
      reached: value !== undefined && holds(value, threshold),
      generatorBound: result !== undefined && isGeneratorBound(result.measurements, server),
    };
  });
}

/** In most rounds it was the generator that set the pace. */
export function isGeneratorBound(measurements: readonly Measurement[], server: string): boolean {
  const own = ofServer(measurements, server);
  return own.filter((measurement) => measurement.generatorBound).length * 2 > own.length;
}

function measuredValue(
  figure: Figure,
  server: string,
  measurements: readonly Measurement[],
): number | undefined {
  const own = ofServer(measurements, server);
  switch (figure) {
    case "messagesRatio":
      return median(ratios(measurements, server, (m) => m.messagesPerSecond));
    case "cpuRatio":
      return median(ratios(measurements, server, (m) => m.cpuUsPerMessage));
    case "p99Ratio":
      return median(ratios(measurements, server, (m) => m.latencyUs.p99));
    case "rssPerConnectionBytes":
      return median(own.flatMap((m) => m.rssPerConnectionBytes ?? []));
    case "idleCpuMs":
      return median(own.flatMap((m) => m.idleCpuMs ?? []));
  }
}

function holds(value: number, threshold: Threshold): boolean {
  switch (threshold.relation) {
    case ">=":
      return value >= threshold.value;
    case "<=":
      return value <= threshold.value;
    case "<":
      return value < threshold.value;
  }
}

/** What is compared with a peer in one scenario, as something of which more is better. */
export function merit(
  scenario: Scenario,
  measurements: readonly Measurement[],
  server: string,
): number | undefined {
  const own = ofServer(measurements, server);
  switch (scenario.kind) {
    case "closed":
    case "churn":
      return median(own.map((m) => m.messagesPerSecond));
    case "open":
      return negative(median(own.map((m) => m.latencyUs.p99)));
    case "idle":
      return negative(median(own.flatMap((m) => m.rssPerConnectionBytes ?? [])));
  }
}

const negative = (value: number | undefined): number | undefined =>
  value === undefined ? undefined : -value;
