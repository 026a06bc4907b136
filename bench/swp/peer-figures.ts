// What others do with the same load: 50 connections, 16 requests of 32 bytes in flight on each, server on core 0, load on core 1.

import { fork } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { benchDirectory } from "../paths.ts";
import { cpuTimes } from "../process-figures.ts";
import { FixedClients, type FixedLoad } from "./fixed-load.ts";
import { natsServer, needsPackage, peer } from "./processes.ts";

export interface Figures {
  readonly perSecond: number;
  /** Of the server, or of all that serve together, for each message. */
  readonly cpuUs: number;
  readonly p50Us?: number;
  /** Of an idle session. */
  readonly rssPerSessionBytes?: number;
}

export interface Load {
  readonly connections: number;
  readonly depth: number;
  readonly bodyBytes: number;
  readonly seconds: number;
}

const WARM_UP_MS = 1000;

/** Answers/s between two looks, and the CPU of these processes for each. */
async function measured(
  pids: readonly number[],
  seconds: number,
  answers: () => number | Promise<number>,
): Promise<Figures> {
  await sleep(WARM_UP_MS);
  const [before, used, from] = [await answers(), cpuOf(pids), performance.now()];
  await sleep(seconds * 1000);
  const [count, elapsed] = [(await answers()) - before, performance.now() - from];
  return { perSecond: (count / elapsed) * 1000, cpuUs: (cpuOf(pids) - used) / 1000 / count };
}

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (cpuTimes(pid)?.usedNs ?? 0), 0);
}

/** @throws Absent */
export async function grpc({ connections, depth, seconds }: Load): Promise<Figures> {
  needsPackage("@grpc/grpc-js");
  return peer("grpc.mjs", ["serve"], async (port, pid) => {
    const args = ["load", port, connections, depth].map(String);
    const child = fork(`${benchDirectory}peers/grpc.mjs`, args);
    try {
      return await measured([pid], seconds, async () => {
        child.send("answers?");
        const [answers] = await once(child, "message");
        return Number(answers);
      });
    } finally {
      child.kill();
    }
  });
}

async function fixed(load: FixedLoad, pids: readonly number[], seconds: number): Promise<Figures> {
  const clients = await FixedClients.open(load);
  try {
    return await measured(pids, seconds, () => clients.answers);
  } finally {
    clients.close();
  }
}

/** @throws Absent */
export async function webSocket({
  connections,
  depth,
  bodyBytes,
  seconds,
}: Load): Promise<Figures> {
  needsPackage("ws");
  // A binary message, masked with zeros as a client must.
  const header = Buffer.from([0x82, 0x80 | bodyBytes, 0, 0, 0, 0]);
  const request = Buffer.concat([header, Buffer.alloc(bodyBytes, "x")]);
  const greeting = [
    ...["GET / HTTP/1.1", "Host: bench", "Upgrade: websocket", "Connection: Upgrade"],
    ...["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", ""],
  ].join("\r\n");
  return peer("websocket.mjs", [], (port, pid) => {
    const load = {
      ...{ port, connections, depth, answerBytes: 2 + bodyBytes },
      greeting: () => greeting,
      greeted: (answer: string) => answer.endsWith("\r\n\r\n"),
      request: () => request,
    };
    return fixed(load, [pid], seconds);
  });
}

/** The CPU is that of nats-server and of the responder. @throws Absent */
export async function nats({ connections, depth, bodyBytes, seconds }: Load): Promise<Figures> {
  needsPackage("@nats-io/transport-node");
  const inbox = (n: number) => `_INBOX.${String(n).padStart(3, "0")}`;
  const body = "x".repeat(bodyBytes);
  return natsServer((port, serverPid) =>
    peer("nats-responder.mjs", [String(port)], (_port, pid) => {
      const load = {
        ...{ port, connections, depth, filter: withoutPings },
        answerBytes: `MSG ${inbox(0)} 1 ${bodyBytes}\r\n${body}\r\n`.length,
        greeting: (n: number) => `CONNECT {"verbose":false}\r\nSUB ${inbox(n)} 1\r\nPING\r\n`,
        greeted: (answer: string) => answer.endsWith("PONG\r\n"),
        request: (n: number) => Buffer.from(`PUB echo ${inbox(n)} ${bodyBytes}\r\n${body}\r\n`),
      };
      return fixed(load, [serverPid, pid], seconds);
    }),
  );
}

const PING = "PING\r\n";

/** nats-server wants to know now and then whether its client is there. */
function withoutPings(socket: Socket, bytes: Buffer): Buffer {
  const at = bytes.indexOf(PING);
  if (at < 0) return bytes;
  socket.write("PONG\r\n");
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + PING.length)]);
}
