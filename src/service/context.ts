// What a handler is given beside its input.

import type { Context } from "../handlers.ts";
import type { BodyCodec } from "../protocol/body-codec.ts";
import type { Address } from "../sys/address.ts";

/** Of one call, stream or notification; valid until its handler has settled. It belongs to the thread of the handler. */
export interface CallContext {
  /** The route's name. */
  readonly route: string;
  /** What the auth hook said of this client; undefined without one. */
  readonly identity: unknown;
  /** Aborted when the caller cancels, the deadline passes or the connection ends. Made when it is first asked for. */
  readonly signal: AbortSignal;
  /** How much time the caller still gives, in ms; undefined when it set no deadline. */
  readonly remainingMs: number | undefined;
  /** As the caller sent them. */
  readonly idempotencyKey: string | undefined;
  /** W3C trace context; undefined also for what is none. */
  readonly traceparent: string | undefined;
  readonly remoteAddress: Address | undefined;
  /** The client itself: a server may call it. */
  readonly peer: CallingPeer;
  /** See Publisher. */
  readonly publish: Publisher["publish"];
  /** Counters and maps of all threads. */
  readonly shared: Publisher["shared"];
}

/** The other end of a connection, as something to call. */
export interface CallingPeer {
  /** Unique among the connections of its thread. */
  readonly id: number;
  readonly open: boolean;
  /** Its product and version, as it says itself. */
  readonly agent: string;
  /**
   * Calls a route of the client's.
   * @param options `deadlineMs`: 1 ms to a day; without it there is none
   * @throws CallError what the client answers; UNAVAILABLE when the connection ends, DEADLINE_EXCEEDED; RangeError for a
   *   deadline that is no time
   */
  call(
    route: string,
    value: unknown,
    options?: { readonly deadlineMs?: number; readonly codec?: BodyCodec },
  ): Promise<unknown>;
  /** Tells the client something; nothing comes back. */
  notify(route: string, value: unknown, codec?: BodyCodec): void;
}

/** What a service can do by itself in one thread: publish, and share. */
export interface Publisher {
  /**
   * To every subscription that matches the topic, in all threads. JSON unless told otherwise.
   * False: a thread could not be reached, or there is no server yet.
   * @throws RangeError for a topic that is none, TypeError for a value that the codec cannot carry
   */
  readonly publish: (topic: string, value: unknown, codec?: BodyCodec) => boolean;
  /** Counters and maps of all threads, and which thread this is. */
  readonly shared: Pick<Context, "thread" | "threads" | "counter" | "map">;
}
