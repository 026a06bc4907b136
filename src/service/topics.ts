// Publish and subscribe of a service, in one thread: who is subscribed here, and what goes to the other threads.
//
// A message is encoded once for each codec that its subscribers asked for, topic and body in one piece; each subscriber
// costs 16 bytes of header and one copy. Other threads get topic, codec and body, and do the same.

import { Buffer } from "node:buffer";
import { type BodyCodec, BodyError, bytesInJson, jsonCodec } from "../protocol/body-codec.ts";
import { CODE, CODEC, ERROR_FLAG, KIND, META_KEY, SLOW_POLICY } from "../protocol/codes.ts";
import type { Replay } from "../protocol/replay.ts";
import { Stream } from "../protocol/stream.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";
import { type Tlv, tlv, tlvText } from "../protocol/tlv.ts";
import { patternFault, topicFault } from "../protocol/topic.ts";
import { TopicTree } from "../topics.ts";
import type { AttemptNews } from "./failed-attempts.ts";
import type { Hub } from "./hub.ts";
import { type GroupNews, type GroupQuestion, QueueGroups, type Turn } from "./queue-groups.ts";
import type { MovedNews, MovedQuestion } from "./relocation.ts";
import type { ServerSession } from "./server-session.ts";
import type { SessionAnswer, SessionQuestion, SubscriptionState } from "./session-handover.ts";
import { Message, Subscription, type SubscriptionHost } from "./subscription.ts";

/** What goes from thread to thread. */
export interface Published {
  readonly swp: "published";
  /** Whose, and which of that thread's: see session-handover.ts. */
  readonly from: number;
  readonly number: number;
  readonly topic: string;
  readonly codec: number;
  readonly body: Uint8Array;
  /** Whose turn it is, of each queue group that wants it. */
  readonly turns: readonly Turn[];
}

/** What waits until this thread has seen as much as another one. */
interface CatchingUp {
  readonly seen: ReadonlyMap<number, number>;
  readonly run: () => void;
  readonly untilMs: number;
}

export class Topics implements SubscriptionHost {
  readonly #hub: Hub;
  readonly #groups: QueueGroups;
  readonly #subscriptions = new TopicTree<Subscription>();
  /** Those whose session has some that may wait for room. */
  readonly #bySession = new Map<ServerSession, Set<Subscription>>();

  /** The last publication of each thread that was delivered here. */
  readonly seen = new Map<number, number>();
  /** Goes on where a thread of this number left off when it died: later is always more. */
  #published = Date.now() * 1000;
  #catchingUp: CatchingUp[] = [];

  constructor(hub: Hub) {
    this.#hub = hub;
    // A full mailbox: the others know less for a while, and share less evenly.
    this.#groups = new QueueGroups(hub.context.thread, (news) => hub.tell(news));
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
    this.#add(subscription);
    this.found(subscription);
  }

