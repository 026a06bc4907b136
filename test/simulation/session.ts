// The ledger of one server connection: what came, what was handled, what was written, and whether that may be.
//
// It knows the rules from the documentation of Connection and Limits, and predicts the outcome of each call. What
// contradicts them is told to `breach`, never thrown: a handler's exception would be the reactor's to swallow.

import { Buffer } from "node:buffer";
import type { CloseReason } from "../../src/handlers.ts";
import type { Limits } from "../../src/limits.ts";
import {
  BUSY,
  CLOSING,
  DRAINING,
  GONE,
  LINGERING,
  PEER_ENDED,
  type ReactorConnection,
  SENDING,
  STOPPED,
} from "../../src/reactor/connection.ts";
import { SEND_NOW_BYTES } from "../../src/reactor/send-queue.ts";
import type { OverflowPolicy } from "../../src/reactor/writing.ts";
import type { Client } from "./client.ts";
import { HandledStream } from "./handled-stream.ts";
import type { Style } from "./plan.ts";
import type { Wire } from "./wire.ts";

export type SimulatedConnection = ReactorConnection<unknown, unknown, unknown>;

/** What sessions need to know of the run they are part of. */
export interface Scene {
  readonly limits: Limits;
  readonly overflow: OverflowPolicy;
  readonly wire: Wire;
  /** Nothing in this run breaks connections. */
  readonly lossless: boolean;
  /** Virtual time. */
  readonly nowMs: number;
  /** Something is not as it must be. */
  breach(what: string): void;
  trace(what: string): void;
}

/** Deadlines are checked in ticks of 100 ms, against whole ms. */
const LATE_MS = 300;
/** The write deadline is looked at four times in its length. */
const LATE_WRITES = 1.25;

export class Session {
  readonly connection: SimulatedConnection;
  readonly client: Client | undefined;
  readonly style: Style;
  readonly handled: HandledStream;
  readonly #scene: Scene;
  // What it has seen.
  writtenLength = 0;
  receivedLength = 0;
  sentLength = 0;
  longestWrite = 0;
  openDrains = 0;
  closings = 0;
  reason: CloseReason | undefined;
  // What the handler did.
  calledClose = false;
  calledEnd = false;
  calledReset = false;
  threw: Error | undefined;
  handling = false;
  endHandled = false;
  paused = false;
  /** The server was told to cut all connections off. */
  wasCut = false;
  drained = false;
  /** All was sent and the peer had ended when the driver was told to close. */
  endedWell = false;
  readonly #written: Buffer[] = [];
  readonly #openedMs: number;
  #hasSpoken = false;
  /** The driver has told of the end. */
  #peerEnded = false;
  #sendMs = 0;
  /** When bytes last moved, before it began to close. */
  #activeMs: number;
  #busyMs: number;
  #wasBusy = false;
  #closingMs = -1;
  #lingerMs = -1;
  /** Above high water, and not below low water since. */
  #held = false;
  /** How often no more than low water was left. */
  #lows = 0;
  #restMs = -1;

