// A subscription: messages of a topic, read with `for await`, over as many connections as it takes.
//
// After a cut it subscribes anew on the next connection. What was published meanwhile is gone, unless the session was
// resumed: a gap. So is what the server left out because this side did not keep up. Gaps are told, never hidden.
//
// Messages that nobody has read yet outlive the connection that they came on; they are bounded by the credit that was given
// for them: a new connection gets only as much as there is room for.

import { Buffer } from "node:buffer";
import { deferred } from "../deferred.ts";
import type { BodyCodec } from "../protocol/body-codec.ts";
import { CallError } from "../protocol/call-error.ts";
import { KIND } from "../protocol/codes.ts";
import type { Stream } from "../protocol/stream.ts";
import type { MsgFrame } from "../protocol/stream-frames.ts";
import type { Tlv } from "../protocol/tlv.ts";
import type { Link } from "./link.ts";
import { SubscribedStream, unsubscribe } from "./subscribed-stream.ts";

export interface TopicMessage<Body> {
  readonly topic: string;
  readonly body: Body;
}

/** Messages that were published and did not come. */
export interface Gap {
  /** `slow`: left out since this side did not keep up. `cut`: the connection was gone for a while. */
  readonly reason: "slow" | "cut";
  /** How many, where it is known; 65,535 stands for that many or more. */
  readonly messages: number | undefined;
}

export interface SubscriptionPlan {
  readonly pattern: string;
  readonly codec: BodyCodec;
  /** Messages that may be on their way, or here unread. */
  readonly credit: number;
  readonly meta: readonly Tlv[];
  readonly onGap: ((gap: Gap) => void) | undefined;
  readonly host: SubscriptionHost;
}

export interface SubscriptionHost {
  /** It is over: it is not to be subscribed again. */
  unsubscribed(subscription: Subscription<unknown>): void;
  /** The server has ended it for now: it is to be subscribed again, after a while. */
  subscribeLater(subscription: Subscription<unknown>): void;
}

export class Subscription<Body> implements AsyncIterableIterator<TopicMessage<Body>> {
  readonly pattern: string;
  readonly codec: BodyCodec;
  readonly #plan: SubscriptionPlan;
  #stream: Stream | undefined;
  #unread: TopicMessage<Body>[] = [];
  #readers: PromiseWithResolvers<IteratorResult<TopicMessage<Body>>>[] = [];
  /** Read, and not granted again. */
  #read = 0;
  #wasCut = false;
  /** Its connection is gone, and may come back with what was missed. */
  #held = false;
  /** What its stream was opened with. */
  openCredit = 0;
  #over = false;
  #error: Error | undefined;

  constructor(plan: SubscriptionPlan) {
    this.pattern = plan.pattern;
    this.codec = plan.codec;
    this.#plan = plan;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Whether it is subscribed on a connection now, or waits for that one to come back. */
  get active(): boolean {
    return this.#stream !== undefined || this.#held;
  }

  /** Ends it: what is unread is dropped, and whoever reads sees the end. */
  close(): void {
    this.#unread = [];
    if (this.#over) return;
    const stream = this.#stream;
    this.over(undefined);
    if (stream !== undefined) unsubscribe(stream);
  }

  next(): Promise<IteratorResult<TopicMessage<Body>>> {
    const first = this.#unread.shift();
    if (first !== undefined) {
      this.#wasRead();
      return Promise.resolve({ value: first, done: false });
    }
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) return Promise.reject(error);
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    const reader = deferred<IteratorResult<TopicMessage<Body>>>();
    this.#readers.push(reader);
    return reader.promise;
  }

  return(): Promise<IteratorResult<TopicMessage<Body>>> {
    this.close();
    return Promise.resolve({ value: undefined, done: true });
  }

  // The client's and the stream's side of it.

  /** Subscribes on a connection. False: it takes no more streams now. */
  start(link: Link): boolean {
    if (this.#over || this.active) return true;
    const { pattern, credit, meta } = this.#plan;
    const room = Math.max(1, credit - this.#unread.length);
    const open = { kind: KIND.SUBSCRIBE, codec: this.codec.id, name: pattern, credit: room, meta };
    const owner = new SubscribedStream(link, this as Subscription<unknown>);
    const stream = link.session.streams.open(open, NOTHING, owner);
    if (stream === undefined) return false;
    this.#stream = stream;
    this.openCredit = room;
    this.#read = 0;
    if (this.#wasCut) this.#tellGap({ reason: "cut", messages: undefined });
    this.#wasCut = false;
    return true;
  }

  received(msg: MsgFrame, bytes: Buffer, start: number, end: number): void {
    if (this.#over) return;
    if (msg.dropped > 0) this.#tellGap({ reason: "slow", messages: msg.dropped });
    let body: Body;
    try {
      body = this.codec.decode(bytes, start, end) as Body;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return this.#fail(new CallError("BAD_CODEC", `a message on ${msg.topic()} is ${why}`));
    }
    const message = { topic: msg.topic(), body };
    const reader = this.#readers.shift();
    if (reader === undefined) this.#unread.push(message);
    else {
      reader.resolve({ value: message, done: false });
      this.#wasRead();
    }
  }

  /** The connection is gone, and what is published meanwhile with it. */
  cut(): void {
    this.#stream = undefined;
    this.#held = false;
    this.#wasCut = true;
  }

  /** The connection is gone for now. */
  hold(): void {
    this.#stream = undefined;
    this.#held = true;
  }

  /** It goes on as if nothing had been; or it has been closed meanwhile, which the server is told now. */
  resumed(stream: Stream): void {
    this.#held = false;
    if (this.#over) return unsubscribe(stream);
    this.#stream = stream;
    this.#read = 0;
  }

  /** The server has ended it; where that is for now only (it is closing, it has too many), it is subscribed again. */
  failed(error: CallError): void {
    if (!error.retryable) return this.over(error);
    this.cut();
    this.#plan.host.subscribeLater(this as Subscription<unknown>);
  }

  /** No more messages: those that are unread can still be read, and then comes the end, or the error. */
  over(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream = undefined;
    this.#error = error;
    this.#plan.host.unsubscribed(this as Subscription<unknown>);
    for (const { resolve, reject } of this.#readers.splice(0)) {
      const told = this.#error;
      this.#error = undefined;
      if (told === undefined) resolve({ value: undefined, done: true });
      else reject(told);
    }
  }

  #fail(error: CallError): void {
    const stream = this.#stream;
    this.over(error);
    if (stream !== undefined) unsubscribe(stream);
  }

  /** Half of the credit that was read is granted again. */
  #wasRead(): void {
    this.#read++;
    const stream = this.#stream;
    if (stream === undefined || 2 * this.#read < this.#plan.credit) return;
    const room = this.#plan.credit - this.#unread.length - stream.receiveCredit;
    this.#read = 0;
    stream.session.grant(stream, room);
  }

  #tellGap(gap: Gap): void {
    this.#plan.onGap?.(gap);
  }
}

const NOTHING = Buffer.alloc(0);
