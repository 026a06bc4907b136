// One end of a hop between two bare threads: through a mailbox, waited for on an eventfd, or through postMessage.

import { Buffer } from "node:buffer";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { Mailbox, type MailboxSeat } from "../../src/server/mailbox.ts";
import { POLLIN } from "../../src/sys/abi.ts";
import { PollTable } from "../../src/sys/poll-calls.ts";
import { drainEventfd } from "../../src/sys/socket-calls.ts";
import { HopEnd, type HopPlan } from "./hop-end.ts";

export interface HopWorkerData {
  readonly plan: HopPlan;
  readonly seat?: MailboxSeat;
  /** The other end's box. */
  readonly peer?: number;
  readonly port?: MessagePort;
}

const BYTES = Buffer.alloc(64, 7);
const NONE = Buffer.alloc(0);
/** So many messages at once; then the event loop gets its turn. */
const BATCH = 1000;

/** Full: what a program does then is something else for a moment. */
const pause = () => Atomics.wait(NOBODY, 0, 0, 0.05);
const NOBODY = new Int32Array(new SharedArrayBuffer(4));

const { plan, seat, peer, port } = workerData as HopWorkerData;
const end = new HopEnd(plan, (figures) => parentPort?.postMessage(figures));

async function throughPort(way: MessagePort): Promise<void> {
  way.on("message", () => {
    if (end.came()) way.postMessage(BYTES);
    if (end.isOver) way.close();
  });
  if (!plan.sends) return;
  for (let n = 1; n <= plan.messages; n++) {
    way.postMessage(BYTES);
    if (n % BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

function throughMailbox(way: MailboxSeat, to: number, mailbox: Mailbox): void {
  const table = new PollTable(1);
  table.add(way.wakeDescriptor, POLLIN);
  const send = () => {
    while (!mailbox.send(to, 1, 0, NONE, BYTES)) pause();
  };
  if (plan.sends) for (let n = 0; n < plan.messages; n++) send();
  while (!end.isOver) {
    if (mailbox.fallAsleep()) {
      table.wait(-1);
      drainEventfd(way.wakeDescriptor);
    }
    mailbox.receive(({ body }) => {
      if (body.length !== BYTES.length) throw new Error("a message that was never sent");
      if (end.came()) send();
    });
  }
}

if (port !== undefined) await throughPort(port);
else if (seat !== undefined && peer !== undefined) {
  const mailbox = new Mailbox(seat);
  parentPort?.postMessage("ready");
  await new Promise((resolve) => parentPort?.once("message", resolve));
  throughMailbox(seat, peer, mailbox);
}
