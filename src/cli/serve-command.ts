// sluice serve: runs a handler module until it is told to stop.

import { existsSync, statSync } from "node:fs";
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { CHOICES } from "../driver/choices.ts";
import { errorText } from "../error-text.ts";
import { OptionError } from "../limits.ts";
import {
  BALANCES,
  MODELS,
  type ModelName,
  mostThreads,
  type ServeOptions,
} from "../server/options.ts";
import { type ReloadOptions, type Server, serve } from "../server/serve.ts";
import { formatAddress } from "../sys/address.ts";
import { type Command, choiceOption, integerOption, UsageError } from "./command.ts";
import { flagSpelling } from "./flag-spelling.ts";
import { showStatistics } from "./live-statistics.ts";
import { stopSignal } from "./stop-signal.ts";
import { tryLines } from "./try-lines.ts";

const DEFAULT_PORT = 7000;
const DEFAULT_HOST = "127.0.0.1";
const DAY_MS = 86_400_000;

const HELP = `Usage: sluice serve [FILE] [OPTIONS]

Serves FILE, a module whose default export is a table of handlers; without one, an echo.

  --port N          TCP port; 0 lets the system choose (default ${DEFAULT_PORT})
  --host H          address or name to listen on (default ${DEFAULT_HOST}: this machine only;
                    :: is everyone, over IPv4 and IPv6)
  --path P          a Unix socket instead; @NAME for an abstract one
  --driver D        auto, ${CHOICES.join(", ")} (default auto: the fastest that this host allows)
  --model M         ${MODELS.join(", ")}
                    (default multi-reactor)
  --threads N       reactors of multi-reactor and hybrid (default: one for each core), threads of
                    thread-pool (eight for each), most threads of thread-per-connection (256)
  --compute-threads N
                    threads of hybrid that compute (default: one for each core but one)
  --balance B       which thread gets a connection: ${BALANCES.slice(0, 2).join(", ")},
                    ${BALANCES.slice(2).join(", ")} (default least-connections)
  --pin C           bind each thread to a core: all, or a list as 0,2
  --adopt-orphans   when a thread dies, others go on with those of its connections that are at rest
  --connections N   connections at a time (default: 80 % of the descriptor limit)
  --idle-ms N       close a connection that is silent for so long
  --drain-ms N      time to finish at SIGTERM or Ctrl-C (default 10000); a second signal ends at once
  --grace-ms N      how long connections go on in the old threads after SIGHUP, which loads FILE anew (default 5000)
  --json            say what happens in lines of JSON
  --help

What to try is printed from FILE's lines like "// try: redis-cli -p {port} ping" or "// try: sluice routes {address}".
Exit code 1 for a FILE that cannot be read, 2 for one without handlers and for wrong usage.`;

const OPTIONS = {
  port: { type: "string" },
  host: { type: "string" },
  path: { type: "string" },
  driver: { type: "string" },
  model: { type: "string" },
  threads: { type: "string" },
  "compute-threads": { type: "string" },
  balance: { type: "string" },
  pin: { type: "string" },
  "adopt-orphans": { type: "boolean" },
  connections: { type: "string" },
  "idle-ms": { type: "string" },
  "drain-ms": { type: "string" },
  "grace-ms": { type: "string" },
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parse>["values"];

export const serveCommand: Command = {
  name: "serve",
  summary: "serve a handler module over TCP",
  help: HELP,
  outlivesReader: true,
  run,
};

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (positionals.length > 1) throw new UsageError("serve takes one FILE");
  const drainMs = integerOption("drain-ms", values["drain-ms"], 0, DAY_MS) ?? 10_000;
  const graceMs = integerOption("grace-ms", values["grace-ms"], 0, DAY_MS) ?? 5_000;
  const module = handlerModule(positionals[0]);
  // Before it serves: a signal that comes meanwhile would end the process.
  const hangUp = new HangUp();
  const server = await started(module, options(values));
  const stopped = stopSignal();
  announce(server, module, values.json === true);
  const stopStatistics = values.json === true ? undefined : showStatistics(server, process.stderr);
  hangUp.reload(() => reload(server, { graceMs, drainMs }, values));
  await Promise.race([stopped, server.ended]);
  hangUp.ignore();
  stopStatistics?.();
  const hasten = drainMs > 0 ? "; a second signal ends at once" : "";
  say(values, "closing", `closing: connections may finish within ${drainMs} ms${hasten}`);
  const clean = await server.close({ drainMs });
  const statistics = server.statistics();
  const { accepted, messages } = statistics;
  if (values.json === true) console.log(JSON.stringify({ event: "statistics", ...statistics }));
  const left = clean ? "all finished" : "some were cut off";
  const served = `${counted(accepted, "connection")} and ${counted(messages, "message")}`;
  say(values, "closed", `closed after ${served}: ${left}`, { clean });
  return 0;
}

