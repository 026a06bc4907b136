// `node scripts/deaths.ts [--deaths N] [--driver D] [--connections N] [--blocked-ms N]`: kills the threads of a server again and
// again, in five ways in turn, while clients check every byte that they get. Each death must cost the connections of its own thread and
// nothing else, no connect may be refused, a new thread must serve within a second, every client must be served again, and what the
// process has of descriptors and memory after the last hundred deaths must be what it had after the first. Exits with 1 otherwise.
// With --blocked-ms 300 a thousand take ten minutes on two cores.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pattern } from "../test/support/client.ts";
import type { ThreadEnd } from "../test/support/module-server.ts";
import { descriptorsOf, memoryOf } from "../test/support/process-figures.ts";
import { NEVER_MS, until } from "../test/support/until.ts";

const { values } = parseArgs({
  options: {
    deaths: { type: "string", default: "1000" },
    driver: { type: "string", default: "io_uring" },
    connections: { type: "string", default: "24" },
    "blocked-ms": { type: "string", default: "2000" },
  },
});
const DEATHS = Number(values.deaths);
/** What lethal.ts is told, and as what the end may be reported. */
const WAYS = [
  ["throw", ["error"]],
  ["throw at once", ["error"]],
  ["exit", ["exit"]],
  // A thread at the end of its heap collects garbage and does nothing else: where that is not allowed for long it is blocked.
  ["heap", ["heap", "blocked"]],
  ["loop", ["blocked"]],
] as const;
const LIMITS = {
  blockedMs: Number(values["blocked-ms"]),
  heapBytes: 24 * 1024 * 1024,
  // No thread may live for long here; when a server gives up is not what is tried.
  restarts: 2 * DEATHS,
};
const CLOSED_WITHIN_MS = 200;
const REPLACED_WITHIN_MS = 1000;
const TOLD_WITHIN_MS = 2000;
/** The first and the last so many deaths are compared; of few, a third. */
const COMPARED = Math.min(100, Math.ceil(DEATHS / 3));
/** Growth of memory that is a fault, for each death. A Worker that only ends leaves some 30 KiB behind. A tenth of a mapping is one, too. */
const GROWTH_BYTES = 64 * 1024;
const MIB = 1024 * 1024;
const CACHE = fileURLToPath(new URL("../node_modules/.cache/node", import.meta.url));

const faults = new Map<string, number>();
const fault = (what: string) => void faults.set(what, (faults.get(what) ?? 0) + 1);
/** Numbers of the threads that have answered so far: no two threads of a process have the same one. */
const seen = new Set<string>();
let checkedBytes = 0;

/** After so many lines a client leaves and comes again, so that new threads get their share. */
const LINES_PER_VISIT = 20;

/** A client that sends lines, checks every byte that comes back, and comes again when it has left or is cut off. */
class Checker {
  thread = "";
  endedMs = 0;
  readonly #port: number;
  readonly #line: string;
  #socket: Socket | undefined;
  #lines = 0;
  #leaving = false;

  constructor(port: number, seed: number) {
    this.#port = port;
    this.#line = `${pattern(1500, seed).toString("base64")}\n`;
    this.#begin();
  }

  /** It is served, and about to stay for a while. */
  get settled(): boolean {
    return this.thread !== "" && !this.#leaving;
  }

  /** For whoever asks why nothing happens. */
  state(): string {
    return `${this.#socket?.readyState}, thread ${this.thread}, ${this.#lines} lines, ended ${this.endedMs}, dying ${dying}`;
  }

  /** Has its thread killed. */
  kill(way: string): void {
    this.#lines = 0;
    this.#socket?.write(`${way}\n`);
  }

