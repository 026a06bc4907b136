// A server that we start, measure and surely end: see process-guard.ts.

import { type ChildProcess, spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { extname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { deferred } from "../deferred.ts";
import { OptionError } from "../limits.ts";
import type { InternetAddress } from "../sys/address.ts";
import { processesOfSession } from "./proc.ts";
import type { FromGuard, ToGuard } from "./process-guard.ts";
import { ServerWatch } from "./server-watch.ts";

export interface ServerOptions {
  /** Program and arguments; `{port}` in any of them becomes the port that it has to listen on at 127.0.0.1. */
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What it says on stdout or stderr once it serves, where accepting connections alone does not mean that. */
  readonly ready?: string;
  /** Longest time from start until it accepts connections, in ms. Default 15,000. */
  readonly startMs?: number;
  /** Once it is aborted nobody waits for a server that does not serve yet: its start fails, and it is ended. */
  readonly signal?: AbortSignal;
  /** Longest time from SIGTERM until it is killed, in ms. Default 5,000. */
  readonly stopMs?: number;
}

const HOST = "127.0.0.1";
const PORT = "{port}";
const POLL_MS = 10;
/** Kept of its output: a last line of statistics fits, also of many threads. */
const OUTPUT_TAIL = 256 * 1024;
/** Below the range of ephemeral ports, so that no client's own port is in the way. */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 31_999;
const TRIES = 100;
const STATISTICS = '{"event":"statistics"';

export class StartedServer {
  readonly address: InternetAddress;
  /** Of the server itself; the guard is no part of what is measured. */
  readonly pid: number;
  readonly #guard: Guard;
  readonly #stopMs: number;

  private constructor(guard: Guard, pid: number, port: number, stopMs: number) {
    this.#guard = guard;
    this.pid = pid;
    this.address = { family: "ipv4", host: HOST, port };
    this.#stopMs = stopMs;
  }

  /** Resolves once it accepts connections. @throws Error that says why it does not, with what it said last */
  static async start(options: ServerOptions): Promise<StartedServer> {
    const { command, ready = "", startMs = 15_000, stopMs = 5000 } = options;
    if (command.length === 0) throw new OptionError("a server's command names a program");
    const port = await freePort();
    const words = command.map((word) => word.replaceAll(PORT, String(port)));
    const guard = new Guard(words, options.environment ?? {});
    try {
      const pid = await guard.started;
      await guard.untilItServes(port, ready, performance.now() + startMs, options.signal);
      return new StartedServer(guard, pid, port, stopMs);
    } catch (error) {
      guard.abandon();
      throw error;
    }
  }

  /** All its processes, for a load's figures. */
  watch(): ServerWatch {
    return new ServerWatch(() => processesOfSession(this.pid));
  }

  /** Undefined while it runs; then how it ended and what it said last. */
  get ended(): string | undefined {
    return this.#guard.ended;
  }

  /** The end of what it has said on stdout and stderr. */
  get output(): string {
    return this.#guard.output;
  }

  /**
   * What a server says of itself in a last line of JSON, `{"event":"statistics","messages":…}` as `sluice serve --json` has
   * it: its numbers by their names. Null when it has not ended yet, or says nothing.
   */
  get statistics(): Readonly<Record<string, number>> | null {
    const line = this.output.split("\n").findLast((text) => text.startsWith(STATISTICS));
    if (line === undefined) return null;
    const said: Record<string, unknown> = JSON.parse(line);
    return Object.fromEntries(
      Object.entries(said).flatMap(([name, value]) =>
        typeof value === "number" ? [[name, value] as const] : [],
      ),
    );
  }

  /** SIGTERM, and SIGKILL when that does not help. Resolves when all its processes are gone. */
  async stop(): Promise<void> {
    this.#guard.signal("SIGTERM");
    const killer = setTimeout(() => this.#guard.signal("SIGKILL"), this.#stopMs);
    await this.#guard.gone;
    clearTimeout(killer);
  }
}

class Guard {
  readonly started: Promise<number>;
  readonly gone: Promise<void>;
  ended: string | undefined;
  output = "";
  readonly #process: ChildProcess;

  constructor(words: readonly string[], environment: Readonly<Record<string, string>>) {
    this.#process = spawn(process.execPath, [entry(), ...words], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...process.env, ...environment, NODE_OPTIONS: "" },
      // Signals of the terminal are for us: the guard only follows the channel.
      detached: true,
    });
    const started = deferred<number>();
    const gone = deferred<void>();
    this.started = started.promise;
    this.gone = gone.promise;
    this.#process.on("message", (message: FromGuard) => {
      if (message.kind === "started") started.resolve(message.pid);
      else if (message.kind === "failed") this.ended = message.message.replace(/^spawn /, "");
      else this.ended = `it ended with ${message.code ?? message.signal}`;
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output = (this.output + text).slice(-OUTPUT_TAIL);
      });
    }
    this.#process.once("close", () => {
      this.ended ??= "its guard has ended";
      started.reject(new Error(this.#story()));
      gone.resolve();
    });
  }

  signal(signal: ToGuard): void {
    if (this.#process.connected) this.#process.send(signal);
  }

  /** Without waiting for its end. */
  abandon(): void {
    if (this.#process.connected) this.#process.disconnect();
  }

  async untilItServes(
    port: number,
    ready: string,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    while (!(this.output.includes(ready) && (await accepts(port)))) {
      if (this.ended !== undefined) throw new Error(this.#story());
      if (signal?.aborted === true) throw new Error("interrupted before it served");
      if (performance.now() > deadlineMs) {
        const what = this.output.includes(ready)
          ? `accept connections at ${HOST}:${port}`
          : `say "${ready}"`;
        throw new Error(`the server does not ${what}${this.#said()}`);
      }
      await sleep(POLL_MS);
    }
    // Somebody else could have the port, and it could have ended for that.
    if (this.ended !== undefined) throw new Error(this.#story());
  }

  #story(): string {
    return `the server could not be started: ${this.ended}${this.#said()}`;
  }

  #said(): string {
    const last = this.output.trim().split("\n").slice(-3).join(" / ").slice(-1000);
    return last === "" ? "" : `; it said: ${last}`;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  for (let tried = 0; tried < TRIES; tried++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port among ${LOWEST_PORT} to ${HIGHEST_PORT}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: HOST, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/**
 * A command line as a shell would split it: spaces separate, quotes of both kinds keep together, a backslash takes the next
 * character as it is. Nothing else is special. @throws OptionError for a quote that is not closed, or nothing at all
 */
export function splitCommand(text: string): string[] {
  const words: string[] = [];
  const word = /(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+/gs;
  const rest = text.replace(word, (match) => {
    words.push(
      match.replace(/\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'/gs, (_, plain, double, single) => {
        return plain ?? double?.replace(/\\(.)/gs, "$1") ?? single;
      }),
    );
    return "";
  });
  if (rest.trim() !== "") throw new OptionError(`a quote is not closed in: ${text}`);
  if (words.length === 0) throw new OptionError("a server's command names a program");
  return words;
}

/** The guard's file beside this one: .ts while developing, .js as published. */
function entry(): string {
  return fileURLToPath(
    new URL(`./process-guard${extname(new URL(import.meta.url).pathname)}`, import.meta.url),
  );
}
