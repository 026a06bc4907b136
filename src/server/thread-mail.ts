// What a thread says to the others and hears from them: published messages and broadcasts, through the mailboxes, and the
// context that handlers do it with. With one thread there are no mailboxes, and nothing is left of it but the calls.

import { Buffer } from "node:buffer";
import type { AnyHandlers } from "../checks.ts";
import { asBuffer } from "../codec/message-bytes.ts";
import type { Context, SharedCounter, SharedMap } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import { MAILBOX_FULL, MAILBOX_LOST } from "../reactor/counters.ts";
import { checkPublished, type Mail } from "../reactor/publishing.ts";
import type { Reactor } from "../reactor/reactor.ts";
import { type Packed, pack, unpack } from "./cloning.ts";
import { Mailbox, type MailboxSeat, type Receiver } from "./mailbox.ts";
import { type Mailboxes, ringBytesFor, SERVER_BOX } from "./mailboxes.ts";
import { type MapQuestion, questionBody, questionHead, readAnswer } from "./map-messages.ts";
import { MAP_ANSWER, MAP_QUESTION } from "./map-owner.ts";
import { type MapAnswer, MapStore } from "./map-store.ts";
import { countersLength, SharedCounters } from "./named-counters.ts";
import { MapQuestions, sharedMap } from "./owned-map.ts";
import { longestRecord } from "./ring.ts";

// Kinds of messages.
const PUBLISHED = 1;
const BROADCAST = 2;

/** Threads have the boxes behind the server's. */
const FIRST_THREAD_BOX = SERVER_BOX + 1;

/** A thread's place among those of its server. */
export interface ThreadPlace {
  readonly thread: number;
  readonly threads: number;
  /** Its mailbox; undefined where it is the only thread. */
  readonly mailbox: MailboxSeat | undefined;
}

/** Of the only thread there is. */
export const ALONE: ThreadPlace = { thread: 0, threads: 1, mailbox: undefined };

/** How the thread that called `serve` reaches connections and handlers. */
export interface ServerMail extends Pick<Context, "counter" | "map"> {
  publish(topic: string, data: Uint8Array | string): boolean;
  broadcast(data: unknown): boolean;
}

export interface ThreadMailOptions {
  readonly place: ThreadPlace;
  readonly handlers: AnyHandlers;
  readonly limits: Limits;
  readonly counters: Float64Array;
  readonly report: (error: unknown) => void;
}

type ThreadReactor = Reactor<unknown, unknown, unknown>;

export class ThreadMail implements Mail, ServerMail {
  readonly context: Context<unknown>;
  readonly longestBytes: number;
  readonly #options: ThreadMailOptions;
  readonly #box: Mailbox | undefined;
  readonly #counters: SharedCounters;
  readonly #questions = new MapQuestions();
  /** What the shared maps hold, where no other thread does. */
  readonly #store: MapStore | undefined;
  #reactor: ThreadReactor | undefined;

