// The epoll driver: readiness made to look like completion, with as few calls as the kernel allows.
//
// Each connection is registered once, edge-triggered, for reading and writing; nothing is ever re-registered. A turn waits,
// then reads once from each connection that became readable and delivers, all into the same buffer, which stays in
// the cache. A send is made when it is asked for, and told of in the next turn.
//
// Twists:
// - A read that returns less than was asked for has emptied the socket (epoll(7)), so no second read has to prove it;
//   unless the peer has hung up: then the end of the stream is still to be read.
// - An edge comes once. Who stops before a socket is empty (paused, or a full read) remembers READABLE and goes on
//   from the list of unfinished ones in the next turn.

import {
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLERR,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from "../sys/abi.ts";
import type { Address } from "../sys/address.ts";
import { acceptFrom, Epoll, openEpoll } from "../sys/epoll-calls.ts";
import { assertWaited, EAGAIN, ECANCELED, EINPROGRESS, EINTR, SystemError } from "../sys/errno.ts";
import { NativeMemory } from "../sys/native-memory.ts";
import {
  closeDescriptor,
  connectSocket,
  drainEventfd,
  pendingError,
  setNonBlocking,
} from "../sys/socket-calls.ts";
import {
  DEFERRED_CLOSED,
  DEFERRED_CONNECTED,
  DEFERRED_DETACHED,
  DEFERRED_SENT,
} from "./deferred-events.ts";
import { DescriptorDriver } from "./descriptor-driver.ts";
import type { DriverOptions, Handle } from "./driver.ts";
import { slotOf } from "./handle.ts";
import { LARGE_RECEIVE, tookNothing } from "./kept-input.ts";
import {
  ACCEPTING,
  CLOSING,
  CONNECTING,
  DETACHING,
  ENDED,
  FOREIGN,
  LISTENING,
  MECHANISM,
  RECEIVING,
  SENDING,
  SHARED,
  WANTED,
} from "./slot-states.ts";

/** The descriptor is in the epoll set. */
const REGISTERED = MECHANISM;
/** There may be something to read that no further edge will tell of. */
const READABLE = MECHANISM << 1;
/** The peer has ended or reset: read until the end is seen. */
const HUNG_UP = MECHANISM << 2;
/** In the list of unfinished reads. */
const LISTED = MECHANISM << 3;
/** What it received last was large, and kept. */
const KEEPING = MECHANISM << 4;

/** Most bytes of one read. */
const READ_BYTES = 65_536;
/** Few enough that a socket that was read is still in the cache when its answer is sent (512 cost 8 % with 1000 busy ones). */
const EVENTS_PER_WAIT = 64;
/** Accepts of one listener a turn: the connections that are there get their share too. */
const ACCEPTS_PER_TURN = 64;
const EDGES = (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) >>> 0;
const ACCEPT_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC;
// What an epoll event stands for: the high half of its data. The low half is the handle.
const KIND_HANDLE = 0;
const KIND_WAKE = 1;
const KIND_WATCHED = 2;

export class EpollDriver extends DescriptorDriver {
  readonly name = "epoll";
  input: Buffer;
  readonly #epoll: Epoll;
  readonly #inputMemory = NativeMemory.allocate(READ_BYTES);
  readonly #inputAddress: bigint;
  readonly #sendOffset: Uint32Array;
  readonly #sendLeft: Uint32Array;
  readonly #sendLength: Uint32Array;
  /** Handles whose READABLE is to be worked on in the next turn. */
  #unfinished: Handle[] = [];

  /** @throws SystemError when the host refuses epoll */
  constructor(options: DriverOptions) {
    super(options, true);
    const descriptor = openEpoll();
    if (descriptor < 0) {
      this.disposeShared();
      throw new SystemError("epoll_create1", descriptor);
    }
    this.notes.noteOwn(descriptor);
    this.#epoll = new Epoll(descriptor, EVENTS_PER_WAIT);
    this.#epoll.control(EPOLL_CTL_ADD, this.wakeDescriptor, EPOLLIN, 0, KIND_WAKE);
    this.input = this.#inputMemory.bytes;
    this.notes.noteMemory(this.#inputMemory);
    this.notes.noteMemory(this.#epoll.memory);
    this.#inputAddress = this.#inputMemory.at(0, READ_BYTES);
    this.#sendOffset = new Uint32Array(options.slots);
    this.#sendLeft = new Uint32Array(options.slots);
    this.#sendLength = new Uint32Array(options.slots);
  }

  protected override startConnecting(handle: Handle, address: Address): void {
    const result = connectSocket(this.descriptors[slotOf(handle)] as number, address);
    if (result === -EINPROGRESS) this.#register(handle);
    else this.defer(DEFERRED_CONNECTED, handle, result);
  }

  send(handle: Handle, offset: number, length: number): number {
    const refused = this.refuseSend(handle);
    if (refused < 0) return refused;
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) | SENDING;
    this.#sendOffset[slot] = offset;
    this.#sendLeft[slot] = length;
    this.#sendLength[slot] = length;
    this.#write(handle, slot);
    return 0;
  }

  turn(timeoutMs: number): number {
    this.watchedReady = false;
    const deferred = this.deliverDeferred();
    const unfinished = this.#unfinished;
    const wait = this.takeWake() || unfinished.length > 0 || this.hasDeferred ? 0 : timeoutMs;
    this.counters.waits++;
    const count = this.#epoll.wait(wait < 0 ? -1 : Math.ceil(wait));
    assertWaited("epoll_pwait", count);
    if (unfinished.length > 0) this.#goOn(unfinished);
    for (let index = 0; index < count; index++) this.#ready(index);
    return deferred + unfinished.length + Math.max(count, 0);
  }

  override watch(descriptor: number): void {
    super.watch(descriptor);
    this.#epoll.control(EPOLL_CTL_ADD, descriptor, EPOLLIN, 0, KIND_WATCHED);
  }

  override dispose(): void {
    this.notes.forgetOwn(this.#epoll.descriptor);
    closeDescriptor(this.#epoll.descriptor);
    this.notes.forgetMemory(this.#epoll.memory);
    this.#epoll.release();
    this.disposeShared();
    this.#inputMemory.discard(0, this.#inputMemory.length);
  }

  protected override startReceiving(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = (this.flags[slot] as number) | RECEIVING;
    this.flags[slot] = flags;
    if ((flags & REGISTERED) === 0) this.#register(handle);
    else if ((flags & READABLE) !== 0) this.#list(handle);
  }

  protected override stopReceiving(handle: Handle): void {
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) & ~RECEIVING;
  }

  protected override startAccepting(listener: Handle): void {
    const slot = slotOf(listener);
    const flags = this.flags[slot] as number;
    this.flags[slot] = flags | ACCEPTING;
    const events = (flags & SHARED) === 0 ? EPOLLIN : (EPOLLIN | EPOLLEXCLUSIVE) >>> 0;
    const descriptor = this.descriptors[slot] as number;
    this.#epoll.control(EPOLL_CTL_ADD, descriptor, events, listener, KIND_HANDLE);
  }

  protected override stopAccepting(listener: Handle): void {
    const slot = slotOf(listener);
    this.flags[slot] = (this.flags[slot] as number) & ~ACCEPTING;
    this.#epoll.control(EPOLL_CTL_DEL, this.descriptors[slot] as number, 0, 0, 0);
  }

  /** Nothing is ever in the kernel's hands here: a send that waits is over, the descriptor can go at once. */
  protected override finish(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & SENDING) !== 0 && (this.#sendLeft[slot] as number) > 0) {
      this.#finishSend(handle, slot, -ECANCELED);
    }
    if ((flags & (DETACHING | FOREIGN)) === 0) {
      closeDescriptor(this.table.forgetDescriptor(handle));
    } else if ((flags & (REGISTERED | ACCEPTING)) !== 0) {
      this.#epoll.control(EPOLL_CTL_DEL, this.descriptors[slot] as number, 0, 0, 0);
    }
    this.defer((flags & DETACHING) === 0 ? DEFERRED_CLOSED : DEFERRED_DETACHED, handle, 0);
  }

  protected override prepareDescriptor(descriptor: number): number {
    return setNonBlocking(descriptor, true);
  }

  #register(handle: Handle): void {
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) | REGISTERED;
    const descriptor = this.descriptors[slot] as number;
    this.#epoll.control(EPOLL_CTL_ADD, descriptor, EDGES, handle, KIND_HANDLE);
  }

  #ready(index: number): void {
    const kind = this.#epoll.high(index);
    if (kind === KIND_HANDLE) this.#readyHandle(this.#epoll.low(index), this.#epoll.events(index));
    else if (kind === KIND_WATCHED) this.watchedReady = true;
    else drainEventfd(this.wakeDescriptor);
  }

  #readyHandle(handle: Handle, events: number): void {
    if (!this.table.isOpen(handle)) return;
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & LISTENING) !== 0) return this.#acceptSome(handle);
    if ((flags & CONNECTING) !== 0) return this.#connectReady(handle, slot);
    let now = flags;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) now |= READABLE;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) now |= HUNG_UP;
    this.flags[slot] = now;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) !== 0 && (now & SENDING) !== 0) {
      if ((this.#sendLeft[slot] as number) > 0) this.#write(handle, slot);
    }
    if ((now & (READABLE | RECEIVING)) === (READABLE | RECEIVING)) this.#read(handle, slot);
  }

  #read(handle: Handle, slot: number): void {
    const keeping = ((this.flags[slot] as number) & KEEPING) !== 0;
    const descriptor = this.descriptors[slot] as number;
    const rested = this.notes.disturb(slot);
    const count = keeping
      ? this.kept.receive(descriptor)
      : this.calls.receive(descriptor, this.#inputAddress, READ_BYTES);
    if (rested !== 0 && tookNothing(count)) this.notes.leaveInPeace(slot, rested);
    if (count === -EINTR) return this.#list(handle);
    const flags = this.flags[slot] as number;
    if (count === -EAGAIN) {
      this.flags[slot] = flags & ~READABLE;
      return;
    }
    if (count <= 0) {
      this.flags[slot] = flags & ~(READABLE | RECEIVING);
      return this.end(handle, count);
    }
    const asked = keeping ? this.kept.asked : READ_BYTES;
    if (count < asked && (flags & HUNG_UP) === 0) this.flags[slot] = flags & ~READABLE;
    else this.#list(handle);
    const kept = keeping
      ? this.kept.deliver(this, this.events, handle, count)
      : this.#deliver(handle, count);
    this.#remember(slot, kept && count >= LARGE_RECEIVE);
  }

  #deliver(handle: Handle, count: number): boolean {
    this.inputKept = false;
    this.events.received(handle, count, 0);
    return this.inputKept;
  }

  /** Where the next bytes of this connection go. */
  #remember(slot: number, keeping: boolean): void {
    const flags = this.flags[slot] as number;
    // A handle never loses its slot inside an event, so a free one is one that was never in use.
    if (keeping !== ((flags & KEEPING) !== 0)) this.flags[slot] = flags ^ KEEPING;
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
      if (!this.table.isOpen(handle)) continue;
      const slot = slotOf(handle);
      const flags = (this.flags[slot] as number) & ~LISTED;
      this.flags[slot] = flags;
      const ready = READABLE | RECEIVING;
      if ((flags & (ready | ENDED)) === ready) this.#read(handle, slot);
    }
  }

  #write(handle: Handle, slot: number): void {
    const offset = this.#sendOffset[slot] as number;
    const left = this.#sendLeft[slot] as number;
    const address = this.outputAddresses.of(offset, left);
    const count = this.calls.send(this.descriptors[slot] as number, address, left);
    if (count === left) return this.#finishSend(handle, slot, this.#sendLength[slot] as number);
    if (count >= 0) {
      // Less than asked for: the socket's buffer is full, an edge will come when it drains.
      this.#sendOffset[slot] = (this.#sendOffset[slot] as number) + count;
      this.#sendLeft[slot] = left - count;
    } else if (count === -EINTR) {
      return this.#write(handle, slot);
    } else if (count !== -EAGAIN) {
      return this.#finishSend(handle, slot, count);
    }
    if (((this.flags[slot] as number) & REGISTERED) === 0) this.#register(handle);
  }

  #finishSend(handle: Handle, slot: number, result: number): void {
    this.#sendLeft[slot] = 0;
    this.defer(DEFERRED_SENT, handle, result);
  }

  #connectReady(handle: Handle, slot: number): void {
    const error = pendingError(this.descriptors[slot] as number);
    this.finishConnect(handle, error > 0 ? -error : error);
  }

  #acceptSome(listener: Handle): void {
    const slot = slotOf(listener);
    const shared = ((this.flags[slot] as number) & SHARED) !== 0;
    const most = shared ? 1 : ACCEPTS_PER_TURN;
    for (let n = 0; n < most; n++) {
      const flags = this.flags[slot] as number;
      if ((flags & (ACCEPTING | WANTED | CLOSING)) !== (ACCEPTING | WANTED)) return;
      const accepted = acceptFrom(this.descriptors[slot] as number, ACCEPT_FLAGS);
      if (accepted >= 0) this.notes.hold(accepted);
      if (accepted === -EAGAIN) return;
      if (accepted !== -EINTR) this.acceptedDescriptor(listener, accepted);
    }
    if (shared && ((this.flags[slot] as number) & ACCEPTING) !== 0)
      this.#goToTheEndOfTheLine(listener);
  }

  /** The kernel wakes the first of those who wait for a shared listener: whoever had one goes behind the others. */
  #goToTheEndOfTheLine(listener: Handle): void {
    this.stopAccepting(listener);
    this.startAccepting(listener);
  }
}
