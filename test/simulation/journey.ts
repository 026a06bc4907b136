// The ledger of one connection over all reactors that it is in: where it is, what was handled and written, and whether that
// may be.
//
// Invariant: `place` is the reactor whose handlers know of it, or BETWEEN, from `departed` to `arrived`, or ENDED.

import { Buffer } from "node:buffer";
import type { CloseReason, Connection } from "../../src/handlers.ts";
import { BUSY, GONE, PAUSED, type ReactorConnection } from "../../src/reactor/connection.ts";
import { formatAddress } from "../../src/sys/address.ts";
import type { Client } from "./client.ts";
import { HandledStream } from "./handled-stream.ts";
import type { TravellerStyle } from "./moving-plan.ts";
import type { Wire } from "./wire.ts";

export const BETWEEN = -1;
export const ENDED = -2;
/** The reactors' time is whole ms. */
const CLOCK_MS = 1;

/** What travels with a connection. */
export interface Travels {
  handled: number;
  arrivals: number;
  /** Of one that cannot travel. */
  cannot?: () => void;
}

export type Traveller = ReactorConnection<unknown, unknown, Travels>;
export type TravellingConnection = Connection<unknown, Travels>;

/** What journeys need to know of the run they are part of. */
export interface Scene {
  readonly wire: Wire;
  /** Nothing in this run breaks connections. */
  readonly lossless: boolean;
  /** Virtual time. */
  readonly nowMs: number;
  /** Something is not as it must be. */
  breach(what: string): void;
}

export class Journey {
  readonly id: number;
  readonly client: Client | undefined;
  readonly style: TravellerStyle;
  readonly handled: HandledStream;
  /** What stands for it now, or did last. */
  connection: Traveller;
  place: number;
  arrivals = 0;
  closings = 0;
  openDrains = 0;
  reason: CloseReason | undefined;
  handling = false;
  paused = false;
  endHandled = false;
  calledClose = false;
  calledReset = false;
  threw = false;
  /** Its server drains, or has cut it off. */
  drained = false;
  /** Nobody had a place for it. */
  lost = false;
  /** It was not at rest when its thread died. */
  died = false;
  #orphan = false;
  readonly topics = new Set<string>();
  readonly #scene: Scene;
  readonly #written: Buffer[] = [];
  /** When it departed last, and how long it had been silent then. */
  #departedMs = 0;
  #silentMs = 0;
  /** Messages that were handled in threads that are dead. */
  #handledBefore = 0;

