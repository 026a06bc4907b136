// One call, stream or notification of a client's, from its first bytes to its last: decode, check, run the handler, check,
// encode, answer. It is also the context that its handler is given (given-context.ts).
//
// The fast path makes no promise: a handler that answers at once is answered within the bytes that it came with. Only what
// takes time gets a deadline, an owner and the care for an end before the handler's: then its stream ends and the handler, told
// by its signal, is counted until it has settled (running-handlers.ts), as that of a notification is.

import { Buffer } from "node:buffer";
import { isPromise } from "../deferred.ts";
import { type BodyCodec, BodyError } from "../protocol/body-codec.ts";
import { CallError } from "../protocol/call-error.ts";
import { CODE, CODEC, ERROR_FLAG, KIND, LONGEST_IDEMPOTENCY_KEY } from "../protocol/codes.ts";
import { Inbox } from "../protocol/inbox.ts";
import type { Uncounted } from "../protocol/running-handlers.ts";
import { describeIssues, type Validated, validate } from "../protocol/schema.ts";
import { flowsDown, flowsUp, type Stream, type StreamOwner } from "../protocol/stream.ts";
import type { OpenFrame, StreamError } from "../protocol/stream-frames.ts";
import { GivenContext } from "./given-context.ts";
import { LARGEST_RESULT, type Result, resultKey } from "./results.ts";
import type { RouteEntry } from "./route-table.ts";
import type { ServerSession } from "./server-session.ts";

const NOTHING = Buffer.alloc(0);
const KEY_TOO_LONG = `an idempotency key has at most ${LONGEST_IDEMPOTENCY_KEY} bytes`;

export class ServerCall extends GivenContext implements StreamOwner {
  readonly #stream: Stream | undefined;
  readonly #codec: BodyCodec;
  #inbox: Inbox<unknown> | undefined;
  /** Our terminal is sent, or nobody is there any more. */
  #over = false;
  /** Runs where no stream counts it. */
  #uncounted: Uncounted | undefined;
  /** Under which its result is to be kept. */
  #resultKey: string | undefined;
  #wake: (() => void) | undefined;

  constructor(
    client: ServerSession,
    stream: Stream | undefined,
    entry: RouteEntry,
    codec: BodyCodec,
    open: OpenFrame,
  ) {
    super(client, entry, open);
    this.#stream = stream;
    this.#codec = codec;
  }

  // From the request to the handler.

  /** The request lies at `[start, end)`. */
  begin(bytes: Buffer, start: number, end: number): void {
    if (flowsUp(this.entry.kind)) {
      if (end > start)
        return this.#refuse(CODE.INVALID_ARGUMENT, "a stream is opened without a body");
      return this.#run(this.#openInbox());
    }
    let checked: Validated<unknown> | Promise<Validated<unknown>>;
    try {
      checked = validate(this.entry.input, this.#codec.decode(bytes, start, end));
    } catch (error) {
      if (error instanceof BodyError) return this.#refuse(CODE.BAD_CODEC, error.message);
      return this.#failed(error);
    }
    if (!(checked instanceof Promise)) return this.#checked(checked);
    this.#takeTime();
    checked.then((result) => this.#checked(result)).catch((error) => this.#failed(error));
  }

  #openInbox(): Inbox<unknown> | undefined {
    const stream = this.#stream;
    if (stream === undefined) return undefined;
    const { limits } = this.client.session;
    // A handler that wants no more: what still comes is dropped, and its own answer ends the stream.
    this.#inbox = new Inbox(stream, limits.streamCredit, () => undefined);
    return this.#inbox;
  }

  #checked(result: Validated<unknown>): void {
    if (this.#over) return this.#settled();
    if (result.issues === undefined) {
      const once = this.meta.length > 0 && this.entry.kind === KIND.CALL && this.idempotencyKey;
      return once ? this.#runOnce(result.value, once) : this.#run(result.value);
    }
    this.#refuse(CODE.INVALID_SCHEMA, describeIssues(result.issues));
  }

  #refuse(code: number, message: string): void {
    this.#fail(code, message, ERROR_FLAG.NOT_PROCESSED);
    this.#settled();
  }

