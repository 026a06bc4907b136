// One client's subscription: what is sent to it, what waits, and what is left out when it does not keep up.

import { Buffer } from "node:buffer";
import type { BodyCodec } from "../protocol/body-codec.ts";
import { CODE, ERROR_FLAG, FLAG, FRAME, SLOW_POLICY } from "../protocol/codes.ts";
import type { Compression } from "../protocol/compression.ts";
import type { Replay } from "../protocol/replay.ts";
import type { Stream, StreamOwner } from "../protocol/stream.ts";
import type { StreamError } from "../protocol/stream-frames.ts";
import { MSG_FIXED } from "../protocol/stream-frames.ts";
import type { ServerSession } from "./server-session.ts";
import type { SubscriptionState } from "./session-handover.ts";

const MOST_DROPPED = 0xffff;

/** A published message as every subscriber of one codec gets it: encoded once, and compressed once, for all. */
export class Message {
  readonly topic: string;
  readonly topicLength: number;
  readonly topicAndBody: Buffer;
  #packed: Buffer | undefined;
  #tried = false;

  constructor(topic: string, body: Uint8Array) {
    const bytes = Buffer.from(topic);
    this.topic = topic;
    this.topicLength = bytes.length;
    this.topicAndBody = Buffer.concat([bytes, body]);
  }

  /** Topic and compressed body; undefined when that is no gain. */
  packed(compression: Compression): Buffer | undefined {
    if (!this.#tried) {
      this.#tried = true;
      const body = compression.pack(this.topicAndBody.subarray(this.topicLength));
      const topic = this.topicAndBody.subarray(0, this.topicLength);
      this.#packed = body && Buffer.concat([topic, body]);
    }
    return this.#packed;
  }
}

/** What a subscription tells the topics when it is over. */
export interface SubscriptionHost {
  removed(subscription: Subscription): void;
}

export class Subscription implements StreamOwner {
  peer: ServerSession;
  stream: Stream;
  readonly pattern: string;
  readonly codec: BodyCodec;
  /** The queue group, or "". */
  readonly group: string;
  /** It has moved here: what each thread had published by then has been delivered where it was. */
  since: ReadonlyMap<number, number> | undefined = undefined;
  readonly #host: SubscriptionHost;
  readonly #policy: number;
  /** Messages that it was opened with. */
  readonly #credit: number;
  /** Set while its session has no connection: messages are kept there. */
  #lost: Replay | undefined;
  #waiting: { readonly seq: number; readonly message: Message }[] = [];
  #seq = 0;
  #dropped = 0;
  #over = false;

