// SWP/1: what a call costs beside an echo of the same reactor and beside gRPC, WebSocket and NATS, how fast frames are decoded, how many
// deliveries a publication to a thousand subscribers makes, what an idle session weighs.
//
//   npm run bench:swp -- [--rounds 3] [--seconds 3]
//
// Server on core 0, load on core 1, in turns; one reactor (model event-loop). Our load is the generator of `sluice load`, that of WebSocket
// and NATS a bare socket, that of gRPC its own client, since there is no cheaper one. With fewer than three rounds the results are partial
// and leave the published ones alone.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { client } from "../src/client/client.ts";
import { planLoad } from "../src/lab/load-plan.ts";
import { runLoad } from "../src/lab/run-load.ts";
import { FrameReader, InputView } from "../src/protocol/frame-reader.ts";
import { FrameWriter } from "../src/protocol/frame-writer.ts";
import { encodeData } from "../src/protocol/stream-frames.ts";
import { command } from "./command.ts";
import { cpuTimes, rssBytes } from "./process-figures.ts";
import { provenanceOf } from "./provenance.ts";
import { readResults, writeResults } from "./publish.ts";
import type { Absence, SwpMeasurement } from "./results.ts";
import { type Figures, grpc, type Load, nats, webSocket } from "./swp/peer-figures.ts";
import { Absent, serving } from "./swp/processes.ts";

const BODY_BYTES = 32;
const SUBSCRIBERS = 1000;
/** As many as there are idle connections in `npm run bench`. */
const IDLE_SESSIONS = 15_000;
/** What is due right after the last answer is over by then. */
const SETTLED_AFTER_MS = 2000;
const PUBLISHED = 4000;
const TOPIC = "blast";
/** Header, fixed part, topic, body. */
const DELIVERY_BYTES = 8 + 8 + TOPIC.length + BODY_BYTES;
const DELIVERED_WITHIN_MS = 30_000;
const FULL_ROUNDS = 3;

command(import.meta.url);
const { values } = parseArgs({
  options: { rounds: { type: "string" }, seconds: { type: "string" } },
});
const rounds = Number(values.rounds ?? FULL_ROUNDS);
const seconds = Number(values.seconds ?? 3);
if (!(rounds >= 1 && seconds > 0)) throw new RangeError("--rounds from 1, --seconds above 0");

type Workload = "swp" | "length-prefix";

const MODULES: Readonly<Record<Workload, string>> = {
  swp: "./service.ts",
  "length-prefix": "./length-prefix.ts",
};

/** Echoed by a server of ours, under the generator of `sluice load`. */
function echoed(workload: Workload, connections: number, depth: number): Promise<Figures> {
  return serving(MODULES[workload], async (port, pid) => {
    const times = { warmUpMs: 1000, durationMs: seconds * 1000 };
    const load = { workload, size: String(BODY_BYTES), connections, depth, threads: 1, ...times };
    const plan = planLoad({ family: "ipv4", host: "127.0.0.1", port }, load);
    const before = cpuTimes(pid)?.usedNs ?? 0;
    const { stages } = await runLoad({ plan, arguments: [] }, {});
    const [stage] = stages;
    if (stage === undefined || stage.errors.length > 0) throw new Error(`${workload} failed`);
    const used = (cpuTimes(pid)?.usedNs ?? 0) - before;
    // Warm-up and cool-down are in both: the server's time goes by what it did in all of it.
    const busy = stage.seconds + 1.25;
    return {
      perSecond: stage.messagesPerSecond,
      cpuUs: used / 1000 / (stage.messagesPerSecond * busy),
      p50Us: stage.service.p50,
    };
  });
}

/** To a thousand subscribers, from the first publication to the last byte read. */
function published(): Promise<Figures> {
  return serving("./service.ts", async (port, pid) => {
    const file = new URL("./swp/subscribers.ts", import.meta.url).pathname;
    const subscribers = fork(file, [String(port), String(SUBSCRIBERS), TOPIC]);
    const api = client({ port });
    const publish = (messages: number) =>
      api.call("blast", messages, { deadlineMs: DELIVERED_WITHIN_MS });
    try {
      await heard(subscribers, "subscribed");
      await blast(subscribers, publish, 500);
      const before = cpuTimes(pid)?.usedNs ?? 0;
      const started = performance.now();
      await blast(subscribers, publish, PUBLISHED);
      const elapsed = (performance.now() - started) / 1000;
      const used = (cpuTimes(pid)?.usedNs ?? 0) - before;
      const deliveries = PUBLISHED * SUBSCRIBERS;
      return { perSecond: deliveries / elapsed, cpuUs: used / 1000 / deliveries };
    } finally {
      await api.close();
      subscribers.kill();
    }
  });
}

