// The simulated driver: the contract over a network in memory, with a virtual clock and faults that a seed decides.
//
// For tests, ours and those of people who write handlers: hours of bad luck in a second, and the same seed brings
// the same bad luck again. Several drivers (reactors) and scripted peers share one network in one thread:
//
//   const network = new SimulatedNetwork({ random, faults: drawFaults(random.fork()) });
//   const driver = new SimulatedDriver({ events, slots, outputBytes }, network);
//   loop: driver.turn(0) of each driver; nothing came from any: network.clock.advance(most)
//
// `turn` with a timeout passes virtual time, so it suits one driver alone: it goes on to the next scheduled thing
// until something is ready for this driver or the time is up. It never blocks; waiting for ever for nothing returns 0.
//
// It is strict where real drivers are forgiving: received bytes lie anywhere in `input` and are overwritten after the
// event, and the bytes of a send are read late and checked: whoever changes them too early is told by an exception.
//
// Invariant: an entry's `underWay` counts its operations that are scheduled or ready; a closing entry gives `closed`
// when it is 0, as a kernel's last completion would.

import { Buffer } from "node:buffer";
import type { Address } from "../sys/address.ts";
import {
  EALREADY,
  EBADF,
  ECANCELED,
  ECONNABORTED,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENOTCONN,
  ENOTSUP,
} from "../sys/errno.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import { assertAddress } from "./assert-address.ts";
import type {
  Driver,
  DriverCapabilities,
  DriverEvents,
  DriverOptions,
  Handle,
  ListenTarget,
} from "./driver.ts";
import { SlotTable, slotOf } from "./handle.ts";
import { type Entry, type EntryKind, newEntry } from "./simulated-entry.ts";
import type { SimulatedListener } from "./simulated-listener.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import type { SimulatedSocket } from "./simulated-socket.ts";

const INPUT_BYTES = 65_536;
/** Most bytes of one `received`. */
const RECEIVE_BYTES = 16_384;
const POISON = 0xdb;
const LATE_MS = 200;
const MOST_EMPTY_TURNS = 8;
const MOST_JUMP_MS = 60_000;
const ACCEPT_ERRORS = [EMFILE, ENFILE, ENOBUFS, ENOMEM] as const;

/** What the turn delivers: looked at only then, so that it tells what is true then. */
type Completion = "listening" | "accept" | "connected" | "receive" | "sent" | "closed";

interface Ready {
  readonly entry: Entry;
  readonly completion: Completion;
  readonly result: number;
}

export class SimulatedDriver implements Driver {
  readonly name = "simulated";
  readonly capabilities: DriverCapabilities = {
    waits: true,
    descriptors: false,
    socketOptions: true,
    reset: true,
    sendNow: true,
  };
  readonly counters = { bufferStarvation: 0, waits: 0 };
  input: Buffer = Buffer.alloc(INPUT_BYTES, POISON);
  inputKeepable = false;
  inputKept = false;
  readonly output: Buffer;
  readonly wakeDescriptor = -1;
  readonly watchedReady = false;
  wanted: (() => void) | undefined = undefined;

  readonly #events: DriverEvents;
  readonly #network: SimulatedNetwork;
  readonly #slots: SlotTable;
  readonly #entries: (Entry | undefined)[];
  #ready: Ready[] = [];
  #emptyTurns = 0;
  #wakeAsked = false;
  #disposed = false;

  constructor(options: DriverOptions, network: SimulatedNetwork) {
    this.#events = options.events;
    this.#network = network;
    this.#slots = new SlotTable(options.slots);
    this.#entries = new Array<Entry | undefined>(options.slots);
    this.output = Buffer.alloc(options.outputBytes);
  }

  /** Listeners and connections. */
  get handles(): number {
    return this.#disposed ? 0 : this.#slots.used;
  }

  get sendsUnderWay(): number {
    return this.#entries.filter((entry) => entry !== undefined && entry.sendLength > 0).length;
  }

  /** Operations that have not come to their end. */
  get operationsUnderWay(): number {
    return this.#entries.reduce((sum, entry) => sum + (entry?.underWay ?? 0), 0);
  }