  #add(subscription: Subscription): void {
    if (subscription.group !== "") this.#groups.add(subscription);
    else this.#subscriptions.add(subscription.pattern, subscription);
  }

  /**
   * A subscription of a session that moves here, and is lost until it is found: what was published on the way is kept for it
   * first. `peer` is who asked for the session.
   */
  moved(
    peer: ServerSession,
    { stream: id, pattern, codec: codecId, group, policy, credit }: SubscriptionState,
    replay: Replay,
    seen: ReadonlyMap<number, number>,
    meanwhile: readonly Published[],
  ): Subscription | undefined {
    const codec = this.#hub.codec(codecId);
    if (codec === undefined) return undefined;
    const stream = new Stream(peer.session, id, KIND.SUBSCRIBE, codecId, false, credit, 0);
    const subscription = new Subscription(this, peer, stream, pattern, codec, group, policy);
    subscription.lose(replay);
    const wants = new TopicTree<Subscription>();
    wants.add(pattern, subscription);
    for (const { topic, codec: from, body } of group === "" ? meanwhile : []) {
      if (wants.matching(topic) === undefined) continue;
      const message = this.#encode(topic, from, body, codec);
      if (message !== undefined) subscription.deliver(message);
    }
    subscription.since = seen;
    this.#add(subscription);
    return subscription;
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

  /** Who the client is has changed: what it may not hear any more ends. */
  recheck(peer: ServerSession): void {
    for (const subscription of [...(this.#bySession.get(peer) ?? [])]) {
      if (this.#hub.may(peer.identity, "subscribe", subscription.pattern)) continue;
      subscription.end(CODE.PERMISSION_DENIED, "you may not subscribe here any more", 0);
    }
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
    const from = context.thread;
    const number = ++this.#published;
    const published: Published = { swp: "published", from, number, topic, codec, body, turns };
    const reached = context.threads === 1 || context.broadcast(published);
    this.#deliver(published);
    return reached;
  }

  /** What another thread has broadcast. */
  heard(data: unknown): void {
    if (!isOurs(data)) return;
    if (data.swp === "published") this.#deliver(data);
    else if (data.swp === "session?") this.#hub.lost.asked(data);
    else if (data.swp === "session!") this.#hub.handover.heard(data);
    else if (data.swp === "moved" || data.swp === "moved?") this.#hub.relocation.heard(data);
    else if (data.swp === "attempt") this.#hub.attempts.heard(data, this.#hub.wire.now());
    else this.#groups.heard(data);
  }

  #deliver(published: Published): void {
    this.seen.set(published.from, published.number);
    this.#hub.handover.saw(published);
    this.#deliverHere(published);
    if (this.#catchingUp.length > 0) this.#catchUp();
  }

  /** Runs once everything is delivered here that was delivered there; never, when that takes longer. */
  whenSeen(seen: ReadonlyMap<number, number>, withinMs: number, run: () => void): void {
    this.#catchingUp.push({ seen, run, untilMs: this.#hub.wire.now() + withinMs });
    this.#catchUp();
  }

  #catchUp(): void {
    const nowMs = this.#hub.wire.now();
    // A publication that did not get through is never seen. Before all else: a session that is given to who has gone is lost.
    const waiting = this.#catchingUp.filter(({ untilMs }) => nowMs < untilMs);
    const ready = waiting.filter(({ seen }) => this.#hasSeen(seen));
    this.#catchingUp = waiting.filter((one) => !ready.includes(one));
    for (const { run } of ready) run();
  }

  #hasSeen(seen: ReadonlyMap<number, number>): boolean {
    const own = this.#hub.context.thread;
    for (const [from, number] of seen) {
      if (from !== own && (this.seen.get(from) ?? 0) < number) return false;
    }
    return true;
  }

  #deliverHere(published: Published): void {
    const { topic, turns } = published;
    const subscribers = this.#subscriptions.matching(topic);
    if (subscribers === undefined && turns.length === 0) return;
    const encoded = new Map<number, Message | undefined>();
    this.#deliverTo(subscribers ?? [], published, encoded);
    if (turns.length > 0) this.#deliverTo(this.#groups.chosen(turns), published, encoded);
  }

  #deliverTo(
    subscribers: Iterable<Subscription>,
    { from, number, topic, codec, body }: Published,
    encoded: Map<number, Message | undefined>,
  ): void {
    for (const subscription of subscribers) {
      const { since } = subscription;
      if (since !== undefined && number <= (since.get(from) ?? 0)) continue;
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
    if (codec === wanted.id || codec === CODEC.RAW) return body;
    const plain = wanted.id === CODEC.RAW || wanted.id === CODEC.UTF8;
    // JSON is text, but for the bytes that it may carry.
    if (plain && codec === CODEC.JSON) return bytesInJson(body) ?? body;
    if (wanted.id === CODEC.RAW) return body;
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

type GroupsAndTopics = Published | GroupNews | GroupQuestion;
/** What threads tell each other through `broadcast`. */
export type News =
  | GroupsAndTopics
  | SessionQuestion
  | SessionAnswer
  | MovedNews
  | MovedQuestion
  | AttemptNews;

const NEWS: ReadonlySet<unknown> = new Set<News["swp"]>([
  "published",
  "group",
  "groups?",
  "session?",
  "session!",
  "moved",
  "moved?",
  "attempt",
]);

function isOurs(data: unknown): data is News {
  if (typeof data !== "object" || data === null || !("swp" in data)) return false;
  return NEWS.has(data.swp);
}