async function blast(
  subscribers: ChildProcess,
  publish: (messages: number) => Promise<unknown>,
  messages: number,
): Promise<void> {
  const waiting = heard(subscribers, "waiting");
  subscribers.send(messages * SUBSCRIBERS * DELIVERY_BYTES);
  await waiting;
  const over = new AbortController();
  const late = sleep(DELIVERED_WITHIN_MS, undefined, { signal: over.signal });
  const received = heard(subscribers, "received");
  await publish(messages);
  const tooLate = late.then(
    () => Promise.reject(new Error("some were dropped")),
    () => received,
  );
  await Promise.race([received, tooLate]);
  over.abort();
}

async function heard(child: ChildProcess, what: string): Promise<void> {
  const [message] = await once(child, "message");
  if (message !== what) throw new Error(`a client said ${message} and not ${what}`);
}

/** Each has made a call, and says nothing more. The rate is that of clients who come, call and stay. */
function idle(): Promise<Figures> {
  const file = new URL("./swp/idle-sessions.ts", import.meta.url).pathname;
  // The model that a module is served with unless told otherwise: its reactor has a heap of its own.
  const model = ["multi-reactor", "--threads", "1"];
  return serving("./service.ts", (port, pid) => opened(file, port, pid), model);
}

async function opened(file: string, port: number, pid: number): Promise<Figures> {
  const [before, usedBefore] = [rssBytes(pid) ?? 0, cpuTimes(pid)?.usedNs ?? 0];
  const started = performance.now();
  const sessions = fork(file, [String(port), String(IDLE_SESSIONS)]);
  try {
    await heard(sessions, "answered");
    const elapsed = (performance.now() - started) / 1000;
    const used = (cpuTimes(pid)?.usedNs ?? 0) - usedBefore;
    await sleep(SETTLED_AFTER_MS);
    const grown = (rssBytes(pid) ?? 0) - before;
    return {
      perSecond: IDLE_SESSIONS / elapsed,
      cpuUs: used / 1000 / IDLE_SESSIONS,
      rssPerSessionBytes: grown / IDLE_SESSIONS,
    };
  } finally {
    sessions.kill();
  }
}

/** Frames/s of 32 bytes, header included. */
async function decoded(): Promise<Figures> {
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
  const perSecond = frames / ((performance.now() - started) / 1000);
  return { perSecond, cpuUs: 1e6 / perSecond };
}

const LOAD: Load = { connections: 50, depth: 16, bodyBytes: BODY_BYTES, seconds };

const SUBJECTS: readonly (readonly [name: string, measure: () => Promise<Figures>])[] = [
  ["call", () => echoed("swp", LOAD.connections, LOAD.depth)],
  ["length-prefix echo", () => echoed("length-prefix", LOAD.connections, LOAD.depth)],
  ["grpc-js", () => grpc(LOAD)],
  ["ws", () => webSocket(LOAD)],
  ["nats", () => nats(LOAD)],
  ["call, one at a time", () => echoed("swp", 1, 1)],
  ["length-prefix echo, one at a time", () => echoed("length-prefix", 1, 1)],
  ["deliveries", published],
  ["decoder", decoded],
  ["idle sessions", idle],
];

const measurements: SwpMeasurement[] = [];
const absences: Absence[] = [];
for (let round = 1; round <= rounds; round++) {
  for (const [subject, measure] of SUBJECTS) {
    if (absences.some(({ server }) => server === subject)) continue;
    try {
      const figures = await measure();
      measurements.push({ subject, round, ...figures });
      const perSecond = Math.round(figures.perSecond).toLocaleString("en").padStart(12);
      const p50 = figures.p50Us === undefined ? "" : `, p50 ${figures.p50Us.toFixed(1)} µs`;
      const bytes = figures.rssPerSessionBytes;
      const rss = bytes === undefined ? "" : `, ${(bytes / 1024).toFixed(2)} KiB each`;
      console.log(
        `round ${round}  ${subject.padEnd(36)}${perSecond}/s  ${figures.cpuUs.toFixed(2)} µs CPU${p50}${rss}`,
      );
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
      absences.push({ server: subject, reason: error.message });
      console.log(`round ${round}  ${subject}: left out, ${error.message}`);
    }
  }
}

const destination = rounds >= FULL_ROUNDS ? "published" : "partial";
const path = writeResults(destination, {
  ...readResults(destination),
  swp: {
    provenance: provenanceOf("bench:swp", rounds, seconds),
    measurements,
    absences,
  },
});
console.log(`written to ${path}`);