  constructor(
    scene: Scene,
    connection: SimulatedConnection,
    client: Client | undefined,
    style: Style,
  ) {
    this.#scene = scene;
    this.connection = connection;
    this.client = client;
    this.style = style;
    this.handled = new HandledStream(scene, client, (what) => this.#breach(what));
    this.#openedMs = scene.nowMs;
    this.#activeMs = scene.nowMs;
    this.#busyMs = scene.nowMs;
  }

  /** Everything that was taken for sending. */
  written(): Buffer {
    return Buffer.concat(this.#written);
  }

  /** Bytes that it holds of what it received. */
  get heldBytes(): number {
    const { unread, decoder } = this.connection;
    return (unread?.length ?? 0) + decoder.pending;
  }

  // What the handler calls.

  write(bytes: Buffer, asText = false): boolean {
    const over = this.connection.pendingBytes + bytes.length > this.#bound;
    const data = asText ? bytes.toString("latin1") : bytes;
    return this.#predicted(bytes, over, () => this.connection.write(data));
  }

  send(content: Buffer): boolean {
    const { wire } = this.#scene;
    const over = this.connection.pendingBytes >= this.#bound;
    const message = wire.toMessage(content);
    return this.#predicted(wire.frame(content), over, () => this.connection.send(message));
  }

  async drainedOut(): Promise<void> {
    const { connection } = this;
    const { lowWaterBytes } = this.#scene.limits;
    const before = this.#lows;
    const atOnce = connection.pendingBytes <= lowWaterBytes;
    this.openDrains++;
    await connection.drained();
    this.openDrains--;
    if (atOnce || this.#lows > before || (connection.flags & GONE) !== 0) return;
    this.#breach(`drained() resolved with ${connection.pendingBytes} bytes`);
  }

  end(): void {
    this.calledEnd = true;
    this.connection.end();
    this.#expect(!this.connection.open, "open after end()");
  }

  close(): void {
    this.calledClose = true;
    this.connection.close();
    this.#expect((this.connection.flags & CLOSING) !== 0, "not closing after close()");
    this.#look();
  }

  reset(): void {
    this.calledReset = true;
    this.connection.reset();
    this.#expect((this.connection.flags & GONE) !== 0, "not gone after reset()");
  }

  pause(): void {
    this.paused = true;
    this.connection.pause();
  }

  resume(): void {
    this.paused = false;
    this.connection.resume();
  }

  // What the handler is told.

  /** Before a message is handled; its bytes, without frame. */
  message(content: Buffer): void {
    this.#mayRun("message");
    this.#expect(!this.endHandled, "a message after the end");
    if (this.#held) this.#breach(`a message with ${this.connection.pendingBytes} bytes to be sent`);
    this.handled.take(content);
  }

  ended(): void {
    this.#mayRun("ended");
    this.#expect(!this.endHandled, "ended twice");
    this.endHandled = true;
    this.handled.checkAll();
  }

  closed(reason: CloseReason, error: Error | undefined): void {
    this.closings++;
    this.#expect(this.closings === 1, "closed twice");
    this.#expect((this.connection.flags & GONE) !== 0, `closed (${reason}) and not gone`);
    this.reason = reason;
    if (reason === "handler") this.#expect(error === this.threw, "closed with another error");
    const carries = reason === "handler" || reason === "error" || reason === "protocol";
    this.#expect(carries === (error !== undefined), `${reason} with error ${String(error)}`);
    if (isGraceful(reason) && !this.wasCut) {
      const lost = this.writtenLength - this.sentLength;
      this.#expect(lost === 0, `${reason}, and ${lost} bytes were never sent`);
    }
  }

  // What the driver does.

  received(length: number): void {
    this.receivedLength += Math.max(length, 0);
    if (length === 0) this.#peerEnded = true;
    if (length <= 0 || (this.connection.flags & CLOSING) !== 0) return;
    this.#hasSpoken = true;
    this.#activeMs = this.#scene.nowMs;
  }

  /** A send was started. */
  sends(): void {
    this.#sendMs = this.#scene.nowMs;
    if ((this.connection.flags & CLOSING) === 0) this.#activeMs = this.#scene.nowMs;
  }

  /** Bytes left at once, or could not. */
  sentNow(result: number): void {
    if (result <= 0) return;
    this.sentLength += result;
    this.#activeMs = this.#scene.nowMs;
  }

  /** After the reactor has heard of it. */
  sent(result: number): void {
    this.sentLength += Math.max(result, 0);
    if (this.connection.pendingBytes > this.#scene.limits.lowWaterBytes) return;
    this.#held = false;
    this.#lows++;
  }

  /** The driver is told to close it: why? `memory` says whether memory is short. */
  goes(memory: () => boolean): void {
    this.#look();
    const { connection } = this;
    const reason = connection.reason ?? "closed";
    const bothEnded = connection.pendingBytes === 0 && (connection.flags & PEER_ENDED) !== 0;
    this.endedWell = bothEnded && isGraceful(reason);
    this.#scene.trace(`${connection.id} goes: ${reason} ${connection.error?.message ?? ""}`);
    if (!this.#isPlausible(reason, memory)) {
      this.#breach(`closes for no reason: ${reason} ${connection.error?.message ?? ""}`);
    }
  }

  // After each step.

  check(): void {
    this.#look();
    const { connection } = this;
    const { nowMs } = this.#scene;
    const { flags, pendingBytes } = connection;
    const most = this.#bound + this.longestWrite;
    this.#expect(pendingBytes <= most, `${pendingBytes} bytes wait, of at most ${most}`);
    const busy = (flags & BUSY) !== 0;
    if (busy || this.#wasBusy) this.#busyMs = nowMs;
    this.#wasBusy = busy;
    if (this.threw !== undefined) this.#expect((flags & CLOSING) !== 0, "goes on after a throw");
    if ((flags & GONE) === 0) this.#checkDeadlines(nowMs);
    this.#checkRest(nowMs);
  }

  #checkDeadlines(nowMs: number): void {
    const { flags } = this.connection;
    const { limits } = this.#scene;
    if ((flags & SENDING) !== 0) {
      const since = nowMs - this.#sendMs;
      const most = limits.writeMs * LATE_WRITES + LATE_MS;
      this.#expect(since <= most, `no progress for ${since} ms`);
    }
    if ((flags & LINGERING) !== 0) {
      const since = nowMs - this.#lingerMs;
      this.#expect(since <= limits.lingerMs + LATE_MS, `lingers for ${since} ms`);
    }
    if ((flags & (CLOSING | BUSY)) !== 0) return;
    // A deadline that finds it busy comes again after the idle time.
    if (nowMs - this.#busyMs <= limits.idleMs + LATE_MS) return;
    const idle = nowMs - this.#activeMs;
    this.#expect(idle <= limits.idleMs + LATE_MS, `idle for ${idle} ms`);
    const silent = nowMs - this.#openedMs;
    const spoke = this.#hasSpoken || silent <= limits.firstByteMs + LATE_MS;
    this.#expect(spoke, `silent for ${silent} ms`);
  }

  /** Nothing keeps it from going on, and it does not: from one step to a later one. */
  #checkRest(nowMs: number): void {
    const { flags, unread } = this.connection;
    const free = (flags & (STOPPED | CLOSING)) === 0;
    const drains = (flags & DRAINING) !== 0;
    const forgotten = unread !== undefined || (this.#peerEnded && !this.endHandled) || drains;
    if (!free || !forgotten) {
      this.#restMs = -1;
      return;
    }
    if (this.#restMs < 0) this.#restMs = nowMs;
    this.#expect(nowMs === this.#restMs, "could go on and does not");
  }

  #isPlausible(reason: CloseReason, memory: () => boolean): boolean {
    const { limits } = this.#scene;
    const { client, connection } = this;
    if (reason === "peer-ended") {
      const wantsMore = this.calledEnd || this.calledClose || this.calledReset;
      if (!wantsMore && !this.handled.isBroken) this.handled.checkAll();
      return !wantsMore && (client?.hasEnded === true || this.handled.isBroken);
    }
    if (reason === "closed") return this.calledClose || this.calledEnd;
    if (reason === "reset") return this.calledReset;
    if (reason === "error") return this.handled.isBroken;
    if (reason === "first-byte") {
      return !this.#hasSpoken && this.#closingMs - this.#openedMs >= limits.firstByteMs - 1;
    }
    if (reason === "idle") return this.#closingMs - this.#activeMs >= limits.idleMs - 1;
    if (reason === "write") {
      return connection.pendingBytes > 0 && this.#scene.nowMs - this.#sendMs >= limits.writeMs - 1;
    }
    if (reason === "overflow") return this.#scene.overflow === "close";
    if (reason === "memory") return memory();
    if (reason === "protocol") return this.handled.isMalformed;
    if (reason === "handler") return this.threw !== undefined;
    return this.drained || this.wasCut;
  }

  #mayRun(what: string): void {
    this.#expect(!this.handling, `${what} while the one before is being handled`);
    this.#expect(!this.paused, `${what} while paused`);
    this.#expect(!this.calledClose && !this.calledReset, `${what} after close() or reset()`);
    this.#expect(this.closings === 0, `${what} after closed`);
    this.#expect(this.threw === undefined, `${what} after a throw`);
  }

  #predicted(bytes: Buffer, over: boolean, call: () => boolean): boolean {
    const { connection } = this;
    const { limits, overflow } = this.#scene;
    const wasOpen = connection.open;
    const before = connection.pendingBytes;
    const taken = call();
    const after = connection.pendingBytes;
    const gone = (connection.flags & GONE) !== 0;
    if (!wasOpen || over) {
      this.#expect(!taken && after === before, "a write was taken that cannot be");
      if (wasOpen) this.#expect(gone === (overflow === "close"), `overflow, and gone: ${gone}`);
      return taken;
    }
    this.#written.push(Buffer.from(bytes));
    this.writtenLength += bytes.length;
    this.longestWrite = Math.max(this.longestWrite, bytes.length);
    if (gone) {
      this.#expect(!taken, "a write was taken by a connection that is gone");
      return taken;
    }
    // With nothing before it, a large write or a part of it may leave at once.
    const atOnce = before === 0 && bytes.length >= SEND_NOW_BYTES;
    const waiting = before + bytes.length;
    this.#expect(
      atOnce ? after <= waiting : after === waiting,
      `${after} bytes wait after ${before} and a write of ${bytes.length}`,
    );
    this.#expect(
      taken === after <= limits.highWaterBytes,
      `write told ${taken} with ${after} bytes`,
    );
    if (!taken) this.#held = true;
    return taken;
  }

  get #bound(): number {
    return this.#scene.limits.connectionOutputBytes;
  }

  /** Notes when it was first seen on the next rung. */
  #look(): void {
    const { flags } = this.connection;
    if ((flags & CLOSING) !== 0 && this.#closingMs < 0) this.#closingMs = this.#scene.nowMs;
    if ((flags & LINGERING) !== 0 && this.#lingerMs < 0) this.#lingerMs = this.#scene.nowMs;
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.#breach(what);
  }

  #breach(what: string): void {
    this.#scene.breach(`connection ${this.connection.id} (${this.style}): ${what}`);
  }
}

/** Reasons for which what was queued is sent first. */
export function isGraceful(reason: CloseReason): boolean {
  return !["reset", "error", "write", "overflow", "memory"].includes(reason);
}
