// `node scripts/reloads.ts [--reloads N] [--model M] [--driver D] [--threads N] [--visitors N] [--rate N] [--visits N] [--long N] [--published]`:
// serves a handler file by the command line, in a process of its own, and sends it SIGHUP again and again while clients of another
// process come and go as fast as they can, or --rate of them in a second (a new generation must have served --visits of them before
// the next one comes), and others stay. One of the new generations crashes at its start. Nobody may be refused, reset or cut, those
// who stay must be ended in order, and the counters must add up. Exits with 1 otherwise. --published runs what `npm run build` has
// made: threads start as users' do, several times as fast as from TypeScript.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { blocks, type ModelName } from "../src/server/options.ts";
import { until } from "../test/support/until.ts";
import { DistantVisitors } from "../test/support/visitors-process.ts";

const { values } = parseArgs({
  options: {
    reloads: { type: "string", default: "100" },
    model: { type: "string", default: "multi-reactor" },
    driver: { type: "string", default: "io_uring" },
    threads: { type: "string" },
    visitors: { type: "string", default: "20" },
    rate: { type: "string" },
    long: { type: "string", default: "100" },
    visits: { type: "string", default: "50" },
    published: { type: "boolean", default: false },
  },
});
/** What the command line says with --json, a line each. */
interface Told {
  readonly event: string;
  readonly address?: { readonly host: string; readonly port: number };
  readonly reason?: string;
  readonly clean?: boolean;
  readonly accepted?: number;
  readonly closed?: number;
  readonly messages?: number;
}

const RELOADS = Number(values.reloads);
const GRACE_MS = 200;
/** Of those that stay: together they take little of the machine from those that come and go. */
const ASKING_MS = 500;
const VISITS = Number(values.visits);
const [sources, suffix] = values.published ? ["../dist", "js"] : ["../src", "ts"];

const folder = mkdtempSync(join(tmpdir(), "sluice-reloads-"));
const file = join(folder, "handlers.mjs");
const faults = new Map<string, number>();
const fault = (what: string) => void faults.set(what, (faults.get(what) ?? 0) + 1);
const told: Told[] = [];

writeFileSync(file, version(0));
const server = start();
const exited = once(server, "exit");
await until(() => last("listening") !== undefined || gone(), "a server that listens");
const address = whereItListens();
const visitors = new DistantVisitors({
  address: { family: "ipv4", ...address },
  visitors: Number(values.visitors),
  ask: "?\n",
  ...(values.rate !== undefined && { perSecond: Number(values.rate) }),
});
let ended = 0;
let staying = true;
for (let n = 0; n < Number(values.long); n++) stay();
const began = performance.now();
let slowest = Number.POSITIVE_INFINITY;
let before = { atMs: began, served: 0 };

for (let reload = 1; reload <= RELOADS; reload++) {
  if (reload === Math.ceil(RELOADS / 2)) await crashAtStart();
  writeFileSync(file, version(reload));
  if ((await hangUp()) !== "reloaded") fault("a reload that failed");
  const answer = `v${reload}`;
  await until(() => (visitors.answers.get(answer) ?? 0) > VISITS, `visits to ${answer}`);
  if (reload % 10 === 0 || reload === RELOADS) tell(reload);
}
staying = false;
await until(() => visitors.leave(), "the last visitor");
for (const [what, times] of visitors.failures) fault(`${what}, ${times} times`);
server.kill("SIGTERM");
const [code] = await exited;
if (code !== 0) fault(`the server ended with ${code}`);
if (last("closed")?.clean !== true) fault("a connection that was cut off at the end");
const { accepted = 0, closed = 0, messages = 0 } = last("statistics") ?? {};
if (accepted !== closed) fault(`${accepted} accepted, ${closed} closed`);
if (messages < visitors.served) fault(`${visitors.served} served, ${messages} counted`);
for (const [what, times] of faults) console.log(`FAULT ${what}${times > 1 ? ` (${times})` : ""}`);
rmSync(folder, { recursive: true });
process.exit(faults.size === 0 ? 0 : 1);

