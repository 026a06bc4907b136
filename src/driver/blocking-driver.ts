// The blocking driver: a thread that sits in its system calls, as the models of a thread for each connection do it. It waits
// in poll(2) for its one connection (and for whoever wakes it), takes what has come with read(2), and sends with a
// write(2) that does not return before the kernel has all of it: a peer that does not read holds up the thread.
//
// Twists:
// - A write, and likewise a connect, blocks in slices (SO_SNDTIMEO): between two of them deadlines run, bytes that came
//   are read, and whoever wants the thread to stop is heard. Nobody has to touch a descriptor from another thread for
//   that, which would be a race with its closing.
// - Connections may come out of a queue in shared memory. Without one to serve the thread sleeps on that (Atomics.wait), in
//   slices too: nothing else can end such a sleep.
// - poll tells again and again of what is not taken, so there is nothing to remember about readiness; and what it costs
//   grows with the number of connections, so this is the wrong driver for many.

import { POLLIN, POLLOUT, POLLRDHUP, SOCK_CLOEXEC } from "../sys/abi.ts";
import type { Address } from "../sys/address.ts";
import { acceptFrom, readInto, writeFrom } from "../sys/epoll-calls.ts";
import { assertWaited, EAGAIN, ECANCELED, EINPROGRESS, EINTR } from "../sys/errno.ts";
import { NativeMemory } from "../sys/native-memory.ts";
import { PollTable } from "../sys/poll-calls.ts";
import {
  closeDescriptor,
  connectSocket,
  drainEventfd,
  pendingError,
  setNonBlocking,
  setTimeouts,
} from "../sys/socket-calls.ts";
import {
  DEFERRED_CLOSED,
  DEFERRED_CONNECTED,
  DEFERRED_DETACHED,
  DEFERRED_LISTENING,
  DEFERRED_SENT,
} from "./deferred-events.ts";
import { DescriptorDriver } from "./descriptor-driver.ts";
import { DescriptorQueue } from "./descriptor-queue.ts";
import type { DriverOptions, Handle, ListenTarget } from "./driver.ts";
import { slotOf } from "./handle.ts";
import { KeptInput, LARGE_RECEIVE } from "./kept-input.ts";
import {
  ACCEPTING,
  CONNECTING,
  DETACHING,
  FOREIGN,
  LISTENING,
  MECHANISM,
  RECEIVING,
  SENDING,
} from "./slot-states.ts";

/** In the list of those that poll is asked about. */
const LISTED = MECHANISM;
/** The listener is a queue. */
const QUEUED = MECHANISM << 1;
/** What it received last was large, and kept. */
const KEEPING = MECHANISM << 2;

/** Most bytes of one read. */
const READ_BYTES = 65_536;
/** How long one write or connect may block, in ms: as late as that a thread hears that it is to stop. */
const SLICE_MS = 100;
/** Entries of the table that are no connections: the wake, and the watched descriptor. */
const OTHERS = 2;

export class BlockingDriver extends DescriptorDriver {
  readonly name = "blocking";
  input: Buffer;
  readonly #inputMemory = NativeMemory.allocate(READ_BYTES);
  readonly #kept = new KeptInput(this.calls);
  readonly #table: PollTable;
  readonly #sliceMs: number;
  /** Who has an entry in the table, in its order; behind them, who is to get one. */
  #listed: Handle[] = [];
  /** The other array, empty: the two take turns. */
  #spare: Handle[] = [];
  /** Where connections come from, and the listener that stands for it. */
  #queue: DescriptorQueue | undefined;
  #queueListener: Handle = -1;
  /** Handles with a send that has not left. */
  #writing: Handle[] = [];
  readonly #sendOffset: Uint32Array;
  readonly #sendLeft: Uint32Array;
  readonly #sendLength: Uint32Array;

