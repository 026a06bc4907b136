// What the two raw drivers (io_uring, epoll) have in common: slots with descriptors and states, the events that a
// verb caused and the next turn delivers, and the memory that sends come from.
//
// A subclass is a mechanism: how to start and stop receiving and accepting, how to send, and what must happen before a
// descriptor may be closed. It is the flow's owner; nothing in here calls the kernel for I/O, but for `sendNow`.

import { performance } from "node:perf_hooks";
import type { Address } from "../sys/address.ts";
import { keepFreedMemory } from "../sys/allocator.ts";
import { EAGAIN, EALREADY, EBADF, EINTR, EINVAL, ENOTCONN, ENOTSUP } from "../sys/errno.ts";
import { NativeMemory } from "../sys/native-memory.ts";
import {
  assertAddress,
  closeDescriptor,
  localAddress,
  openSocket,
  remoteAddress,
  type SocketOptions,
  scratch,
  setLinger,
  setSocketOptions,
  shutdownWrite,
  type TcpInfo,
  tcpInfo,
} from "../sys/socket-calls.ts";
import { StreamCalls } from "../sys/stream-calls.ts";
import {
  DEFERRED_ACCEPTED,
  DEFERRED_CLOSED,
  DEFERRED_CONNECTED,
  DEFERRED_LISTENING,
  DEFERRED_SENT,
  DeferredEvents,
} from "./deferred-events.ts";
import { DescriptorTable } from "./descriptor-table.ts";
import type {
  Driver,
  DriverCapabilities,
  DriverCounters,
  DriverEvents,
  DriverName,
  DriverOptions,
  Handle,
  ListenTarget,
} from "./driver.ts";
import { slotOf } from "./handle.ts";
import { KeptInput } from "./kept-input.ts";
import { openListener } from "./listening-socket.ts";
import { OutputAddresses } from "./output-addresses.ts";
import { ParkedDescriptors } from "./parked-descriptors.ts";
import {
  ACCEPTING,
  CANCELLING,
  CLOSING,
  CONNECTED,
  CONNECTING,
  DETACHING,
  ENDED,
  FOREIGN,
  LISTENING,
  RECEIVING,
  SENDING,
  SHARED,
  WANTED,
} from "./slot-states.ts";
import { notesLength, ThreadNotes } from "./thread-notes.ts";
import { WakeEvent } from "./wake-event.ts";

export abstract class DescriptorDriver implements Driver {
  abstract readonly name: DriverName;
  abstract input: Buffer;
  inputKeepable = false;
  inputKept = false;
  readonly capabilities: DriverCapabilities = {
    waits: true,
    descriptors: true,
    moves: true,
    socketOptions: true,
    reset: true,
    sendNow: true,
  };
  readonly counters: DriverCounters = { bufferStarvation: 0, waits: 0 };
  readonly output: Buffer;
  readonly wakeDescriptor: number;
  wanted: (() => void) | undefined = undefined;
  watchedReady = false;

  protected readonly events: DriverEvents;
  protected readonly table: DescriptorTable;
  /** The table's own arrays. */
  protected readonly flags: Uint32Array;
  protected readonly descriptors: Int32Array;
  protected readonly outputMemory: NativeMemory;
  protected readonly outputAddresses: OutputAddresses;
  protected readonly calls = new StreamCalls();
  protected readonly kept = new KeptInput(this.calls);
  protected watched = -1;
  /** For whoever cleans up after this thread. */
  protected readonly notes: ThreadNotes;
  readonly #nonBlocking: boolean;
  readonly #wakeEvent: WakeEvent;
  readonly #deferred = new DeferredEvents();
  readonly #parked: ParkedDescriptors;
  #wakeAsked = false;

