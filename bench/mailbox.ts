// Messages between threads: a hop from one to the other, against postMessage, and a fan-out to many subscribers.
//
//   npm run bench:mailbox -- [--rounds 3] [--subscribers 10000] [--quick]
//
// Nothing is pinned: two threads have the machine's two cores. The messages of a hop have 64 bytes; a flood one way is timed
// by who takes it, then one message at a time goes there and back. A fan-out counts what clients in another process
// have read, so that it holds the kernel's part and theirs too. The results go where those of `npm run bench` go.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { MessageChannel, type Transferable, Worker } from "node:worker_threads";
import { type Server, serve } from "../src/index.ts";
import { completeLimits } from "../src/limits.ts";
import { Mailboxes } from "../src/server/mailboxes.ts";
import { command } from "./command.ts";
import type { HopFigures, HopPlan } from "./mailbox/hop-end.ts";
import type { HopWorkerData } from "./mailbox/hop-worker.ts";
import { provenanceOf } from "./provenance.ts";
import { readResults, writeResults } from "./publish.ts";
import type { FanOutMeasurement, HopMeasurement } from "./results.ts";

const MESSAGE_BYTES = 64;
const BURSTS = [1, 16];
const HOP_ENTRY = new URL("./mailbox/hop-worker.ts", import.meta.url);
const HOP_HANDLERS = new URL("./mailbox/hop-handlers.ts", import.meta.url);
const FAN_OUT_HANDLERS = new URL("./mailbox/fan-out-handlers.ts", import.meta.url);
const FAN_OUT_CLIENT = new URL("./mailbox/fan-out-client.ts", import.meta.url);

/** How much of each kind keeps it busy for about half a second. */
const HOPS: Readonly<Record<string, { readonly messages: number; readonly roundTrips: number }>> = {
  postMessage: { messages: 300_000, roundTrips: 10_000 },
  mailbox: { messages: 3_000_000, roundTrips: 20_000 },
  "broadcast of bytes": { messages: 1_500_000, roundTrips: 10_000 },
  "broadcast of an object": { messages: 200_000, roundTrips: 10_000 },
};

type Figures = Required<HopFigures>;

/** Two bare threads; what they find together. */
async function bareHop(way: string): Promise<Figures> {
  const plan = HOPS[way] as Omit<HopPlan, "sends">;
  const ends: readonly Worker[] = way === "mailbox" ? mailboxEnds(plan) : portEnds(plan);
  const figures: HopFigures[] = [];
  const exits = ends.map((end) => once(end, "exit"));
  let ready = 0;
  for (const end of ends) {
    end.on("message", (message: HopFigures | "ready") => {
      if (message !== "ready") figures.push(message);
      else if (++ready === ends.length) for (const each of ends) each.postMessage("go");
    });
  }
  await Promise.all(exits);
  return complete(Object.assign({}, ...figures));
}

function portEnds(plan: Omit<HopPlan, "sends">): Worker[] {
  const { port1, port2 } = new MessageChannel();
  return [port1, port2].map((port, n) => {
    const workerData = { plan: { ...plan, sends: n === 0 }, port };
    return new Worker(HOP_ENTRY, { workerData, transferList: [port as unknown as Transferable] });
  });
}

function mailboxEnds(plan: Omit<HopPlan, "sends">): Worker[] {
  const mailboxes = new Mailboxes(2, completeLimits(), true);
  const seats = [mailboxes.open(), mailboxes.open()];
  return seats.map((seat, n) => {
    const peer = seats[1 - n]?.box ?? 0;
    const workerData: HopWorkerData = { plan: { ...plan, sends: n === 0 }, seat, peer };
    return new Worker(HOP_ENTRY, { workerData });
  });
}

/** Two reactors of a server; the same. The first time is for their compilers, as bare threads have in a longer flood. */
async function reactorHop(way: string): Promise<Figures> {
  const plan = HOPS[way] as Omit<HopPlan, "sends">;
  const what = way.endsWith("bytes") ? "bytes" : "object";
  const server = await serve(HOP_HANDLERS, { threads: 2 });
  try {
    const [sender, taker] = await Promise.all([0, 1].map((thread) => onThread(server, thread)));
    if (sender === undefined || taker === undefined) throw new Error("no connections");
    await hopOnce(server, sender, taker, what, plan);
    const figures = await hopOnce(server, sender, taker, what, plan);
    for (const socket of [sender, taker]) socket.destroy();
    return figures;
  } finally {
    await server.close({ drainMs: 100 });
  }
}