function start(): ChildProcess {
  const model = values.model as ModelName;
  // Blocking ones need a thread for each who is there; those who stay come back before their old threads are free.
  const most = blocks(model) ? Number(values.visitors) + 2 * Number(values.long) + 4 : 2;
  const child = spawn(
    process.execPath,
    [
      ...[part("cli/main"), "serve", file, "--json"],
      ...["--port", "0", "--model", model, "--threads", values.threads ?? String(most)],
      ...(blocks(model) ? [] : ["--driver", values.driver]),
      ...["--grace-ms", String(GRACE_MS), "--drain-ms", "5000"],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  process.once("exit", () => child.kill("SIGKILL"));
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
    told.push(JSON.parse(line) as Told);
  });
  return child;
}

function whereItListens(): NonNullable<Told["address"]> {
  const address = last("listening")?.address;
  if (address === undefined) throw new Error("the server has not started");
  return address;
}

function last(event: string): Told | undefined {
  return told.findLast((one) => one.event === event);
}

function gone(): boolean {
  return server.exitCode !== null || server.signalCode !== null;
}

/** Answers with its number; under hybrid the compute threads give every second answer. */
function version(number: number): string {
  return `import { lines } from ${JSON.stringify(part("codec/lines"))};
    import { heavy } from ${JSON.stringify(part("handlers"))};
    let asked = 0;
    const answer = (connection) => void connection.send("v${number}");
    export default {
      codec: lines(),
      message: (connection) => (${values.model === "hybrid"} && asked++ % 2 ? heavy(0) : answer(connection)),
      compute: () => 0,
      computed: answer,
    };`;
}

/** A file of the project, as it was written or as it is published. */
function part(name: string): string {
  return fileURLToPath(new URL(`${sources}/${name}.${suffix}`, import.meta.url));
}

/** SIGHUP, and what came of it: "reloaded" or "not-reloaded". */
async function hangUp(): Promise<string> {
  const heard = told.length;
  server.kill("SIGHUP");
  const answer = () => told.slice(heard).find(({ event }) => event.endsWith("reloaded"));
  await until(() => answer() !== undefined || gone(), "a reload");
  return answer()?.event ?? "the end of the server";
}

async function crashAtStart(): Promise<void> {
  writeFileSync(file, "throw new Error('a successor that crashes at its start');");
  const event = await hangUp();
  const wasTold = last(event)?.reason?.includes("crashes at its start") === true;
  if (event !== "not-reloaded" || !wasTold) fault("a successor that crashed was not told of");
}

/** A client that stays, asks now and then, and comes again when its thread ends it. */
function stay(): void {
  if (!staying) return;
  const socket = connect(address);
  const asking = setInterval(() => socket.write("?\n"), ASKING_MS);
  socket.resume();
  socket.on("end", () => {
    clearInterval(asking);
    socket.destroy();
  });
  socket.on("error", (error: NodeJS.ErrnoException) => fault(`one that stays: ${error.code}`));
  socket.on("close", () => {
    clearInterval(asking);
    ended++;
    stay();
  });
}

function tell(reload: number): void {
  const nowMs = performance.now();
  const { served } = visitors;
  const rate = (since: typeof before) => ((served - since.served) / (nowMs - since.atMs)) * 1000;
  slowest = Math.min(slowest, rate(before));
  before = { atMs: nowMs, served };
  const failed = [...visitors.failures].map(([what, times]) => `${times} ${what}`).join(", ");
  console.log(
    `${reload} reloads in ${Math.round((nowMs - began) / 1000)} s, ${served} new connections served ` +
      `(${Math.round(rate({ atMs: began, served: 0 }))}/s, in the slowest ten reloads ${Math.round(slowest)}/s), ` +
      `failed: ${failed || "none"}; ${ended} that stayed ended in order`,
  );
}
