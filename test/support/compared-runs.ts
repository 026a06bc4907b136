// Runs of `sluice load` on servers that differ by a known amount, as the files that `sluice compare` reads: in turns, every second
// round backwards, and each run with a process of its own, so that what differs from process to process is among what is
// compared; or, for a quick look, all at once on processes that stay.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Comparison } from "../../src/lab/comparison.ts";
import { type LoadOptions, planLoad } from "../../src/lab/load-plan.ts";
import { runLoad } from "../../src/lab/run-load.ts";
import { StartedServer } from "../../src/lab/started-server.ts";
import { CLI } from "./child.ts";

export interface Side {
  readonly name: string;
  /** What makes this server differ: see handlers/measured.ts. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface ComparedRuns {
  readonly sides: readonly Side[];
  /** A side. */
  readonly runs: number;
  readonly load: LoadOptions;
  /** Where the results go. */
  readonly folder: string;
  /** All sides at the same time, each on one process for all its runs: for servers that hardly compute. */
  readonly atOnce?: boolean;
}

const HANDLERS = new URL("./handlers/measured.ts", import.meta.url);
/** Also on a machine that does ten other things. */
const START_MS = 60_000;

/** The files of each side, in its order. @throws Error when a run has failed */
export async function comparedRuns(about: ComparedRuns): Promise<string[][]> {
  const { sides, atOnce = false } = about;
  return atOnce ? Promise.all(sides.map((side) => onOneProcess(side, about))) : inTurns(about);
}

async function onOneProcess(side: Side, about: ComparedRuns): Promise<string[]> {
  const files: string[] = [];
  const server = await start(side);
  try {
    for (let run = 1; run <= about.runs; run++) {
      files.push(await measured(server, side, run, about));
    }
  } finally {
    await server.stop();
  }
  return files;
}

async function inTurns(about: ComparedRuns): Promise<string[][]> {
  const { sides, runs } = about;
  const files = sides.map((): string[] => []);
  for (let run = 1; run <= runs; run++) {
    const order = run % 2 === 1 ? sides : sides.toReversed();
    for (const side of order) {
      const server = await start(side);
      try {
        files[sides.indexOf(side)]?.push(await measured(server, side, run, about));
      } finally {
        await server.stop();
      }
    }
  }
  return files;
}

function start({ environment }: Side): Promise<StartedServer> {
  const serve = [process.execPath, CLI, "serve", fileURLToPath(HANDLERS)];
  const options = ["--port", "{port}", "--model", "event-loop", "--drain-ms", "0"];
  return StartedServer.start({ command: [...serve, ...options], environment, startMs: START_MS });
}

/** The result's file. */
async function measured(
  server: StartedServer,
  { name }: Side,
  run: number,
  { load, folder }: ComparedRuns,
): Promise<string> {
  const plan = planLoad(server.address, { workload: "lines", ...load });
  const result = await runLoad({ plan, arguments: [], watch: server.watch() });
  if (!result.ok) throw new Error(`${name}: ${JSON.stringify(result.stages[0]?.errors)}`);
  const file = join(folder, `${name}-${run}.json`);
  writeFileSync(file, JSON.stringify(result));
  return file;
}

/** `sluice compare` as people run it: its verdict on each other side, and its exit code. */
export async function compared(
  sides: readonly (readonly string[])[],
): Promise<{ readonly code: number; readonly comparisons: readonly Comparison[] }> {
  const args = ["compare", ...sides.map((files) => files.join(",")), "--json"];
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  const [code] = await once(child, "close");
  return { code, comparisons: JSON.parse(text) };
}