  #run(input: unknown): void {
    const { entry } = this;
    try {
      const returned = entry.handler(input, this);
      if (flowsDown(entry.kind)) {
        this.#takeTime();
        this.#send(returned as AsyncIterable<unknown>).then(
          () => this.#settled(),
          (error: unknown) => this.#failed(error),
        );
      } else if (isPromise(returned)) {
        this.#takeTime();
        returned.then((value) => this.#answer(value)).catch((error) => this.#failed(error));
      } else {
        this.#answer(returned);
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Runs it, unless somebody has with this key: then that one's answer is this one's too. */
  #runOnce(input: unknown, idempotencyKey: string): void {
    const tooLong = idempotencyKey.length > LONGEST_IDEMPOTENCY_KEY;
    if (tooLong) return this.#refuse(CODE.INVALID_ARGUMENT, KEY_TOO_LONG);
    this.#takeTime();
    let key: string;
    try {
      key = resultKey(this.route, this.identity, idempotencyKey);
    } catch (error) {
      return this.#failed(error);
    }
    void this.client.hub.results.begin(key, this.#codec.id).then((found) => {
      if (found !== undefined) return this.#give(found);
      this.#resultKey = key;
      if (!this.#over) return this.#run(input);
      // Nobody waits for it any more: who asks again has it executed.
      this.#keepResult(CODE.INTERNAL, "", NOTHING);
      this.#settled();
    });
  }

  /** What somebody else has got. */
  #give({ code, message, eflags, body }: Result): void {
    if (code === CODE.OK) return this.#sendBody(body);
    this.#fail(code, message, eflags, body);
    this.#settled();
  }

  /** What is answered is kept for who asks again; INTERNAL is not. */
  #keepResult(code: number, message: string, body: Uint8Array, eflags = 0): void {
    const key = this.#resultKey;
    this.#resultKey = undefined;
    if (key === undefined) return;
    this.client.hub.results.store(key, { code, message, eflags, codec: this.#codec.id, body });
  }

  /** It is not over with the bytes that it came with. */
  #takeTime(): void {
    const stream = this.#stream;
    if (stream === undefined) return this.#count("notification");
    if (stream.owner === this) return;
    stream.owner = this;
    if (this.deadlineMs > 0) stream.session.time.setDeadline(stream, this.deadlineMs);
  }

  // From the handler to the answer.

  #answer(value: unknown): void {
    if (this.#stream === undefined || (this.#over && this.#resultKey === undefined)) {
      return this.#settled();
    }
    const checked = validate(this.entry.output, value);
    if (checked instanceof Promise) {
      this.#takeTime();
      checked.then((result) => this.#sendAnswer(result)).catch((error) => this.#failed(error));
    } else {
      this.#sendAnswer(checked);
    }
  }

