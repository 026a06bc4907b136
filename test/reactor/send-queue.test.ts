// The send queue over a driver whose sends end when the test says so: every byte once and in order, one send under way,
// what is written meanwhile gathered, the kernel's block never touched, every block back in the end.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { raw } from "../../src/codec/raw.ts";
import { GONE, ReactorConnection, SENDING } from "../../src/reactor/connection.ts";
import { BYTES_SENT, COUNTER_STRIDE } from "../../src/reactor/counters.ts";
import { handlerTable } from "../../src/reactor/handler-table.ts";
import { NO_BLOCK } from "../../src/reactor/output-arena.ts";
import type { Reactor } from "../../src/reactor/reactor.ts";
import { SendQueue } from "../../src/reactor/send-queue.ts";
import { ECONNRESET } from "../../src/sys/errno.ts";
import { RecordingDriver } from "./recording-driver.ts";

/** The queue asks a connection for its fields only, never for its reactor. */
const NO_REACTOR = {} as Reactor<unknown, unknown, unknown>;
const NOTHING = () => undefined;
const TABLE = handlerTable<unknown, unknown, unknown>({ message: NOTHING }, NOTHING);

function connectionOf(handle: number): ReactorConnection<unknown, unknown, unknown> {
  return new ReactorConnection(NO_REACTOR, handle, handle, TABLE, raw().decoder(), undefined, 0);
}

function subject(outputBytes?: number, waits?: boolean) {
  const driver = new RecordingDriver(outputBytes, waits);
  const counters = new Float64Array(COUNTER_STRIDE);
  const failures: number[] = [];
  const queue = new SendQueue(
    driver,
    counters,
    (_, errno) => failures.push(errno),
    () => Math.floor(driver.now()),
  );
  const connection = connectionOf(1);
  /** Ends the send under way, and gives what it carried. */
  const finish = (of = connection) => {
    const bytes = driver.finishSend(of.handle);
    queue.sent(of, true);
    return bytes;
  };
  return { driver, queue, connection, finish, counters, failures };
}

test("what is written in one turn leaves in one send", () => {
  const { driver, queue, connection, finish } = subject();
  queue.append(connection, Buffer.from("one "));
  queue.appendText(connection, "zwö ");
  queue.appendUint(connection, 0x31323334, 4, false);
  queue.appendUint(connection, 0x3635, 2, true);
  assert.equal(driver.sends.size, 0, "nothing leaves before the turn's end");
  assert.ok(queue.hasWork);
  queue.flush(77);
  assert.ok(!queue.hasWork);
  assert.deepEqual([connection.sentMs, queue.sending], [77, 1]);
  assert.equal(finish().toString(), "one zwö 123456");
  assert.deepEqual([connection.pendingBytes, queue.sending, queue.arena.inUse], [0, 0, 0]);
  assert.deepEqual([connection.head, connection.tail], [NO_BLOCK, NO_BLOCK]);
  assert.equal(driver.sends.size, 0);
});

test("while a send is under way the next bytes are gathered behind it, and follow at once", () => {
  const { driver, queue, connection, finish } = subject();
  queue.append(connection, Buffer.from("first"));
  queue.flush(1);
  for (const word of ["a", "b", "c"]) {
    queue.append(connection, Buffer.from(word));
    queue.flush(2);
  }
  assert.equal(driver.sends.size, 1);
  assert.equal(connection.pendingBytes, 8);
  driver.nowMs = 99.5;
  assert.equal(finish().toString(), "first");
  assert.deepEqual([connection.sentMs, connection.pendingBytes], [99, 3]);
  assert.equal(finish().toString(), "abc");
  assert.deepEqual([connection.pendingBytes, queue.arena.inUse, queue.sending], [0, 0, 0]);
});

