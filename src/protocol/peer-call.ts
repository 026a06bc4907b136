// One call to the other side, as a promise: what a server needs to call its client.

import { Buffer } from "node:buffer";
import { deferred } from "../deferred.ts";
import { type BodyCodec, BodyError } from "./body-codec.ts";
import { CallError } from "./call-error.ts";
import { CODE, ERROR_FLAG, KIND, nameOf } from "./codes.ts";
import type { Session } from "./session.ts";
import type { Stream, StreamOwner } from "./stream.ts";
import type { StreamError } from "./stream-frames.ts";

/**
 * Calls a route of the peer's and gives its answer.
 * @throws CallError what the peer answers; UNAVAILABLE when it takes no more or the connection ends; DEADLINE_EXCEEDED
 */
export function callPeer(
  session: Session,
  name: string,
  value: unknown,
  codec: BodyCodec,
  deadlineMs = 0,
): Promise<unknown> {
  const answer = new Answer(codec);
  const open = { kind: KIND.CALL, codec: codec.id, name, deadlineMs };
  const stream = session.streams.open(open, codec.encode(value), answer);
  if (stream === undefined) {
    const why = session.closed ? "the connection has ended" : "the peer takes no more streams";
    return Promise.reject(new CallError("UNAVAILABLE", why, { notProcessed: true }));
  }
  if (deadlineMs > 0) session.time.setDeadline(stream, session.wire.now() + deadlineMs);
  return answer.promise;
}

/** Tells the peer something; nothing comes back. */
export function notifyPeer(session: Session, name: string, value: unknown, codec: BodyCodec): void {
  session.streams.announce({ kind: KIND.NOTIFY, codec: codec.id, name }, codec.encode(value));
}

/** An ERROR frame as what is thrown at the caller. */
export function errorFromPeer(error: StreamError, codec: BodyCodec): CallError {
  const { code, eflags, retryAfterMs, message } = error;
  const known = nameOf(CODE, code) !== String(code) || code >= 1024;
  return new CallError(known ? code : CODE.UNKNOWN, message, {
    retryAfterMs,
    notProcessed: (eflags & ERROR_FLAG.NOT_PROCESSED) !== 0,
    retryable: (eflags & ERROR_FLAG.RETRYABLE) !== 0,
    ...((eflags & ERROR_FLAG.DETAIL) !== 0 && { detail: detailOf(error, codec) }),
  });
}

function detailOf({ detail }: StreamError, codec: BodyCodec): unknown {
  const bytes = Buffer.from(detail);
  try {
    return codec.decode(bytes, 0, bytes.length);
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    // The error itself says more than its detail's mistake.
    return undefined;
  }
}

class Answer implements StreamOwner {
  readonly #codec: BodyCodec;
  readonly #answer = deferred<unknown>();

  constructor(codec: BodyCodec) {
    this.#codec = codec;
  }

  get promise(): Promise<unknown> {
    return this.#answer.promise;
  }

  message(_stream: Stream, bytes: Buffer, start: number, end: number): void {
    try {
      this.#answer.resolve(this.#codec.decode(bytes, start, end));
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
      this.#answer.reject(new CallError("BAD_CODEC", error.message));
    }
  }

  ended(): void {
    // The message has come with it.
  }

  failed(_stream: Stream, error: StreamError): void {
    this.#answer.reject(errorFromPeer(error, this.#codec));
  }

  cancelled(_stream: Stream, code: number): void {
    this.#answer.reject(
      new CallError("CANCELLED", `the peer cancelled it (${nameOf(CODE, code)})`),
    );
  }

  credited(): void {
    // A call needs no credit.
  }

  expired(stream: Stream): void {
    stream.session.streams.cancel(stream, CODE.DEADLINE_EXCEEDED);
    this.#answer.reject(new CallError("DEADLINE_EXCEEDED", "no answer in time"));
  }

  cut(stream: Stream): void {
    const lastOpen = stream.session.peerGoaway?.lastOpen;
    const notProcessed = lastOpen !== undefined && stream.ordinal > lastOpen;
    this.#answer.reject(new CallError("UNAVAILABLE", "the connection has ended", { notProcessed }));
  }
}
