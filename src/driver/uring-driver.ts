// The io_uring driver: operations are queued in a ring, one entry into the kernel a turn submits them all, runs the
// network's deferred work and brings back what is complete.
//
// A connection's life: accepted (multishot on a listener of our own; one-shot on a shared one, because with
// multishot one ring would get every connection) → a multishot receive into pooled buffers → one send at a time →
// close: cancel what is under way, wait for its last completion, close the descriptor.
//
// Twists:
// - Closing a descriptor does not end its operations, and cancel and target complete in any order. So each slot
//   counts its operations in the kernel, and only at zero is the descriptor closed or handed out.
// - A multishot ends when it pleases (no buffers, queue overflow); who still wants bytes starts it again.
//
// Invariant: #pending[slot] is the number of completions still to come for that slot.

import {
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLRDHUP,
  IORING_ACCEPT_MULTISHOT,
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_FD,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_POLL_ADD_MULTI,
  IORING_RECV_MULTISHOT,
  IOSQE_BUFFER_SELECT,
  MSG_NOSIGNAL,
  MSG_WAITALL,
  SOCK_CLOEXEC,
} from "../sys/abi.ts";
import { type Address, writeSockaddr } from "../sys/address.ts";
import { EAGAIN, ECANCELED, EINTR, ENOBUFS, SystemError } from "../sys/errno.ts";
import { NativeMemory, PAGE } from "../sys/native-memory.ts";
import { closeDescriptor, drainEventfd, setNonBlocking } from "../sys/socket-calls.ts";
import { BufferPool } from "./buffer-pool.ts";
import { DEFERRED_CLOSED, DEFERRED_DETACHED } from "./deferred-events.ts";
import { DescriptorDriver } from "./descriptor-driver.ts";
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
import { KeptInput, LARGE_RECEIVE } from "./kept-input.ts";
import { RingTimer } from "./ring-timer.ts";
import {
  ACCEPTING,
  CANCELLING,
  CLOSING,
  CONNECTED,
  DETACHING,
  ENDED,
  FOREIGN,
  isReceived,
  LISTENING,
  MECHANISM,
  RECEIVING,
  SENDING,
  SETTLED,
  SHARED,
  WANTED,
} from "./slot-states.ts";
import { highWord, UringRing } from "./uring-ring.ts";

const SUBMISSIONS = 1024;
const BUFFER_BYTES = 16_384;
const BUFFERS_AT_START = 64;
const BUFFERS = 1024;
const BUFFER_GROUP = 1;
const CANCEL_DESCRIPTOR = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD;
const SEND_FLAGS = MSG_WAITALL | MSG_NOSIGNAL;
/** The first word of a submission: opcode, flags << 8, ioprio << 16. */
const RECEIVE_HEAD = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8) | (IORING_RECV_MULTISHOT << 16);
/** What it received last was large, and kept: it is polled, and what it has is taken into memory that may be kept. */
const KEEPING = MECHANISM;
/** What is under way as RECEIVING is such a poll. */
const POLLING = MECHANISM << 1;
/** In the list of unfinished ones. */
const LISTED = MECHANISM << 2;
/** The peer has ended or reset: receive until the end is seen. */
const HUNG_UP = MECHANISM << 3;
const POLL_EVENTS = EPOLLIN | EPOLLRDHUP;
/** After so many receives of which nothing was kept a connection uses the pool again. */
const PATIENCE = 16;
const ACCEPT_ONE = IORING_OP_ACCEPT;
const ACCEPT_MANY = IORING_OP_ACCEPT | (IORING_ACCEPT_MULTISHOT << 16);

export class UringDriver extends DescriptorDriver {
  readonly name = "io_uring";
  input: Buffer;
  readonly #ring: UringRing;
  readonly #timer: RingTimer;
  readonly #pool: BufferPool;
  readonly #outputLow: number;
  readonly #outputHigh: number;
  readonly #sockaddr = NativeMemory.allocate(PAGE);
  /** Completions still to come, by slot. */
  readonly #pending: Uint8Array;
  readonly #sendOffset: Uint32Array;
  readonly #sendLeft: Uint32Array;
  readonly #sendLength: Uint32Array;
  readonly #kept = new KeptInput(this.calls);
  /** Receives in a row of which nothing was kept, by slot, while KEEPING. */
  readonly #unkept: Uint8Array;
  /** Handles whose socket may have more than was taken, for the next turn. */
  #unfinished: Handle[] = [];
  /** Connections whose receive found no buffer. */
  readonly #starved: Handle[] = [];
  #watchArmed = false;
  #wakeArmed = false;