  constructor(options: DriverOptions, nonBlocking: boolean) {
    keepFreedMemory();
    this.events = options.events;
    const notes = options.notes ?? new Int32Array(notesLength(options.slots));
    this.notes = new ThreadNotes(notes, options.slots, options.rests);
    this.#parked = new ParkedDescriptors(this.notes);
    this.table = new DescriptorTable(options.slots, this.notes);
    this.flags = this.table.flags;
    this.descriptors = this.table.descriptors;
    this.#nonBlocking = nonBlocking;
    this.outputMemory = NativeMemory.allocate(options.outputBytes);
    this.outputAddresses = new OutputAddresses(this.outputMemory);
    this.output = this.outputMemory.bytes;
    this.#wakeEvent = new WakeEvent(options.wakeDescriptor, this.notes);
    this.wakeDescriptor = this.#wakeEvent.descriptor;
    this.notes.noteMemory(this.outputMemory);
    this.notes.noteMemory(scratch());
  }

  abstract send(handle: Handle, offset: number, length: number): number;
  abstract turn(timeoutMs: number): number;
  abstract dispose(): void;
  /** Connects the fresh socket of a handle; `finishConnect` is called when it is over. */
  protected abstract startConnecting(handle: Handle, address: Address): void;
  protected abstract startReceiving(handle: Handle): void;
  protected abstract stopReceiving(handle: Handle): void;
  protected abstract startAccepting(listener: Handle): void;
  protected abstract stopAccepting(listener: Handle): void;
  /** Takes a closing handle to its end, now or when its last operation is over. */
  protected abstract finish(handle: Handle): void;
  /** Makes a descriptor from outside (blocking or not) fit for this mechanism; 0 or −errno. */
  protected abstract prepareDescriptor(descriptor: number): number;

