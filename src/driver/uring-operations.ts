// What is asked of io_uring: a submission for each operation of the contract, and who is still owed a completion.
//
// Nothing here enters the kernel, but for a connect, whose address must be read at once: what is queued leaves with the turn's
// one entry (uring-driver.ts, which also takes what comes back).
//
// Twist: closing a descriptor does not end its operations, and cancel and target complete in any order. So each slot counts
// its operations in the kernel, and only at zero is the descriptor closed or handed out.
// Invariant: pending[slot] is the number of completions still to come for that slot.

import {
  EPOLLIN,
  EPOLLRDHUP,
  IORING_ACCEPT_MULTISHOT,
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_FD,
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
import { EAGAIN, EINTR, SystemError } from "../sys/errno.ts";
import { NativeMemory, PAGE } from "../sys/native-memory.ts";
import { closeDescriptor, setNonBlocking } from "../sys/socket-calls.ts";
import { DEFERRED_CLOSED, DEFERRED_DETACHED, DEFERRED_SENT } from "./deferred-events.ts";
import { DescriptorDriver } from "./descriptor-driver.ts";
import type { DriverOptions, Handle } from "./driver.ts";
import {
  OPERATION_ACCEPT,
  OPERATION_CANCEL,
  OPERATION_CONNECT,
  OPERATION_POLL,
  OPERATION_RECEIVE,
  OPERATION_SEND,
  OPERATION_WAKE,
  OPERATION_WATCH,
} from "./event-cookie.ts";
import { slotOf } from "./handle.ts";
import {
  ACCEPTING,
  CANCELLING,
  DETACHING,
  FOREIGN,
  MECHANISM,
  RECEIVING,
  SENDING,
  SETTLED,
  SHARED,
} from "./slot-states.ts";
import { highWord, UringRing } from "./uring-ring.ts";

const SUBMISSIONS = 1024;
export const BUFFER_GROUP = 1;
const CANCEL_DESCRIPTOR = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD;
const SEND_FLAGS = MSG_WAITALL | MSG_NOSIGNAL;
/** The first word of a submission: opcode, flags << 8, ioprio << 16. */
const RECEIVE_HEAD = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8) | (IORING_RECV_MULTISHOT << 16);
/** What it received last was large, and kept: it is polled, and what it has is taken into memory that may be kept. */
export const KEEPING = MECHANISM;
/** What is under way as RECEIVING is such a poll. */
export const POLLING = MECHANISM << 1;
const POLL_EVENTS = EPOLLIN | EPOLLRDHUP;
const ACCEPT_ONE = IORING_OP_ACCEPT;
const ACCEPT_MANY = IORING_OP_ACCEPT | (IORING_ACCEPT_MULTISHOT << 16);

export abstract class UringOperations extends DescriptorDriver {
  protected readonly ring: UringRing;
  /** Completions still to come, by slot. */
  protected readonly pending: Uint8Array;
  protected readonly sendOffset: Uint32Array;
  protected readonly sendLeft: Uint32Array;
  protected readonly sendLength: Uint32Array;
  protected watchArmed = false;
  protected wakeArmed = false;
  /** The last turn brought so few completions that their answers are sent at once. */
  protected quiet = false;
  readonly #outputLow: number;
  readonly #outputHigh: number;
  readonly #sockaddr = NativeMemory.allocate(PAGE);

  /** @throws SystemError when the host refuses io_uring; `choose-driver` says it in words */
  constructor(options: DriverOptions) {
    super(options, false);
    const ring = UringRing.open(SUBMISSIONS);
    if (typeof ring === "number") {
      this.disposeShared();
      throw new SystemError("io_uring_setup", ring);
    }
    this.ring = ring;
    this.notes.noteOwn(ring.descriptor);
    for (const { address, length } of ring.mappings) this.notes.noteRingMapping(address, length);
    this.notes.noteCompletions(ring.completionOffsets);
    this.notes.noteMemory(ring.entrance.memory);
    this.notes.noteMemory(this.#sockaddr);
    this.#outputLow = this.outputMemory.address >>> 0;
    this.#outputHigh = highWord(this.outputMemory.address);
    this.pending = new Uint8Array(options.slots);
    this.sendOffset = new Uint32Array(options.slots);
    this.sendLeft = new Uint32Array(options.slots);
    this.sendLength = new Uint32Array(options.slots);
  }

  protected override startConnecting(handle: Handle, address: Address): void {
    const length = writeSockaddr(address, this.#sockaddr, 0);
    const slot = slotOf(handle);
    this.pending[slot] = (this.pending[slot] as number) + 1;
    const descriptor = this.descriptors[slot] as number;
    const from = this.#sockaddr.address;
    const connect = IORING_OP_CONNECT;
    this.ring.pushWithOffset(connect, descriptor, from, length, handle, OPERATION_CONNECT);
  }

  send(handle: Handle, offset: number, length: number): number {
    const refused = this.refuseSend(handle);
    if (refused < 0) return refused;
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) | SENDING;
    this.sendLength[slot] = length;
    const sent = this.quiet ? this.#sendAtOnce(slot, offset, length) : 0;
    if (sent === length || sent < 0) {
      this.defer(DEFERRED_SENT, handle, sent);
      return 0;
    }
    this.sendOffset[slot] = offset + sent;
    this.sendLeft[slot] = length - sent;
    this.pushSend(handle, slot, offset + sent, length - sent);
    return 0;
  }

  /**
   * In a call of its own, whose result is known at once: how much has left, or −errno. Through the ring the next turn would
   * submit it and see nothing but its completion, a turn for nothing; only where many share that turn is it cheaper.
   */
  #sendAtOnce(slot: number, offset: number, length: number): number {
    const address = this.outputAddresses.of(offset, length);
    const count = this.calls.send(this.descriptors[slot] as number, address, length);
    return count === -EAGAIN || count === -EINTR ? 0 : count;
  }

