// What connections write, until the kernel has it: copied into blocks of the arena, gathered, flushed once a turn.
//
// One send is under way per connection; what is written meanwhile is gathered into the blocks behind it.
// Invariant: `pendingBytes` of a connection is the sum of what is used in its blocks; while SENDING, its head block is
// the kernel's and is not written to.

import { Buffer } from "node:buffer";
import type { Driver } from "../driver/driver.ts";
import { DIRTY, GONE, LEAVING, type ReactorConnection, SENDING } from "./connection.ts";
import { BYTES_SENT } from "./counters.ts";
import { BLOCK_BYTES, LARGEST_BLOCK, NO_BLOCK, OutputArena } from "./output-arena.ts";
import type { Rest } from "./rest.ts";

/** The part of a connection that the queue works on: its types do not matter here. */
type Sender = ReactorConnection<unknown, unknown, unknown>;

/** UTF-8 takes at most three bytes for each UTF-16 code unit. */
const UTF8_PER_UNIT = 3;
/** From here on a write is worth a call of its own: copying it would cost more. */
export const SEND_NOW_BYTES = 8192;

export class SendQueue {
  readonly arena: OutputArena;
  readonly #driver: Driver;
  readonly #waits: boolean;
  readonly #sendsNow: boolean;
  readonly #counters: Float64Array;
  readonly #failed: (connection: Sender, errno: number) => void;
  readonly #nowMs: () => number;
  readonly #rest: Rest | undefined;
  /** Connections to flush: the first #dirtyCount entries. Never shrunk, so that a turn allocates nothing. */
  readonly #dirty: (Sender | undefined)[] = [];
  #dirtyCount = 0;
  /** Connections with a send under way. */
  sending = 0;

  /** `failed` is called when a write that was to leave at once finds its connection broken; `nowMs` is the turn's time. */
  constructor(
    driver: Driver,
    counters: Float64Array,
    failed: (connection: Sender, errno: number) => void,
    nowMs: () => number,
    rest?: Rest,
  ) {
    this.#driver = driver;
    this.#sendsNow = driver.capabilities.sendNow;
    this.#counters = counters;
    this.#failed = failed;
    this.#nowMs = nowMs;
    this.#rest = rest;
    this.#waits = driver.capabilities.waits;
    this.arena = new OutputArena(driver.output);
  }

  get hasWork(): boolean {
    return this.#dirtyCount > 0;
  }

  /** Copies bytes behind what is queued; false when the arena is full (a part may then be queued), or it has failed. */
  append(connection: Sender, data: Uint8Array): boolean {
    let at = data.length >= SEND_NOW_BYTES ? this.#sendNow(connection, data) : 0;
    if (at < 0) return false;
    while (at < data.length) {
      const block = this.#blockFor(connection, data.length - at);
      if (block === NO_BLOCK) return false;
      const used = this.arena.used(block);
      const room = (BLOCK_BYTES[this.arena.classOf(block)] as number) - used;
      const part = Math.min(room, data.length - at);
      const source = part === data.length ? data : data.subarray(at, at + part);
      this.arena.bytes.set(source, block + used);
      this.#wrote(connection, block, used, part);
      at += part;
    }
    return true;
  }

  /**
   * Large writes leave at once where they can, without a copy: how much has, or −errno. Only when nothing is before them;
   * what fails ends the connection, as a send of the queue that fails does.
   */
  #sendNow(connection: Sender, data: Uint8Array): number {
    if (!this.#sendsNow || connection.pendingBytes > 0) return 0;
    if ((connection.flags & (GONE | LEAVING)) !== 0) return 0;
    // Of a message only a part may leave.
    this.#rest?.end(connection);
    this.#rest?.later(connection);
    const count = this.#driver.sendNow(connection.handle, data);
    if (count < 0) this.#failed(connection, count);
    if (count <= 0) return count;
    this.#counters[BYTES_SENT] = (this.#counters[BYTES_SENT] as number) + count;
    connection.sentMs = this.#nowMs();
    return count;
  }

  /** As `append`, for text as UTF-8. */
  appendText(connection: Sender, text: string): boolean {
    if (text.length === 0) return true;
    const most = text.length * UTF8_PER_UNIT;
    if (most > LARGEST_BLOCK) return this.append(connection, Buffer.from(text));
    const tail = this.#writableTail(connection);
    const fits = tail !== NO_BLOCK && this.arena.room(tail) >= most;
    const block = fits ? tail : this.#addBlock(connection, most);
    if (block === NO_BLOCK) return false;
    // Memory is short, and the block is smaller than was asked for.
    if (this.arena.room(block) < most) return this.append(connection, Buffer.from(text));
    const used = this.arena.used(block);
    this.#wrote(connection, block, used, this.arena.bytes.write(text, block + used));
    return true;
  }

