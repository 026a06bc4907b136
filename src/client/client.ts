// client(): calls, streams, publish and subscribe over SWP/1, on connections that come back by themselves. Typed from the type
// of the service alone: nothing is generated, and nothing of the service is loaded.

import type { BodyCodec } from "../protocol/body-codec.ts";
import { CallError } from "../protocol/call-error.ts";
import { KIND, LONGEST_IDEMPOTENCY_KEY, META_KEY, SLOW_POLICY } from "../protocol/codes.ts";
import { checkDeadline } from "../protocol/deadline.ts";
import { type RouteShape, readShapes } from "../protocol/route-shapes.ts";
import type { Open } from "../protocol/stream-frames.ts";
import { type Tlv, textTlv } from "../protocol/tlv.ts";
import { patternFault, topicFault } from "../protocol/topic.ts";
import { Announcement } from "./announcement.ts";
import {
  type CheckedClientOptions,
  type ClientOptions,
  checkClientOptions,
} from "./client-options.ts";
import { Duplex, ServerStream, Upload } from "./flows.ts";
import { Lines } from "./lines.ts";
import type { Pool } from "./pool.ts";
import type { RequestOptions } from "./request.ts";
import type {
  ClientRoutes,
  InputOfRoute as In,
  NameOf,
  OutputOfRoute as Out,
} from "./routes-of-client.ts";
import { type Gap, Subscription } from "./subscription.ts";
import { UnaryCall } from "./unary-call.ts";
import { realWorld, type World } from "./world.ts";

export {
  type BodyCodec,
  cbor,
  jsonCodec,
  messagePack,
  rawCodec,
  utf8Codec,
} from "../protocol/body-codec.ts";
export { CallError } from "../protocol/call-error.ts";
export type { BodyShape, RouteShape } from "../protocol/route-shapes.ts";
export type { ClientOptions } from "./client-options.ts";
export type { Credentials } from "./credentials.ts";
export type { Duplex, ServerStream, Upload } from "./flows.ts";
export type { LineState } from "./line.ts";
export type { RequestOptions } from "./request.ts";
export type { Gap, Subscription, TopicMessage } from "./subscription.ts";

/** A service as it shows itself. */
export interface ServiceShape {
  /** What it is, for people; empty where it does not say. */
  readonly agent: string;
  /** Codecs that it takes beside raw bytes, by their numbers, the best first. */
  readonly codecs: readonly number[];
  /** Those that it lists: one with very many lists some only. */
  readonly routes: readonly RouteShape[];
}

export interface CallOptions extends RequestOptions {
  /**
   * The call may be sent again when a connection was cut before its answer: the server executes what has the same key once.
   * 1 to 64 bytes of UTF-8, RangeError for others; `true` makes a key.
   */
  readonly idempotencyKey?: string | true;
}

export interface StreamOptions extends RequestOptions {
  /** Messages that the server may send ahead of the reader. Default: the limit `streamCredit`. */
  readonly credit?: number;
}

export interface SubscribeOptions {
  /** Of all subscriptions with the same group one gets each message. */
  readonly group?: string;
  /** What the server does when this side does not keep up. Default `drop-oldest`. */
  readonly slow?: keyof typeof SLOW_POLICIES;
  /** Messages that may be on their way, or here unread. Default 64. */
  readonly credit?: number;
  readonly codec?: BodyCodec;
  /** Told of messages that were published and will not come. */
  readonly onGap?: (gap: Gap) => void;
}

const SLOW_POLICIES = {
  "drop-oldest": SLOW_POLICY.DROP_OLDEST,
  "drop-new": SLOW_POLICY.DROP_NEW,
  latest: SLOW_POLICY.LATEST,
  close: SLOW_POLICY.CLOSE,
} as const;
const SUBSCRIPTION_CREDIT = 64;
const CLOSED = "the client is closed";

/** Made by `client`. It belongs to the thread that made it. */
export class Client<Service = never> {
  readonly #options: CheckedClientOptions;
  readonly #lines: Lines;
  readonly #pool: Pool;
  readonly #world: World;

  constructor(options: ClientOptions, world: World) {
    this.#options = checkClientOptions(options);
    this.#world = world;
    this.#lines = new Lines(options, this.#options, world);
    this.#pool = this.#lines.pool;
    this.#lines.start();
  }

  /** Whether a connection is ready. */
  get ready(): boolean {
    return this.#pool.links().length > 0;
  }

