// What a driver holds of the process, noted in shared memory, so that another thread can clean up when this one is gone
// without having disposed of its driver (a crash, `terminate`). Nobody can run any more in it then, but its descriptors,
// its ring and its memory belong to the process and stay.
//
// Layout, 32-bit entries, −1 where there is nothing:
//   0–5    the driver's own descriptors: ring or epoll set, eventfd
//   6–11   two mappings of a ring: address low, high, length in bytes
//   12–35  eight pieces of memory that the thread has mapped between guard pages: likewise
//   36–41  where in the first mapping of a ring its completions lie: offsets in bytes of head, tail, mask and entries, of its
//          flags, and of the number of completions that were lost
//   42     a descriptor in hand: on its way from a completion, from accept or from another thread into its slot, or from there to
//          another thread
//   43–    one descriptor a slot, then those that wait for a slot
// Invariant: a descriptor's note is gone before it is given to close(2), and that of memory before munmap(2). A number that may be
// used again must never be closed by somebody else; better one that stays open when a thread dies between the two. The other way
// round, what comes is noted where it goes to before it is forgotten where it comes from, and whoever cleans up counts it once.
//
// A second table, where connections may outlive their thread, says which of them are at rest: between two messages, with
// nothing received that is not handled, and nothing written that is not sent. An entry a slot: the connection's id while it
// rests, else 0. Its reactor sets it (../reactor/rest.ts); the driver zeroes it whenever bytes are about to be nowhere but in
// its thread. Invariant: whatever instruction the thread dies at, what rests has lost no byte.

import { IORING_SQ_CQ_OVERFLOW, SIZEOF_CQE } from "../sys/abi.ts";
import { type NativeMemory, unmapGuarded, unmapMemory, viewWords } from "../sys/native-memory.ts";
import { closeDescriptor, shutdownBoth } from "../sys/socket-calls.ts";
import { OPERATION_ACCEPT, OPERATION_RECEIVE } from "./event-cookie.ts";
import { slotOf } from "./handle.ts";

const OWN = 0;
const OWN_END = 6;
const RING_MAPPINGS = 6;
const MEMORY = 12;
const MEMORY_END = 36;
const COMPLETIONS = 36;
const COMPLETIONS_END = 42;
const HAND = 42;
/** Entries in front of the slots'. */
export const NOTES_AHEAD = 43;
/** So many that wait for a slot are noted: as many as one turn of a ring can bring. What is more stays open if the thread dies. */
const PARKED = 4096;
const COMPLETION_WORDS = SIZEOF_CQE / 4;

/** How many entries the notes of a driver with so many slots take. */
export function notesLength(slots: number): number {
  return NOTES_AHEAD + slots + PARKED;
}

/** Offsets in bytes. */
export interface CompletionOffsets {
  readonly head: number;
  readonly tail: number;
  readonly mask: number;
  readonly entries: number;
  /** Of the submission queue: they say whether the kernel holds completions that had no room. */
  readonly flags: number;
  readonly lost: number;
}

/** A connection whose thread is gone: open, at rest, and nobody's but the holder's. */
export interface Orphan {
  readonly descriptor: number;
  /** Of its connection, as its handlers knew it. */
  readonly id: number;
}

/** The writing side: belongs to the driver's thread. */
export class ThreadNotes {
  readonly #table: Int32Array;
  /** Connections at rest, by slot, where anybody wants to know. */
  readonly #rests: Int32Array | undefined;
  readonly #parkedAt: number;

  /** Starts empty. @throws RangeError when a table is too short */
  constructor(table: Int32Array, slots: number, rests?: Int32Array) {
    if (table.length < notesLength(slots) || (rests !== undefined && rests.length < slots)) {
      throw new RangeError(`the notes of ${slots} slots need ${notesLength(slots)} entries`);
    }
    this.#rests = rests?.fill(0);
    this.#table = table.fill(-1);
    this.#parkedAt = NOTES_AHEAD + slots;
  }

  noteOwn(descriptor: number): void {
    const at = this.#table.indexOf(-1, OWN);
    if (at < OWN_END) this.#table[at] = descriptor;
  }

  forgetOwn(descriptor: number): void {
    const at = this.#table.subarray(OWN, OWN_END).indexOf(descriptor);
    if (at >= 0) this.#table[at] = -1;
  }