async function hopOnce(
  server: Server,
  sender: Socket,
  taker: Socket,
  what: string,
  { messages, roundTrips }: Omit<HopPlan, "sends">,
): Promise<Figures> {
  const map = server.map<HopFigures>("figures");
  await Promise.all([map.delete("rate"), map.delete("latency")]);
  taker.write(`take ${what} ${messages} ${roundTrips}\n`);
  await once(taker, "data");
  sender.write(`flood ${what} ${messages} ${roundTrips}\n`);
  while ((await map.get("latency")) === undefined) await sleep(20);
  return complete({ ...(await map.get("rate")), ...(await map.get("latency")) });
}

async function onThread(server: Server, thread: number): Promise<Socket> {
  if (server.address.family === "unix") throw new Error("no port");
  for (;;) {
    const socket = connect({ port: server.address.port });
    socket.write("thread\n");
    const [answer] = await once(socket, "data");
    if (Number(String(answer)) === thread) return socket;
    socket.destroy();
  }
}

function complete({ messagesPerSecond, p50Us, p99Us }: HopFigures): Figures {
  if (messagesPerSecond === undefined || p50Us === undefined || p99Us === undefined) {
    throw new Error("a hop ended without its figures");
  }
  return { messagesPerSecond, p50Us, p99Us };
}

async function fanOut(subscribers: number, rounds: number): Promise<FanOutMeasurement[]> {
  const server = await serve(FAN_OUT_HANDLERS, { threads: 2 });
  if (server.address.family === "unix") throw new Error("no port");
  const client = fork(FAN_OUT_CLIENT, [String(server.address.port), String(subscribers)]);
  try {
    await heard(client, "connected");
    while (server.statistics().subscriptions < subscribers) await sleep(10);
    const threads = server.statistics().threads.map((each) => each.subscriptions);
    console.log(`  ${subscribers} subscribers, on the threads: ${threads.join(", ")}`);
    const found: FanOutMeasurement[] = [];
    for (const burst of BURSTS) {
      await burstOf(client, server, subscribers, burst);
      for (let round = 1; round <= rounds; round++) {
        const deliveriesPerSecond = await burstOf(client, server, subscribers, burst);
        found.push({ subscribers, burst, round, deliveriesPerSecond });
        console.log(`  fan-out, ${burst} at once: ${deliveriesPerSecond.toFixed(0)} deliveries/s`);
      }
    }
    const { deliveriesDropped, mailboxFull } = server.statistics();
    if (deliveriesDropped + mailboxFull > 0) throw new Error("some were not delivered");
    return found;
  } finally {
    client.kill();
    await server.close({ drainMs: 100 });
  }
}

/** Deliveries/s of one burst: from its publishing to the last byte read. */
async function burstOf(
  client: ChildProcess,
  server: Server,
  subscribers: number,
  burst: number,
): Promise<number> {
  const deliveries = subscribers * burst;
  client.send(deliveries * MESSAGE_BYTES);
  await heard(client, "waiting");
  const startedAt = performance.now();
  for (let n = 0; n < burst; n++) server.publish("all", Buffer.alloc(MESSAGE_BYTES, n));
  await heard(client, "received");
  return (deliveries / (performance.now() - startedAt)) * 1000;
}

async function heard(client: ChildProcess, what: string): Promise<void> {
  const [message] = await once(client, "message");
  if (message !== what) throw new Error(`the client said ${message} and not ${what}`);
}

function readPlan(): {
  readonly rounds: number;
  readonly subscribers: number;
  readonly quick: boolean;
} {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      subscribers: { type: "string", default: "10000" },
      quick: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  const subscribers = Number(values.subscribers);
  if (!(rounds >= 1 && rounds <= 100 && subscribers >= 1 && subscribers <= 100_000)) {
    throw new RangeError("--rounds must be from 1 to 100, --subscribers from 1 to 100000");
  }
  return { rounds, subscribers, quick: values.quick };
}

async function main(): Promise<void> {
  const { rounds, subscribers, quick } = readPlan();
  const hops: HopMeasurement[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const way of Object.keys(HOPS)) {
      const figures = way.startsWith("broadcast") ? await reactorHop(way) : await bareHop(way);
      hops.push({ way, round, ...figures });
      const { messagesPerSecond, p50Us, p99Us } = figures;
      console.log(
        `  round ${round}  ${way.padEnd(24)} ${messagesPerSecond.toFixed(0).padStart(9)}/s  round trip ${p50Us.toFixed(1)} µs, p99 ${p99Us.toFixed(1)} µs`,
      );
    }
  }
  const fanOuts = await fanOut(subscribers, rounds);
  const destination = quick ? "partial" : "published";
  const path = writeResults(destination, {
    ...readResults(destination),
    mailbox: {
      provenance: provenanceOf("bench:mailbox", rounds, 0.5),
      hops,
      fanOuts,
    },
  });
  console.log(`written to ${path}`);
}

command(import.meta.url);
await main();