  /** Requests that wait for a connection. */
  get waiting(): number {
    return this.#pool.waitingCount;
  }

  /** The routes that the server lists; none while no connection is ready. A server with very many lists some only. */
  get routes(): readonly string[] {
    return [...(this.#pool.links()[0]?.routes.keys() ?? [])];
  }

  /** What the server says that it offers; nothing while no connection is ready. */
  get shape(): ServiceShape {
    const [link] = this.#pool.links();
    if (link === undefined) return { agent: "", codecs: [], routes: [] };
    const { agent, codecs } = link.session.peer;
    return { agent, codecs, routes: readShapes(link.shapes, [...link.routes.keys()]) };
  }

  /** Resolves with the first ready connection. @throws CallError when it cannot be had now, or the client is closed */
  connected(): Promise<void> {
    return this.#lines.connected();
  }

  /**
   * One request, one answer.
   * @throws CallError with what the server says; UNAVAILABLE (the connection was cut, or is refused), DEADLINE_EXCEEDED,
   *   CANCELLED, RESOURCE_EXHAUSTED (too many wait); TypeError for an input that the codec cannot carry; RangeError for an
   *   idempotency key of a wrong length, a trace context that is none, a deadline that is no time
   */
  call<Name extends NameOf<ClientRoutes<Service>, "call">>(
    route: Name,
    input: In<ClientRoutes<Service>, Name>,
    options: CallOptions = {},
  ): Promise<Out<ClientRoutes<Service>, Name>> {
    return this.#ask(KIND.CALL, route, input, options, options.idempotencyKey) as Promise<
      Out<ClientRoutes<Service>, Name>
    >;
  }

  /** One request, and messages: `for await`. Leaving the loop ends the stream. @throws as `call`: CallError from the loop */
  stream<Name extends NameOf<ClientRoutes<Service>, "serverStream">>(
    route: Name,
    input: In<ClientRoutes<Service>, Name>,
    options: StreamOptions = {},
  ): ServerStream<Out<ClientRoutes<Service>, Name>> {
    const codec = options.codec ?? this.#options.codec;
    const stream = new ServerStream<Out<ClientRoutes<Service>, Name>>(
      this.#pool,
      KIND.SERVER_STREAM,
      route,
      codec,
      codec.encode(input),
      options,
      options.credit ?? this.#options.limits.streamCredit,
    );
    this.#pool.submit(stream);
    return stream;
  }

  /** Messages to the server, and one answer at the end. */
  upload<Name extends NameOf<ClientRoutes<Service>, "clientStream">>(
    route: Name,
    options: RequestOptions = {},
  ): Upload<In<ClientRoutes<Service>, Name>, Out<ClientRoutes<Service>, Name>> {
    const codec = options.codec ?? this.#options.codec;
    const upload = new Upload<In<ClientRoutes<Service>, Name>, Out<ClientRoutes<Service>, Name>>(
      this.#pool,
      route,
      codec,
      options,
    );
    this.#pool.submit(upload);
    return upload;
  }

  /** Messages both ways. */
  duplex<Name extends NameOf<ClientRoutes<Service>, "duplex">>(
    route: Name,
    options: StreamOptions = {},
  ): Duplex<In<ClientRoutes<Service>, Name>, Out<ClientRoutes<Service>, Name>> {
    const codec = options.codec ?? this.#options.codec;
    const credit = options.credit ?? this.#options.limits.streamCredit;
    const duplex = new Duplex<In<ClientRoutes<Service>, Name>, Out<ClientRoutes<Service>, Name>>(
      this.#pool,
      route,
      codec,
      options,
      credit,
    );
    this.#pool.submit(duplex);
    return duplex;
  }

  /**
   * Resolves once it is on its way; whether it arrives nobody says.
   * @throws CallError; RangeError when it is too long, or its deadline no time
   */
  notify<Name extends NameOf<ClientRoutes<Service>, "notify">>(
    route: Name,
    input: In<ClientRoutes<Service>, Name>,
    options: Pick<RequestOptions, "codec" | "deadlineMs"> = {},
  ): Promise<void> {
    return this.#announce(KIND.NOTIFY, route, input, options);
  }

  /**
   * Messages of all topics that the pattern stands for, until it is closed: `for await`. It is subscribed again on every new
   * connection; what was missed meanwhile is told to `onGap`.
   * @throws RangeError for what is no pattern
   */
  subscribe<Body = unknown>(pattern: string, options: SubscribeOptions = {}): Subscription<Body> {
    const fault = patternFault(pattern);
    if (fault !== undefined) throw new RangeError(`"${pattern}" is no pattern: ${fault}`);
    const subscription = new Subscription<Body>({
      pattern,
      codec: options.codec ?? this.#options.codec,
      credit: options.credit ?? SUBSCRIPTION_CREDIT,
      meta: subscriptionMeta(options),
      onGap: options.onGap,
      host: this.#pool,
    });
    this.#pool.subscribe(subscription as Subscription<unknown>);
    return subscription;
  }

  /**
   * Resolves once the server has handed it to the subscribers; with `acknowledged: false` once it is on its way.
   * @throws as `call`; RangeError for what is no topic
   */
  async publish(
    topic: string,
    body: unknown,
    options: RequestOptions & { readonly acknowledged?: boolean } = {},
  ): Promise<void> {
    const fault = topicFault(topic);
    if (fault !== undefined) throw new RangeError(`"${topic}" is no topic: ${fault}`);
    if (options.acknowledged === false) return this.#announce(KIND.PUBLISH, topic, body, options);
    await this.#ask(KIND.PUBLISH, topic, body, options, undefined);
  }

  /** Asks the credentials for a fresh token, and shows it to the server on every connection. */
  refreshToken(): Promise<void> {
    return this.#lines.refreshToken();
  }

  /**
   * Takes no more requests, lets those in flight finish for so long, and ends. What waits for a connection fails with
   * CANCELLED at once, and so does what is not over in time.
   */
  close({ drainMs = 0 }: { readonly drainMs?: number } = {}): Promise<void> {
    return this.#lines.close(new CallError("CANCELLED", CLOSED, { notProcessed: true }), drainMs);
  }

  #ask(
    kind: number,
    name: string,
    input: unknown,
    options: RequestOptions,
    key: CallOptions["idempotencyKey"],
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const meta = this.#keyMeta(key);
      const codec = options.codec ?? this.#options.codec;
      const { deadlineMs } = this.#options;
      const more = meta === undefined ? { deadlineMs } : { deadlineMs, meta };
      const body = codec.encode(input);
      const host = this.#pool;
      const call = new UnaryCall(host, kind, name, codec, body, options, more, resolve, reject);
      if (call.aborted) return call.cancel(new CallError("CANCELLED", "cancelled"));
      this.#pool.submit(call);
    });
  }

  #announce(
    kind: number,
    name: string,
    input: unknown,
    options: Pick<RequestOptions, "codec" | "deadlineMs">,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const codec = options.codec ?? this.#options.codec;
      const open: Open = { kind, codec: codec.id, name };
      const { deadlineMs = this.#options.deadlineMs } = options;
      const until = this.#pool.now() + checkDeadline(deadlineMs);
      this.#pool.submit(new Announcement(open, codec.encode(input), until, resolve, reject));
    });
  }

  #keyMeta(given: CallOptions["idempotencyKey"]): readonly Tlv[] | undefined {
    if (given === undefined) return undefined;
    const key = textTlv(META_KEY.IDEMPOTENCY_KEY, given === true ? this.#world.unique() : given);
    const { length } = key.value;
    if (length > 0 && length <= LONGEST_IDEMPOTENCY_KEY) return [key];
    throw new RangeError(
      `idempotencyKey must be 1 to ${LONGEST_IDEMPOTENCY_KEY} bytes, not ${length}`,
    );
  }
}

/**
 * A client of a service: `client<typeof rooms>({ port: 7000 })`. It connects at once and by itself again; requests may be made
 * before it is connected. Its connections keep the process alive until it is closed.
 * @throws OptionError for options that cannot be
 */
export function client<Service = never>(options: ClientOptions): Client<Service> {
  return new Client<Service>(options, realWorld());
}

function subscriptionMeta(options: SubscribeOptions): Tlv[] {
  const meta: Tlv[] = [];
  if (options.group !== undefined) meta.push(textTlv(META_KEY.QUEUE_GROUP, options.group));
  if (options.slow !== undefined) {
    const policy = SLOW_POLICIES[options.slow];
    if (policy === undefined) throw new RangeError(`slow takes ${Object.keys(SLOW_POLICIES)}`);
    meta.push({ key: META_KEY.SLOW_POLICY, value: Uint8Array.of(policy) });
  }
  return meta;
}
