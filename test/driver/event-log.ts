// A sink that writes down every event, and a driver that is watched: together they know at each moment what the
// contract allows next, and note every breach of it. A test is passed only if no breach was noted.

import assert from "node:assert/strict";
import type {
  Driver,
  DriverEvents,
  DriverOptions,
  Handle,
  ListenTarget,
} from "../../src/driver/driver.ts";
import type { Address } from "../../src/sys/address.ts";
import { errnoName } from "../../src/sys/errno.ts";
import type { SocketOptions, TcpInfo } from "../../src/sys/socket-calls.ts";

export type EventKind = Exclude<keyof DriverEvents, symbol>;

export interface LoggedEvent {
  readonly kind: EventKind;
  readonly handle: Handle;
  readonly result: number;
}

/** What the contract knows of a handle. */
interface Life {
  readonly kind: "listener" | "connection";
  opened: boolean;
  resumed: boolean;
  ended: boolean;
  closing: boolean;
  sendLength: number;
  readonly chunks: Buffer[];
  receivedLength: number;
  readonly sent: number[];
}

export class EventLog implements DriverEvents {
  readonly events: LoggedEvent[] = [];
  readonly breaches: string[] = [];
  /** Of the handles that live. */
  readonly lives = new Map<Handle, Life>();
  /** Where the last received bytes lie in the driver's input. */
  offset = 0;
  /** Where the driver says that received bytes lie now. */
  inputNow: () => Buffer = () => Buffer.alloc(0);
  inVerb = 0;
  inTurn = 0;
  /** Called at the end of each event: where a test acts from inside events. */
  react: ((event: LoggedEvent) => void) | undefined;

  listening(listener: Handle, result: number): void {
    const life = this.#note("listening", listener, result);
    if (life?.closing) this.#breach("listening after close");
    if (life) life.opened = true;
    if (result < 0) this.lives.delete(listener);
    this.#reacted("listening", listener, result);
  }

  accepted(listener: Handle, result: number): void {
    const life = this.#note("accepted", listener, result);
    if (life?.closing) this.#breach("accepted after close");
    if (life && !life.resumed) this.#breach("accepted before resume");
    if (result >= 0) this.born(result, "connection").opened = true;
    this.#reacted("accepted", listener, result);
  }

  connected(handle: Handle, result: number): void {
    const life = this.#note("connected", handle, result);
    if (life?.closing) this.#breach("connected after close");
    if (life?.opened) this.#breach("connected twice");
    if (life) life.opened = true;
    if (result < 0) this.lives.delete(handle);
    this.#reacted("connected", handle, result);
  }

  received(handle: Handle, result: number, offset: number): void {
    const life = this.#note("received", handle, result);
    this.offset = offset;
    if (life) this.#receivedBy(life, result, offset);
    this.#reacted("received", handle, result);
  }

  sent(handle: Handle, result: number): void {
    const life = this.#note("sent", handle, result);
    if (life?.sendLength === 0) this.#breach("sent without a send");
    if (life && result >= 0 && result !== life.sendLength) {
      this.#breach(`sent says ${result} of ${life.sendLength}`);
    }
    if (life) life.sendLength = 0;
    life?.sent.push(result);
    this.#reacted("sent", handle, result);
  }

  closed(handle: Handle): void {
    const life = this.#note("closed", handle, 0);
    if (life && !life.closing) this.#breach("closed without close");
    if (life && life.sendLength > 0) this.#breach("closed before sent");
    this.lives.delete(handle);
    this.#reacted("closed", handle, 0);
  }

  detached(handle: Handle, descriptor: number): void {
    this.#note("detached", handle, descriptor);
    if (descriptor < 0) this.#breach(`detached without a descriptor (${descriptor})`);
    this.lives.delete(handle);
    this.#reacted("detached", handle, descriptor);
  }

  born(handle: Handle, kind: Life["kind"]): Life {
    if (this.lives.has(handle)) this.#breach(`handle ${handle} was given out twice`);
    const life: Life = {
      kind,
      opened: false,
      resumed: false,
      ended: false,
      closing: false,
      sendLength: 0,
      chunks: [],
      receivedLength: 0,
      sent: [],
    };
    this.lives.set(handle, life);
    return life;
  }

  /** How often an event of this kind has come, of one handle or of any. */
  count(kind: EventKind, handle?: Handle): number {
    let count = 0;
    for (const event of this.events) {
      if (event.kind === kind && (handle === undefined || event.handle === handle)) count++;
    }
    return count;
  }

  /** The last event of this kind on a handle. */
  last(kind: EventKind, handle: Handle): LoggedEvent | undefined {
    return this.events.findLast((event) => event.kind === kind && event.handle === handle);
  }

  /** The events of one handle, as `"received 5"`. */
  traceOf(handle: Handle): string[] {
    const own = this.events.filter((event) => event.handle === handle);
    return own.map((event) => describeEvent(event));
  }

  life(handle: Handle): Life {
    const life = this.lives.get(handle);
    assert.ok(life, `handle ${handle} does not live`);
    return life;
  }

  /** The last events, for the message of a test that failed. */
  tail(): string {
    const last = this.events.slice(-12).map((event) => `${event.handle} ${describeEvent(event)}`);
    return `last events: ${last.join(", ") || "none"}`;
  }