  /** A descriptor is this thread's, and in no slot yet. */
  hold(descriptor: number): void {
    this.#table[HAND] = descriptor;
  }

  /** If it is in hand, it is not to be closed by whoever cleans up: it is about to be closed here, or put elsewhere. */
  letGo(descriptor: number): void {
    if (this.#table[HAND] === descriptor) this.#table[HAND] = -1;
  }

  /** Also of what is in hand. */
  noteSlot(slot: number, descriptor: number): void {
    if (this.#rests !== undefined) this.#rests[slot] = 0;
    this.#table[NOTES_AHEAD + slot] = descriptor;
    this.letGo(descriptor);
  }

  /** It waits for a slot. */
  noteParked(descriptor: number): void {
    const at = this.#table.indexOf(-1, this.#parkedAt);
    if (at >= 0) this.#table[at] = descriptor;
  }

  forgetParked(descriptor: number): void {
    const at = this.#table.indexOf(descriptor, this.#parkedAt);
    if (at >= 0) this.#table[at] = -1;
  }

  forgetSlot(slot: number): void {
    if (this.#rests !== undefined) this.#rests[slot] = 0;
    this.#table[NOTES_AHEAD + slot] = -1;
  }

  /** Bytes are about to be taken out of the kernel: the connection rests no more. What its entry was. */
  disturb(slot: number): number {
    if (this.#rests === undefined) return 0;
    const rested = this.#rests[slot] as number;
    if (rested !== 0) this.#rests[slot] = 0;
    return rested;
  }

  /** None were taken after all. */
  leaveInPeace(slot: number, rested: number): void {
    if (this.#rests !== undefined) this.#rests[slot] = rested;
  }

  /** A receive of this slot is complete: who reads its completion is told by the slot from here on. */
  see(slot: number, words: Int32Array, completionAt: number): void {
    if (this.#rests === undefined) return;
    this.#rests[slot] = 0;
    words[completionAt + 1] = 0;
  }

  /** Where a ring's completions lie in its first mapping, in bytes. */
  noteCompletions({ head, tail, mask, entries, flags, lost }: CompletionOffsets): void {
    this.#table.set([head, tail, mask, entries, flags, lost], COMPLETIONS);
  }

  /** A mapping that keeps a ring alive as long as it is there. */
  noteRingMapping(address: number, bytes: number): void {
    this.#noteRegion(RING_MAPPINGS, MEMORY, address, bytes);
  }

  /** Memory that this thread has mapped: whoever cleans up unmaps it. */
  noteMemory({ address, length }: NativeMemory): void {
    this.#noteRegion(MEMORY, MEMORY_END, address, length);
  }

  /** It is about to be unmapped here. */
  forgetMemory({ address }: NativeMemory): void {
    for (let at = MEMORY; at < MEMORY_END; at += 3) {
      if (this.#table[at + 2] !== -1 && addressAt(this.#table, at) === address)
        this.#table[at + 2] = -1;
    }
  }

  /** The driver is about to unmap its ring: what that holds of a connection can then be seen by nobody. */
  forgetRingMappings(): void {
    this.#rests?.fill(0);
    this.#table.fill(-1, RING_MAPPINGS, MEMORY);
    this.#table.fill(-1, COMPLETIONS, COMPLETIONS_END);
  }

  #noteRegion(from: number, end: number, address: number, bytes: number): void {
    let at = from;
    while (at < end && this.#table[at + 2] !== -1) at += 3;
    if (at >= end) throw new RangeError("no room for another region in the notes");
    this.#table[at] = address | 0;
    this.#table[at + 1] = Math.floor(address / 0x1_0000_0000);
    this.#table[at + 2] = bytes;
  }
}

/**
 * Whether a thread that is gone had a descriptor in a slot, where it is cleaned up. If not, it is still its giver's, also when
 * the thread had it in hand: the cleanup leaves it alone.
 */
export function hasReachedSlot(table: Int32Array, descriptor: number): boolean {
  if (isInSlot(table, descriptor)) return true;
  if (table[HAND] === descriptor) table[HAND] = -1;
  return false;
}

/**
 * Ends and closes everything in the notes of a thread that is gone; how many descriptors there were. The order matters: a
 * ring lives, and keeps its sockets open, until its mappings are gone.
 */
export function cleanUpAfterThread(table: Int32Array): number {
  let closed = closeUnseen(table) + closeInHand(table);
  forEachRegion(table, RING_MAPPINGS, MEMORY, unmapMemory);
  for (let at = OWN; at < OWN_END; at++) closed += closeNoted(table, at);
  for (let at = NOTES_AHEAD; at < table.length; at++) {
    // The peer is told at once, whatever else may still hold the socket.
    if ((table[at] as number) >= 0) shutdownBoth(table[at] as number);
    closed += closeNoted(table, at);
  }
  // No view is left on it, since the thread's heap is gone; nor does the kernel use it: see takeResting.
  forEachRegion(table, MEMORY, MEMORY_END, unmapGuarded);
  table.fill(-1);
  return closed;
}

/**
 * Connections that the kernel had accepted for a ring, and its thread has not lived to look at: they are in no note, and their
 * peers would wait for ever.
 */
function closeUnseen(table: Int32Array): number {
  let closed = 0;
  forEachUnseen(table, (_, operation, accepted) => {
    if (operation !== OPERATION_ACCEPT || accepted < 0 || accepted === table[HAND]) return;
    shutdownBoth(accepted);
    closeDescriptor(accepted);
    closed++;
  });
  return closed;
}

/** What was on its way into its slot or out of it; when it is in one, or parked, it is closed with the others. */
function closeInHand(table: Int32Array): number {
  const held = table[HAND] as number;
  if (held < 0 || isInSlot(table, held)) return 0;
  shutdownBoth(held);
  return closeNoted(table, HAND);
}

function isInSlot(table: Int32Array, descriptor: number): boolean {
  return table.includes(descriptor, NOTES_AHEAD);
}

/**
 * Takes the connections that are at rest out of the notes of a thread that is gone, before the rest is cleaned up.
 *
 * What a ring's thread had not looked at is still in the ring: the kernel cancels what a thread has under way before anybody
 * learns that it has ended, so nothing is added any more. A connection with bytes there does not rest; and where the
 * ring had no room for all completions, none does.
 */
export function takeResting(table: Int32Array, rests: Int32Array): Orphan[] {
  const complete = forEachUnseen(table, (handle, operation, result) => {
    if (operation === OPERATION_RECEIVE && result >= 0) rests[slotOf(handle)] = 0;
  });
  const orphans: Orphan[] = [];
  for (let slot = 0; slot < rests.length && complete; slot++) {
    const at = NOTES_AHEAD + slot;
    const descriptor = table[at] as number;
    const id = (rests[slot] as number) >>> 0;
    if (id === 0 || descriptor < 0) continue;
    table[at] = -1;
    orphans.push({ descriptor, id });
  }
  rests.fill(0);
  return orphans;
}

/** The completions that a ring's thread has not lived to look at; false when there were more than the ring shows. */
function forEachUnseen(
  table: Int32Array,
  act: (handle: number, operation: number, result: number) => void,
): boolean {
  const offsets = table.subarray(COMPLETIONS, COMPLETIONS_END);
  const [head = -1, tail = -1, mask = -1, entries = -1, flags = -1, lost = -1] = offsets;
  const bytes = table[RING_MAPPINGS + 2] as number;
  if (entries < 0 || bytes < 0) return true;
  const words = viewWords(addressAt(table, RING_MAPPINGS), bytes);
  for (let n = words[head >> 2] as number; n !== words[tail >> 2]; n = (n + 1) | 0) {
    const at = (entries >> 2) + (n & (words[mask >> 2] as number)) * COMPLETION_WORDS;
    act(words[at] as number, words[at + 1] as number, words[at + 2] as number);
  }
  return ((words[flags >> 2] as number) & IORING_SQ_CQ_OVERFLOW) === 0 && words[lost >> 2] === 0;
}

function addressAt(table: Int32Array, at: number): number {
  return (table[at + 1] as number) * 0x1_0000_0000 + ((table[at] as number) >>> 0);
}

function closeNoted(table: Int32Array, at: number): number {
  const descriptor = table[at] as number;
  if (descriptor < 0) return 0;
  table[at] = -1;
  closeDescriptor(descriptor);
  return 1;
}

function forEachRegion(
  table: Int32Array,
  from: number,
  end: number,
  act: (address: number, bytes: number) => void,
): void {
  for (let at = from; at + 2 < end; at += 3) {
    const bytes = table[at + 2] as number;
    if (bytes < 0) continue;
    act(addressAt(table, at), bytes);
  }
}
