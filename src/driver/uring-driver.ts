// The io_uring driver: operations are queued in a ring, one entry into the kernel a turn submits them all, runs the
// network's deferred work and brings back what is complete.
//
// A connection's life: accepted (multishot on a listener of our own; one-shot on a shared one, because with
// multishot one ring would get every connection) → a multishot receive into pooled buffers → one send at a time →
// close: cancel what is under way, wait for its last completion, close the descriptor.
//
// What is asked of the kernel stands in uring-operations.ts; here, what it answers.
//
// Twist: a multishot ends when it pleases (no buffers, queue overflow); who still wants bytes starts it again.
// Invariant: each completion that is the last of its operation takes one off `pending` of its slot.

import {
  EPOLLERR,
  EPOLLHUP,
  EPOLLRDHUP,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
} from "../sys/abi.ts";
import { EAGAIN, ECANCELED, EINTR, ENOBUFS, SystemError } from "../sys/errno.ts";
import { drainEventfd } from "../sys/socket-calls.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { DriverOptions, Handle } from "./driver.ts";
import {
  OPERATION_ACCEPT,
  OPERATION_CANCEL,
  OPERATION_CONNECT,
  OPERATION_POLL,
  OPERATION_RECEIVE,
  OPERATION_SEND,
  OPERATION_TIMER,
  OPERATION_WAKE,
  OPERATION_WATCH,
} from "./event-cookie.ts";
import { slotOf } from "./handle.ts";
import { LARGE_RECEIVE, tookNothing } from "./kept-input.ts";
import { RingTimer } from "./ring-timer.ts";
import {
  ACCEPTING,
  CANCELLING,
  CLOSING,
  CONNECTED,
  ENDED,
  isReceived,
  LISTENING,
  MECHANISM,
  RECEIVING,
  WANTED,
} from "./slot-states.ts";
import { BUFFER_GROUP, KEEPING, POLLING, UringOperations } from "./uring-operations.ts";

const BUFFER_BYTES = 16_384;
const BUFFERS_AT_START = 64;
const BUFFERS = 1024;
/** In the list of unfinished ones. */
const LISTED = MECHANISM << 2;
/** The peer has ended or reset: receive until the end is seen. */
const HUNG_UP = MECHANISM << 3;
/** After so many receives of which nothing was kept a connection uses the pool again. */
const PATIENCE = 16;
/** Up to so many completions a turn what is sent does not wait for the next turn. */
const QUIET = 2;

export class UringDriver extends UringOperations {
  readonly name = "io_uring";
  input: Buffer;
  readonly #timer: RingTimer;
  readonly #pool: BufferPool;
  /** Receives in a row of which nothing was kept, by slot, while KEEPING. */
  readonly #unkept: Uint8Array;
  /** Handles whose socket may have more than was taken, for the next turn. */
  #unfinished: Handle[] = [];
  /** Connections whose receive found no buffer. */
  readonly #starved: Handle[] = [];