test("a large write leaves at once, and only its rest is queued", () => {
  const { driver, queue, connection, finish, counters } = subject();
  const bytes = Buffer.alloc(20_000, "0123456789");
  driver.nowMs = 7.5;
  driver.takesNow = bytes.length;
  assert.ok(queue.append(connection, bytes));
  assert.deepEqual([connection.pendingBytes, queue.hasWork, queue.arena.inUse], [0, false, 0]);
  assert.deepEqual([counters[BYTES_SENT], connection.sentMs], [20_000, 7]);
  driver.takesNow = 12_345;
  assert.ok(queue.append(connection, bytes));
  assert.deepEqual([connection.pendingBytes, counters[BYTES_SENT]], [7655, 32_345]);
  queue.flush(0);
  const rest = finish();
  assert.deepEqual(Buffer.concat([...driver.sentNow, rest]), Buffer.concat([bytes, bytes]));
});

test("a large write waits behind what is queued or under way, and a small one is gathered", () => {
  const { driver, queue, connection, finish } = subject();
  const large = Buffer.alloc(9000, 2);
  driver.takesNow = large.length;
  queue.append(connection, Buffer.from("small"));
  queue.append(connection, large);
  queue.flush(0);
  queue.append(connection, large);
  assert.equal(driver.sentNow.length, 0);
  const sent = [finish()];
  while (driver.sends.size > 0) sent.push(finish());
  assert.deepEqual(Buffer.concat(sent), Buffer.concat([Buffer.from("small"), large, large]));
});

test("a large write to a broken connection fails at once and queues nothing", () => {
  const { driver, queue, connection, failures } = subject();
  driver.takesNow = -ECONNRESET;
  assert.equal(queue.append(connection, Buffer.alloc(9000)), false);
  assert.deepEqual([failures, connection.pendingBytes], [[-ECONNRESET], 0]);
});

test("dropped under way, only the kernel's block stays, until its send is over", () => {
  const { driver, queue, connection } = subject();
  queue.append(connection, Buffer.alloc(1000, 1));
  queue.flush(0);
  const kernels = queue.arena.inUse;
  queue.append(connection, Buffer.alloc(300_000, 2));
  assert.ok(queue.arena.inUse > kernels);
  connection.flags |= GONE;
  queue.drop(connection);
  assert.deepEqual([queue.arena.inUse, connection.pendingBytes], [kernels, 1000]);
  queue.flush(0);
  const { length } = driver.finishSend(1);
  assert.equal(length, 1000);
  queue.sent(connection, false);
  assert.deepEqual([queue.arena.inUse, connection.pendingBytes, queue.sending], [0, 0, 0]);
  assert.deepEqual(
    [connection.head, connection.tail],
    [NO_BLOCK, NO_BLOCK],
    "a freed block is kept",
  );
  assert.equal(driver.sends.size, 0);
});

test("dropped before it was flushed, nothing is sent and nothing stays", () => {
  const { driver, queue, connection } = subject();
  queue.append(connection, Buffer.alloc(100_000));
  queue.drop(connection);
  queue.flush(0);
  assert.deepEqual([driver.sends.size, queue.arena.inUse, connection.pendingBytes], [0, 0, 0]);
});

test("after a send that failed nothing more is sent", () => {
  const { driver, queue, connection } = subject();
  queue.append(connection, Buffer.from("one"));
  queue.flush(0);
  queue.append(connection, Buffer.from("two"));
  driver.finishSend(1);
  queue.sent(connection, false);
  assert.equal(driver.sends.size, 0);
  assert.equal(connection.flags & SENDING, 0);
  queue.drop(connection);
  assert.equal(queue.arena.inUse, 0);
});

test("memory that is used up is said, and comes back", () => {
  const { queue, connection, finish } = subject(1 << 20);
  assert.equal(queue.append(connection, Buffer.alloc((1 << 20) + 1)), false);
  const other = connectionOf(2);
  assert.equal(queue.append(other, Buffer.from("x")), false);
  assert.equal(queue.appendText(other, "x"), false);
  assert.equal(queue.appendUint(other, 1, 1, true), false);
  assert.equal(other.pendingBytes, 0);
  queue.drop(connection);
  assert.equal(queue.arena.inUse, 0);
  assert.equal(queue.appendText(other, "x"), true);
  queue.flush(0);
  assert.equal(finish(other).toString(), "x");
});

