// Publish and subscribe of a service, in one thread: who is subscribed here, and what goes to the other threads.
//
// A message is encoded once for each codec that its subscribers asked for, topic and body in one piece; each subscriber
// costs 16 bytes of header and one copy. Other threads get topic, codec and body, and do the same.

import { Buffer } from "node:buffer";
import { type BodyCodec, BodyError, jsonCodec } from "../protocol/body-codec.ts";
import { CODE, CODEC, ERROR_FLAG, KIND, META_KEY, SLOW_POLICY } from "../protocol/codes.ts";
import type { Stream } from "../protocol/stream.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";
import { type Tlv, tlv, tlvText } from "../protocol/tlv.ts";
import { patternFault, topicFault } from "../protocol/topic.ts";
import { TopicTree } from "../topics.ts";
import type { Hub } from "./hub.ts";
import { type GroupNews, type GroupQuestion, QueueGroups, type Turn } from "./queue-groups.ts";
import type { ServerSession } from "./server-session.ts";
import { Message, Subscription, type SubscriptionHost } from "./subscription.ts";

/** What goes from thread to thread. */
interface Published {
  readonly swp: "published";
  readonly topic: string;
  readonly codec: number;
  readonly body: Uint8Array;
  /** Whose turn it is, of each queue group that wants it. */
  readonly turns: readonly Turn[];
}

export class Topics implements SubscriptionHost {
  readonly #hub: Hub;
  readonly #groups: QueueGroups;
  readonly #subscriptions = new TopicTree<Subscription>();
  /** Those whose session has some that may wait for room. */
  readonly #bySession = new Map<ServerSession, Set<Subscription>>();

  constructor(hub: Hub) {
    this.#hub = hub;
    const { context } = hub;
    const tell = (news: GroupNews | GroupQuestion) => {
      // A full mailbox: the others know less for a while, and share less evenly.
      if (context.threads > 1) context.broadcast(news);
    };
    this.#groups = new QueueGroups(context.thread, tell);
    this.#groups.ask();
  }

  /** Subscriptions in this thread. */
  get size(): number {
    return this.#subscriptions.size;
  }

  // What clients ask for.

  opened(
    peer: ServerSession,
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const name = open.name();
    const fault = open.kind === KIND.SUBSCRIBE ? patternFault(name) : topicFault(name);
    const action = open.kind === KIND.SUBSCRIBE ? "subscribe" : "publish";
    const codec = this.#hub.codec(open.codec);
    const refuse = (code: number, why: string) => {
      if (stream === undefined) return;
      peer.session.streams.fail(stream, code, why, ERROR_FLAG.NOT_PROCESSED);
    };
    if (fault !== undefined) return refuse(CODE.INVALID_ARGUMENT, fault);
    if (codec === undefined) return refuse(CODE.BAD_CODEC, `there is no codec ${open.codec}`);
    if (!this.#hub.may(peer.identity, action, name)) {
      return refuse(CODE.PERMISSION_DENIED, `you may not ${action} here`);
    }
    if (open.kind === KIND.SUBSCRIBE) {
      if (stream !== undefined) this.#subscribe(peer, stream, name, codec, open.meta(), refuse);
      return;
    }
    // The body is somebody else's after this call, and what is published is kept.
    const body = Buffer.from(bytes.subarray(start, end));
    const everywhere = this.publishBody(name, codec.id, body);
    if (stream === undefined) return;
    if (everywhere) peer.session.streams.sendEnd(stream);
    else refuse(CODE.RESOURCE_EXHAUSTED, "a thread of the server could not be reached");
  }