  listen(target: ListenTarget): Handle | number {
    if (!("address" in target)) return -ENOTSUP;
    assertAddress(target.address);
    const entry = this.#enter("listener");
    if (typeof entry === "number") return entry;
    const failure = -this.#network.operate("listen");
    const { address, backlog, options } = target;
    const made = failure < 0 ? failure : this.#network.listen(address, backlog, options);
    if (typeof made === "object") {
      entry.listener = made;
      made.acceptable = () => this.#takeSoon(entry);
    }
    entry.resetOnClose = options.resetOnClose === true;
    this.#complete(entry, "listening", typeof made === "number" ? made : 0);
    return entry.handle;
  }

  connect(address: Address, options: SocketOptions): Handle | number {
    assertAddress(address);
    const entry = this.#enter("connection");
    if (typeof entry === "number") return entry;
    entry.resetOnClose = options.resetOnClose === true;
    const failure = this.#network.operate("connect");
    if (failure > 0) {
      this.#complete(entry, "connected", -failure);
      return entry.handle;
    }
    const isWanted = () => entry.state === "starting";
    this.#network.connect(address, isWanted, (result, socket) => {
      if (socket !== undefined) this.#own(entry, socket);
      this.#complete(entry, "connected", result);
    });
    return entry.handle;
  }

  adopt(_descriptor: number): number {
    return -ENOTSUP;
  }

  send(handle: Handle, offset: number, length: number): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    if (entry.kind === "listener" || entry.state !== "open") return -ENOTCONN;
    if (entry.sendLength > 0) return -EALREADY;
    if (offset < 0 || length < 1 || offset + length > this.output.length) return -EINVAL;
    entry.sendOffset = offset;
    entry.sendLength = length;
    entry.sendDone = 0;
    entry.sendSettled = false;
    entry.sendSum = this.#sum(entry);
    const failure = this.#network.operate("send");
    if (failure > 0) this.#breakSend(entry, failure);
    else this.#stepSoon(entry);
    return 0;
  }

  sendNow(handle: Handle, bytes: Uint8Array): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    if (entry.socket === undefined || entry.state !== "open") return -ENOTCONN;
    if (entry.sendLength > 0) return -EALREADY;
    const failure = this.#network.operate("send");
    if (failure > 0) {
      entry.socket.breakOff(failure, false);
      return -failure;
    }
    const isPartial = this.#network.happens("partialSend");
    const part = isPartial ? this.#network.random.below(bytes.length + 1) : bytes.length;
    return part === 0 ? 0 : entry.socket.write(bytes.subarray(0, part));
  }

  pause(handle: Handle): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    entry.wanted = false;
    return 0;
  }

  resume(handle: Handle): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    if (entry.state !== "open" && entry.kind === "connection") return 0;
    entry.wanted = true;
    this.#takeSoon(entry);
    return 0;
  }

  shutdown(handle: Handle): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    if (entry.socket === undefined || entry.state !== "open") return -ENOTCONN;
    if (entry.sendLength > 0) return -EALREADY;
    entry.socket.end();
    return 0;
  }

  close(handle: Handle, reset: boolean): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    entry.resetOnClose ||= reset;
    entry.state = "closing";
    this.#cancelSend(entry);
    // Like a kernel's, the address is free and the queue reset at once.
    if (entry.listener !== undefined) entry.listener.close();
    this.#settle(entry);
    return 0;
  }

  detach(handle: Handle): number {
    return this.#open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  configure(handle: Handle, options: SocketOptions): number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    entry.resetOnClose = options.resetOnClose ?? entry.resetOnClose;
    return 0;
  }

  localAddress(handle: Handle): Address | number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    return entry.listener?.address ?? entry.socket?.local ?? -ENOTCONN;
  }

  remoteAddress(handle: Handle): Address | number {
    const entry = this.#open(handle);
    if (entry === undefined) return -EBADF;
    return entry.socket?.remote ?? -ENOTCONN;
  }

  tcpInfo(handle: Handle): number {
    return this.#open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  descriptor(handle: Handle): number {
    return this.#open(handle) === undefined ? -EBADF : -ENOTSUP;
  }

  turn(timeoutMs: number): number {
    const { clock } = this.#network;
    this.counters.waits++;
    this.#suffer();
    clock.runDue();
    const isEmpty = this.#emptyTurns > 0;
    if (isEmpty) this.#emptyTurns--;
    if (!this.#wakeAsked) this.#wait(timeoutMs < 0 ? Number.POSITIVE_INFINITY : timeoutMs, isEmpty);
    this.#wakeAsked = false;
    return isEmpty ? 0 : this.#deliverAll();
  }

  watch(_descriptor: number): void {
    // There is no descriptor in here that could become readable.
  }

  wake(): void {
    this.#wakeAsked = true;
  }

  now(): number {
    return this.#network.clock.nowMs;
  }

  /** As when a thread dies: the kernel closes what it had. */
  dispose(): void {
    this.#disposed = true;
    this.#ready = [];
    for (const [slot, entry] of this.#entries.entries()) {
      if (entry === undefined) continue;
      this.#entries[slot] = undefined;
      entry.state = "gone";
      entry.listener?.close();
      entry.socket?.close(entry.resetOnClose);
    }
  }

  // Handles.

  #enter(kind: EntryKind): Entry | number {
    if (this.#disposed) return -EBADF;
    const handle = this.#slots.take();
    if (handle < 0) return -EMFILE;
    const entry = newEntry(handle, kind);
    this.#entries[slotOf(handle)] = entry;
    return entry;
  }

  #open(handle: Handle): Entry | undefined {
    if (!this.#slots.holds(handle)) return undefined;
    const entry = this.#entries[slotOf(handle)];
    return entry === undefined || entry.state === "closing" ? undefined : entry;
  }

  #leave(entry: Entry): void {
    entry.state = "gone";
    this.#entries[slotOf(entry.handle)] = undefined;
    this.#slots.release(entry.handle);
  }

  #own(entry: Entry, socket: SimulatedSocket): void {
    entry.socket = socket;
    socket.owner = {
      readable: () => this.#takeSoon(entry),
      writable: () => this.#stepSoon(entry),
    };
  }

  // Operations: started by a verb or by the network, and complete a little later.

  #delay(): number {
    const { random } = this.#network;
    const little = random.fraction() * 0.1;
    return this.#network.happens("lateCompletion") ? random.fraction() * LATE_MS : little;
  }

  /** Something ends, and a turn will tell. */
  #complete(entry: Entry, completion: Completion, result: number): void {
    entry.underWay++;
    this.#network.clock.after(this.#delay(), () => {
      if (!this.#disposed) this.#ready.push({ entry, completion, result });
    });
  }

  /** Starts a receive or an accept if there is something to take and none is under way. */
  #takeSoon(entry: Entry): void {
    if (!entry.wanted || entry.taking || entry.state !== "open") return;
    const waiting =
      entry.listener === undefined ? this.#hasInput(entry) : entry.listener.waiting > 0;
    if (!waiting) return;
    entry.taking = true;
    this.#complete(entry, entry.listener === undefined ? "receive" : "accept", 0);
  }

  #hasInput(entry: Entry): boolean {
    return !entry.ended && entry.socket?.isReadable === true;
  }

  /** The next part of a send: when it is started, and whenever the peer has read. */
  #stepSoon(entry: Entry): void {
    if (entry.sendLength === 0 || entry.stepping || entry.sendSettled) return;
    entry.stepping = true;
    entry.underWay++;
    this.#network.clock.after(this.#delay(), () => {
      entry.stepping = false;
      entry.underWay--;
      if (entry.state !== "gone" && !entry.sendSettled) this.#step(entry);
      this.#settle(entry);
    });
  }

  #step(entry: Entry): void {
    const left = entry.sendLength - entry.sendDone;
    const part = this.#network.happens("partialSend")
      ? this.#network.random.between(1, left)
      : left;
    const at = entry.sendOffset + entry.sendDone;
    const written = entry.socket?.write(this.output.subarray(at, at + part)) ?? -ENOTCONN;
    if (written < 0) return this.#settleSend(entry, written);
    entry.sendDone += written;
    if (entry.sendDone === entry.sendLength) {
      this.#assertUnchanged(entry);
      return this.#settleSend(entry, entry.sendLength);
    }
    // A close has come while this part was under way: what is left will not go out.
    if (entry.state === "closing") this.#settleSend(entry, -ECANCELED);
    else if (written === part) this.#stepSoon(entry);
  }

  #settleSend(entry: Entry, result: number): void {
    entry.sendSettled = true;
    this.#complete(entry, "sent", result);
  }

  #cancelSend(entry: Entry): void {
    if (entry.sendLength === 0 || entry.sendSettled) return;
    if (entry.stepping && this.#network.happens("cancelRace")) return;
    this.#settleSend(entry, -ECANCELED);
  }

  /** A send that a test makes fail: the connection is broken from here on. */
  #breakSend(entry: Entry, errno: number): void {
    this.#settleSend(entry, -errno);
    entry.socket?.breakOff(errno, false);
  }

  /** The last rung of closing, once nothing is under way. */
  #settle(entry: Entry): void {
    if (entry.state !== "closing" || entry.underWay > 0 || entry.shut) return;
    entry.shut = true;
    entry.socket?.close(entry.resetOnClose);
    this.#complete(entry, "closed", 0);
  }

  /** Sends are long, so of a long one only every so-manieth byte counts. */
  #sum(entry: Entry): number {
    const end = entry.sendOffset + entry.sendLength;
    const stride = Math.max(1, entry.sendLength >> 12);
    let sum = 0x811c9dc5;
    for (let at = entry.sendOffset; at < end; at += stride) {
      sum = Math.imul(sum ^ (this.output[at] as number), 0x01000193);
    }
    return sum;
  }

  #assertUnchanged(entry: Entry): void {
    if (this.#sum(entry) === entry.sendSum) return;
    const end = entry.sendOffset + entry.sendLength;
    throw new Error(`bytes ${entry.sendOffset} to ${end} of output changed while they were sent`);
  }

  // The turn.

  #suffer(): void {
    const { random, clock } = this.#network;
    if (this.#network.happens("clockJump")) clock.jump(random.fraction() * MOST_JUMP_MS);
    if (this.#emptyTurns === 0 && this.#network.happens("emptyTurns")) {
      this.#emptyTurns = random.between(1, MOST_EMPTY_TURNS);
    }
  }

  /** An empty turn sees nothing of what is ready, and so waits until its time is up. */
  #wait(timeoutMs: number, isEmpty: boolean): void {
    const { clock } = this.#network;
    const deadline = clock.nowMs + timeoutMs;
    while (clock.nowMs < deadline && (isEmpty || this.#ready.length === 0)) {
      if (!clock.advance(deadline - clock.nowMs)) return;
      if (timeoutMs === Number.POSITIVE_INFINITY && this.#ready.length > 0) return;
    }
  }

  #deliverAll(): number {
    const ready = this.#network.happens("reorder") ? this.#shuffled(this.#ready) : this.#ready;
    this.#ready = [];
    let delivered = 0;
    for (const one of ready) {
      if (this.#disposed) break;
      one.entry.underWay--;
      if (this.#deliver(one.entry, one.completion, one.result)) delivered++;
      this.#settle(one.entry);
    }
    return delivered;
  }

  /** Another order between handles, the same within each. */
  #shuffled(ready: readonly Ready[]): Ready[] {
    const byEntry = [...Map.groupBy(ready, (one) => one.entry).values()];
    const order: Ready[] = [];
    while (byEntry.length > 0) {
      const at = this.#network.random.below(byEntry.length);
      const next = byEntry[at]?.shift();
      if (next === undefined) byEntry.splice(at, 1);
      else order.push(next);
    }
    return order;
  }

  /** Whether an event came of it. */
  #deliver(entry: Entry, completion: Completion, result: number): boolean {
    if (completion === "receive") return this.#deliverReceive(entry);
    if (completion === "accept") return this.#deliverAccept(entry);
    if (completion === "sent") return this.#deliverSent(entry, result);
    if (completion === "closed") return this.#deliverClosed(entry);
    return this.#deliverStarted(entry, completion, result);
  }

  #deliverStarted(entry: Entry, kind: "listening" | "connected", result: number): boolean {
    if (entry.state !== "starting") return false;
    if (result < 0) {
      entry.listener?.close();
      this.#leave(entry);
    } else {
      entry.state = "open";
    }
    this.#tell(entry, kind, result);
    this.#events[kind](entry.handle, result);
    return true;
  }

  #deliverReceive(entry: Entry): boolean {
    entry.taking = false;
    if (entry.state !== "open" || !this.#hasInput(entry)) return false;
    if (!entry.wanted && !this.#network.happens("bytesAfterPause")) return false;
    if (this.#network.happens("starvation")) {
      this.counters.bufferStarvation++;
      this.#takeSoon(entry);
      return false;
    }
    const failure = this.#network.operate("receive");
    const most = this.#receiveLength(entry.socket?.unreadBytes ?? 0);
    const { input } = this;
    // Who kept what came last gets memory that may be kept.
    if (entry.keeping) this.input = Buffer.alloc(INPUT_BYTES);
    this.inputKeepable = entry.keeping;
    const offset = this.#network.random.below(INPUT_BYTES - most + 1);
    const read = entry.socket?.read(this.input, offset, most) ?? 0;
    const result = failure > 0 ? -failure : read;
    if (failure > 0) entry.socket?.breakOff(failure, true);
    entry.ended = result <= 0;
    // As a multishot receive does, the next one goes on while the reactor looks at this one.
    this.#takeSoon(entry);
    this.#tell(entry, "received", result);
    this.#events.received(entry.handle, result, offset);
    const isKept = this.inputKeepable && this.inputKept;
    if (result > 0 && !isKept) this.input.fill(POISON, offset, offset + result);
    entry.keeping = this.inputKept;
    this.inputKept = false;
    this.inputKeepable = false;
    this.input = input;
    return true;
  }

  #receiveLength(unread: number): number {
    const most = Math.min(unread, RECEIVE_BYTES);
    if (most <= 1 || !this.#network.happens("partialReceive")) return Math.max(most, 1);
    return this.#network.random.between(1, most);
  }

  #deliverAccept(entry: Entry): boolean {
    entry.taking = false;
    if (entry.state !== "open" || !entry.wanted) return false;
    const result = this.#accept(entry.listener as SimulatedListener);
    if (result < 0) entry.wanted = false;
    this.#tell(entry, "accepted", result);
    this.#events.accepted(entry.handle, result);
    this.#takeSoon(entry);
    return true;
  }

  #accept(listener: SimulatedListener): number {
    const failure = this.#network.operate("accept");
    if (failure > 0) return -failure;
    if (this.#network.happens("acceptFailure")) return -this.#network.random.pick(ACCEPT_ERRORS);
    if (this.#network.happens("acceptAborted")) {
      listener.accept()?.close(true);
      return -ECONNABORTED;
    }
    const entry = this.#enter("connection");
    if (typeof entry === "number") return entry;
    const socket = listener.accept() as SimulatedSocket;
    entry.state = "open";
    this.#own(entry, socket);
    return entry.handle;
  }

  #deliverSent(entry: Entry, result: number): boolean {
    entry.sendLength = 0;
    this.#tell(entry, "sent", result);
    this.#events.sent(entry.handle, result);
    return true;
  }

  #deliverClosed(entry: Entry): boolean {
    this.#leave(entry);
    this.#tell(entry, "closed", 0);
    this.#events.closed(entry.handle);
    return true;
  }

  #tell(entry: Entry, kind: string, result: number): void {
    const { trace, clock } = this.#network;
    trace?.(`${clock.nowMs.toFixed(3)} ${entry.handle} ${kind} ${result}`);
  }
}