  constructor(
    host: SubscriptionHost,
    peer: ServerSession,
    stream: Stream,
    pattern: string,
    codec: BodyCodec,
    group: string,
    policy: number,
  ) {
    this.#host = host;
    this.peer = peer;
    this.stream = stream;
    this.pattern = pattern;
    this.codec = codec;
    this.group = group;
    this.#policy = policy;
    this.#credit = stream.sendCredit;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Sends it, or lets it wait, or leaves one out. */
  deliver(message: Message): void {
    if (this.#over) return;
    if (this.#lost !== undefined) return this.#keep(this.#lost, message);
    this.#seq = (this.#seq + 1) >>> 0;
    if (this.#waiting.length === 0 && this.#mayGo(message)) return this.#send(this.#seq, message);
    if (this.#policy === SLOW_POLICY.LATEST) this.#replace(message);
    else this.#append(message);
  }

  #mayGo({ topicAndBody }: Message): boolean {
    const { outgoing } = this.peer.session;
    const length = Math.min(MSG_FIXED + topicAndBody.length, outgoing.frameBytes);
    return this.stream.sendCredit > 0 && outgoing.hasRoom(length);
  }

  #send(seq: number, message: Message): void {
    const dropped = this.#dropped;
    this.#dropped = 0;
    const { streams, packing } = this.peer.session;
    const packed = packing === undefined ? undefined : message.packed(packing);
    const sent = packed ?? message.topicAndBody;
    const zip = packed !== undefined;
    streams.publish(this.stream, dropped, seq, sent, message.topicLength, zip);
  }

  #append(message: Message): void {
    if (this.#waiting.length >= this.peer.session.limits.subscriptionQueue) {
      if (this.#policy === SLOW_POLICY.CLOSE) {
        return this.end(CODE.SLOW_CONSUMER, "too slow for what is published", 0);
      }
      this.#leftOut();
      if (this.#policy === SLOW_POLICY.DROP_NEW) return;
      this.#waiting.shift();
    }
    this.#waiting.push({ seq: this.#seq, message });
  }

  /** Only the last message of each topic waits. */
  #replace(message: Message): void {
    const at = this.#waiting.findIndex((one) => one.message.topic === message.topic);
    if (at >= 0) {
      this.#waiting.splice(at, 1);
      this.#leftOut();
    }
    this.#append(message);
  }

  /** The connection is gone, the session is not: from here on messages are kept for it. */
  lose(replay: Replay): void {
    this.#lost = replay;
    for (const { message } of this.#waiting.splice(0)) this.#keep(replay, message);
  }

  #keep(replay: Replay, { topicAndBody, topicLength }: Message): void {
    if (!replay.resumable) return;
    const seq = replay.next();
    const payload = Buffer.alloc(MSG_FIXED + topicAndBody.length);
    payload.writeUInt16LE(topicLength);
    payload.writeUInt16LE(this.#dropped, 2);
    payload.writeUInt32LE(seq, 4);
    topicAndBody.copy(payload, MSG_FIXED);
    this.#dropped = 0;
    const head = MSG_FIXED + topicLength;
    const { id: stream } = this.stream;
    replay.keep({ seq, stream, type: FRAME.MSG, flags: FLAG.SEQ, payload, head });
  }

  /** The session has a connection again. */
  find(peer: ServerSession): void {
    this.#lost = undefined;
    this.peer = peer;
    this.stream = peer.session.incoming.restore(this.stream.id, this.codec.id, this.#credit);
    this.stream.owner = this;
  }

  /** What another thread needs to go on with it. */
  get state(): SubscriptionState {
    const { pattern, group } = this;
    const [stream, codec] = [this.stream.id, this.codec.id];
    return { stream, pattern, codec, group, policy: this.#policy, credit: this.#credit };
  }

  #leftOut(): void {
    if (this.#dropped < MOST_DROPPED) this.#dropped++;
  }

  /** Sends of what waits as much as may go. */
  flush(): void {
    while (this.#waiting.length > 0 && !this.#over) {
      const first = this.#waiting[0];
      if (first === undefined || !this.#mayGo(first.message)) return;
      this.#waiting.shift();
      this.#send(first.seq, first.message);
    }
  }

  /** Ends it from our side: with an error, or without one when the code is OK. */
  end(code: number, why: string, eflags: number = ERROR_FLAG.RETRYABLE): void {
    if (this.#over) return;
    this.remove();
    const { session } = this.peer;
    if (code === CODE.OK) session.streams.sendEnd(this.stream);
    else session.streams.fail(this.stream, code, why, eflags);
    this.peer.closeIfDrained();
  }

  /** Nothing is delivered any more. */
  remove(): void {
    if (this.#over) return;
    this.#over = true;
    this.#waiting = [];
    this.stream.owner = undefined;
    this.#host.removed(this);
  }

  message(): void {
    // A subscriber has ended its side with OPEN.
  }

  ended(): void {
    // Likewise.
  }

  failed(_stream: Stream, _error: StreamError): void {
    this.remove();
  }

  cancelled(): void {
    this.end(CODE.OK, "");
  }

  credited(): void {
    this.flush();
  }

  expired(): void {
    // Subscriptions have no deadline.
  }

  cut(): void {
    if (!this.peer.keeps(this)) this.remove();
  }
}