  /** @throws SystemError when the host refuses io_uring; `choose-driver` says it in words */
  constructor(options: DriverOptions) {
    super(options, false);
    const ring = UringRing.open(SUBMISSIONS);
    if (typeof ring === "number") {
      this.disposeShared();
      throw new SystemError("io_uring_setup", ring);
    }
    this.#ring = ring;
    this.#timer = new RingTimer(ring);
    this.notes.noteOwn(ring.descriptor);
    for (const { address, length } of ring.mappings) this.notes.noteRingMapping(address, length);
    this.notes.noteCompletions(ring.completionOffsets);
    this.#pool = new BufferPool(BUFFER_GROUP, BUFFERS, BUFFER_BYTES);
    const refused = this.#pool.register(ring.descriptor, BUFFERS_AT_START);
    if (refused < 0) {
      this.dispose();
      throw new SystemError("io_uring_register", refused);
    }
    this.input = this.#pool.bytes;
    this.notes.noteMemory(this.#pool.address, this.input.length);
    this.#outputLow = this.outputMemory.address >>> 0;
    this.#outputHigh = highWord(this.outputMemory.address);
    this.#pending = new Uint8Array(options.slots);
    this.#unkept = new Uint8Array(options.slots);
    this.#sendOffset = new Uint32Array(options.slots);
    this.#sendLeft = new Uint32Array(options.slots);
    this.#sendLength = new Uint32Array(options.slots);
  }

  protected override startConnecting(handle: Handle, address: Address): void {
    const length = writeSockaddr(address, this.#sockaddr, 0);
    const slot = slotOf(handle);
    this.#pending[slot] = (this.#pending[slot] as number) + 1;
    const descriptor = this.descriptors[slot] as number;
    const from = this.#sockaddr.address;
    const connect = IORING_OP_CONNECT;
    this.#ring.pushWithOffset(connect, descriptor, from, length, handle, OPERATION_CONNECT);
  }

  send(handle: Handle, offset: number, length: number): number {
    const refused = this.refuseSend(handle);
    if (refused < 0) return refused;
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) | SENDING;
    this.#sendOffset[slot] = offset;
    this.#sendLeft[slot] = length;
    this.#sendLength[slot] = length;
    this.#pushSend(handle, slot, offset, length);
    return 0;
  }

  turn(timeoutMs: number): number {
    this.watchedReady = false;
    const deferred = this.deliverDeferred();
    const unfinished = this.#unfinished;
    const wait = this.takeWake() || unfinished.length > 0 ? 0 : timeoutMs;
    if (wait !== 0) this.#arm();
    this.counters.waits++;
    this.#ring.enter(wait > 0 ? this.#timer.limitOf(wait, this.now()) : wait);
    if (unfinished.length > 0) this.#goOn(unfinished);
    return deferred + unfinished.length + this.#complete();
  }

  override dispose(): void {
    this.notes.forgetOwn(this.#ring.descriptor);
    this.notes.forgetRingMappings();
    this.#ring.close();
    this.#timer.release();
    this.disposeShared();
    this.#pool.discard();
    this.#sockaddr.release();
  }

  protected override startReceiving(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = (this.flags[slot] as number) | RECEIVING;
    this.#pending[slot] = (this.#pending[slot] as number) + 1;
    const descriptor = this.descriptors[slot] as number;
    const ring = this.#ring;
    if ((flags & KEEPING) === 0) {
      this.flags[slot] = flags & ~POLLING;
      ring.push(RECEIVE_HEAD, descriptor, 0, 0, 0, 0, handle, OPERATION_RECEIVE, BUFFER_GROUP);
    } else {
      this.flags[slot] = flags | POLLING;
      const head = IORING_OP_POLL_ADD;
      const many = IORING_POLL_ADD_MULTI;
      ring.push(head, descriptor, 0, 0, many, POLL_EVENTS, handle, OPERATION_POLL, 0);
    }
  }

  protected override stopReceiving(handle: Handle): void {
    const polling = ((this.flags[slotOf(handle)] as number) & POLLING) !== 0;
    this.#cancelOperation(handle, polling ? OPERATION_POLL : OPERATION_RECEIVE);
  }

  protected override startAccepting(listener: Handle): void {
    const slot = slotOf(listener);
    const flags = this.flags[slot] as number;
    this.flags[slot] = flags | ACCEPTING;
    const head = (flags & SHARED) === 0 ? ACCEPT_MANY : ACCEPT_ONE;
    this.#push(head, listener, SOCK_CLOEXEC, OPERATION_ACCEPT);
  }

  protected override stopAccepting(listener: Handle): void {
    this.#cancelOperation(listener, OPERATION_ACCEPT);
  }

  /** Rung 1 of closing: cancel what is under way. Rung 2, `#settle`, comes with the last completion. */
  protected override finish(handle: Handle): void {
    const slot = slotOf(handle);
    if (this.#pending[slot] === 0) this.#settle(handle);
    else this.#push(IORING_OP_ASYNC_CANCEL, handle, CANCEL_DESCRIPTOR, OPERATION_CANCEL);
  }

  protected override prepareDescriptor(descriptor: number): number {
    // A non-blocking socket would answer EAGAIN through the ring instead of waiting.
    return setNonBlocking(descriptor, false);
  }

  #settle(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & SETTLED) !== 0) return;
    this.flags[slot] = flags | SETTLED;
    if ((flags & DETACHING) !== 0) return this.defer(DEFERRED_DETACHED, handle, 0);
    // close(2) and not IORING_OP_CLOSE: that leaves the FIN to a task work which may wait until this thread next
    // returns from a wait.
    if ((flags & FOREIGN) === 0) closeDescriptor(this.forgetDescriptor(handle));
    this.defer(DEFERRED_CLOSED, handle, 0);
  }

  /** An operation on the handle's descriptor that has no buffer. */
  #push(head: number, handle: Handle, operationFlags: number, operation: number): void {
    const slot = slotOf(handle);
    this.#pending[slot] = (this.#pending[slot] as number) + 1;
    const descriptor = this.descriptors[slot] as number;
    this.#ring.push(head, descriptor, 0, 0, 0, operationFlags, handle, operation, 0);
  }

  #pushSend(handle: Handle, slot: number, offset: number, length: number): void {
    this.#pending[slot] = (this.#pending[slot] as number) + 1;
    const low = (this.#outputLow + offset) | 0;
    // Unsigned overflow of the low word: the sum is below its first addend.
    const high = low >>> 0 < this.#outputLow ? this.#outputHigh + 1 : this.#outputHigh;
    const descriptor = this.descriptors[slot] as number;
    this.#ring.push(
      IORING_OP_SEND,
      descriptor,
      low,
      high,
      length,
      SEND_FLAGS,
      handle,
      OPERATION_SEND,
      0,
    );
  }

