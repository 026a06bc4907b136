// What every kind of request has in common, from being made to being sent: it waits for a connection, is sent when one takes
// it, and is sent once more when that is safe.
//
// Safe is what was not processed (the server says so, or GOAWAY's last_open, or it never left), and what carries an
// idempotency key. Everything else that is cut off fails UNAVAILABLE: whether it was executed nobody knows.

import { Buffer } from "node:buffer";
import type { BodyCodec } from "../protocol/body-codec.ts";
import { CallError } from "../protocol/call-error.ts";
import { CODE, FIRST_APPLICATION_CODE, META_KEY, nameOf } from "../protocol/codes.ts";
import { checkDeadline } from "../protocol/deadline.ts";
import { errorFromPeer } from "../protocol/peer-call.ts";
import type { Stream, StreamOwner } from "../protocol/stream.ts";
import type { Open, StreamError } from "../protocol/stream-frames.ts";
import type { Tlv } from "../protocol/tlv.ts";
import { traceparentBytes } from "../protocol/trace-context.ts";
import type { Link } from "./link.ts";

/** What requests need of their client. */
export interface RequestHost {
  readonly now: () => number;
  /** Sends it as soon as a connection takes it. */
  submit(request: Request): void;
  /** As `submit`, after a while: `attempt` times it has failed. */
  submitLater(request: Request, attempt: number, retryAfterMs: number): void;
  /** Times that a request is sent again at the most. */
  readonly retries: number;
}

export interface RequestOptions {
  /** How long it may take in all, 1 ms to a day, else RangeError; the server is told what is left. */
  readonly deadlineMs?: number | undefined;
  /** Gives it up: it fails with CANCELLED, and the server is told. */
  readonly signal?: AbortSignal | undefined;
  /** How the bodies of this request are encoded, instead of the client's codec. */
  readonly codec?: BodyCodec | undefined;
  /** W3C trace context, as in the HTTP header of that name: `00-TRACE ID-PARENT ID-FLAGS`. RangeError for what is none. */
  readonly traceparent?: string | undefined;
}

const NOTHING = Buffer.alloc(0);
const NEVER = Number.POSITIVE_INFINITY;

export abstract class Request implements StreamOwner {
  /** When it fails with DEADLINE_EXCEEDED, in the wire's time; Infinity is never. */
  readonly deadlineMs: number;
  protected readonly host: RequestHost;
  protected readonly codec: BodyCodec;
  protected link: Link | undefined = undefined;
  protected stream: Stream | undefined = undefined;
  /** It has got its answer, or failed. */
  protected over = false;
  readonly #name: string;
  readonly #kind: number;
  readonly #credit: number;
  readonly #body: Uint8Array;
  readonly #meta: readonly Tlv[];
  readonly #idempotent: boolean;
  #signal: AbortSignal | undefined = undefined;
  #aborted: (() => void) | undefined = undefined;
  #attempt = 0;

  constructor(
    host: RequestHost,
    kind: number,
    name: string,
    codec: BodyCodec,
    body: Uint8Array | undefined,
    options: RequestOptions,
    more: {
      readonly credit?: number;
      readonly meta?: readonly Tlv[];
      readonly deadlineMs?: number;
    } = {},
  ) {
    this.host = host;
    this.codec = codec;
    this.#kind = kind;
    this.#name = name;
    this.#body = body ?? NOTHING;
    this.#credit = more.credit ?? 0;
    this.#meta = metaOf(options, more.meta);
    this.#idempotent =
      this.#meta.length > 0 && this.#meta.some(({ key }) => key === META_KEY.IDEMPOTENCY_KEY);
    const within =
      options.deadlineMs === undefined ? more.deadlineMs : checkDeadline(options.deadlineMs);
    this.deadlineMs = within === undefined ? NEVER : host.now() + within;
    if (options.signal !== undefined) this.#listen(options.signal);
  }

  /** Most have no signal: nothing is made for them. */
  #listen(signal: AbortSignal): void {
    this.#signal = signal;
    this.#aborted = () => this.cancel(new CallError("CANCELLED", "cancelled"));
    signal.addEventListener("abort", this.#aborted);
  }

  /** Whether its signal has been given already. */
  get aborted(): boolean {
    return this.#signal?.aborted === true;
  }

  /** Whether nothing is to be sent any more. */
  get isOver(): boolean {
    return this.over;
  }