  protected override startReceiving(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = (this.flags[slot] as number) | RECEIVING;
    this.pending[slot] = (this.pending[slot] as number) + 1;
    const descriptor = this.descriptors[slot] as number;
    const ring = this.ring;
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

  /** Rung 1 of closing: cancel what is under way. Rung 2, `settle`, comes with the last completion. */
  protected override finish(handle: Handle): void {
    const slot = slotOf(handle);
    if (this.pending[slot] === 0) this.settle(handle);
    else this.#push(IORING_OP_ASYNC_CANCEL, handle, CANCEL_DESCRIPTOR, OPERATION_CANCEL);
  }

  protected override prepareDescriptor(descriptor: number): number {
    // A non-blocking socket would answer EAGAIN through the ring instead of waiting.
    return setNonBlocking(descriptor, false);
  }

  protected settle(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & SETTLED) !== 0) return;
    this.flags[slot] = flags | SETTLED;
    if ((flags & DETACHING) !== 0) return this.defer(DEFERRED_DETACHED, handle, 0);
    // close(2) and not IORING_OP_CLOSE: that leaves the FIN to a task work which may wait until this thread next
    // returns from a wait.
    if ((flags & FOREIGN) === 0) closeDescriptor(this.table.forgetDescriptor(handle));
    this.defer(DEFERRED_CLOSED, handle, 0);
  }

  /** An operation on the handle's descriptor that has no buffer. */
  #push(head: number, handle: Handle, operationFlags: number, operation: number): void {
    const slot = slotOf(handle);
    this.pending[slot] = (this.pending[slot] as number) + 1;
    const descriptor = this.descriptors[slot] as number;
    this.ring.push(head, descriptor, 0, 0, 0, operationFlags, handle, operation, 0);
  }

  protected pushSend(handle: Handle, slot: number, offset: number, length: number): void {
    this.pending[slot] = (this.pending[slot] as number) + 1;
    const low = (this.#outputLow + offset) | 0;
    // Unsigned overflow of the low word: the sum is below its first addend.
    const high = low >>> 0 < this.#outputLow ? this.#outputHigh + 1 : this.#outputHigh;
    const descriptor = this.descriptors[slot] as number;
    this.ring.push(
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
    this.pending[slot] = (this.pending[slot] as number) + 1;
    // The target is named by its cookie, in the place of an address.
    const head = IORING_OP_ASYNC_CANCEL;
    this.ring.push(head, -1, handle, operation, 0, 0, handle, OPERATION_CANCEL, 0);
  }

  /** Before a wait: whatever else may end it. A one-shot poll armed while its descriptor is ready fires at once. */
  protected arm(): void {
    if (!this.wakeArmed && this.wakeDescriptor >= 0) {
      this.wakeArmed = true;
      this.ring.push(
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
    if (!this.watchArmed && this.watched >= 0) {
      this.watchArmed = true;
      this.ring.push(IORING_OP_POLL_ADD, this.watched, 0, 0, 0, EPOLLIN, 0, OPERATION_WATCH, 0);
    }
  }

  /** The ring goes, and what it needed. */
  protected releaseOperations(): void {
    this.notes.forgetOwn(this.ring.descriptor);
    this.notes.forgetRingMappings();
    this.notes.forgetMemory(this.ring.entrance.memory);
    this.ring.close();
    this.notes.forgetMemory(this.#sockaddr);
    this.#sockaddr.release();
  }
}
