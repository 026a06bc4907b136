// What is to be run: the one checked form of the options of `sluice load`, also for programs that run loads (the lab).

import { availableParallelism } from "node:os";
import type { DriverChoice } from "../driver/choices.ts";
import { chooseDriver } from "../driver/choose-driver.ts";
import { OptionError } from "../limits.ts";
import type { Address } from "../sys/address.ts";
import { descriptorLimit } from "../sys/socket-calls.ts";
import type { Arrivals } from "./open-loop.ts";
import type { Mode } from "./result.ts";
import { parseSizes } from "./sizes.ts";
import { type WorkloadName, workloadKind } from "./workloads/choose-workload.ts";

export interface LoadOptions {
  /** Closed loop unless a rate is given. */
  readonly mode?: Mode;
  /** Bytes that go there and back, by its name, or a scenario's file. */
  readonly workload?: WorkloadName;
  /** A module that is the scenario, for the workload of that name. */
  readonly scenario?: URL;
  /** What HTTP asks for. Default "/". */
  readonly path?: string;
  /** See sizes.ts; default 64. */
  readonly size?: string;
  /** Default 50. */
  readonly connections?: number;
  /** More connections that exchange one message and then stay silent. Default 0. */
  readonly idle?: number;
  /** Messages in flight on a connection, closed loop. Default 1. */
  readonly depth?: number;
  /** Messages/s: an open loop. */
  readonly rate?: number;
  readonly arrivals?: Arrivals;
  readonly seed?: number;
  /** Default: half of the cores. */
  readonly threads?: number;
  readonly driver?: DriverChoice | "auto";
  /** Compare the content of answers. Default true. */
  readonly verify?: boolean;
  readonly warmUpMs?: number;
  readonly durationMs?: number;
  readonly coolDownMs?: number;
  /** Without an answer for so long, a connection has failed. */
  readonly timeoutMs?: number;
}

/** The options with all defaults, checked. Can be handed to another thread. */
export interface LoadPlan {
  readonly address: Address;
  readonly mode: Mode;
  readonly workload: WorkloadName;
  readonly scenario: string | undefined;
  readonly path: string;
  readonly size: string;
  readonly connections: number;
  readonly idle: number;
  readonly depth: number;
  readonly rate: number;
  readonly arrivals: Arrivals;
  readonly seed: number;
  readonly threads: number;
  readonly driver: DriverChoice;
  readonly verify: boolean;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly coolDownMs: number;
  readonly timeoutMs: number;
}

const MOST_CONNECTIONS = 1_000_000;
const MOST_DEPTH = 65_536;
const MOST_RATE = 100_000_000;
const DAY_MS = 86_400_000;
/** Descriptors of the process that are no connection of the load. */
const SPARE_DESCRIPTORS = 64;

/** @throws OptionError for a value out of bounds, or two that contradict each other */
export function planLoad(address: Address, options: LoadOptions): LoadPlan {
  const rate = options.rate ?? 0;
  if (rate !== 0) number("rate", rate, 0.001, MOST_RATE);
  const mode = options.mode ?? (rate > 0 ? "open" : "closed");
  const workload = options.workload ?? "echo";
  const size = checkedSize(workload, options.size);
  const connections = integer("connections", options.connections ?? defaultCount(mode), 0);
  const idle = integer("idle", options.idle ?? 0, 0);
  checkMode(mode, rate, connections, idle, options.depth);
  checkDescriptors(connections + idle);
  const threads = options.threads ?? Math.max(Math.floor(availableParallelism() / 2), 1);
  return {
    address,
    mode,
    workload,
    scenario: options.scenario?.href,
    path: checkedPath(options.path ?? "/"),
    size,
    connections,
    idle,
    depth: mode === "closed" ? integer("depth", options.depth ?? 1, 1, MOST_DEPTH) : 0,
    rate,
    arrivals: options.arrivals ?? "even",
    seed: integer("seed", options.seed ?? 1, 0, 0xffff_ffff),
    // A thread without a connection that talks would keep its share of the rate to itself.
    threads: Math.min(integer("threads", threads, 1, 256), connections || idle),
    driver: chooseDriver(options.driver ?? "auto").driver,
    verify: options.verify ?? true,
    warmUpMs: number("warm-up", options.warmUpMs ?? 1000, 0, DAY_MS),
    durationMs: number("duration", options.durationMs ?? 10_000, 10, DAY_MS),
    coolDownMs: number("cool-down", options.coolDownMs ?? 250, 0, DAY_MS),
    timeoutMs: number("timeout", options.timeoutMs ?? 5000, 1, DAY_MS),
  };
}

function checkedSize(workload: WorkloadName, size: string | undefined): string {
  const { defaultSize } = workloadKind(workload);
  if (defaultSize !== undefined) return parseSizes(size ?? defaultSize).text;
  if (size !== undefined) throw new OptionError(`the sizes of ${workload} are not ours to choose`);
  return "";
}

function checkedPath(path: string): string {
  if (/^\/[!-~]*$/.test(path)) return path;
  throw new OptionError(`a path begins with / and has no spaces: not "${path}"`);
}

function defaultCount(mode: Mode): number {
  return mode === "idle" ? 0 : 50;
}

function checkMode(
  mode: Mode,
  rate: number,
  connections: number,
  idle: number,
  depth: number | undefined,
): void {
  if (mode === "open" && rate === 0) throw new OptionError("an open loop needs a rate");
  if (mode !== "open" && rate !== 0) {
    throw new OptionError(`a rate makes an open loop: it and ${mode} exclude each other`);
  }
  if (mode !== "closed" && depth !== undefined) {
    throw new OptionError(
      `depth is for closed loops: in this mode (${mode}) nothing waits for answers`,
    );
  }
  if (mode === "idle" && (connections > 0 || idle === 0)) {
    throw new OptionError("idle connections alone: leave out connections, or make it 0");
  }
  if (mode !== "idle" && connections === 0) throw new OptionError("0 connections send nothing");
}

function checkDescriptors(connections: number): void {
  const limit = process.platform === "linux" ? descriptorLimit() : 0;
  if (typeof limit === "number" || connections + SPARE_DESCRIPTORS <= limit.soft) return;
  throw new OptionError(
    `${connections} connections need more descriptors than this process may have (${limit.soft}): see ulimit -n`,
  );
}

function integer(name: string, value: number, least: number, most = MOST_CONNECTIONS): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new OptionError(`${name} is an integer from ${least} to ${most}, not ${value}`);
}

function number(name: string, value: number, least: number, most: number): number {
  if (value >= least && value <= most) return value;
  throw new OptionError(`${name} is from ${least} to ${most}, not ${value}`);
}

/** One thread's part: connections and rate are split, the first threads take what does not divide. */
export function shareOfPlan(plan: LoadPlan, thread: number): LoadPlan {
  const part = (total: number) =>
    Math.floor(total / plan.threads) + (thread < total % plan.threads ? 1 : 0);
  return {
    ...plan,
    connections: part(plan.connections),
    idle: part(plan.idle),
    rate: plan.rate / plan.threads,
  };
}