  /** Sends it; the link takes requests. @throws RangeError for a name or metadata that is too long */
  start(link: Link): void {
    this.#attempt++;
    const left = this.deadlineMs === NEVER ? 0 : Math.max(1, this.deadlineMs - this.host.now());
    const routeId = link.routes.get(this.#name);
    const open: Open = {
      kind: this.#kind,
      codec: this.codec.id,
      routeId: routeId ?? 0,
      name: routeId === undefined ? this.#name : "",
      deadlineMs: left,
      credit: this.#credit,
      meta: this.#attempt === 1 ? this.#meta : [...this.#meta, attemptTlv(this.#attempt)],
    };
    const stream = link.session.streams.open(open, this.#body, this);
    if (stream === undefined) return this.host.submit(this);
    this.link = link;
    this.stream = stream;
    if (this.deadlineMs !== NEVER) link.session.time.setDeadline(stream, this.deadlineMs);
    this.started(stream);
  }

  /** It has failed for good, here or there. */
  fail(error: CallError | RangeError): void {
    if (this.over) return;
    this.finish();
    this.failedFor(error);
  }

  /** Ends it from this side. */
  cancel(error: CallError): void {
    if (this.over) return;
    const { stream, link } = this;
    if (stream !== undefined) stream.session.streams.cancel(stream, error.number);
    link?.streamOver();
    this.fail(error);
  }

  /** Its deadline has passed, wherever it is. */
  timedOut(): void {
    this.cancel(new CallError("DEADLINE_EXCEEDED", "the deadline has passed"));
  }

  // What a stream tells its owner.

  abstract message(stream: Stream, bytes: Buffer, start: number, end: number): void;

  abstract ended(stream: Stream): void;

  failed(_stream: Stream, error: StreamError): void {
    this.link?.streamOver();
    this.#retryOrFail(errorFromPeer(error, this.codec));
  }

  cancelled(_stream: Stream, code: number): void {
    this.link?.streamOver();
    this.#retryOrFail(codeError(code, "cancelled by the server"));
  }

  credited(_stream: Stream): void {
    // Only those who send a flow care.
  }

  expired(_stream: Stream): void {
    this.timedOut();
  }

  cut(stream: Stream): void {
    const goaway = stream.session.peerGoaway;
    const notProcessed = goaway !== undefined && stream.ordinal > goaway.lastOpen;
    const why = "the connection has ended before the answer";
    this.#retryOrFail(new CallError("UNAVAILABLE", why, { notProcessed, retryable: true }));
  }

  // For each kind.

  /** It has been sent. */
  protected started(_stream: Stream): void {
    // Not all have something to do then.
  }

  /** Whether it may be sent once more: not when an answer has begun. */
  protected get repeatable(): boolean {
    return true;
  }

  /** Tells the caller. */
  protected abstract failedFor(error: Error): void;

  /** It is over: nothing is told any more. */
  protected finish(): void {
    this.over = true;
    this.stream = undefined;
    if (this.#aborted !== undefined) this.#signal?.removeEventListener("abort", this.#aborted);
  }

  #retryOrFail(error: CallError): void {
    if (this.over) return;
    this.stream = undefined;
    const safe = error.notProcessed || (this.#idempotent && error.retryable);
    const left = this.#attempt <= this.host.retries && this.repeatable;
    if (!safe || !left) return this.fail(error);
    this.host.submitLater(this, this.#attempt, error.retryAfterMs);
  }
}

/** @throws RangeError for a trace context that is none */
function metaOf(options: RequestOptions, more: readonly Tlv[] | undefined): readonly Tlv[] {
  const { traceparent } = options;
  if (traceparent === undefined) return more ?? NO_META;
  return [
    { key: META_KEY.TRACEPARENT, value: traceparentBytes(traceparent) },
    ...(more ?? NO_META),
  ];
}

const NO_META: readonly Tlv[] = Object.freeze([]);

function attemptTlv(attempt: number): Tlv {
  return { key: META_KEY.ATTEMPT, value: Uint8Array.of(Math.min(attempt, 255)) };
}

/** A number that the peer chose: one that nobody knows is UNKNOWN here. */
function codeError(code: number, message: string): CallError {
  const known = code >= FIRST_APPLICATION_CODE || nameOf(CODE, code) !== String(code);
  return new CallError(known ? code : "UNKNOWN", message);
}