  #note(kind: EventKind, handle: Handle, result: number): Life | undefined {
    this.events.push({ kind, handle, result });
    if (this.inVerb > 0) this.#breach(`${kind} came from inside a verb`);
    if (this.inTurn !== 1) this.#breach(`${kind} came with ${this.inTurn} turns in progress`);
    const life = this.lives.get(handle);
    if (life === undefined) this.#breach(`${kind} for handle ${handle}, which does not live`);
    return life;
  }

  #receivedBy(life: Life, result: number, offset: number): void {
    if (life.closing) this.#breach("received after close");
    if (!life.resumed) this.#breach("received before resume");
    if (life.ended) this.#breach("received after the end");
    if (result <= 0) {
      life.ended = true;
      return;
    }
    const input = this.inputNow();
    if (offset < 0 || offset + result > input.length) this.#breach("received outside of input");
    life.chunks.push(Buffer.from(input.subarray(offset, offset + result)));
    life.receivedLength += result;
  }

  /** What a test does here runs inside the event, as a reactor's handler would. */
  #reacted(kind: EventKind, handle: Handle, result: number): void {
    this.react?.({ kind, handle, result });
  }

  #breach(what: string): void {
    this.breaches.push(what);
  }
}

export function describeEvent(event: LoggedEvent): string {
  if (event.kind === "closed") return "closed";
  if (event.result < 0) return `${event.kind} −${errnoName(event.result)}`;
  const telling = event.kind === "received" || event.kind === "sent" || event.kind === "connected";
  return telling ? `${event.kind} ${event.result}` : event.kind;
}

/** Passes every call on and tells the log what it then may and may not see. */
export class WatchedDriver implements Driver {
  readonly log: EventLog;
  readonly inner: Driver;

  constructor(make: (options: DriverOptions) => Driver, options: Omit<DriverOptions, "events">) {
    this.log = new EventLog();
    this.inner = make({ ...options, events: this.log });
    this.log.inputNow = () => this.inner.input;
  }

  get name() {
    return this.inner.name;
  }
  get capabilities() {
    return this.inner.capabilities;
  }
  get counters() {
    return this.inner.counters;
  }
  get input() {
    return this.inner.input;
  }
  get inputKeepable() {
    return this.inner.inputKeepable;
  }
  get inputKept() {
    return this.inner.inputKept;
  }
  set inputKept(kept: boolean) {
    this.inner.inputKept = kept;
  }
  get output() {
    return this.inner.output;
  }
  get wakeDescriptor() {
    return this.inner.wakeDescriptor;
  }
  get watchedReady() {
    return this.inner.watchedReady;
  }
  get wanted() {
    return this.inner.wanted;
  }
  set wanted(wanted: (() => void) | undefined) {
    this.inner.wanted = wanted && (() => this.#wanted(wanted));
  }

  listen(target: ListenTarget): number {
    const handle = this.#verb(() => this.inner.listen(target));
    if (handle >= 0) this.log.born(handle, "listener");
    return handle;
  }

  connect(address: Address, options: SocketOptions): number {
    const handle = this.#verb(() => this.inner.connect(address, options));
    if (handle >= 0) this.log.born(handle, "connection");
    return handle;
  }

  adopt(descriptor: number): number {
    const handle = this.#verb(() => this.inner.adopt(descriptor));
    if (handle >= 0) this.log.born(handle, "connection").opened = true;
    return handle;
  }

  send(handle: Handle, offset: number, length: number): number {
    const taken = this.#verb(() => this.inner.send(handle, offset, length));
    if (taken === 0) this.log.life(handle).sendLength = length;
    return taken;
  }

  sendNow(handle: Handle, bytes: Uint8Array): number {
    return this.#verb(() => this.inner.sendNow(handle, bytes));
  }

  pause(handle: Handle): number {
    return this.#verb(() => this.inner.pause(handle));
  }

  resume(handle: Handle): number {
    const done = this.#verb(() => this.inner.resume(handle));
    if (done === 0) this.log.life(handle).resumed = true;
    return done;
  }

  shutdown(handle: Handle): number {
    return this.#verb(() => this.inner.shutdown(handle));
  }

  close(handle: Handle, reset: boolean): number {
    const done = this.#verb(() => this.inner.close(handle, reset));
    if (done === 0) this.log.life(handle).closing = true;
    return done;
  }

  letGo(descriptor: number): void {
    this.inner.letGo(descriptor);
  }

  detach(handle: Handle): number {
    return this.#verb(() => this.inner.detach(handle));
  }

  configure(handle: Handle, options: SocketOptions): number {
    return this.#verb(() => this.inner.configure(handle, options));
  }

  localAddress(handle: Handle): Address | number {
    return this.#verb(() => this.inner.localAddress(handle));
  }

  remoteAddress(handle: Handle): Address | number {
    return this.#verb(() => this.inner.remoteAddress(handle));
  }

  tcpInfo(handle: Handle): TcpInfo | number {
    return this.#verb(() => this.inner.tcpInfo(handle));
  }

  descriptor(handle: Handle): number {
    return this.#verb(() => this.inner.descriptor(handle));
  }

  turn(timeoutMs: number): number {
    this.log.inTurn++;
    try {
      return this.inner.turn(timeoutMs);
    } finally {
      this.log.inTurn--;
    }
  }

  watch(descriptor: number): void {
    this.#verb(() => this.inner.watch(descriptor));
  }

  wake(): void {
    this.#verb(() => this.inner.wake());
  }

  now(): number {
    return this.#verb(() => this.inner.now());
  }

  dispose(): void {
    this.#verb(() => this.inner.dispose());
  }

  #wanted(wanted: () => void): void {
    if (this.log.inVerb > 0) this.log.breaches.push("wanted was called from inside a verb");
    wanted();
  }

  #verb<Result>(call: () => Result): Result {
    this.log.inVerb++;
    try {
      return call();
    } finally {
      this.log.inVerb--;
    }
  }
}
