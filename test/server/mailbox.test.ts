// Mailboxes: who is woken, and that no wake is lost; what a full, a vacant and an inherited box does.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { probeDriver } from "../../src/driver/choose-driver.ts";
import { completeLimits } from "../../src/limits.ts";
import { Mailbox, type MailboxSeat } from "../../src/server/mailbox.ts";
import { Mailboxes, ringBytesFor, SERVER_BOX } from "../../src/server/mailboxes.ts";
import { questionBody, questionHead } from "../../src/server/map-messages.ts";
import { MAP_QUESTION } from "../../src/server/map-owner.ts";
import { GET, SET } from "../../src/server/map-store.ts";
import { POLLIN } from "../../src/sys/abi.ts";
import { PollTable } from "../../src/sys/poll-calls.ts";
import { drainEventfd, signalEventfd } from "../../src/sys/socket-calls.ts";
import type { MailboxWorkerData } from "../support/mailbox-worker.ts";
import { until } from "../support/until.ts";

const NONE = Buffer.alloc(0);
const KIND = 9;
const STOP = 10;
const LIMITS = completeLimits({ mailboxBytes: 4096 });
const ENTRY = fileURLToPath(new URL("../support/mailbox-worker.ts", import.meta.url));
/** Without the raw calls there is no eventfd. */
const NO_EVENTFD = probeDriver("epoll") === undefined ? false : "no eventfd here";

function mailboxes(t: TestContext, threads: number, eventfd: boolean): Mailboxes {
  const all = new Mailboxes(threads, LIMITS, eventfd);
  t.after(() => all.close());
  return all;
}

describe("a mailbox", () => {
  test("is woken once when asleep, and not at all when awake", { skip: NO_EVENTFD }, (t) => {
    const all = mailboxes(t, 1, true);
    const seat = all.open();
    const box = new Mailbox(seat);
    const table = new PollTable(1);
    table.add(seat.wakeDescriptor, POLLIN);
    const signalled = () => table.wait(0) === 1;
    const came: number[] = [];
    const receive = () => box.receive(({ tag }) => void came.push(tag));
    receive();
    const send = (tag: number) => assert.ok(all.own.send(seat.box, KIND, tag, NONE, NONE));

    send(1);
    assert.equal(signalled(), false, "awake: no wake");
    assert.equal(box.fallAsleep(), false, "it must not sleep over what has come");
    receive();
    assert.equal(box.fallAsleep(), true);
    for (let tag = 2; tag < 100; tag++) send(tag);
    assert.equal(signalled(), true);
    assert.equal(drainEventfd(seat.wakeDescriptor), 8);
    receive();
    for (let tag = 100; tag < 110; tag++) send(tag);
    assert.equal(signalled(), false);
    receive();
    receive();
    assert.deepEqual(
      came,
      Array.from({ length: 109 }, (_, n) => n + 1),
    );
    table.release();
  });

  test("answers false when it is full, and takes everything when nobody has it", (t) => {
    const all = mailboxes(t, 2, false);
    const seat = all.open();
    const body = Buffer.alloc(100);
    assert.ok(
      all.own.send(seat.box, KIND, 0, NONE, body),
      "nobody is there yet, who could miss it?",
    );
    const box = new Mailbox(seat);
    assert.equal(box.lost, 0);
    let sent = 0;
    while (all.own.send(seat.box, KIND, sent, NONE, body)) sent++;
    assert.equal(sent, Math.floor(4096 / 128));
    assert.equal(all.own.sendAll(1, KIND, NONE, body), 1, "one of them is full");

    // Its owner dies; the next one does not get what was for the other, and it is counted.
    all.vacate(seat);
    assert.ok(all.own.send(seat.box, KIND, 0, NONE, body));
    const again = all.open();
    assert.deepEqual([again.box, again.generation], [seat.box, seat.generation + 1]);
    const successor = new Mailbox(again);
    assert.equal(successor.lost, sent);
    assert.ok(all.own.send(seat.box, KIND, 77, NONE, body));
    const came: number[] = [];
    successor.receive(({ tag }) => void came.push(tag));
    assert.deepEqual(came, [77]);
  });

  test("of many threads: all together take a bounded amount of memory", () => {
    assert.equal(ringBytesFor(3, 262_144), 262_144);
    const many = ringBytesFor(257, 262_144);
    assert.ok(many > 16_000 && many * 257 ** 2 <= 1024 ** 3 && many % 16 === 0, `${many}`);
    const all = new Mailboxes(2, LIMITS, false);
    all.open();
    all.open();
    assert.throws(() => all.open(), /all 2 mailboxes are in use/);
    all.close();
  });

  test("what a thread has said of shared maps before it died is done before it counts as dead", (t) => {
    const all = mailboxes(t, 1, false);
    const seat = all.open();
    const dying = new Mailbox(seat);
    const at = { name: "map", key: "k", version: 0, keepMs: 0 };
    for (const [value, withThread] of [
      ["executing", true],
      ["result", false],
    ] as const) {
      const question = { ...at, operation: SET, value: Buffer.from(value), withThread };
      const body = questionBody(question, seat.generation);
      assert.equal(dying.send(SERVER_BOX, MAP_QUESTION, 1, questionHead(question), body), true);
    }
    all.vacate(seat);
    const nothing = { value: Buffer.alloc(0), withThread: false };
    const { value } = all.maps.apply({ ...at, ...nothing, operation: GET });
    assert.equal(Buffer.from(value ?? []).toString(), "result");
  });

  test("a receiver that throws loses that message and no other", (t) => {
    const all = mailboxes(t, 1, false);
    const seat = all.open();
    const box = new Mailbox(seat);
    for (let tag = 0; tag < 3; tag++) all.own.send(seat.box, KIND, tag, NONE, NONE);
    const came: number[] = [];
    const receive = () =>
      box.receive(({ tag }) => {
        came.push(tag);
        if (tag === 1) throw new Error("no");
      });
    assert.throws(receive, /no/);
    all.own.send(seat.box, KIND, 3, NONE, NONE);
    receive();
    assert.deepEqual(came, [0, 1, 2, 3]);
  });
});