  #begin(): void {
    const socket = connect(this.#port, "127.0.0.1").setEncoding("utf8");
    let left = "";
    this.thread = "";
    this.#socket = socket;
    this.#lines = 0;
    this.#leaving = false;
    socket.on("connect", () => socket.write("thread\n"));
    socket.on("data", (text: string) => {
      const rest = left + text;
      left = this.thread === "" ? this.#named(socket, rest) : this.#checked(socket, rest);
    });
    socket.on("end", () => socket.destroy());
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET") fault(`a connect or a write: ${error.code}`);
    });
    socket.on("close", () => this.#ended(left));
  }

  #named(socket: Socket, text: string): string {
    if (!text.endsWith("\n")) return text;
    this.thread = text.trim();
    seen.add(this.thread);
    socket.write(this.#line);
    return "";
  }

  #checked(socket: Socket, text: string): string {
    if (!this.#line.startsWith(text)) fault("bytes that were never sent");
    if (text.length < this.#line.length) return text;
    checkedBytes += text.length;
    this.#leaving = ++this.#lines >= LINES_PER_VISIT;
    if (this.#leaving) socket.end();
    else socket.write(this.#line);
    return "";
  }

  #ended(left: string): void {
    const expected = this.#leaving || this.thread === dying || this.thread === "";
    if (!expected) fault("the end of another thread's connection");
    if (!this.#line.startsWith(left) && this.thread !== "") fault("bytes that were never sent");
    this.endedMs = performance.now();
    setImmediate(() => this.#begin());
  }
}

/** The number of the thread that is being killed. */
let dying = "";
const ends: ThreadEnd[] = [];
const child = startServer();
// Also when something here fails.
process.once("exit", () => child.kill("SIGKILL"));
const port = await portOf(child);
const pid = child.pid ?? 0;
const checkers = Array.from(
  { length: Number(values.connections) },
  (_, n) => new Checker(port, n + 1),
);
let slowestClose = 0;
let slowestReplacement = 0;
/** What the process has, before each death and after the last. */
const figures: Figures[] = [];
const began = performance.now();

for (let death = 1; death <= DEATHS; death++) {
  await until(() => checkers.every(({ thread }) => thread !== ""), "every client being served");
  figures.push(figuresNow());
  const [way, reasons] = WAYS[death % WAYS.length] as (typeof WAYS)[number];
  await kill(way, reasons);
  if (death % 50 === 0 || death === DEATHS) tell(death);
}
await until(() => checkers.every(({ thread }) => thread !== ""), "every client being served");
figures.push(figuresNow());
compare();
for (const [what, times] of faults) console.log(`FAULT ${what}: ${times} times`);
process.exit(faults.size === 0 ? 0 : 1);

/** Asks on a new connection which thread serves it; no answer when that thread dies first. */
async function ask(): Promise<void> {
  const socket = connect(port, "127.0.0.1").setEncoding("utf8");
  socket.on("data", (answer: string) => {
    seen.add(answer.trim());
    socket.destroy();
  });
  socket.on("end", () => socket.destroy());
  socket.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "ECONNRESET") fault(`a connect: ${error.code}`);
  });
  socket.write("thread\n");
  await new Promise<void>((resolve) => socket.on("close", () => resolve()));
}

/** One death; resolves when its thread has been replaced. */
async function kill(way: string, reasons: readonly string[]): Promise<void> {
  const told = ends.length;
  await until(() => checkers.some((each) => each.settled), "somebody who is served");
  const settledOnes = checkers.filter((each) => each.settled);
  const killer = settledOnes[told % settledOnes.length] as Checker;
  dying = killer.thread;
  const known = new Set(seen);
  const mates = checkers.filter((each) => each.thread === dying);
  for (const mate of mates) mate.endedMs = 0;
  killer.kill(way);
  const isOver = () => ends.length > told || killer.endedMs > 0;
  await until(isOver, () => `its end by ${way}: ${killer.state()}, after ${lastReasons()}`);
  // On a busy machine a short limit ends a thread that nobody has killed: if it was this one right before, nobody has read the way.
  const deadline = performance.now() + TOLD_WITHIN_MS;
  while (ends.length === told && performance.now() < deadline) await sleep(5);
  if (ends.length === told) return kill(way, reasons);
  await until(() => mates.every(({ endedMs }) => endedMs > 0), "the ends of its connections");
  const closedMs = killer.endedMs;
  const reason = ends.at(-1)?.reason ?? "nothing";
  if (!reasons.includes(reason)) fault(`${way} was told as ${reason}`);
  const tookMs = Math.max(0, ...mates.map(({ endedMs }) => endedMs - closedMs));
  slowestClose = Math.max(slowestClose, tookMs);
  if (tookMs > CLOSED_WITHIN_MS) fault(`closed after more than ${CLOSED_WITHIN_MS} ms`);
  const isReplaced = () => [...seen].some((each) => !known.has(each));
  while (!isReplaced() && performance.now() - closedMs < NEVER_MS) await ask();
  if (!isReplaced()) fault("never replaced");
  const replacedMs = performance.now() - closedMs;
  slowestReplacement = Math.max(slowestReplacement, replacedMs);
  if (replacedMs > REPLACED_WITHIN_MS) fault(`replaced after more than ${REPLACED_WITHIN_MS} ms`);
}