  /** @throws SystemError when the host refuses io_uring; `choose-driver` says it in words */
  constructor(options: DriverOptions) {
    super(options);
    const { ring } = this;
    this.#timer = new RingTimer(ring);
    this.#pool = new BufferPool(BUFFER_GROUP, BUFFERS, BUFFER_BYTES);
    const refused = this.#pool.register(ring.descriptor, BUFFERS_AT_START);
    if (refused < 0) {
      this.dispose();
      throw new SystemError("io_uring_register", refused);
    }
    this.input = this.#pool.bytes;
    for (const memory of [this.#timer.memory, this.#pool.ring, this.#pool.buffers]) {
      this.notes.noteMemory(memory);
    }
    this.#unkept = new Uint8Array(options.slots);
  }

  turn(timeoutMs: number): number {
    this.watchedReady = false;
    const deferred = this.deliverDeferred();
    const unfinished = this.#unfinished;
    const wait = this.takeWake() || unfinished.length > 0 ? 0 : timeoutMs;
    if (wait !== 0) this.arm();
    this.counters.waits++;
    this.ring.enter(wait > 0 ? this.#timer.limitOf(wait, this.now()) : wait);
    if (unfinished.length > 0) this.#goOn(unfinished);
    return deferred + unfinished.length + this.#complete();
  }

  override dispose(): void {
    this.releaseOperations();
    this.notes.forgetMemory(this.#timer.memory);
    this.#timer.release();
    this.disposeShared();
    this.notes.forgetMemory(this.#pool.ring);
    this.#pool.discard();
  }

  /** Delivers all completions, how many; those that come while delivering are left for the next turn. */
  #complete(): number {
    const ring = this.ring;
    const words = ring.completions;
    const count = ring.ready();
    this.quiet = count <= QUIET;
    let timers = 0;
    for (let n = 0; n < count; n++) {
      const at = ring.completionAt(n);
      const handle = words[at] as number;
      const operation = words[at + 1] as number;
      const result = words[at + 2] as number;
      const flags = words[at + 3] as number;
      if (operation === OPERATION_ACCEPT && result >= 0) {
        // In hand from here on: whoever cleans up after this thread looks for it there (thread-notes.ts).
        this.notes.hold(result);
        words[at + 2] = -1;
      }
      if (operation === OPERATION_RECEIVE && result >= 0) this.notes.see(slotOf(handle), words, at);
      if (operation === OPERATION_RECEIVE) this.#received(handle, result, flags);
      else if (operation === OPERATION_SEND) this.#sent(handle, result);
      else if (operation === OPERATION_TIMER) timers++;
      else this.#other(operation, handle, result, flags);
    }
    ring.consumed(count);
    for (let n = 0; n < timers; n++) this.#timer.fired();
    this.#pool.publish();
    if (this.#starved.length > 0) this.#feed();
    // A wait that is over is no event.
    return count - timers;
  }

  #other(operation: number, handle: Handle, result: number, flags: number): void {
    if (operation === OPERATION_POLL) return this.#polled(handle, result, flags);
    if (operation === OPERATION_ACCEPT) return this.#accepted(handle, result, flags);
    if (operation === OPERATION_CANCEL) return this.#cancelled(handle);
    if (operation === OPERATION_CONNECT) return this.#connected(handle, result);
    if (operation === OPERATION_WATCH) {
      this.watchArmed = false;
      this.watchedReady = true;
    }
    if (operation === OPERATION_WAKE) {
      this.wakeArmed = false;
      drainEventfd(this.wakeDescriptor);
    }
  }

  #received(handle: Handle, result: number, completion: number): void {
    const slot = slotOf(handle);
    const more = (completion & IORING_CQE_F_MORE) !== 0;
    if (!more) {
      this.pending[slot] = (this.pending[slot] as number) - 1;
      this.flags[slot] = (this.flags[slot] as number) & ~RECEIVING;
    }
    const wanted = isReceived(this.flags[slot] as number);
    if (result > 0) {
      const id = completion >>> IORING_CQE_BUFFER_SHIFT;
      this.inputKept = false;
      if (wanted) this.events.received(handle, result, id * this.#pool.stride);
      this.#pool.recycle(id);
      if (this.inputKept && result >= LARGE_RECEIVE) this.#keepFromNow(handle, true);
    } else {
      if ((completion & IORING_CQE_F_BUFFER) !== 0) {
        this.#pool.recycle(completion >>> IORING_CQE_BUFFER_SHIFT);
      }
      if (result === -ENOBUFS && this.table.isOpen(handle)) return this.#starve(handle);
      if (result !== -ECANCELED && result !== -ENOBUFS && wanted) this.end(handle, result);
    }
    if (!more) this.#afterOperation(handle);
  }

  /** A connection whose large messages are kept is better served without the pool, and the other way round. */
  #keepFromNow(handle: Handle, keeping: boolean): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & CLOSING) !== 0 || keeping === ((flags & KEEPING) !== 0)) return;
    this.flags[slot] = flags ^ KEEPING;
    this.#unkept[slot] = 0;
    // The other way of receiving starts when this one has ended.
    if ((flags & RECEIVING) !== 0) this.stopReceiving(handle);
  }

  #polled(handle: Handle, result: number, completion: number): void {
    const slot = slotOf(handle);
    const more = (completion & IORING_CQE_F_MORE) !== 0;
    let flags = this.flags[slot] as number;
    if (!more) {
      this.pending[slot] = (this.pending[slot] as number) - 1;
      flags &= ~RECEIVING;
    }
    if (result > 0 && (result & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) flags |= HUNG_UP;
    this.flags[slot] = flags;
    if (result > 0) this.#takeKept(handle);
    else if (result !== -ECANCELED && (flags & CLOSING) === 0) this.end(handle, result);
    if (!more) this.#afterOperation(handle);
  }

  /**
   * Takes once what the socket has. Not from one that is paused: polling again will tell that there is something. Not
   * from one that uses the pool again: what it received into that has not been delivered, and comes first.
   */
  #takeKept(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & (WANTED | ENDED | CLOSING)) !== WANTED) return;
    if ((flags & (RECEIVING | POLLING)) === RECEIVING) return;
    const rested = this.notes.disturb(slot);
    const count = this.kept.receive(this.descriptors[slot] as number);
    if (rested !== 0 && tookNothing(count)) this.notes.leaveInPeace(slot, rested);
    if (count === -EAGAIN) return;
    if (count <= 0 && count !== -EINTR) {
      this.end(handle, count);
      if ((flags & RECEIVING) !== 0) this.stopReceiving(handle);
      return;
    }
    // An edge comes once: as long as the socket may not be empty, the next turn goes on.
    if (count < 0 || count === this.kept.asked || (flags & HUNG_UP) !== 0) this.#list(handle);
    if (count < 0) return;
    if (this.kept.deliver(this, this.events, handle, count)) this.#unkept[slot] = 0;
    else if (this.#countUnkept(slot) === PATIENCE) this.#keepFromNow(handle, false);
  }

  #countUnkept(slot: number): number {
    const count = (this.#unkept[slot] as number) + 1;
    this.#unkept[slot] = count;
    return count;
  }

  #list(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & LISTED) !== 0) return;
    this.flags[slot] = flags | LISTED;
    this.#unfinished.push(handle);
  }

  #goOn(unfinished: readonly Handle[]): void {
    this.#unfinished = [];
    for (const handle of unfinished) {
      if (!this.table.slots.holds(handle)) continue;
      const slot = slotOf(handle);
      this.flags[slot] = (this.flags[slot] as number) & ~LISTED;
      this.#takeKept(handle);
    }
  }