/** Sends one message after the other, each as soon as the one before it was received: just when the receiver goes to sleep. */
async function race(eventfd: boolean, rounds: number): Promise<void> {
  const all = new Mailboxes(1, LIMITS, eventfd);
  const seat = all.open();
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const workerData: MailboxWorkerData = { seat, counts, stop: STOP, echo: false };
  const worker = new Worker(ENTRY, { workerData });
  const exited = new Promise<unknown>((resolve) => {
    worker.once("error", resolve);
    worker.once("exit", () => resolve(undefined));
  });
  try {
    await until(() => Atomics.load(counts, 1) === 1, "the worker");
    sendEach(all, seat, counts, rounds);
  } finally {
    all.own.send(seat.box, STOP, 0, NONE, NONE);
    // One that has lost a wake is woken by hand.
    if (seat.wakeDescriptor >= 0) signalEventfd(seat.wakeDescriptor);
    assert.equal(await exited, undefined);
    all.close();
  }
}

function sendEach(all: Mailboxes, seat: MailboxSeat, counts: Int32Array, rounds: number): void {
  let seed = 7;
  for (let n = 0; n < rounds; n++) {
    // Now and then a little later, so that every step of falling asleep is met.
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    for (let spin = seed % 512; spin > 0; spin--) Atomics.load(counts, 0);
    assert.ok(all.own.send(seat.box, KIND, n, NONE, NONE));
    while (Atomics.load(counts, 0) === n) {
      const woken = Atomics.wait(counts, 0, n, 10_000);
      assert.notEqual(woken, "timed-out", `message ${n} woke nobody`);
    }
  }
}

describe("no wake is lost between one who falls asleep and one who sends", () => {
  test("in a wait on an eventfd", { skip: NO_EVENTFD }, () => race(true, 20_000));
  test("in Node's event loop", () => race(false, 20_000));
});
