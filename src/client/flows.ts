// Requests with flows of messages: server streams (read with for await), client streams and duplexes (sent with backpressure).

import type { Buffer } from "node:buffer";
import { deferred } from "../deferred.ts";
import type { BodyCodec } from "../protocol/body-codec.ts";
import { CallError } from "../protocol/call-error.ts";
import { KIND } from "../protocol/codes.ts";
import { Inbox } from "../protocol/inbox.ts";
import type { Stream } from "../protocol/stream.ts";
import { Request, type RequestHost, type RequestOptions } from "./request.ts";

/** Messages of a server stream: `for await`; whoever leaves the loop early ends the stream. */
export class ServerStream<Value> extends Request implements AsyncIterableIterator<Value> {
  readonly #credit: number;
  readonly #begun = deferred<void>();
  #inbox: Inbox<Value> | undefined;
  #error: Error | undefined;

  constructor(
    host: RequestHost,
    kind: number,
    name: string,
    codec: BodyCodec,
    body: Uint8Array | undefined,
    options: RequestOptions,
    credit: number,
  ) {
    super(host, kind, name, codec, body, options, { credit });
    this.#credit = credit;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Value>> {
    if (this.#inbox === undefined && this.#error === undefined) await this.#begun.promise;
    if (this.#inbox !== undefined) return this.#inbox.next();
    const error = this.#error;
    this.#error = undefined;
    // Told once; after it there is only the end.
    if (error !== undefined) throw error;
    return { value: undefined, done: true };
  }

  async return(): Promise<IteratorResult<Value>> {
    this.cancel(new CallError("CANCELLED", "nobody reads on"));
    this.#error = undefined;
    return this.#inbox?.return() ?? { value: undefined, done: true };
  }

  protected override get repeatable(): boolean {
    return this.#inbox === undefined;
  }

  message(stream: Stream, bytes: Buffer, start: number, end: number): void {
    try {
      const value = this.codec.decode(bytes, start, end) as Value;
      if (this.#open(stream).push(value, end - start)) return;
      this.cancel(new CallError("RESOURCE_EXHAUSTED", "too much waits to be read"));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.cancel(new CallError("BAD_CODEC", `a message is ${why}`));
    }
  }

  ended(stream: Stream): void {
    this.link?.streamOver();
    this.#open(stream).end();
    this.finish();
  }

  protected failedFor(error: Error): void {
    if (this.#inbox !== undefined) return this.#inbox.end(error);
    this.#error = error;
    this.#begun.resolve();
  }

  #open(stream: Stream): Inbox<Value> {
    if (this.#inbox !== undefined) return this.#inbox;
    const abandoned = () => this.cancel(new CallError("CANCELLED", "nobody reads on"));
    this.#inbox = new Inbox<Value>(stream, this.#credit, abandoned);
    this.#begun.resolve();
    return this.#inbox;
  }
}

/** The sending half of a flow: one message after the other, as the server takes them. */
export class Sender {
  readonly #codec: BodyCodec;
  #stream: Stream | undefined;
  #whenRoom: ((run: () => void) => void) | undefined;
  #waiting: (() => void)[] = [];
  #error: Error | undefined;
  #ended = false;
  /** Messages leave in the order of the calls. */
  #last: Promise<void> = Promise.resolve();

  constructor(codec: BodyCodec) {
    this.#codec = codec;
  }

  started(stream: Stream, whenRoom: (run: () => void) => void): void {
    this.#stream = stream;
    this.#whenRoom = whenRoom;
    this.wake();
  }

  /** Nothing can be sent any more. */
  failed(error: Error): void {
    this.#error ??= error;
    this.wake();
  }

  /** Something has changed: credit, room, the end. */
  readonly wake = (): void => {
    for (const resolve of this.#waiting.splice(0)) resolve();
  };

  /** Resolves once the message is on its way: then the next one may be made. @throws CallError when the stream has ended */
  send(value: unknown): Promise<void> {
    const body = this.#codec.encode(value);
    const sent = this.#last.then(() => this.#send(body));
    this.#last = sent.catch(() => {
      // It is told to whoever sent it; what comes after it fails by itself.
    });
    return sent;
  }

  /** No more messages, once those before have been sent. */
  end(): Promise<void> {
    if (this.#ended) return this.#last;
    this.#ended = true;
    this.#last = this.#last.then(async () => {
      while (this.#stream === undefined && this.#error === undefined) await this.#change();
      if (this.#error === undefined) this.#stream?.session.streams.sendEnd(this.#stream);
    });
    return this.#last;
  }

  async #send(body: Uint8Array): Promise<void> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const stream = this.#stream;
      if (stream !== undefined && stream.sendCredit > 0) {
        if (stream.session.outgoing.hasRoom(0)) {
          return stream.session.streams.send(stream, body, 0, body.length);
        }
        this.#whenRoom?.(this.wake);
      }
      await this.#change();
    }
  }

  #change(): Promise<void> {
    const { promise, resolve } = deferred<void>();
    this.#waiting.push(resolve);
    return promise;
  }
}

/** A client stream: messages to the server, and its one answer at the end. */
export class Upload<Sent, Answer> extends Request {
  /** Settles with the server's answer, or with why there is none. It may come before `end`. */
  readonly answer: Promise<Answer>;
  readonly #sender: Sender;
  readonly #ends = deferred<Answer>();

