// SWP/1: what a call costs beside an echo of the same reactor, how fast frames are decoded, how many deliveries a
// publication to a thousand subscribers makes.
//
//   npm run bench:swp -- [--rounds 3] [--seconds 3]
//
// Server on core 0, load on core 1, in turns; one reactor (model event-loop). Prints medians, and the ratio of the calls to the
// echo in the same round: messages/s, and the server's CPU for each.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { client } from "../src/client/client.ts";
import { planLoad } from "../src/lab/load-plan.ts";
import { runLoad } from "../src/lab/run-load.ts";
import { FrameReader, InputView } from "../src/protocol/frame-reader.ts";
import { FrameWriter } from "../src/protocol/frame-writer.ts";
import { encodeData } from "../src/protocol/stream-frames.ts";
import { describeMachine } from "./machine.ts";
import { cpuTimes } from "./process-figures.ts";
import { median } from "./statistics.ts";
import { Subscribers } from "./swp/subscribers.ts";

const CLI = new URL("../src/cli/main.ts", import.meta.url).pathname;
const CONNECTIONS = 50;
const DEPTH = 16;
const BODY_BYTES = 32;
const SUBSCRIBERS = 1000;
const PUBLISHED = 4000;
/** Header, fixed part, topic, body. */
const DELIVERY_BYTES = 8 + 8 + "blast".length + BODY_BYTES;

interface Figures {
  readonly perSecond: number;
  readonly cpuUs: number;
}

const { values } = parseArgs({
  options: { rounds: { type: "string" }, seconds: { type: "string" } },
});
const rounds = Number(values.rounds ?? 3);
const seconds = Number(values.seconds ?? 3);
if (!(rounds >= 1 && seconds > 0)) throw new RangeError("--rounds from 1, --seconds above 0");

/** Serves a module on core 0 for as long as `use` takes. */
async function serving<Result>(
  module: string,
  use: (port: number, pid: number) => Promise<Result>,
): Promise<Result> {
  const file = new URL(module, import.meta.url).pathname;
  const serve = [process.execPath, CLI, "serve", file, "--model", "event-loop", "--port", "0"];
  const child = spawn("taskset", ["-c", "0", ...serve, "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = await once(createInterface(child.stdout), "line");
    const { address }: { address: { port: number } } = JSON.parse(line);
    return await use(address.port, child.pid ?? -1);
  } finally {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
}

async function echoed(workload: "swp" | "length-prefix", port: number, pid: number) {
  const plan = planLoad(
    { family: "ipv4", host: "127.0.0.1", port },
    {
      workload,
      size: String(BODY_BYTES),
      connections: CONNECTIONS,
      depth: DEPTH,
      threads: 1,
      warmUpMs: 1000,
      durationMs: seconds * 1000,
    },
  );
  const before = cpuTimes(pid)?.usedNs ?? 0;
  const { stages } = await runLoad({ plan, arguments: [] }, {});
  const [stage] = stages;
  if (stage === undefined || stage.errors.length > 0) throw new Error(`${workload} failed`);
  const used = (cpuTimes(pid)?.usedNs ?? 0) - before;
  // Warm-up and cool-down are in both: the server's time goes by what it did in all of it.
  const busy = stage.seconds + 1.25;
  const figures: Figures = {
    perSecond: stage.messagesPerSecond,
    cpuUs: used / 1000 / (stage.messagesPerSecond * busy),
  };
  return figures;
}

async function published(port: number, pid: number): Promise<Figures> {
  const subscribers = new Subscribers(port, SUBSCRIBERS, "blast");
  const api = client({ port });
  try {
    await api.call("echo", Buffer.alloc(1));
    await sleep(1000);
    await api.call("blast", 500);
    await sleep(1000);
    subscribers.bytes = 0;
    const before = cpuTimes(pid)?.usedNs ?? 0;
    const started = performance.now();
    await api.call("blast", PUBLISHED, { deadlineMs: 60_000 });
    const elapsed = (performance.now() - started) / 1000;
    const used = (cpuTimes(pid)?.usedNs ?? 0) - before;
    const deliveries = subscribers.bytes / DELIVERY_BYTES;
    return { perSecond: deliveries / elapsed, cpuUs: used / 1000 / deliveries };
  } finally {
    await api.close();
    subscribers.close();
  }
}

/** Frames/s of 32 bytes, header included. */
function decoded(): number {
  const writer = new FrameWriter();
  const body = new Uint8Array(24);
  while (writer.end < 60_000) encodeData(writer, 1, 0, body, 0, body.length);
  const reader = new FrameReader(new InputView(), 65_536);
  let frames = 0;
  const sink = {
    frame(): boolean {
      frames++;
      return true;
    },
  };
  const input = { bytes: writer.bytes, offset: 0, end: writer.end, borrow: true };
  const until = performance.now() + 500;
  const started = performance.now();
  while (performance.now() < until) {
    input.offset = 0;
    reader.read(input, sink);
  }
  return frames / ((performance.now() - started) / 1000);
}

const calls: Figures[] = [];
const echoes: Figures[] = [];
const fanOuts: Figures[] = [];
const decoders: number[] = [];
console.log(JSON.stringify(describeMachine()));
for (let round = 1; round <= rounds; round++) {
  calls.push(await serving("./swp/service.ts", (port, pid) => echoed("swp", port, pid)));
  echoes.push(
    await serving("./swp/length-prefix.ts", (port, pid) => echoed("length-prefix", port, pid)),
  );
  fanOuts.push(await serving("./swp/service.ts", published));
  decoders.push(decoded());
  console.log(`round ${round} of ${rounds}`);
}

const middle = (list: readonly number[]) => median(list) ?? Number.NaN;
const ratio = (figure: (figures: Figures) => number) =>
  middle(calls.map((one, n) => figure(one) / figure(echoes[n] as Figures)));
const row = (name: string, figures: readonly Figures[]) => {
  const perSecond = Math.round(middle(figures.map((one) => one.perSecond)));
  const cpu = middle(figures.map((one) => one.cpuUs)).toFixed(2);
  console.log(`${name.padEnd(44)} ${perSecond.toLocaleString("en").padStart(12)}/s  ${cpu} µs CPU`);
};
row(`calls, ${BODY_BYTES} B, ${CONNECTIONS} × ${DEPTH}`, calls);
row("length-prefix echo, the same", echoes);
row(`deliveries to ${SUBSCRIBERS} subscribers`, fanOuts);
console.log(`calls to echo: ${ratio((one) => one.perSecond).toFixed(2)} of the messages/s`);
console.log(
  `               ${(1 / ratio((one) => one.cpuUs)).toFixed(2)} of the messages for the same CPU`,
);
console.log(`decoder: ${(middle(decoders) / 1e6).toFixed(0)} M frames/s of 32 bytes`);