  /** Cancels one operation of a handle by its cookie, once. */
  #cancelOperation(handle: Handle, operation: number): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & CANCELLING) !== 0) return;
    this.flags[slot] = flags | CANCELLING;
    this.#pending[slot] = (this.#pending[slot] as number) + 1;
    // The target is named by its cookie, in the place of an address.
    const head = IORING_OP_ASYNC_CANCEL;
    this.#ring.push(head, -1, handle, operation, 0, 0, handle, OPERATION_CANCEL, 0);
  }

  /** Before a wait: whatever else may end it. A one-shot poll armed while its descriptor is ready fires at once. */
  #arm(): void {
    if (!this.#wakeArmed && this.wakeDescriptor >= 0) {
      this.#wakeArmed = true;
      this.#ring.push(
        IORING_OP_POLL_ADD,
        this.wakeDescriptor,
        0,
        0,
        0,
        EPOLLIN,
        0,
        OPERATION_WAKE,
        0,
      );
    }
    if (!this.#watchArmed && this.watched >= 0) {
      this.#watchArmed = true;
      this.#ring.push(IORING_OP_POLL_ADD, this.watched, 0, 0, 0, EPOLLIN, 0, OPERATION_WATCH, 0);
    }
  }

  /** Delivers all completions, how many; those that come while delivering are left for the next turn. */
  #complete(): number {
    const ring = this.#ring;
    const words = ring.completions;
    const count = ring.ready();
    let timers = 0;
    for (let n = 0; n < count; n++) {
      const at = ring.completionAt(n);
      const handle = words[at] as number;
      const operation = words[at + 1] as number;
      const result = words[at + 2] as number;
      const flags = words[at + 3] as number;
      // Ours from here on, and not of whoever cleans up after this thread (thread-notes.ts).
      if (operation === OPERATION_ACCEPT) words[at + 2] = -1;
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
      this.#watchArmed = false;
      this.watchedReady = true;
    }
    if (operation === OPERATION_WAKE) {
      this.#wakeArmed = false;
      drainEventfd(this.wakeDescriptor);
    }
  }

  #received(handle: Handle, result: number, completion: number): void {
    const slot = slotOf(handle);
    const more = (completion & IORING_CQE_F_MORE) !== 0;
    if (!more) {
      this.#pending[slot] = (this.#pending[slot] as number) - 1;
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
      if (result === -ENOBUFS && this.isOpen(handle)) return this.#starve(handle);
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
      this.#pending[slot] = (this.#pending[slot] as number) - 1;
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
    const count = this.#kept.receive(this.descriptors[slot] as number);
    if (count === -EAGAIN) return;
    if (count <= 0 && count !== -EINTR) {
      this.end(handle, count);
      if ((flags & RECEIVING) !== 0) this.stopReceiving(handle);
      return;
    }
    // An edge comes once: as long as the socket may not be empty, the next turn goes on.
    if (count < 0 || count === this.#kept.asked || (flags & HUNG_UP) !== 0) this.#list(handle);
    if (count < 0) return;
    if (this.#kept.deliver(this, this.events, handle, count)) this.#unkept[slot] = 0;
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
      if (!this.slots.holds(handle)) continue;
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
      if (this.slots.holds(handle)) this.#receiveAgain(handle);
    }
  }

  #receiveAgain(handle: Handle): void {
    const flags = this.flags[slotOf(handle)] as number;
    const wants = WANTED | CONNECTED;
    if ((flags & (wants | RECEIVING | ENDED | CLOSING)) === wants) this.startReceiving(handle);
  }

  #sent(handle: Handle, result: number): void {
    const slot = slotOf(handle);
    const left = this.#sendLeft[slot] as number;
    this.#pending[slot] = (this.#pending[slot] as number) - 1;
    const closing = ((this.flags[slot] as number) & CLOSING) !== 0;
    if (result === left) this.deliverSent(handle, this.#sendLength[slot] as number);
    else if (result > 0 && !closing) return this.#sendRest(handle, slot, result);
    else this.deliverSent(handle, result < 0 ? result : -ECANCELED);
    if (closing) this.#afterOperation(handle);
  }

  /** MSG_WAITALL came back short: a signal or memory pressure. The rest goes on from there. */
  #sendRest(handle: Handle, slot: number, done: number): void {
    const offset = (this.#sendOffset[slot] as number) + done;
    const left = (this.#sendLeft[slot] as number) - done;
    this.#sendOffset[slot] = offset;
    this.#sendLeft[slot] = left;
    this.#pushSend(handle, slot, offset, left);
  }

  #accepted(listener: Handle, result: number, completion: number): void {
    const slot = slotOf(listener);
    const more = (completion & IORING_CQE_F_MORE) !== 0;
    if (!more) {
      this.#pending[slot] = (this.#pending[slot] as number) - 1;
      this.flags[slot] = (this.flags[slot] as number) & ~ACCEPTING;
    }
    if (result !== -ECANCELED) this.acceptedDescriptor(listener, result);
    if (!more) this.#afterOperation(listener);
  }

  #connected(handle: Handle, result: number): void {
    const slot = slotOf(handle);
    this.#pending[slot] = (this.#pending[slot] as number) - 1;
    if (((this.flags[slot] as number) & CLOSING) !== 0) return this.#afterOperation(handle);
    this.finishConnect(handle, result);
  }

  #cancelled(handle: Handle): void {
    const slot = slotOf(handle);
    this.#pending[slot] = (this.#pending[slot] as number) - 1;
    this.flags[slot] = (this.flags[slot] as number) & ~CANCELLING;
    this.#afterOperation(handle);
  }

  /** The last completion of a closing handle settles it; anything else that still wants to go on, goes on. */
  #afterOperation(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & CLOSING) !== 0) {
      if (this.#pending[slot] === 0) this.#settle(handle);
      return;
    }
    if ((flags & WANTED) === 0 || (flags & CANCELLING) !== 0) return;
    if ((flags & LISTENING) === 0) this.#receiveAgain(handle);
    else if ((flags & ACCEPTING) === 0) this.startAccepting(handle);
  }
}