test("where the thread is not ours, the first write of a turn asks for one", () => {
  const { driver, queue, connection } = subject(1 << 20, false);
  queue.append(connection, Buffer.from("a"));
  queue.append(connection, Buffer.from("b"));
  queue.append(connectionOf(2), Buffer.from("c"));
  assert.equal(driver.wakes, 1);
  queue.flush(0);
  queue.append(connectionOf(3), Buffer.from("d"));
  assert.equal(driver.wakes, 2);
  const owner = subject(1 << 20, true);
  owner.queue.append(owner.connection, Buffer.from("a"));
  assert.equal(owner.driver.wakes, 0, "who waits in turn() need not be woken by itself");
});

const CONNECTIONS = 3;
const which = fc.integer({ min: 0, max: CONNECTIONS - 1 });
const length = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 150_000 }));
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ which, bytes: length }) },
  {
    weight: 2,
    arbitrary: fc.record({ which, text: length, sign: fc.constantFrom("a", "ö", "€", "😀") }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ which, uint: fc.nat(), size: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.constant("flush" as const) },
  { weight: 3, arbitrary: fc.record({ finish: which }) },
);

test("every byte leaves once and in order, whatever is written and finished when", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const { driver, queue, finish } = subject(8 << 20);
      const subjects = [1, 2, 3].map((handle) => ({
        connection: connectionOf(handle),
        expected: [] as Buffer[],
        sent: [] as Buffer[],
        waiting: 0,
      }));
      const done = (one: (typeof subjects)[number]) => {
        if (!driver.sends.has(one.connection.handle)) return false;
        const bytes = finish(one.connection);
        one.sent.push(bytes);
        one.waiting -= bytes.length;
        return true;
      };
      let seed = 0;
      for (const next of steps) {
        if (next === "flush") queue.flush(0);
        else {
          const one = subjects["finish" in next ? next.finish : next.which];
          assert.ok(one);
          if ("finish" in next) done(one);
          else {
            const { bytes, taken } = write(queue, one.connection, next, ++seed);
            if (!taken) return fc.pre(false);
            one.expected.push(bytes);
            one.waiting += bytes.length;
          }
        }
        for (const { connection, waiting } of subjects) {
          assert.equal(connection.pendingBytes, waiting);
        }
        assert.equal(queue.sending, driver.sends.size);
      }
      queue.flush(0);
      while (subjects.some(done));
      for (const { expected, sent, connection } of subjects) {
        assert.ok(Buffer.concat(sent).equals(Buffer.concat(expected)), "other bytes have left");
        assert.equal(connection.pendingBytes, 0);
      }
      assert.deepEqual([queue.arena.inUse, queue.hasWork], [0, false]);
    }),
    { numRuns: 120 },
  );
});

type Write =
  | { readonly bytes: number }
  | { readonly text: number; readonly sign: string }
  | { readonly uint: number; readonly size: number };

function write(
  queue: SendQueue,
  connection: ReactorConnection<unknown, unknown, unknown>,
  what: Write,
  seed: number,
): { readonly bytes: Buffer; readonly taken: boolean } {
  if ("bytes" in what) {
    const bytes = Buffer.alloc(what.bytes, `${seed},`);
    const taken = queue.append(connection, bytes);
    const kept = Buffer.from(bytes);
    bytes.fill(0);
    return { bytes: kept, taken };
  }
  if ("text" in what) {
    const text = `${seed}`.repeat(2) + what.sign.repeat(Math.floor(what.text / 4));
    return { bytes: Buffer.from(text), taken: queue.appendText(connection, text) };
  }
  const bytes = Buffer.alloc(what.size);
  const value = what.uint % 2 ** (8 * what.size);
  const littleEndian = seed % 2 === 0;
  if (littleEndian) bytes.writeUIntLE(value, 0, what.size);
  else bytes.writeUIntBE(value, 0, what.size);
  return { bytes, taken: queue.appendUint(connection, value, what.size, littleEndian) };
}