  #subscribe(
    peer: ServerSession,
    stream: Stream,
    pattern: string,
    codec: BodyCodec,
    meta: readonly Tlv[],
    refuse: (code: number, why: string) => void,
  ): void {
    const policy = tlv(meta, META_KEY.SLOW_POLICY)?.[0] ?? SLOW_POLICY.DROP_OLDEST;
    if (policy > SLOW_POLICY.CLOSE)
      return refuse(CODE.INVALID_ARGUMENT, "there is no such slow policy");
    const group = tlvText(meta, META_KEY.QUEUE_GROUP) ?? "";
    const subscription = new Subscription(this, peer, stream, pattern, codec, group, policy);
    stream.owner = subscription;
    if (group === "") this.#subscriptions.add(pattern, subscription);
    else this.#groups.add(subscription);
    this.found(subscription);
  }

  /** Its session has a connection, for the first time or again. */
  found(subscription: Subscription): void {
    const own = this.#bySession.get(subscription.peer);
    if (own === undefined) this.#bySession.set(subscription.peer, new Set([subscription]));
    else own.add(subscription);
  }

  removed(subscription: Subscription): void {
    if (subscription.group !== "") this.#groups.remove(subscription);
    else this.#subscriptions.delete(subscription.pattern, subscription);
    const own = this.#bySession.get(subscription.peer);
    own?.delete(subscription);
    if (own?.size === 0) this.#bySession.delete(subscription.peer);
  }

  /** A session is over; what is left of it is found again under another one, or nowhere. */
  ended(peer: ServerSession): void {
    this.#bySession.delete(peer);
  }

  roomAgain(peer: ServerSession): void {
    for (const subscription of this.#bySession.get(peer) ?? []) subscription.flush();
  }

  /** The server closes: subscriptions end, to be opened again elsewhere. */
  drain(peer: ServerSession): void {
    for (const subscription of [...(this.#bySession.get(peer) ?? [])]) {
      subscription.end(CODE.UNAVAILABLE, "the server is closing");
    }
  }

  // Publishing.

  /** @throws RangeError for a topic that is none, TypeError for a value that the codec cannot carry */
  publish(topic: string, value: unknown, codec: BodyCodec = jsonCodec): boolean {
    const fault = topicFault(topic);
    if (fault !== undefined) throw new RangeError(`"${topic}" is no topic: ${fault}`);
    return this.publishBody(topic, codec.id, Buffer.from(codec.encode(value)));
  }

  /** To all threads; false when one of them could not be reached. */
  publishBody(topic: string, codec: number, body: Uint8Array): boolean {
    const { context } = this.#hub;
    const turns = this.#groups.turns(topic);
    const published: Published = { swp: "published", topic, codec, body, turns };
    const reached = context.threads === 1 || context.broadcast(published);
    this.#deliver(published);
    return reached;
  }

  /** What another thread has broadcast. */
  heard(data: unknown): void {
    if (isOurs(data)) {
      if (data.swp === "published") this.#deliver(data);
      else this.#groups.heard(data);
    }
  }

  #deliver({ topic, codec, body, turns }: Published): void {
    const subscribers = this.#subscriptions.matching(topic);
    if (subscribers === undefined && turns.length === 0) return;
    const encoded = new Map<number, Message | undefined>();
    const chosen = turns.length === 0 ? [] : this.#groups.chosen(turns);
    this.#deliverTo(subscribers ?? [], topic, codec, body, encoded);
    this.#deliverTo(chosen, topic, codec, body, encoded);
  }

  #deliverTo(
    subscribers: Iterable<Subscription>,
    topic: string,
    codec: number,
    body: Uint8Array,
    encoded: Map<number, Message | undefined>,
  ): void {
    for (const subscription of subscribers) {
      const wanted = subscription.codec.id;
      let message = encoded.get(wanted);
      if (message === undefined && !encoded.has(wanted)) {
        message = this.#encode(topic, codec, body, subscription.codec);
        encoded.set(wanted, message);
      }
      if (message !== undefined) subscription.deliver(message);
    }
  }

  /** As subscribers of this codec get it; undefined when the codec cannot carry it. */
  #encode(topic: string, codec: number, body: Uint8Array, wanted: BodyCodec): Message | undefined {
    const converted = this.#converted(codec, body, wanted);
    return converted === undefined ? undefined : new Message(topic, converted);
  }

  #converted(codec: number, body: Uint8Array, wanted: BodyCodec): Uint8Array | undefined {
    if (codec === wanted.id || codec === CODEC.RAW || wanted.id === CODEC.RAW) return body;
    // JSON is text.
    if (wanted.id === CODEC.UTF8 && codec === CODEC.JSON) return body;
    const from = this.#hub.codec(codec);
    if (from === undefined) return undefined;
    const bytes = Buffer.from(body);
    try {
      return wanted.encode(from.decode(bytes, 0, bytes.length));
    } catch (error) {
      if (!(error instanceof BodyError) && !(error instanceof TypeError)) throw error;
      // What cannot be said in this codec is not said.
      return undefined;
    }
  }
}

function isOurs(data: unknown): data is Published | GroupNews | GroupQuestion {
  if (typeof data !== "object" || data === null || !("swp" in data)) return false;
  return ["published", "group", "groups?"].includes(String(data.swp));
}