function lastReasons(): string {
  return ends
    .slice(-WAYS.length)
    .map(({ reason }) => reason)
    .join(", ");
}

interface Figures {
  readonly descriptors: number;
  /** MiB in RAM, MiB of addresses that are taken, and in how many pieces. */
  readonly resident: number;
  readonly mapped: number;
  readonly mappings: number;
}

function figuresNow(): Figures {
  const { residentBytes, mappedBytes, mappings } = memoryOf(pid);
  const descriptors = descriptorsOf(pid);
  return { descriptors, resident: residentBytes / MIB, mapped: mappedBytes / MIB, mappings };
}

/** Clients come and go, and threads are at different points of their lives: medians of many deaths. */
function compare(): void {
  const median = (part: readonly Figures[], name: keyof Figures) =>
    part.map((each) => each[name]).toSorted((a, b) => a - b)[part.length >> 1] as number;
  const between = figures.length - COMPARED;
  const grownMiB = (between * GROWTH_BYTES) / MIB;
  const allowed = { descriptors: 1, resident: grownMiB, mapped: grownMiB, mappings: between / 10 };
  for (const name of ["descriptors", "resident", "mapped", "mappings"] as const) {
    const first = median(figures.slice(0, COMPARED), name);
    const last = median(figures.slice(-COMPARED), name);
    const change = `${name}: ${first.toFixed(0)} in the first ${COMPARED} deaths, ${last.toFixed(0)} in the last`;
    console.log(change);
    if (last - first > allowed[name]) fault(change);
  }
}

function startServer(): ChildProcess {
  const file = fileURLToPath(new URL("../test/support/module-server.ts", import.meta.url));
  const module = new URL("../test/support/handlers/lethal.ts", import.meta.url).href;
  const options = JSON.stringify({ driver: values.driver, threads: 2, limits: LIMITS });
  const server = spawn(process.execPath, [file, module, options], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    // As npm test does: else each new thread strips the types of all its modules, which nothing has that is published.
    env: { ...process.env, NODE_COMPILE_CACHE: CACHE },
  });
  server.on("message", (message: { readonly end?: ThreadEnd }) => {
    if (message.end !== undefined) ends.push(message.end);
  });
  server.on("exit", (code, signal) => {
    console.log(`the process ended: code ${code}, signal ${signal}`);
    process.exit(1);
  });
  return server;
}

async function portOf(server: ChildProcess): Promise<number> {
  if (server.stdout === null) throw new Error("a child without its output");
  const [said] = await once(server.stdout, "data");
  return Number(/port (\d+)/.exec(String(said))?.[1]);
}

function tell(death: number): void {
  const lost = ends.reduce((sum, { connections }) => sum + connections, 0);
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(
    `${death} deaths in ${seconds} s (and ${ends.length - death} of threads that nobody killed), ` +
      `${lost} connections ended with them, ${Math.round(checkedBytes / 1e6)} MB checked; ` +
      `others' ends at most ${Math.round(slowestClose)} ms after the first, replaced within ${Math.round(slowestReplacement)} ms; ` +
      `${descriptorsOf(pid)} descriptors, ${Math.round(memoryOf(pid).residentBytes / MIB)} MiB`,
  );
}