  constructor(options: ThreadMailOptions) {
    const { place, limits, counters } = options;
    const { thread, threads, mailbox } = place;
    this.#options = options;
    this.#box = mailbox === undefined ? undefined : new Mailbox(mailbox);
    this.longestBytes = longestRecord(mailbox?.ringBytes ?? ringBytesFor(1, limits.mailboxBytes));
    this.#counters = new SharedCounters(
      mailbox?.counters ?? new SharedArrayBuffer(countersLength(1)),
      mailbox?.box ?? 0,
    );
    this.#store = mailbox === undefined ? new MapStore(limits.mapBytes) : undefined;
    this.#count(counters, MAILBOX_LOST, this.#box?.lost ?? 0);
    this.context = {
      thread,
      threads,
      publish: (topic, message) => this.#begun().publishing.publish(undefined, topic, message),
      broadcast: (data) => {
        const { form, bytes } = packed(data, this.longestBytes);
        return this.#sendAll(BROADCAST, form, bytes);
      },
      counter: (name) => this.counter(name),
      map: (name) => this.map(name),
    };
  }

  /** From here on it may be asked to look into its box. */
  begin(reactor: ThreadReactor): void {
    this.#reactor = reactor;
    const { driver } = reactor;
    if (!driver.capabilities.waits) this.#box?.callWhenPending(() => driver.wake());
  }

  end(): void {
    this.#box?.leave();
  }

  // For the reactor.

  publishElsewhere(topic: string, bytes: Uint8Array): boolean {
    return this.#sendAll(PUBLISHED, Buffer.from(topic), bytes);
  }

  fallAsleep(): boolean {
    return this.#box?.fallAsleep() ?? true;
  }

  receive(): void {
    this.#box?.receive(this.#received);
  }

  // For the server, where it lives in the same thread.

  publish(topic: string, data: Uint8Array | string): boolean {
    return this.#begun().publishing.publishBytes(undefined, topic, asBuffer(data));
  }

  broadcast(data: unknown): boolean {
    const { form, bytes } = packed(data, this.longestBytes);
    this.#heard(form, Buffer.from(bytes));
    return this.#sendAll(BROADCAST, form, bytes);
  }

  counter(name: string): SharedCounter {
    return this.#counters.counter(name);
  }

  map<Value>(name: string): SharedMap<Value> {
    return sharedMap<Value>((question) => this.#ask(question), name, this.longestBytes);
  }

  readonly #received: Receiver = (message) => {
    if (message.kind === PUBLISHED) {
      this.#begun().publishing.deliver(message.head.toString(), message.body, undefined);
    } else if (message.kind === BROADCAST) this.#heard(message.head, message.body);
    else if (message.kind === MAP_ANSWER) {
      this.#questions.answered(message.tag, readAnswer(message.body));
    }
  };

  async #ask(question: MapQuestion): Promise<MapAnswer> {
    if (this.#store !== undefined) {
      const { operation, name, key, version, value, keepMs } = question;
      // The maps end with this thread too.
      return this.#store.apply(operation, name, key, version, value, { keepMs, lives: undefined });
    }
    const head = questionHead(question);
    const body = questionBody(question, this.#box?.generation ?? 0);
    return this.#questions.ask(
      (tag) => this.#box?.send(SERVER_BOX, MAP_QUESTION, tag, head, body) ?? false,
    );
  }

  #heard(form: Buffer, bytes: Buffer): void {
    const { handlers, report } = this.#options;
    if (handlers.broadcast === undefined) return;
    try {
      const data = unpack(form[0] as number, bytes);
      const returned = handlers.broadcast(this.context, data);
      if (returned instanceof Promise) returned.catch(report);
    } catch (error) {
      report(error);
    }
  }

  #sendAll(kind: number, head: Uint8Array, body: Uint8Array): boolean {
    const full = this.#box?.sendAll(FIRST_THREAD_BOX, kind, head, body) ?? 0;
    this.#count(this.#options.counters, MAILBOX_FULL, full);
    return full === 0;
  }

  #count(counters: Float64Array, counter: number, by: number): void {
    counters[counter] = (counters[counter] as number) + by;
  }

  #begun(): ThreadReactor {
    if (this.#reactor === undefined) throw new Error("this thread has no reactor yet");
    return this.#reactor;
  }
}

/** How a server reaches the threads that it has started. */
export class MailToThreads implements ServerMail {
  readonly #mailboxes: Mailboxes;
  readonly #longestBytes: number;

  constructor(mailboxes: Mailboxes) {
    this.#mailboxes = mailboxes;
    this.#longestBytes = longestRecord(mailboxes.ringBytes);
  }

  publish(topic: string, data: Uint8Array | string): boolean {
    const bytes = asBuffer(data);
    checkPublished(topic, bytes, this.#longestBytes);
    return this.#sendAll(PUBLISHED, Buffer.from(topic), bytes);
  }

  counter(name: string): SharedCounter {
    return this.#mailboxes.counters.counter(name);
  }

  map<Value>(name: string): SharedMap<Value> {
    return sharedMap<Value>(
      async (question) => this.#mailboxes.maps.apply(question),
      name,
      this.#longestBytes,
    );
  }

  broadcast(data: unknown): boolean {
    const { form, bytes } = packed(data, this.#longestBytes);
    return this.#sendAll(BROADCAST, form, bytes);
  }

  #sendAll(kind: number, head: Uint8Array, body: Uint8Array): boolean {
    return this.#mailboxes.own.sendAll(FIRST_THREAD_BOX, kind, head, body) === 0;
  }
}

/** @throws TypeError for what cannot be cloned, RangeError for more than a mailbox can carry */
function packed(data: unknown, longestBytes: number): Packed {
  const { form, bytes } = pack(data);
  if (form.length + bytes.length <= longestBytes) return { form, bytes };
  throw new RangeError(
    `a broadcast of ${bytes.length} bytes does not fit a mailbox (${longestBytes} bytes): raise limits.mailboxBytes`,
  );
}
