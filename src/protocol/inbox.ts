// The messages of one stream until somebody reads them: `for await` over what a peer sends, with backpressure.
//
// The peer has credit for `batch` messages; half a batch read is half a batch granted. What is not read counts against the
// connection (IncomingStreams.hold), and a stream that holds more than a quarter of the window is granted nothing more
// until it is read. Whoever stops early (break, return) ends the stream.

import { deferred } from "../deferred.ts";
import type { Holding } from "./incoming-streams.ts";
import type { Stream } from "./stream.ts";

interface Unread<Value> {
  readonly value: Value;
  readonly bytes: number;
  readonly holding: Holding;
}

/** A stream may hold so much of the window before it gets no new credit. */
const SHARE = 4;

export class Inbox<Value> implements AsyncIterableIterator<Value> {
  readonly #stream: Stream;
  readonly #batch: number;
  /** Called when the reader stops before the end. */
  readonly #abandoned: () => void;
  #unread: Unread<Value>[] = [];
  #held = 0;
  /** Read, and not granted again. */
  #read = 0;
  #waiting: PromiseWithResolvers<IteratorResult<Value>>[] = [];
  #over = false;
  #error: Error | undefined;

  constructor(stream: Stream, batch: number, abandoned: () => void) {
    this.#stream = stream;
    this.#batch = batch;
    this.#abandoned = abandoned;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** A message of `bytes` has come. False: there is no room for it, and the stream must fail. */
  push(value: Value, bytes: number): boolean {
    if (this.#over) return true;
    const reader = this.#waiting.shift();
    if (reader !== undefined) {
      reader.resolve({ value, done: false });
      this.#wasRead();
      return true;
    }
    const holding = this.#stream.session.incoming.hold(bytes);
    if (holding === undefined) return false;
    this.#held += bytes;
    this.#unread.push({ value, bytes, holding });
    return true;
  }

  /** No more messages: those that are there can still be read, and then comes the end, or the error. */
  end(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (this.#error === undefined) resolve({ value: undefined, done: true });
      else reject(this.#takeError());
    }
  }

  next(): Promise<IteratorResult<Value>> {
    const first = this.#unread.shift();
    if (first !== undefined) {
      this.#release(first);
      this.#wasRead();
      return Promise.resolve({ value: first.value, done: false });
    }
    if (this.#error !== undefined) return Promise.reject(this.#takeError());
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    const reader = deferred<IteratorResult<Value>>();
    this.#waiting.push(reader);
    return reader.promise;
  }

  return(): Promise<IteratorResult<Value>> {
    this.drop();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** Nothing more is read: what is there is given back, and whoever sends is told. */
  drop(): void {
    for (const unread of this.#unread.splice(0)) this.#release(unread);
    this.#error = undefined;
    if (this.#over) return;
    this.end();
    this.#abandoned();
  }

  /** An error is told once; after it there is only the end. */
  #takeError(): Error {
    const error = this.#error ?? new Error("the stream has failed");
    this.#error = undefined;
    return error;
  }

  #release({ bytes, holding }: Unread<Value>): void {
    this.#held -= bytes;
    this.#stream.session.incoming.release(bytes, holding);
  }

  #wasRead(): void {
    this.#read++;
    const { session } = this.#stream;
    if (this.#over || 2 * this.#read < this.#batch) return;
    if (this.#held > session.limits.windowBytes / SHARE) return;
    session.grant(this.#stream, this.#read);
    this.#read = 0;
  }
}
