// `node scripts/drain-rounds.ts [--rounds N] [--driver D] [--model M] [--connections N] [--in-flight N]`: starts a server, loads it,
// sends it SIGTERM at some moment, and compares both ledgers: what the server has executed and what its clients saw
// acknowledged. Again and again. Exits with 1 at the first round in which something was lost, done twice or cut, or in which
// the process did not end by itself, with 0, before its deadline.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CLI } from "../test/support/child.ts";
import { Client } from "../test/support/client.ts";
import { assertSame, Requests } from "../test/support/requests.ts";
import { until } from "../test/support/until.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "100" },
    driver: { type: "string", default: "io_uring" },
    model: { type: "string", default: "multi-reactor" },
    connections: { type: "string", default: "100" },
    "in-flight": { type: "string", default: "32" },
  },
});
const HANDLERS = fileURLToPath(
  new URL("../test/support/handlers/acknowledging.ts", import.meta.url),
);
const CONNECTIONS = Number(values.connections);
const DEADLINE_MS = 10_000;
const folder = mkdtempSync(join(tmpdir(), "sluice-drains-"));
const ledger = join(folder, "ledger");
const sums = { executed: 0, slowestMs: 0 };

for (let round = 1; round <= Number(values.rounds); round++) {
  await drain();
  if (round % 10 === 0) {
    const { executed, slowestMs } = sums;
    console.log(
      `${round} rounds, ${executed} requests executed and acknowledged, each once; ended within ${slowestMs} ms`,
    );
  }
}
rmSync(folder, { recursive: true });

async function drain(): Promise<void> {
  writeFileSync(ledger, "");
  const [server, port] = await start();
  // Also when this round fails.
  const end = () => server.kill("SIGKILL");
  process.once("exit", end);
  const all = Array.from({ length: CONNECTIONS }, (_, n) => {
    const client = new Client(connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
    return new Requests(client, `${n}`, Number(values["in-flight"]));
  });
  const enough = Math.random() * 5 * CONNECTIONS;
  await until(() => executed().length > enough, "a running load");
  const ended = once(server, "exit");
  server.kill("SIGTERM");
  const signalled = performance.now();
  for (const { client } of all) {
    client.socket.on("end", () => client.socket.end());
    await until(
      () => client.ended || client.closed,
      () => `the end (${client.state()})`,
    );
    if (client.ended) client.socket.end();
  }
  const [code, signal] = await ended;
  const tookMs = Math.round(performance.now() - signalled);
  if (code !== 0) throw new Error(`it ended with ${code ?? signal}`);
  if (tookMs >= DEADLINE_MS) throw new Error(`it ended after ${tookMs} ms`);
  assertSame(
    executed(),
    all.flatMap((each) => each.acknowledged()),
  );
  for (const { client } of all) client.destroy();
  process.off("exit", end);
  sums.executed += executed().length;
  sums.slowestMs = Math.max(sums.slowestMs, tookMs);
}

/** What the server has executed. */
function executed(): string[] {
  return readFileSync(ledger, "utf8").split("\n").slice(0, -1);
}

async function start(): Promise<[ChildProcess, number]> {
  const { driver, model } = values;
  const blocking = model.startsWith("thread-");
  // A thread each, where a connection takes one; those have a driver of their own.
  const threads = model === "event-loop" ? "1" : blocking ? String(CONNECTIONS) : "2";
  const args = [CLI, "serve", HANDLERS, "--port", "0", "--model", model, "--threads", threads];
  const server = spawn(process.execPath, blocking ? args : [...args, "--driver", driver], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, LEDGER: ledger },
  });
  let said = "";
  server.stdout.on("data", (text) => {
    said += text;
  });
  await until(() => said.includes("try it"), "a listening server");
  return [server, Number(/127\.0\.0\.1:(\d+)/.exec(said)?.[1])];
}