/** @throws as serve does, in the words of the command line */
async function started(module: URL, options: ServeOptions): Promise<Server> {
  try {
    return await serve(module, options);
  } catch (error) {
    if (error instanceof OptionError) throw new OptionError(flagSpelling(error.message));
    const taken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
    if (!taken || options.path !== undefined) throw error;
    throw new Error(`${error.message} (--port N takes another)`);
  }
}

function handlerModule(file: string | undefined): URL {
  if (file === undefined) {
    // Beside this file: .ts while developing, .js as published.
    return new URL(`./echo-handlers${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
  }
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  if (statSync(file).isDirectory()) {
    throw new Error(`${file} is a directory: serve takes the file of a handler module`);
  }
  return pathToFileURL(resolve(file));
}

function options(values: Values): ServeOptions {
  const driver = choiceOption("driver", values.driver, ["auto", ...CHOICES]);
  const model = choiceOption("model", values.model, MODELS);
  const threads = threadsOption(model ?? "multi-reactor", values.threads);
  const balance = choiceOption("balance", values.balance, BALANCES);
  const computeThreads = integerOption("compute-threads", values["compute-threads"], 1, 256);
  const connections = integerOption("connections", values.connections, 1, 1_000_000);
  const idleMs = integerOption("idle-ms", values["idle-ms"], 1, 7 * DAY_MS);
  return {
    ...where(values),
    ...(driver !== undefined && { driver }),
    ...(model !== undefined && { model }),
    ...(threads !== undefined && { threads }),
    ...(computeThreads !== undefined && { computeThreads }),
    ...(balance !== undefined && { balance }),
    ...(values.pin !== undefined && { pin: coresOption(values.pin) }),
    ...(values["adopt-orphans"] === true && { adoptOrphans: true }),
    onError: (error) => console.error(`sluice: ${told(error)}`),
    limits: {
      ...(connections !== undefined && { connections }),
      ...(idleMs !== undefined && { idleMs }),
    },
  };
}

/** @throws UsageError */
function threadsOption(model: ModelName, value: string | undefined): number | undefined {
  if (model !== "event-loop") return integerOption("threads", value, 1, mostThreads(model));
  if (value === undefined || value === "1") return undefined;
  throw new UsageError(
    "--model event-loop has one thread: leave out --threads or take multi-reactor",
  );
}

/** What a handler threw is not ours to spell. */
function told(error: unknown): string {
  const text = errorText(error);
  return text.includes("\n") ? text : flagSpelling(text);
}

/** `all`, or cores between commas. @throws UsageError */
function coresOption(value: string): true | number[] {
  if (value === "all") return true;
  if (/^\d+(,\d+)*$/.test(value)) return value.split(",").map(Number);
  throw new UsageError(`--pin takes all, or a list of cores as 0,2, not "${value}"`);
}

function where(values: Values): ServeOptions {
  if (values.path !== undefined) {
    if (values.port !== undefined || values.host !== undefined) {
      throw new UsageError("--path and --host or --port exclude each other");
    }
    return { path: values.path.replace(/^@/, "\0") };
  }
  const port = integerOption("port", values.port, 0, 65_535) ?? DEFAULT_PORT;
  return { port, host: values.host ?? DEFAULT_HOST };
}

function announce(server: Server, module: URL, json: boolean): void {
  const { address, driver, model, threads, why } = server;
  if (json) {
    console.log(JSON.stringify({ event: "listening", address, driver, model, threads, why }));
    return;
  }
  console.log(
    `listening on ${formatAddress(address)} with the ${driver} driver (${why}), model ${model}, ${counted(threads, "thread")}`,
  );
  for (const line of tryLines(module, address)) console.log(`try it: ${line}`);
}

/** For people, or as an event with what a program may want to know of it. */
function say(values: Values, event: string, text: string, facts: object = {}): void {
  console.log(values.json === true ? JSON.stringify({ event, ...facts }) : text);
}

function counted(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}

/** SIGHUP: noted while the server starts, then it loads the handler file anew, and at the end it does nothing. */
class HangUp {
  #came = false;
  #reload: (() => void) | undefined;
  readonly #hear = () => {
    this.#came = true;
    this.#reload?.();
  };

  constructor() {
    process.on("SIGHUP", this.#hear);
  }

  reload(reload: () => void): void {
    this.#reload = reload;
    if (this.#came) reload();
  }

  ignore(): void {
    this.#reload = undefined;
  }
}

/** A file that cannot be loaded changes nothing. */
async function reload(server: Server, options: ReloadOptions, values: Values): Promise<void> {
  try {
    await server.reload(options);
    say(values, "reloaded", "reloaded: new threads serve");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (values.json === true) console.log(JSON.stringify({ event: "not-reloaded", reason }));
    else console.error(`sluice: not reloaded, the present threads go on: ${reason}`);
  }
}
