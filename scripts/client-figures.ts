// Figures of the SWP client: what a call costs beside a raw echo, what an idle connection weighs, whether anything grows.
//
//   node scripts/client-figures.ts                       latency and memory, half a minute
//   node scripts/client-figures.ts --calls 10000000      also that nothing grows over so many calls: minutes
//
// Latency: one call at a time, alternating every few calls with the same bytes echoed by a server without a protocol, through
// `connect`; the ratio of the medians counts, not the times. Both servers are processes of their own and have one core together,
// the client has the other: left to the kernel, one of them comes to lie on the client's core, where it is woken in a third of the
// time, and that is what would be measured. Memory: the heap before and after opening idle clients, of which each has a connection
// of its own, and what that adds to the resident set once as many have come and gone: the first ones also make the heap's room for
// what is young grow, by several times what stays; growth: the heap after a collection, at ten points.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { client } from "../src/client/client.ts";
import { connect } from "../src/client/connect.ts";
import { deferred } from "../src/deferred.ts";
import { rawCodec } from "../src/protocol/body-codec.ts";

const BODY = Buffer.alloc(32, "x");
const ROUNDS = 7;
const BLOCKS_A_ROUND = 100;
const BLOCK = 25;
const CLIENT_CORE = "0";
const SERVER_CORE = "1";
const IDLE = 2000;
const SERVICE = new URL("../examples/service.ts", import.meta.url).pathname;
const CLI = new URL("../src/cli/main.ts", import.meta.url).pathname;

const { values } = parseArgs({ options: { calls: { type: "string" } } });
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** A server in a process of its own; ends with this one. */
async function serving(...file: string[]): Promise<number> {
  const args = [CLI, "serve", ...file, "--port", "0", "--model", "event-loop", "--json"];
  const child = spawn("taskset", ["-c", SERVER_CORE, process.execPath, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.once("exit", () => child.kill());
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return JSON.parse(String(line)).address.port;
}

/** Of a block of requests one after the other, in µs. */
async function time(once: () => Promise<unknown>, list: number[]): Promise<void> {
  for (let n = 0; n < BLOCK; n++) {
    const from = performance.now();
    await once();
    list.push((performance.now() - from) * 1000);
  }
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;
}

async function latency(echoPort: number, servicePort: number): Promise<void> {
  let answered = deferred<void>();
  const raw = await connect({ port: echoPort, message: () => answered.resolve() });
  const api = client({ port: servicePort });
  const echo = () => {
    answered = deferred<void>();
    raw.write(BODY);
    return answered.promise;
  };
  const call = () => api.call("echo", BODY, { codec: rawCodec });
  const ratios: number[] = [];
  // The first one, in which code is compiled, does not count.
  for (let round = 0; round <= ROUNDS; round++) {
    const [echoes, calls]: [number[], number[]] = [[], []];
    for (let block = 0; block < BLOCKS_A_ROUND; block++) {
      await time(echo, echoes);
      await time(call, calls);
    }
    if (round === 0) continue;
    const [echoed, called] = [median(echoes), median(calls)];
    ratios.push(called / echoed);
    console.log(`echo p50 ${echoed.toFixed(1)} µs, call p50 ${called.toFixed(1)} µs`);
  }
  console.log(`call / echo, median of ${ROUNDS} rounds: ${median(ratios).toFixed(3)}`);
  raw.close();
  await api.close();
}

async function idle(port: number): Promise<void> {
  const open = () => client({ port });
  const gone = Array.from({ length: IDLE }, open);
  await Promise.all(gone.map((api) => api.connected()));
  await Promise.all(gone.map((api) => api.close()));
  const first = Array.from({ length: 50 }, open);
  await Promise.all(first.map((api) => api.connected()));
  collect();
  const before = process.memoryUsage();
  const many = Array.from({ length: IDLE }, open);
  await Promise.all(many.map((api) => api.connected()));
  collect();
  const after = process.memoryUsage();
  const each = (from: number, to: number) => `${((to - from) / IDLE / 1024).toFixed(2)} KiB`;
  console.log(
    `an idle client and its connection: ${each(before.heapUsed, after.heapUsed)} of heap; resident set ${each(before.rss, after.rss)} more than after as many before`,
  );
  await Promise.all([...first, ...many].map((api) => api.close()));
}

async function growth(port: number, calls: number): Promise<void> {
  const api = client({ port });
  const some = async (count: number) => {
    let left = count;
    const caller = async () => {
      while (left-- > 0) await api.call("echo", BODY, { codec: rawCodec });
    };
    await Promise.all(Array.from({ length: 64 }, caller));
  };
  await some(calls / 10);
  for (let part = 1; part <= 10; part++) {
    await some(calls / 10);
    collect();
    const { heapUsed, rss, arrayBuffers } = process.memoryUsage();
    const [heap, resident, buffers] = [heapUsed, rss, arrayBuffers].map((n) =>
      Math.round(n / 1024),
    );
    console.log(
      `${(part * calls) / 10} calls: heap ${heap} KiB, resident ${resident} KiB, buffers ${buffers} KiB`,
    );
  }
  await api.close();
}

if (spawnSync("taskset", ["-acp", CLIENT_CORE, String(process.pid)]).status !== 0) {
  throw new Error("two cores and taskset (util-linux) are needed to pin processes");
}
const [echoPort, servicePort] = [await serving(), await serving(SERVICE)];
await latency(echoPort, servicePort);
await idle(servicePort);
if (values.calls !== undefined) await growth(servicePort, Number(values.calls));
process.exit();