  /** `sliceMs`: see SLICE_MS. @throws SystemError when the host has no memory or descriptors for it */
  constructor(options: DriverOptions, sliceMs = SLICE_MS) {
    super(options, false);
    this.#sliceMs = sliceMs;
    this.#table = new PollTable(options.slots + OTHERS);
    this.input = this.#inputMemory.bytes;
    this.notes.noteMemory(this.#inputMemory);
    this.notes.noteMemory(this.#table.memory);
    this.#sendOffset = new Uint32Array(options.slots);
    this.#sendLeft = new Uint32Array(options.slots);
    this.#sendLength = new Uint32Array(options.slots);
  }

  override listen(target: ListenTarget): Handle | number {
    if (!("queue" in target)) return super.listen(target);
    const handle = this.table.take(-1, LISTENING | FOREIGN | QUEUED);
    if (handle < 0) return handle;
    this.#queue = new DescriptorQueue(target.queue);
    this.#queueListener = handle;
    this.defer(DEFERRED_LISTENING, handle, 0);
    return handle;
  }

  send(handle: Handle, offset: number, length: number): number {
    const refused = this.refuseSend(handle);
    if (refused < 0) return refused;
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) | SENDING;
    this.#sendOffset[slot] = offset;
    this.#sendLeft[slot] = length;
    this.#sendLength[slot] = length;
    this.#writing.push(handle);
    return 0;
  }

  turn(timeoutMs: number): number {
    this.watchedReady = false;
    this.#writeAll();
    const deferred = this.deliverDeferred();
    // What was sent from inside those events leaves before the wait.
    this.#writeAll();
    const blocked = this.#writing.length > 0;
    const wait = this.takeWake() || blocked || this.hasDeferred ? 0 : timeoutMs;
    this.#fillTable();
    this.counters.waits++;
    const taken = this.#takesFromQueue();
    const came = taken ? this.#takeFromQueue(wait) : 0;
    const count = this.#table.wait(taken ? this.#waitBeside(wait, came) : wait);
    assertWaited("poll", count);
    return deferred + came + (count > 0 ? this.#deliverReady() : 0);
  }

  /** A queue has none: as a Unix socket that was never bound. */
  override localAddress(handle: Handle): Address | number {
    const queue = handle === this.#queueListener && this.table.isOpen(handle);
    return queue ? { family: "unix", path: "" } : super.localAddress(handle);
  }

  override dispose(): void {
    this.disposeShared();
    this.notes.forgetMemory(this.#table.memory);
    this.#table.release();
    this.#inputMemory.discard(0, this.#inputMemory.length);
  }

  protected override startConnecting(handle: Handle, address: Address): void {
    const descriptor = this.descriptors[slotOf(handle)] as number;
    setTimeouts(descriptor, this.#sliceMs);
    const result = connectSocket(descriptor, address);
    if (result === -EINPROGRESS) this.#list(handle);
    else this.defer(DEFERRED_CONNECTED, handle, result);
  }

  protected override startReceiving(handle: Handle): void {
    this.#start(handle, RECEIVING);
  }

  protected override stopReceiving(handle: Handle): void {
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) & ~RECEIVING;
  }

  protected override startAccepting(listener: Handle): void {
    const slot = slotOf(listener);
    const flags = this.flags[slot] as number;
    if ((flags & QUEUED) !== 0) {
      this.flags[slot] = flags | ACCEPTING;
    } else {
      // Another thread may take what poll has told of.
      setTimeouts(this.descriptors[slot] as number, this.#sliceMs);
      this.#start(listener, ACCEPTING);
    }
  }

  protected override stopAccepting(listener: Handle): void {
    const slot = slotOf(listener);
    this.flags[slot] = (this.flags[slot] as number) & ~ACCEPTING;
  }

  /** Between two slices nothing is in the kernel's hands: a send that waits is over, the descriptor can go at once. */
  protected override finish(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & SENDING) !== 0 && (this.#sendLeft[slot] as number) > 0) {
      this.#writing.splice(this.#writing.indexOf(handle), 1);
      this.#finishSend(handle, slot, -ECANCELED);
    }
    if ((flags & (DETACHING | FOREIGN)) === 0) closeDescriptor(this.table.forgetDescriptor(handle));
    this.defer((flags & DETACHING) === 0 ? DEFERRED_CLOSED : DEFERRED_DETACHED, handle, 0);
  }

  protected override prepareDescriptor(descriptor: number): number {
    const failed = setNonBlocking(descriptor, false);
    return failed < 0 ? failed : setTimeouts(descriptor, this.#sliceMs);
  }

  #start(handle: Handle, what: number): void {
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) | what;
    this.#list(handle);
  }

  #list(handle: Handle): void {
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & LISTED) !== 0) return;
    this.flags[slot] = flags | LISTED;
    this.#listed.push(handle);
  }

  #takesFromQueue(): boolean {
    const listener = this.#queueListener;
    return (
      this.table.isOpen(listener) && ((this.flags[slotOf(listener)] as number) & ACCEPTING) !== 0
    );
  }

  /** Sleeps until the queue has a connection, unless there are others to wait for; how many came. */
  #takeFromQueue(waitMs: number): number {
    const descriptor = this.#queue?.takeWithin(this.#isAlone ? this.#slice(waitMs) : 0) ?? -1;
    if (descriptor < 0) return 0;
    this.notes.hold(descriptor);
    const failed = this.prepareDescriptor(descriptor);
    if (failed < 0) {
      this.letGo(descriptor);
      closeDescriptor(descriptor);
    }
    this.acceptedDescriptor(this.#queueListener, failed < 0 ? failed : descriptor);
    return 1;
  }

  /** How long poll may wait after the queue was looked at: neither tells of what comes to the other. */
  #waitBeside(waitMs: number, came: number): number {
    return this.#isAlone || came > 0 ? 0 : this.#slice(waitMs);
  }

  #slice(waitMs: number): number {
    return waitMs < 0 ? this.#sliceMs : Math.min(waitMs, this.#sliceMs);
  }

  /** Nobody but the queue to wait for. */
  get #isAlone(): boolean {
    return this.#table.length === OTHERS;
  }

  #fillTable(): void {
    const table = this.#table;
    table.length = 0;
    table.add(this.wakeDescriptor, POLLIN);
    table.add(this.watched, POLLIN);
    const listed = this.#listed;
    this.#listed = this.#spare;
    for (const handle of listed) {
      if (!this.table.isOpen(handle)) continue;
      const slot = slotOf(handle);
      const flags = this.flags[slot] as number;
      const events = eventsOf(flags);
      if (events === 0) this.flags[slot] = flags & ~LISTED;
      else {
        this.#listed.push(handle);
        table.add(this.descriptors[slot] as number, events);
      }
    }
    listed.length = 0;
    this.#spare = listed;
  }

  /** Events may list more handles: those behind the first `count` have no entry yet. */
  #deliverReady(): number {
    const table = this.#table;
    if (table.ready(0) !== 0) drainEventfd(this.wakeDescriptor);
    this.watchedReady = table.ready(1) !== 0;
    const count = table.length - OTHERS;
    let delivered = 0;
    for (let n = 0; n < count; n++) {
      if (table.ready(OTHERS + n) === 0) continue;
      this.#ready(this.#listed[n] as Handle);
      delivered++;
    }
    return delivered;
  }

  #ready(handle: Handle): void {
    if (!this.table.isOpen(handle)) return;
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    // An event before this one may have paused it.
    if (eventsOf(flags) === 0) return;
    const descriptor = this.descriptors[slot] as number;
    if ((flags & LISTENING) !== 0) return this.#accept(handle, descriptor);
    if ((flags & CONNECTING) !== 0) {
      const error = pendingError(descriptor);
      return this.finishConnect(handle, error > 0 ? -error : error);
    }
    const keeping = (flags & KEEPING) !== 0;
    const count = keeping
      ? this.#kept.receive(descriptor)
      : readInto(descriptor, this.#inputMemory.at(0, READ_BYTES), READ_BYTES);
    if (count > 0) return this.#received(handle, slot, count, keeping);
    if (count === -EAGAIN || count === -EINTR) return;
    this.flags[slot] = flags & ~RECEIVING;
    this.end(handle, count);
  }

  #received(handle: Handle, slot: number, count: number, keeping: boolean): void {
    this.inputKept = false;
    if (keeping) this.#kept.deliver(this, this.events, handle, count);
    else this.events.received(handle, count, 0);
    const flags = (this.flags[slot] as number) & ~KEEPING;
    if (flags !== 0)
      this.flags[slot] = this.inputKept && count >= LARGE_RECEIVE ? flags | KEEPING : flags;
  }

  /** One for each time that poll tells of one: a second accept would wait for the next connection. */
  #accept(listener: Handle, descriptor: number): void {
    const accepted = acceptFrom(descriptor, SOCK_CLOEXEC);
    if (accepted === -EAGAIN || accepted === -EINTR) return;
    if (accepted >= 0) {
      this.notes.hold(accepted);
      setTimeouts(accepted, this.#sliceMs);
    }
    this.acceptedDescriptor(listener, accepted);
  }

  #writeAll(): void {
    const writing = this.#writing;
    let kept = 0;
    for (let n = 0; n < writing.length; n++) {
      const handle = writing[n] as Handle;
      if (!this.#write(handle)) writing[kept++] = handle;
    }
    writing.length = kept;
  }

  /** One blocking write. True when the send is over. */
  #write(handle: Handle): boolean {
    const slot = slotOf(handle);
    const offset = this.#sendOffset[slot] as number;
    const left = this.#sendLeft[slot] as number;
    const address = this.outputMemory.at(offset, left);
    const count = writeFrom(this.descriptors[slot] as number, address, left);
    if (count === left) return this.#finishSend(handle, slot, this.#sendLength[slot] as number);
    if (count < 0 && count !== -EAGAIN && count !== -EINTR) {
      return this.#finishSend(handle, slot, count);
    }
    // The slice was over before the peer had taken it all.
    const part = Math.max(count, 0);
    this.#sendOffset[slot] = offset + part;
    this.#sendLeft[slot] = left - part;
    return false;
  }

  #finishSend(handle: Handle, slot: number, result: number): true {
    this.#sendLeft[slot] = 0;
    this.defer(DEFERRED_SENT, handle, result);
    return true;
  }
}

/** What poll is to be asked of a handle with these flags. */
function eventsOf(flags: number): number {
  if ((flags & CONNECTING) !== 0) return POLLOUT;
  return (flags & (RECEIVING | ACCEPTING)) === 0 ? 0 : POLLIN | POLLRDHUP;
}
