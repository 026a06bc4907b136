// Who takes part in an experiment: a server's command line, and up to where it can.

import { spawnSync } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { CHOICES, type DriverChoice } from "../driver/choices.ts";
import { probeDriver } from "../driver/choose-driver.ts";
import { OptionError } from "../limits.ts";
import { blocks, MODELS, type ModelName } from "../server/options.ts";
import { HeldConnections } from "./held-connections.ts";
import { sluiceVersion } from "./machine.ts";
import { type StartedServer, splitCommand } from "./started-server.ts";

export interface Contender {
  readonly name: string;
  /** Program and arguments, with `{port}`. */
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What it says once it serves. */
  readonly ready?: string;
  /** Before a load of so many connections, where that takes longer than a load should wait. */
  warmUp?(server: StartedServer, connections: number): Promise<void>;
  readonly version: string;
  /** That are started with it, or as its connections come; 1 where nothing is known. */
  readonly threads?: number;
  /** More connections are more than it can serve at a time. */
  readonly mostConnections: number;
}

export interface ModelChoice {
  readonly model: ModelName;
  /** Undefined: those models whose threads block bring their own. */
  readonly driver: DriverChoice | undefined;
}

export interface SluiceServer extends ModelChoice {
  /** The handler module; the command line's own echo without one. */
  readonly handlers: URL | undefined;
  readonly threads?: number;
  readonly computeThreads?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** Instead of the model's name and driver. */
  readonly name?: string;
}

/** Models with blocking threads have one for each connection at the most: beyond this a start takes minutes. */
export const MOST_THREADS = 256;
/** As above, where nobody has asked for more: threads start for some ten seconds then, each time. */
export const USUAL_THREADS = 64;
/** Far more than one takes to start. */
const THREAD_START_MS = 2000;

/** Every model on every driver that this host allows: only the best one of them when `bestDriver`. */
export function modelChoices(
  models: readonly ModelName[] = MODELS,
  drivers: readonly DriverChoice[] = CHOICES,
  bestDriver = false,
): ModelChoice[] {
  const allowed = drivers.filter((driver) => probeDriver(driver) === undefined);
  const used = bestDriver ? allowed.slice(0, 1) : allowed;
  return models.flatMap((model): ModelChoice[] =>
    blocks(model) ? [{ model, driver: undefined }] : used.map((driver) => ({ model, driver })),
  );
}

/** Drivers that this host refuses, with the reason. */
export function refusedDrivers(drivers: readonly DriverChoice[] = CHOICES) {
  return drivers.flatMap((driver) => {
    const reason = probeDriver(driver);
    return reason === undefined ? [] : [{ driver, reason }];
  });
}

/** `sluice serve` in a process of its own. */
export function sluiceServer(server: SluiceServer): Contender {
  const { model, driver, handlers, threads, computeThreads } = server;
  const options: Record<string, string | undefined> = {
    "--driver": driver,
    // One thread is all that the event loop has.
    "--threads": model === "event-loop" ? undefined : threads?.toString(),
    "--compute-threads": model === "hybrid" ? computeThreads?.toString() : undefined,
  };
  const given = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [name, value],
  );
  return {
    name: server.name ?? [model, driver].filter((word) => word !== undefined).join(" "),
    command: [
      ...[process.execPath, commandLine(), "serve"],
      ...(handlers === undefined ? [] : [fileURLToPath(handlers)]),
      ...["--port", "{port}", "--json", "--drain-ms", "0", "--model", model, ...given],
    ],
    ...(server.environment !== undefined && { environment: server.environment }),
    ready: '"event":"listening"',
    version: `${sluiceVersion()} on Node ${process.version}`,
    ...(model === "thread-per-connection" && { warmUp: startThreads }),
    threads: threads ?? 1,
    mostConnections: blocks(model) ? (threads ?? MOST_THREADS) : Number.POSITIVE_INFINITY,
  };
}

/** Its threads are started with the first connections, and kept for later ones. */
async function startThreads({ address }: StartedServer, connections: number): Promise<void> {
  const about = { request: "here\n", reads: true, patienceMs: THREAD_START_MS * connections };
  const held = await HeldConnections.hold(address, { count: connections, ...about });
  held.end();
}

/** `NAME=COMMAND {port}`, as --server has it. @throws OptionError */
export function givenServer(text: string): Contender {
  const [, name = "", command = ""] = /^([^=\s]+)=(.*)$/s.exec(text) ?? [];
  if (name === "" || !command.includes("{port}")) {
    throw new OptionError(
      `a server is given as NAME=COMMAND, with {port} where it has to listen, not "${text}"`,
    );
  }
  const words = splitCommand(command);
  return { name, command: words, version: "", mostConnections: Number.POSITIVE_INFINITY };
}

/** What a program says of its version, in a line; undefined when it is not there. */
export function programVersion(program: string, ...args: string[]): string | undefined {
  const { error, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 10_000 });
  if (error !== undefined) return undefined;
  return (stdout + stderr).trim().split("\n")[0]?.trim() ?? "";
}

/** A module of ours that stands in this folder or below: .ts while developing, .js as published. */
export function ownModule(name: string): URL {
  return new URL(`${name}${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
}

function commandLine(): string {
  return fileURLToPath(ownModule("../cli/main"));
}