  constructor(host: RequestHost, name: string, codec: BodyCodec, options: RequestOptions) {
    super(host, KIND.CLIENT_STREAM, name, codec, undefined, options);
    this.#sender = new Sender(codec);
    this.answer = this.#ends.promise;
    // Whoever only sends learns it from `send`.
    this.answer.catch(() => undefined);
  }

  /** Resolves once the message is on its way. @throws CallError */
  send(message: Sent): Promise<void> {
    return this.#sender.send(message);
  }

  /** No more messages; resolves with the answer. @throws CallError */
  end(): Promise<Answer> {
    void this.#sender.end();
    return this.answer;
  }

  protected override get repeatable(): boolean {
    return false;
  }

  protected override started(stream: Stream): void {
    const { link } = this;
    this.#sender.started(stream, (run) => link?.whenRoom(run));
  }

  override credited(): void {
    this.#sender.wake();
  }

  message(_stream: Stream, bytes: Buffer, start: number, end: number): void {
    try {
      this.#ends.resolve(this.codec.decode(bytes, start, end) as Answer);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#ends.reject(new CallError("BAD_CODEC", `the answer is ${why}`));
    }
  }

  ended(stream: Stream): void {
    // What is not sent yet is not wanted any more.
    stream.session.streams.endBack(stream);
    this.link?.streamOver();
    this.fail(new CallError("CANCELLED", "the server has answered"));
  }

  protected failedFor(error: Error): void {
    this.#sender.failed(error);
    this.#ends.reject(error);
  }
}

/** Messages both ways: `send` and `end` for ours, `for await` for the server's. */
export class Duplex<Sent, Value> extends ServerStream<Value> {
  readonly #sender: Sender;
  #endedHere = false;

  constructor(
    host: RequestHost,
    name: string,
    codec: BodyCodec,
    options: RequestOptions,
    credit: number,
  ) {
    super(host, KIND.DUPLEX, name, codec, undefined, options, credit);
    this.#sender = new Sender(codec);
  }

  /** Resolves once the message is on its way. @throws CallError */
  send(message: Sent): Promise<void> {
    return this.#sender.send(message);
  }

  /** No more messages from here; the server's go on. */
  end(): Promise<void> {
    this.#endedHere = true;
    return this.#sender.end();
  }

  protected override get repeatable(): boolean {
    return false;
  }

  protected override started(stream: Stream): void {
    const { link } = this;
    this.#sender.started(stream, (run) => link?.whenRoom(run));
  }

  override credited(): void {
    this.#sender.wake();
  }

  override ended(stream: Stream): void {
    // The server has said all it had to say; a duplex of ours that has not ended may only be ended.
    if (!this.#endedHere) stream.session.streams.endBack(stream);
    this.#sender.failed(new CallError("CANCELLED", "the server has ended the stream"));
    super.ended(stream);
  }

  protected override failedFor(error: Error): void {
    this.#sender.failed(error);
    super.failedFor(error);
  }
}
