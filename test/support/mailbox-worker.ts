// A thread with a mailbox for tests of waking: it waits as a reactor does, with its box's word in between, and answers or counts
// what it gets. How it waits: in poll(2) on an eventfd, or in Node's event loop.

import { workerData } from "node:worker_threads";
import { Mailbox, type MailboxSeat } from "../../src/server/mailbox.ts";
import { POLLIN } from "../../src/sys/abi.ts";
import { PollTable } from "../../src/sys/poll-calls.ts";
import { drainEventfd } from "../../src/sys/socket-calls.ts";

export interface MailboxWorkerData {
  readonly seat: MailboxSeat;
  /** Word 0 counts what has come, word 1 says that it is there. */
  readonly counts: Int32Array;
  /** The kind of message that ends the thread: nobody else can, while it waits in the kernel. */
  readonly stop: number;
  /** Each message is sent back. */
  readonly echo: boolean;
}

const { seat, counts, stop, echo } = workerData as MailboxWorkerData;
const mailbox = new Mailbox(seat);
let last = -1;

function receive(): void {
  mailbox.receive(({ kind, tag, head, body }, from) => {
    if (kind === stop) process.exit();
    if (tag !== last + 1) throw new Error(`message ${tag} came after ${last}`);
    last = tag;
    if (echo && !mailbox.send(from, kind, tag, head, body)) throw new Error("the way back is full");
    Atomics.add(counts, 0, 1);
    Atomics.notify(counts, 0);
  });
}

Atomics.store(counts, 1, 1);
Atomics.notify(counts, 1);
if (seat.wakeDescriptor < 0) {
  // Something has to keep the thread alive: a wait in the event loop does not.
  setInterval(() => undefined, 60_000);
  mailbox.callWhenPending(receive);
} else {
  const table = new PollTable(1);
  table.add(seat.wakeDescriptor, POLLIN);
  for (;;) {
    if (mailbox.fallAsleep()) {
      table.wait(-1);
      drainEventfd(seat.wakeDescriptor);
    }
    receive();
  }
}