  listen(target: ListenTarget): Handle | number {
    if ("queue" in target) return -ENOTSUP;
    if ("descriptor" in target) {
      const flags = LISTENING | FOREIGN | (target.shared ? SHARED : 0);
      const handle = this.table.take(target.descriptor, flags);
      if (handle < 0) return handle;
      this.defer(DEFERRED_LISTENING, handle, this.prepareDescriptor(target.descriptor));
      return handle;
    }
    const { address, backlog, options } = target;
    const descriptor = openListener(address, backlog, options, this.#nonBlocking);
    const handle = this.table.take(descriptor, LISTENING);
    if (handle >= 0) this.defer(DEFERRED_LISTENING, handle, Math.min(descriptor, 0));
    else if (descriptor >= 0) closeDescriptor(descriptor);
    return handle;
  }

  connect(address: Address, options: SocketOptions): Handle | number {
    assertAddress(address);
    const descriptor = openSocket(address.family, this.#nonBlocking);
    if (descriptor < 0) return descriptor;
    const failed = setSocketOptions(descriptor, address.family, options);
    const handle = failed < 0 ? failed : this.table.take(descriptor, CONNECTING);
    if (handle < 0) closeDescriptor(descriptor);
    else this.startConnecting(handle, address);
    return handle;
  }

  adopt(descriptor: number): Handle | number {
    this.notes.hold(descriptor);
    const failed = this.prepareDescriptor(descriptor);
    const handle = failed < 0 ? failed : this.table.take(descriptor, CONNECTED);
    // Then it is the caller's still.
    if (handle < 0) this.letGo(descriptor);
    return handle;
  }

  letGo(descriptor: number): void {
    this.notes.letGo(descriptor);
  }

  sendNow(handle: Handle, bytes: Uint8Array): number {
    const refused = this.refuseSend(handle);
    if (refused < 0 || bytes.length === 0) return refused;
    // Nothing runs between the two: the bytes stay where they are, and the kernel has copied what it took.
    const descriptor = this.descriptors[slotOf(handle)] as number;
    const count = this.calls.send(descriptor, this.kept.addressOf(bytes), bytes.length);
    return count === -EAGAIN || count === -EINTR ? 0 : count;
  }

  resume(handle: Handle): number {
    if (!this.table.isOpen(handle)) return -EBADF;
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    this.flags[slot] = flags | WANTED;
    if ((flags & LISTENING) !== 0) {
      this.#unpark(handle);
      if ((flags & (ACCEPTING | CANCELLING)) === 0) this.startAccepting(handle);
    } else if ((flags & (CONNECTED | RECEIVING | CANCELLING | ENDED)) === CONNECTED) {
      this.startReceiving(handle);
    }
    return 0;
  }

  pause(handle: Handle): number {
    if (!this.table.isOpen(handle)) return -EBADF;
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    this.flags[slot] = flags & ~WANTED;
    if ((flags & ACCEPTING) !== 0) this.stopAccepting(handle);
    if ((flags & RECEIVING) !== 0) this.stopReceiving(handle);
    return 0;
  }

  shutdown(handle: Handle): number {
    const refused = this.refuseSend(handle);
    return refused < 0 ? refused : shutdownWrite(this.descriptors[slotOf(handle)] as number);
  }

  close(handle: Handle, reset: boolean): number {
    if (!this.table.isOpen(handle)) return -EBADF;
    const slot = slotOf(handle);
    if (reset) setLinger(this.descriptors[slot] as number, true);
    this.flags[slot] = (this.flags[slot] as number) | CLOSING;
    this.#parked.drop(handle);
    this.finish(handle);
    return 0;
  }

  detach(handle: Handle): number {
    if (!this.table.isOpen(handle)) return -EBADF;
    const slot = slotOf(handle);
    const flags = this.flags[slot] as number;
    if ((flags & SENDING) !== 0) return -EALREADY;
    if ((flags & CONNECTED) === 0) return -EINVAL;
    this.flags[slot] = (flags & ~WANTED) | CLOSING | DETACHING;
    this.finish(handle);
    return 0;
  }

  configure(handle: Handle, options: SocketOptions): number {
    const descriptor = this.descriptor(handle);
    const address = descriptor < 0 ? descriptor : localAddress(descriptor);
    if (typeof address === "number") return address;
    return setSocketOptions(descriptor, address.family, options);
  }

  localAddress(handle: Handle): Address | number {
    const descriptor = this.descriptor(handle);
    return descriptor < 0 ? descriptor : localAddress(descriptor);
  }

  remoteAddress(handle: Handle): Address | number {
    const descriptor = this.descriptor(handle);
    return descriptor < 0 ? descriptor : remoteAddress(descriptor);
  }

  descriptor(handle: Handle): number {
    return this.table.isOpen(handle) ? (this.descriptors[slotOf(handle)] as number) : -EBADF;
  }

  tcpInfo(handle: Handle): TcpInfo | number {
    return this.table.isOpen(handle) ? tcpInfo(this.descriptors[slotOf(handle)] as number) : -EBADF;
  }

  watch(descriptor: number): void {
    this.watched = descriptor;
  }

  wake(): void {
    this.#wakeAsked = true;
  }

  now(): number {
    return performance.now();
  }

  /** −errno when a send (or a shutdown) on this handle is not to be started now, else 0. */
  protected refuseSend(handle: Handle): number {
    if (!this.table.isOpen(handle)) return -EBADF;
    const flags = this.flags[slotOf(handle)] as number;
    if ((flags & CONNECTED) === 0) return -ENOTCONN;
    return (flags & SENDING) === 0 ? 0 : -EALREADY;
  }

  /** The end of a handle: the slot is free, then the reactor is told. */
  protected vacate(handle: Handle): void {
    this.table.free(handle);
    this.events.closed(handle);
  }

  /** What accept(2) or its completion gave: a descriptor, which the notes have in hand, or −errno. */
  protected acceptedDescriptor(listener: Handle, result: number): void {
    if (!this.table.isOpen(listener)) {
      this.letGo(result);
      if (result >= 0) closeDescriptor(result);
      return;
    }
    const handle = result < 0 ? result : this.table.take(result, CONNECTED);
    if (handle < 0) {
      if (result >= 0) this.#parked.add(listener, result);
      this.letGo(result);
      this.pause(listener);
    }
    this.events.accepted(listener, handle);
  }

  protected finishConnect(handle: Handle, result: number): void {
    if (!this.table.isOpen(handle)) return;
    if (result < 0) {
      closeDescriptor(this.table.forgetDescriptor(handle));
      this.table.free(handle);
    } else {
      const slot = slotOf(handle);
      this.flags[slot] = ((this.flags[slot] as number) & ~CONNECTING) | CONNECTED;
    }
    this.events.connected(handle, result);
  }

  /** The stream is over: 0 or −errno, delivered once. */
  protected end(handle: Handle, result: number): void {
    const slot = slotOf(handle);
    this.flags[slot] = ((this.flags[slot] as number) | ENDED) & ~WANTED;
    this.events.received(handle, result, 0);
  }

  /** A send is over: its flag goes before the reactor is told, so that it can send again. */
  protected deliverSent(handle: Handle, result: number): void {
    const slot = slotOf(handle);
    this.flags[slot] = (this.flags[slot] as number) & ~SENDING;
    this.events.sent(handle, result);
  }

  protected defer(kind: number, handle: Handle, value: number): void {
    this.#deferred.push(kind, handle, value);
  }

  /** Delivers what verbs have caused; what that causes in turn is for the next turn. */
  protected deliverDeferred(): number {
    const count = this.#deferred.deliver(this.#deliver);
    if (this.#deferred.length > 0) this.#wakeAsked = true;
    return count;
  }

  /** Whether events wait for the next turn. */
  protected get hasDeferred(): boolean {
    return this.#deferred.length > 0;
  }

  /** Whether the coming wait must not wait; asked once a turn. */
  protected takeWake(): boolean {
    const asked = this.#wakeAsked;
    this.#wakeAsked = false;
    return asked;
  }

  /** Closes every descriptor and gives the memory back (it stays mapped: a borrowed view must never fault). */
  protected disposeShared(): void {
    this.table.closeAll();
    this.#parked.closeAll();
    this.#wakeEvent.dispose();
    this.outputMemory.discard(0, this.outputMemory.length);
  }

  readonly #deliver = (kind: number, handle: Handle, value: number): void => {
    if (kind === DEFERRED_SENT) return this.deliverSent(handle, value);
    // A reactor that has more to do after a `sent` asks for a wake; everything else may have run a handler.
    this.#wakeAsked = true;
    if (kind === DEFERRED_ACCEPTED) this.#deliverUnparked(handle, value);
    else if (kind === DEFERRED_CLOSED) this.vacate(handle);
    else if (kind === DEFERRED_CONNECTED) this.finishConnect(handle, value);
    else if (kind === DEFERRED_LISTENING) this.#deliverListening(handle, value);
    else this.#deliverDetached(handle);
  };

  #deliverListening(handle: Handle, result: number): void {
    if (!this.table.isOpen(handle)) return;
    if (result < 0) this.table.free(handle);
    this.events.listening(handle, result);
  }

  #deliverUnparked(listener: Handle, descriptor: number): void {
    this.notes.hold(descriptor);
    this.notes.forgetParked(descriptor);
    this.acceptedDescriptor(listener, descriptor);
  }

  #deliverDetached(handle: Handle): void {
    this.notes.hold(this.descriptors[slotOf(handle)] as number);
    const descriptor = this.table.forgetDescriptor(handle);
    this.table.free(handle);
    this.events.detached(handle, descriptor);
  }

  /** Slots may be free again: what was accepted without one comes first. */
  #unpark(listener: Handle): void {
    const room = this.table.slots.capacity - this.table.slots.used;
    for (const descriptor of this.#parked.take(listener, room)) {
      this.defer(DEFERRED_ACCEPTED, listener, descriptor);
    }
  }
}
