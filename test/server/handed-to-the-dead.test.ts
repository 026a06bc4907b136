// Descriptors that were being handed to a thread when it died, at each step on the way into its slot: each is closed by the
// cleanup, or goes to another thread, and never both.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { cleanUpAfterThread, notesLength, ThreadNotes } from "../../src/driver/thread-notes.ts";
import { COUNTER_STRIDE } from "../../src/reactor/counters.ts";
import { Seats } from "../../src/reactor/placement.ts";
import { Balancing } from "../../src/server/balancing.ts";
import { Moves, type MoveToThread } from "../../src/server/moves.ts";
import { movedOf } from "../../src/server/orphans.ts";
import { closeDescriptor, openSocket } from "../../src/sys/socket-calls.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";

const skip = RAW_DRIVERS.every((driver) => driver.skip) && "there are no native calls here";
const SLOTS = 4;
const SLOT = 2;
const DEAD = 0;
const OTHER = 1;
const SEATS = 2;

/** What the dead thread had done with it, and who has it in the end. */
const STEPS: readonly [string, (notes: ThreadNotes, descriptor: number) => void, boolean][] = [
  ["had not looked at it", () => undefined, true],
  ["had it in hand", (notes, descriptor) => notes.hold(descriptor), true],
  ["had let go of it", (notes, descriptor) => notes.letGo(descriptor), true],
  ["had it in its slot", (notes, descriptor) => notes.noteSlot(SLOT, descriptor), false],
];

function subject() {
  const table = new Int32Array(new SharedArrayBuffer(notesLength(SLOTS) * 4));
  const descriptor = openSocket("ipv4", true);
  assert.ok(descriptor >= 0);
  return { table, notes: new ThreadNotes(table, SLOTS), descriptor };
}

const isOpen = (descriptor: number): boolean => existsSync(`/proc/self/fd/${descriptor}`);

for (const [what, act, goesOn] of STEPS) {
  test(`a connection moves on when the thread it goes to ${what}: ${goesOn}`, { skip }, () => {
    const { table, notes, descriptor } = subject();
    const said: [number, MoveToThread["kind"]][] = [];
    const moves = new Moves({
      seats: SEATS,
      counters: new Float64Array(SEATS * COUNTER_STRIDE),
      say: (seat, { kind }) => said.push([seat, kind]) > 0,
      works: (seat) => seat === OTHER || said.length === 0,
    });
    moves.send(OTHER, DEAD, movedOf({ descriptor, id: 7 }));
    act(notes, descriptor);
    moves.left(DEAD, table);
    assert.equal(cleanUpAfterThread(table), goesOn ? 0 : 1);
    assert.deepEqual(said.slice(1), goesOn ? [[OTHER, "take"]] : []);
    assert.equal(isOpen(descriptor), goesOn);
    if (goesOn) closeDescriptor(descriptor);
  });

  test(`who waits in an inbox goes on when its thread ${what}: ${goesOn}`, { skip }, () => {
    const { table, notes, descriptor } = subject();
    const counters = new Float64Array(SEATS * COUNTER_STRIDE);
    const balancing = new Balancing("least-connections", counters, SEATS, SLOTS);
    const { memory } = balancing.seatFor(OTHER, -1);
    const seats = new Seats(memory);
    seats.setOpen(OTHER, true);
    assert.ok(seats.inboxes[DEAD]?.put(descriptor));
    act(notes, descriptor);
    balancing.left(DEAD, table);
    assert.equal(cleanUpAfterThread(table), goesOn ? 0 : 1);
    assert.equal(seats.inboxes[OTHER]?.take(), goesOn ? descriptor : -1);
    assert.equal(seats.inboxes[DEAD]?.take(), -1);
    assert.equal(isOpen(descriptor), goesOn);
    if (goesOn) closeDescriptor(descriptor);
  });
}
