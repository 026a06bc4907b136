// `node scripts/fairness.ts [--connections N] [--burst N] [--threads N] [--seconds N]`: who gets the connections, and what that
// costs, for each driver and each way to balance them. One table, a row each:
//
//   even      N connections in bursts, to idle threads: the fewest and the most that one thread got
//   busy      the same while one thread computes 9 of every 10 ms
//   served/s  connections that are opened, answered once and closed, 64 at a time
//   CPU       of the server's process for each of those, in µs
//
// The clients are a process of their own. Pinned to nothing: on few cores they take time from the threads they measure, so
// CPU is what tells the ways apart.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CHOICES, type DriverChoice } from "../src/driver/choices.ts";
import { probeDriver } from "../src/driver/choose-driver.ts";
import { BALANCES, type ServeOptions } from "../src/server/options.ts";
import { type Server, serve } from "../src/server/serve.ts";
import { until } from "../test/support/until.ts";

const HANDLERS = new URL("../test/support/handlers/busy.ts", import.meta.url);
const CROWD = fileURLToPath(new URL("../test/support/crowd.ts", import.meta.url));
const WIDTH = 64;
const WIDE = 12;

const { values } = parseArgs({
  options: {
    connections: { type: "string", default: "10000" },
    burst: { type: "string", default: "500" },
    threads: { type: "string", default: "2" },
    seconds: { type: "string", default: "3" },
    driver: { type: "string" },
  },
});
const connections = Number(values.connections);
const threads = Number(values.threads);
const seconds = Number(values.seconds);

interface Way {
  readonly name: string;
  readonly options: ServeOptions;
}

const WAYS: readonly Way[] = [
  ...BALANCES.map((balance) => ({ name: balance, options: { balance } })),
  { name: "reusePort", options: { reusePort: true } },
];

console.log(`${connections} connections in bursts of ${values.burst}, ${threads} threads`);
console.log(row("driver", "balance", "even", "max/min", "busy", "max/min", "served/s", "CPU µs"));
for (const driver of CHOICES) {
  if (probeDriver(driver) !== undefined || (values.driver ?? driver) !== driver) continue;
  const ways = driver === "portable" ? WAYS.slice(0, 1) : WAYS;
  for (const way of ways) console.log(await measure(driver, way));
}

async function measure(driver: DriverChoice, way: Way): Promise<string> {
  const server = await serve(HANDLERS, { driver, threads, ...way.options });
  const crowd = fork(CROWD, [String(portOf(server))]);
  const even = await spread(server, crowd);
  const served = await churn(server, crowd);
  const busy = await whileBusy(server, () => spread(server, crowd));
  crowd.kill();
  await server.close({ drainMs: 100 });
  return row(
    ...[driver, way.name, even.join(" "), ratio(even), busy.join(" "), ratio(busy)],
    ...[served.perSecond.toFixed(0), served.cpuUs.toFixed(1)],
  );
}

/** How many connections each thread gets. */
async function spread(server: Server, crowd: ChildProcess): Promise<number[]> {
  const before = server.statistics().threads.map((thread) => thread.connections);
  await ask(crowd, `open ${connections} ${values.burst}`);
  const after = server.statistics().threads.map((thread) => thread.connections);
  const left = before.reduce((sum, count) => sum + count, 0);
  await ask(crowd, "close");
  await until(() => server.statistics().connections === left, "the end of all connections");
  return after.map((count, index) => count - (before[index] ?? 0));
}

async function churn(
  server: Server,
  crowd: ChildProcess,
): Promise<{ readonly perSecond: number; readonly cpuUs: number }> {
  await ask(crowd, `churn 1 ${WIDTH}`);
  const before = process.cpuUsage();
  const served = await ask(crowd, `churn ${seconds} ${WIDTH}`);
  const { user, system } = process.cpuUsage(before);
  await until(() => server.statistics().connections === 0, "the end of all connections");
  return { perSecond: served / seconds, cpuUs: (user + system) / served };
}

/** One connection keeps the thread that has it busy. */
async function whileBusy<Value>(server: Server, run: () => Promise<Value>): Promise<Value> {
  const socket = connect(portOf(server), "127.0.0.1");
  socket.write("busy\n");
  await once(socket, "data");
  const value = await run();
  socket.destroy();
  return value;
}

async function ask(crowd: ChildProcess, command: string): Promise<number> {
  const answer = once(crowd, "message");
  const ended = once(crowd, "exit").then(() => {
    throw new Error(`the clients failed at ${command}`);
  });
  crowd.send(command);
  const [value] = await Promise.race([answer, ended]);
  return value as number;
}

function portOf(server: Server): number {
  if (server.address.family === "unix") throw new Error("a Unix socket has no port");
  return server.address.port;
}

function ratio(counts: readonly number[]): string {
  return (Math.max(...counts) / Math.min(...counts)).toFixed(2);
}

function row(...cells: readonly string[]): string {
  return cells.map((cell, index) => (index < 2 ? cell.padEnd(18) : cell.padStart(WIDE))).join(" ");
}