  constructor(
    scene: Scene,
    connection: Traveller,
    client: Client | undefined,
    style: TravellerStyle,
    place: number,
  ) {
    this.#scene = scene;
    this.id = connection.id;
    this.connection = connection;
    this.client = client;
    this.style = style;
    this.handled = new HandledStream(scene, client, (what) => this.#breach(what));
    this.place = place;
  }

  get isUnderWay(): boolean {
    return this.place === BETWEEN;
  }

  get isOver(): boolean {
    return this.place === ENDED;
  }

  /** Whoever would do something with it later has died with its thread. */
  get isForsaken(): boolean {
    return this.died || this.#orphan;
  }

  /** Everything that was taken for sending, by whichever reactor. */
  written(): Buffer {
    return Buffer.concat(this.#written);
  }

  /** Bytes that it holds of what it received. */
  get heldBytes(): number {
    const { unread, decoder } = this.connection;
    return (unread?.length ?? 0) + decoder.pending;
  }

  // What the handlers call. What stands for it when it is between two reactors takes nothing.

  write(bytes: Buffer): void {
    this.#record(bytes, () => this.connection.write(bytes));
  }

  send(content: Buffer): boolean {
    const { wire } = this.#scene;
    const message = wire.toMessage(content);
    return this.#record(wire.frame(content), () => this.connection.send(message));
  }

  close(): void {
    this.calledClose ||= !this.isUnderWay;
    this.connection.close();
  }

  end(): void {
    this.calledClose ||= !this.isUnderWay;
    this.connection.end();
  }

  reset(): void {
    this.calledReset ||= !this.isUnderWay;
    this.connection.reset();
  }

  pause(): void {
    this.paused = true;
    this.connection.pause();
  }

  resume(): void {
    this.paused = false;
    this.connection.resume();
  }

  subscribe(topic: string): void {
    if (this.connection.subscribe(topic)) this.topics.add(topic);
  }

  // What the handlers are told, in the reactor `place`.

  /** Before a message is handled; its bytes, without frame. */
  message(place: number, connection: TravellingConnection, content: Buffer): void {
    this.#mayRun("message", place, connection);
    this.#expect(!this.endHandled, "a message after the end");
    const { state } = connection;
    const handled = this.handled.messages - this.#handledBefore;
    this.#expect(state.handled === handled, `state of ${state.handled} messages`);
    state.handled++;
    this.handled.take(content);
  }

  ended(place: number, connection: TravellingConnection): void {
    this.#mayRun("ended", place, connection);
    this.#expect(!this.endHandled, "ended twice");
    this.endHandled = true;
    this.handled.checkAll();
  }

  departed(place: number, connection: TravellingConnection): void {
    this.#mayRun("departed", place, connection, true);
    this.#expect((this.connection.flags & BUSY) === 0, "departed while busy");
    this.place = BETWEEN;
    this.#departedMs = this.#scene.nowMs;
    this.#silentMs = this.#departedMs - this.connection.activeMs;
  }

  arrived(place: number, connection: Traveller): void {
    this.#expect(this.isUnderWay, `arrived, and was in ${this.place}`);
    this.place = place;
    this.connection = connection;
    const { state, subscriptions, remoteAddress, flags, activeMs } = connection;
    this.#expect(state.arrivals === this.arrivals, `state of ${state.arrivals} arrivals`);
    state.arrivals = ++this.arrivals;
    const { nowMs } = this.#scene;
    const silentMs = nowMs - activeMs - this.#silentMs;
    const most = nowMs - this.#departedMs + CLOCK_MS;
    this.#expect(
      silentMs >= -CLOCK_MS && silentMs <= most,
      `silent for ${silentMs.toFixed(3)} ms more than when it departed`,
    );
    const all = [...this.topics].every((topic) => subscriptions.has(topic));
    // One that broke as it came is subscribed to nothing any more.
    if ((flags & GONE) !== 0) return;
    this.#expect(all && subscriptions.size === this.topics.size, "other topics than before");
    this.#expect(((flags & PAUSED) !== 0) === this.paused, `paused is not ${this.paused}`);
    const address = remoteAddress && formatAddress(remoteAddress);
    this.#expect(address === this.client?.address, `its peer is ${address}`);
  }

  // What happens to it when its thread dies.

  /** It was at rest, and is on its way to another one. */
  orphaned(): void {
    this.#expect(!this.handling, "at rest while a message is handled");
    this.#expect(!this.paused, "at rest while paused");
    this.place = BETWEEN;
    this.#orphan = true;
    this.#handledBefore = this.handled.messages;
    this.arrivals = 0;
    this.openDrains = 0;
    this.topics.clear();
  }

  /** Its connection has ended, and no handler is told. */
  dies(): void {
    this.place = ENDED;
    this.died = true;
    this.handling = false;
    this.openDrains = 0;
  }

  adopted(place: number, connection: Traveller): void {
    this.#expect(this.isUnderWay, `adopted, and was in ${this.place}`);
    this.#orphan = false;
    this.place = place;
    this.connection = connection;
    const { state, subscriptions, remoteAddress } = connection;
    this.#expect(state.handled + state.arrivals === 0, "adopted with a state");
    this.#expect(subscriptions.size === 0, "adopted with topics");
    const address = remoteAddress && formatAddress(remoteAddress);
    this.#expect(address === this.client?.address, `its peer is ${address}`);
  }

  closed(place: number, connection: TravellingConnection, reason: CloseReason): void {
    this.closings++;
    this.#expect(this.closings === 1, "closed twice");
    this.#expect(this.place === place, `closed in ${place}, and was in ${this.place}`);
    this.#expect(connection === this.connection, "closed with another object");
    this.place = ENDED;
    this.reason = reason;
    if (!this.#isPlausible(reason)) this.#breach(`closed for no reason: ${reason}`);
  }

  // The end.

  /** What its client has read; true when that is everything, and was bound to be. */
  checkStream(): boolean {
    const { client } = this;
    if (client === undefined) return false;
    const received = client.received();
    const written = this.written();
    const whole = received.length === written.length;
    if (!received.equals(written.subarray(0, received.length))) {
      this.#breach("its client read what was never written, or not there");
    }
    const ends = this.reason === "peer-ended" || this.reason === "closed";
    if (!this.#scene.lossless || !client.isClean || !ends) return false;
    const amount = `${received.length} of ${written.length} bytes`;
    this.#expect(client.sawEnd && whole, `its client read ${amount}, and an end: ${client.sawEnd}`);
    return true;
  }

  #record(bytes: Buffer, call: () => boolean): boolean {
    const wasOpen = this.connection.open;
    const taken = call();
    if (this.isUnderWay) this.#expect(!taken && !wasOpen, "a write was taken by what has left");
    else if (wasOpen) this.#written.push(Buffer.from(bytes));
    else this.#expect(!taken, "a write was taken that cannot be");
    return taken;
  }

  #isPlausible(reason: CloseReason): boolean {
    if (reason === "peer-ended") {
      if (!this.handled.isBroken) this.handled.checkAll();
      return this.handled.isBroken || this.client?.hasEnded === true;
    }
    if (reason === "closed") return this.calledClose;
    if (reason === "reset") return this.calledReset;
    if (reason === "handler") return this.threw;
    if (reason === "shutdown") return this.drained;
    if (reason === "protocol") return this.handled.isMalformed;
    // Deadlines of an hour are only reached where the clock jumps.
    return this.handled.isBroken;
  }

  #mayRun(what: string, place: number, connection: TravellingConnection, paused = false): void {
    this.#expect(this.place === place, `${what} in ${place}, and was in ${this.place}`);
    this.#expect(connection === this.connection, `${what} with another object`);
    this.#expect(!this.handling, `${what} while the one before is being handled`);
    this.#expect(paused || !this.paused, `${what} while paused`);
    this.#expect(this.closings === 0, `${what} after closed`);
    this.#expect(!this.threw, `${what} after a throw`);
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.#breach(what);
  }

  #breach(what: string): void {
    this.#scene.breach(`connection ${this.id} (${this.style}, move ${this.arrivals}): ${what}`);
  }
}
