// What a service has in one thread of one server: its clock, its sessions, its topics. Made when the thread starts.

import { randomBytes } from "node:crypto";
import { errorText } from "../error-text.ts";
import type { Context } from "../handlers.ts";
import { type BodyCodec, jsonCodec, rawCodec, utf8Codec } from "../protocol/body-codec.ts";
import { type Compression, zstd } from "../protocol/compression.ts";
import { Wire } from "../protocol/wire.ts";
import { completeWireLimits, type WireLimits } from "../protocol/wire-limits.ts";
import type { Publisher } from "./context.ts";
import { FailedAttempts } from "./failed-attempts.ts";
import { LostSessions } from "./lost-sessions.ts";
import type { Action, ServiceOptions } from "./options.ts";
import { Relocation } from "./relocation.ts";
import { Results } from "./results.ts";
import type { RouteTable } from "./route-table.ts";
import type { ServerSession } from "./server-session.ts";
import { SessionHandover } from "./session-handover.ts";
import { type News, Topics } from "./topics.ts";

const SECRET_BYTES = 32;

export class Hub implements Publisher {
  readonly context: Context;
  readonly routes: RouteTable;
  readonly options: ServiceOptions;
  readonly limits: WireLimits;
  readonly wire: Wire;
  readonly topics: Topics;
  readonly lost: LostSessions;
  readonly handover: SessionHandover;
  readonly relocation: Relocation;
  readonly attempts: FailedAttempts;
  readonly sessions = new Set<ServerSession>();
  readonly codecIds: readonly number[];
  readonly compression: Compression | undefined;
  #results: Results | undefined;
  #secret: Promise<Buffer> | undefined;
  /** A function by itself, so that it can be taken out of a context. */
  readonly publish: Publisher["publish"] = (topic, value, codec) =>
    this.topics.publish(topic, value, codec);
  /** By id. */
  readonly #codecs: readonly (BodyCodec | undefined)[];
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(context: Context, routes: RouteTable, options: ServiceOptions) {
    this.context = context;
    this.routes = routes;
    this.options = options;
    this.limits = completeWireLimits(options.limits);
    this.compression = options.compression === false ? undefined : zstd();
    const codecs: BodyCodec[] = [];
    for (const codec of [jsonCodec, rawCodec, utf8Codec, ...(options.codecs ?? [])]) {
      codecs[codec.id] = codec;
    }
    this.#codecs = codecs;
    this.codecIds = codecs.filter((codec) => codec !== undefined).map(({ id }) => id);
    this.wire = new Wire({
      now: () => Math.floor(performance.now()),
      soon: (run) => queueMicrotask(run),
    });
    this.wire.agenda.earlier = (atMs) => this.#arm(atMs);
    const { thread, threads } = context;
    this.attempts = new FailedAttempts((news) => this.tell(news));
    this.handover = new SessionHandover(thread, threads, (data) => context.broadcast(data));
    this.topics = new Topics(this);
    this.lost = new LostSessions(this);
    this.relocation = new Relocation(this);
  }

  get shared(): Context {
    return this.context;
  }

  /** Made when the first call has an idempotency key. */
  get results(): Results {
    this.#results ??= new Results(this);
    return this.#results;
  }

  /** Random bytes, drawn once for all threads of the server; its reloads keep them. */
  get secret(): Promise<Buffer> {
    this.#secret ??= sharedSecret(this.context);
    return this.#secret;
  }

  codec(id: number): BodyCodec | undefined {
    return this.#codecs[id];
  }

  may(identity: unknown, action: Action, name: string): boolean {
    const { authorize } = this.options;
    if (authorize === undefined) return action === "call";
    try {
      return authorize(identity, action, name) === true;
    } catch (error) {
      this.report(error);
      return false;
    }
  }

  /** Says it to the other threads of the server. A thread whose mailbox is full does not hear of it. */
  tell(news: News): void {
    if (this.context.threads > 1) this.context.broadcast(news);
  }

  report(error: unknown): void {
    const { onError } = this.options;
    if (onError === undefined) console.error(`sluice: ${errorText(error)}`);
    else onError(error);
  }

  #arm(atMs: number): void {
    if (atMs >= this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = atMs;
    this.#timer = setTimeout(() => this.#ring(), Math.max(atMs - this.wire.now(), 1));
    // A thread that has nothing else left may end.
    this.#timer.unref();
  }

  #ring(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    this.wire.agenda.run(this.wire.now());
    this.wire.flush();
    this.#arm(this.wire.agenda.nextMs);
  }
}

/** Whoever is first has drawn it. */
async function sharedSecret(context: Context): Promise<Buffer> {
  const own = randomBytes(SECRET_BYTES).toString("base64");
  const there = await context.map<string>("swp secrets").add("auth", own);
  return Buffer.from(there ?? own, "base64");
}