  #starve(handle: Handle): void {
    this.counters.bufferStarvation++;
    this.#starved.push(handle);
  }

  /** All buffers are back by now: more of them, and the receives that found none are started again. */
  #feed(): void {
    this.#pool.grow();
    const starved = this.#starved.splice(0);
    for (const handle of starved) {
      if (this.table.slots.holds(handle)) this.#receiveAgain(handle);
    }
  }

  #receiveAgain(handle: Handle): void {
    const flags = this.flags[slotOf(handle)] as number;
    const wants = WANTED | CONNECTED;
    if ((flags & (wants | RECEIVING | ENDED | CLOSING)) === wants) this.startReceiving(handle);
  }

  #sent(handle: Handle, result: number): void {
    const slot = slotOf(handle);
    const left = this.sendLeft[slot] as number;
    this.pending[slot] = (this.pending[slot] as number) - 1;
    const closing = ((this.flags[slot] as number) & CLOSING) !== 0;
    if (result === left) this.deliverSent(handle, this.sendLength[slot] as number);
    else if (result > 0 && !closing) return this.#sendRest(handle, slot, result);
    else this.deliverSent(handle, result < 0 ? result : -ECANCELED);
    if (closing) this.#afterOperation(handle);
  }

  /** MSG_WAITALL came back short: a signal or memory pressure. The rest goes on from there. */
  #sendRest(handle: Handle, slot: number, done: number): void {
    const offset = (this.sendOffset[slot] as number) + done;
    const left = (this.sendLeft[slot] as number) - done;
    this.sendOffset[slot] = offset;
    this.sendLeft[slot] = left;
    this.pushSend(handle, slot, offset, left);
  }

  #accepted(listener: Handle, result: number, completion: number): void {
    const slot = slotOf(listener);
    const more = (completion & IORING_CQE_F_MORE) !== 0;
    if (!more) {
      this.pending[slot] = (this.pending[slot] as number) - 1;
      this.flags[slot] = (this.flags[slot] as number) & ~ACCEPTING;
    }
    if (result !== -ECANCELED) this.acceptedDescriptor(listener, result);
    if (!more) this.#afterOperation(listener);
  }

  #connected(handle: Handle, result: number): void {
    const slot = slotOf(handle);
    this.pending[slot] = (this.pending[slot] as number) - 1;
    if (((this.flags[slot] as number) & CLOSING) !== 0) return this.#afterOperation(handle);
    this.finishConnect(handle, result);
  }

  #cancelled(handle: Handle): void {
    const slot = slotOf(handle);
    this.pending[slot] = (this.pending[slot] as number) - 1;
    this.flags[slot] = (this.flags[slot] as number) & ~CANCELLING;
    this.#afterOperation(handle);
  }

  /** The last completion of a closing handle settles it; anything else that still wants to go on, goes on. */
  #afterOperation(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & CLOSING) !== 0) {
      if (this.pending[slot] === 0) this.settle(handle);
      return;
    }
    if ((flags & WANTED) === 0 || (flags & CANCELLING) !== 0) return;
    if ((flags & LISTENING) === 0) this.#receiveAgain(handle);
    else if ((flags & ACCEPTING) === 0) this.startAccepting(handle);
  }
}
