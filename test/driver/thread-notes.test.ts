// The notes of a thread that has died on the way of a descriptor into its slot: wherever it was, it is closed, and once.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { OPERATION_ACCEPT } from "../../src/driver/event-cookie.ts";
import { cleanUpAfterThread, notesLength, ThreadNotes } from "../../src/driver/thread-notes.ts";
import { addressOf } from "../../src/sys/native-library.ts";
import { NativeMemory } from "../../src/sys/native-memory.ts";
import { closeDescriptor, openSocket } from "../../src/sys/socket-calls.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";

const skip = RAW_DRIVERS.every((driver) => driver.skip) && "there are no native calls here";
const SLOTS = 4;
const SLOT = 2;
/** A ring of two completions, laid out as the kernel would: head, tail, mask, flags, lost, and the entries of four words. */
const RING = { head: 0, tail: 4, mask: 8, flags: 12, lost: 16, entries: 32 };
const RESULT = RING.entries / 4 + 2;

/** A thread that has accepted a connection, which its ring tells of in a completion that it has not finished with. */
function subject() {
  const table = new Int32Array(new SharedArrayBuffer(notesLength(SLOTS) * 4));
  const notes = new ThreadNotes(table, SLOTS);
  // Given up by whoever cleans up: nothing here may unmap it again.
  const { bytes } = NativeMemory.allocate(4096);
  const ring = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const descriptor = openSocket("ipv4", true);
  assert.ok(descriptor >= 0);
  ring.set([0, 1, 1, 0, 0]);
  ring.set([0, OPERATION_ACCEPT, descriptor, 0], RING.entries / 4);
  notes.noteRingMapping(Number(addressOf(bytes)), bytes.length);
  notes.noteCompletions(RING);
  return { table, notes, ring, descriptor };
}

const STEPS: readonly [string, (of: ReturnType<typeof subject>) => void][] = [
  ["it has not looked at it", () => undefined],
  ["it is in hand as well", ({ notes, descriptor }) => notes.hold(descriptor)],
  ["it is in hand alone", ({ ring }) => void ring.fill(-1, RESULT, RESULT + 1)],
  [
    "it is in its slot as well",
    ({ table, notes, descriptor }) => {
      const hand = table.indexOf(descriptor);
      notes.noteSlot(SLOT, descriptor);
      table[hand] = descriptor;
    },
  ],
  ["it is in its slot alone", ({ notes, descriptor }) => notes.noteSlot(SLOT, descriptor)],
];

for (let died = 0; died < STEPS.length; died++) {
  test(`a descriptor whose thread died when ${STEPS[died]?.[0]} is closed once`, { skip }, () => {
    const thread = subject();
    for (const [, act] of STEPS.slice(0, died + 1)) act(thread);
    assert.equal(cleanUpAfterThread(thread.table), 1);
    assert.equal(existsSync(`/proc/self/fd/${thread.descriptor}`), false);
  });
}

test("what a thread has let go of stays open", { skip }, () => {
  const { table, notes, ring, descriptor } = subject();
  notes.hold(descriptor);
  ring[RESULT] = -1;
  notes.letGo(descriptor);
  assert.equal(cleanUpAfterThread(table), 0);
  assert.equal(existsSync(`/proc/self/fd/${descriptor}`), true);
  closeDescriptor(descriptor);
});

test("what waits for a slot is closed, and once", { skip }, () => {
  const { table, notes, ring, descriptor } = subject();
  ring[RESULT] = -1;
  notes.noteParked(descriptor);
  notes.hold(descriptor);
  assert.equal(cleanUpAfterThread(table), 1);
  assert.equal(existsSync(`/proc/self/fd/${descriptor}`), false);
});
