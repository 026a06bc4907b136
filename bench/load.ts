// Runs the load generator on its core and understands what it says: one JSON object a
// line (c/load.c).
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { builtProgram } from "./paths.ts";
import { LOAD_CORE } from "./servers.ts";

export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p99_9: number;
  readonly max: number;
}

export interface LoadResult {
  readonly event: "result";
  readonly working: number;
  readonly messages: number;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly latencyUs: Quantiles;
  readonly latenessUs?: Quantiles;
  readonly errors: Readonly<Record<string, number>>;
  readonly load: {
    readonly busy: number;
    readonly keptWaiting: number;
    readonly userSeconds: number;
    readonly systemSeconds: number;
    readonly bottleneck: boolean;
  };
  readonly server: { readonly busy: number; readonly keptWaiting: number; readonly cpuNs: number };
}

type LoadLine = LoadResult | { readonly event: "up" | "begin" | "end" };

export interface LoadTarget {
  readonly port: number;
  readonly pid: number;
}

/** `notice` is called when the measured window ends, and when that of the idle mode begins. */
export async function runLoad(
  target: LoadTarget,
  loadArguments: readonly string[],
  notice: (event: "begin" | "end") => void = () => {},
  cores = String(LOAD_CORE),
): Promise<LoadResult> {
  const child = spawn(
    "taskset",
    [
      ...["-c", cores, builtProgram("load")],
      ...["--port", String(target.port), "--server-pid", String(target.pid)],
      ...loadArguments,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const killOnExit = () => child.kill("SIGKILL");
  process.once("exit", killOnExit);
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const closed = new Promise<void>((resolve, reject) => {
    child.once("close", () => resolve());
    child.once("error", reject);
  });

  let result: LoadResult | undefined;
  for await (const text of createInterface({ input: child.stdout })) {
    const line: LoadLine = JSON.parse(text);
    if (line.event === "result") result = line;
    else if (line.event !== "up") notice(line.event);
  }
  await closed;
  process.removeListener("exit", killOnExit);
  if (result === undefined) throw new Error(`the load generator failed: ${complaint.trim()}`);
  return result;
}