  /** As `append`, for an unsigned integer. */
  appendUint(
    connection: Sender,
    value: number,
    byteLength: number,
    littleEndian: boolean,
  ): boolean {
    const tail = this.#writableTail(connection);
    const fits = tail !== NO_BLOCK && this.arena.room(tail) >= byteLength;
    const block = fits ? tail : this.#addBlock(connection, byteLength);
    if (block === NO_BLOCK) return false;
    const used = this.arena.used(block);
    for (let n = 0; n < byteLength; n++) {
      const shift = littleEndian ? n : byteLength - 1 - n;
      this.arena.bytes[block + used + n] = value >>> (shift * 8);
    }
    this.#wrote(connection, block, used, byteLength);
    return true;
  }

  /** Starts a send for every connection that has something and none under way. */
  flush(nowMs: number): void {
    for (let n = 0; n < this.#dirtyCount; n++) {
      const connection = this.#dirty[n];
      this.#dirty[n] = undefined;
      if (connection === undefined) continue;
      connection.flags &= ~DIRTY;
      if ((connection.flags & (SENDING | GONE | LEAVING)) === 0) this.#sendHead(connection, nowMs);
    }
    this.#dirtyCount = 0;
  }

  /**
   * The send under way is over: its block is free, and the next one follows at once. The clock is read here and not
   * once a turn: this event may come before the turn's wait, and what comes after it must not get the time of before.
   */
  sent(connection: Sender, succeeded: boolean): void {
    const head = connection.head;
    connection.flags &= ~SENDING;
    this.sending--;
    connection.pendingBytes -= this.arena.used(head);
    connection.head = this.arena.next(head);
    if (connection.head === NO_BLOCK) connection.tail = NO_BLOCK;
    this.arena.release(head);
    if (connection.head === NO_BLOCK || !succeeded || (connection.flags & GONE) !== 0) return;
    this.#sendHead(connection, Math.floor(this.#driver.now()));
  }

  /** A copy of what is queued, in memory of its own; no send may be under way. */
  copy(connection: Sender): Uint8Array {
    const bytes = new Uint8Array(connection.pendingBytes);
    let at = 0;
    for (let block = connection.head; block !== NO_BLOCK; block = this.arena.next(block)) {
      const used = this.arena.used(block);
      bytes.set(this.arena.bytes.subarray(block, block + used), at);
      at += used;
    }
    return bytes;
  }

  /** What was queued while it could not be sent leaves at the end of this turn. */
  goOn(connection: Sender): void {
    if (connection.head !== NO_BLOCK) this.#list(connection);
  }

  /** Drops what is queued, but for the block that the kernel still has. */
  drop(connection: Sender): void {
    const kept = (connection.flags & SENDING) !== 0 ? connection.head : NO_BLOCK;
    let block = kept === NO_BLOCK ? connection.head : this.arena.next(kept);
    while (block !== NO_BLOCK) {
      const next = this.arena.next(block);
      this.arena.release(block);
      block = next;
    }
    if (kept !== NO_BLOCK) this.arena.link(kept, NO_BLOCK);
    connection.head = kept;
    connection.tail = kept;
    connection.pendingBytes = kept === NO_BLOCK ? 0 : this.arena.used(kept);
  }

  #sendHead(connection: Sender, nowMs: number): void {
    const head = connection.head;
    if (head === NO_BLOCK) return;
    connection.flags |= SENDING;
    connection.sentMs = nowMs;
    this.sending++;
    const failed = this.#driver.send(connection.handle, head, this.arena.used(head));
    if (failed < 0) throw new Error(`send was refused with ${failed}: a bug, please report it`);
  }

  #wrote(connection: Sender, block: number, used: number, length: number): void {
    this.arena.setUsed(block, used + length);
    connection.pendingBytes += length;
    this.#list(connection);
  }

  #list(connection: Sender): void {
    if ((connection.flags & (DIRTY | SENDING)) !== 0) return;
    this.#rest?.end(connection);
    connection.flags |= DIRTY;
    this.#dirty[this.#dirtyCount++] = connection;
    // Where the thread is not ours, a write from a timer or a promise must ask for the turn that flushes it.
    if (this.#dirtyCount === 1 && !this.#waits) this.#driver.wake();
  }

  #blockFor(connection: Sender, length: number): number {
    const tail = this.#writableTail(connection);
    return tail !== NO_BLOCK && this.arena.room(tail) > 0
      ? tail
      : this.#addBlock(connection, length);
  }

  #writableTail(connection: Sender): number {
    const theirs = (connection.flags & SENDING) !== 0 && connection.tail === connection.head;
    return theirs ? NO_BLOCK : connection.tail;
  }

  /**
   * A fresh block at the end; larger than the one before it, since who queues much will queue more. When memory is
   * short it may be smaller than `length`.
   */
  #addBlock(connection: Sender, length: number): number {
    const { arena } = this;
    const tail = connection.tail;
    const grown = tail === NO_BLOCK ? 0 : Math.min(arena.classOf(tail) + 1, BLOCK_BYTES.length - 1);
    const block = arena.allocate(Math.max(arena.classFor(length), grown));
    if (block === NO_BLOCK) return NO_BLOCK;
    if (tail === NO_BLOCK) connection.head = block;
    else arena.link(tail, block);
    connection.tail = block;
    return block;
  }
}