  #sendAnswer(result: Validated<unknown>): void {
    const body = this.#encoded(this.#outgoing(result));
    if (body.length > LARGEST_RESULT && this.#resultKey !== undefined) {
      throw new Error(
        `${this.route} answered ${body.length} bytes to a call with an idempotency key: at most ${LARGEST_RESULT}`,
      );
    }
    this.#keepResult(CODE.OK, "", body);
    this.#sendBody(body);
  }

  #sendBody(body: Uint8Array): void {
    const stream = this.#stream;
    if (!this.#over && stream !== undefined) {
      this.#over = true;
      stream.owner = undefined;
      stream.session.streams.answer(stream, body, 0, body.length);
    }
    this.#settled();
  }

  /** @throws Error for what the handler gave and the route does not allow: the handler's mistake, not the caller's */
  #outgoing(result: Validated<unknown>): unknown {
    if (result.issues === undefined) return result.value;
    throw new Error(`${this.route} gave what it must not: ${describeIssues(result.issues)}`);
  }

  /** @throws CallError when the caller has chosen a codec for bytes or for text, and it is neither */
  #encoded(value: unknown): Uint8Array {
    try {
      return this.#codec.encode(value);
    } catch (error) {
      const { id, name } = this.#codec;
      if (!(error instanceof TypeError) || (id !== CODEC.RAW && id !== CODEC.UTF8)) throw error;
      const why = `${this.route} gives what the codec ${name} cannot carry: ask in another one`;
      throw new CallError("BAD_CODEC", why);
    }
  }

  /** Sends what the handler gives, as fast as it is taken. */
  async #send(messages: AsyncIterable<unknown> | Iterable<unknown>): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined) return;
    for await (const value of messages) {
      const body = this.#encoded(this.#outgoing(await validate(this.entry.output, value)));
      while (!this.stopped && !this.#over && !this.#mayGo(stream, body.length)) {
        await this.#room(stream);
      }
      // Leaving the loop ends the generator.
      if (this.#over || this.stopped) break;
      stream.session.streams.send(stream, body, 0, body.length);
    }
    if (this.#over) return;
    if (this.stopped) return this.#fail(CODE.CANCELLED, "cancelled", 0);
    this.#over = true;
    stream.session.streams.sendEnd(stream);
  }

  #mayGo(stream: Stream, length: number): boolean {
    const { outgoing } = stream.session;
    return stream.sendCredit > 0 && outgoing.hasRoom(Math.min(length, outgoing.frameBytes));
  }

  /** Resolves when there may be credit and room, or the stream is over. */
  #room(stream: Stream): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (stream.sendCredit > 0) this.client.waitForRoom(resolve);
    });
  }

  // The ends.

  #failed(error: unknown): void {
    if (error instanceof CallError) {
      const detail = error.detail === undefined ? undefined : this.#encodedDetail(error.detail);
      const eflags = error.eflags | (detail === undefined ? 0 : ERROR_FLAG.DETAIL);
      // To try again is to be tried again.
      const kept = error.retryable ? CODE.INTERNAL : error.number;
      this.#keepResult(kept, error.message, detail ?? NOTHING, eflags);
      this.#fail(error.number, error.message, eflags, detail, error.retryAfterMs);
    } else if (this.stopped && isAbort(error)) {
      this.#keepResult(CODE.INTERNAL, "", NOTHING);
      this.#fail(CODE.CANCELLED, "cancelled", 0);
    } else {
      this.#keepResult(CODE.INTERNAL, "", NOTHING);
      // What it says is not for the peer.
      this.client.hub.report(error);
      this.#fail(CODE.INTERNAL, "internal error", 0);
    }
    this.#settled();
  }

  #encodedDetail(detail: unknown): Uint8Array | undefined {
    try {
      return this.#codec.encode(detail);
    } catch (error) {
      this.client.hub.report(error);
      return undefined;
    }
  }

  #fail(
    code: number,
    message: string,
    eflags: number,
    detail?: Uint8Array,
    retryAfterMs?: number,
  ): void {
    const stream = this.#stream;
    if (this.#over || stream === undefined) return;
    this.#over = true;
    this.#inbox?.drop();
    stream.owner = undefined;
    stream.session.streams.fail(stream, code, message, eflags, detail, retryAfterMs);
    this.client.closeIfDrained();
  }

  /** The handler has settled, one way or the other. */
  #settled(): void {
    this.#inbox?.drop();
    if (this.#uncounted !== undefined) this.client.session.handlers.settled(this.#uncounted);
    this.#uncounted = undefined;
    this.client.closeIfDrained();
  }

  /** Ends the stream over the handler's head. */
  #abandon(code: number, message: string): void {
    this.#outlives();
    this.#stop();
    this.#fail(code, message, 0);
  }

  /** Its stream ends before the handler has settled: until then it counts as one. */
  #outlives(): void {
    if (!this.#over) this.#count("outlives");
  }

  #count(why: Uncounted): void {
    if (this.#uncounted !== undefined) return;
    this.#uncounted = why;
    this.client.session.handlers.began(why);
  }

  #stop(): void {
    this.stopped = true;
    this.abort?.abort();
    this.#wake?.();
  }

  // What the stream tells.

  message(stream: Stream, bytes: Buffer, start: number, end: number): void {
    const inbox = this.#inbox;
    if (inbox === undefined) return;
    let checked: Validated<unknown> | Promise<Validated<unknown>>;
    try {
      checked = validate(this.entry.input, this.#codec.decode(bytes, start, end));
    } catch (error) {
      if (error instanceof BodyError) return this.#spoiled(CODE.BAD_CODEC, error.message);
      this.client.hub.report(error);
      return this.#spoiled(CODE.INTERNAL, "internal error");
    }
    if (checked instanceof Promise) {
      return this.#spoiled(CODE.UNIMPLEMENTED, "messages of a stream are checked at once");
    }
    if (checked.issues !== undefined) {
      return this.#spoiled(CODE.INVALID_SCHEMA, describeIssues(checked.issues));
    }
    if (inbox.push(checked.value, end - start)) return;
    stream.session.streams.giveUp(stream, CODE.RESOURCE_EXHAUSTED, "too much is unread");
  }

  /** A message that cannot be: the stream fails, and the handler is told. */
  #spoiled(code: number, message: string): void {
    this.#inbox?.end(new CallError("CANCELLED", message));
    this.#abandon(code, message);
  }

  ended(): void {
    this.#inbox?.end();
  }

  failed(stream: Stream, error: StreamError): void {
    this.#inbox?.end(new CallError("ABORTED", error.message));
    this.#stop();
    // Our side may have been ended by the session itself.
    if (!stream.localDone) return;
    this.#outlives();
    this.#over = true;
  }

  cancelled(stream: Stream, _code: number): void {
    this.#inbox?.end(new CallError("CANCELLED", "the caller cancelled"));
    this.#stop();
    const { session } = stream;
    if (stream.localDone) this.#over = true;
    else session.time.setDeadline(stream, session.wire.now() + session.limits.cancelGraceMs);
  }

  credited(): void {
    this.#wake?.();
  }

  expired(): void {
    if (this.stopped) return this.#abandon(CODE.CANCELLED, "cancelled");
    this.#inbox?.end(new CallError("DEADLINE_EXCEEDED", "too late"));
    this.#abandon(CODE.DEADLINE_EXCEEDED, "the deadline has passed");
  }

  cut(): void {
    this.#over = true;
    this.#inbox?.end(new CallError("UNAVAILABLE", "the connection has ended"));
    this.#stop();
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
