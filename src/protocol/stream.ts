// One stream of a session: a call, a flow of messages or a subscription; and the table of those that one side opened.
//
// Every stream ends with exactly one terminal frame (END, ERROR or CANCEL) from each side: `localDone` and `remoteDone`.
// At the responder it is gone when its own terminal is sent; at the opener when both have passed. That makes it safe to use
// the smallest free id again, so a table is a dense array, and nobody can open streams faster than they are ended.

import { KIND } from "./codes.ts";
import type { Outbox } from "./outgoing.ts";
import type { MessagePart } from "./reassembly.ts";
import type { Session } from "./session.ts";
import type { StreamError } from "./stream-frames.ts";

/** What a stream's messages and its end go to. Nothing is told after `ended`, `failed`, `cancelled` or `cut`… */
export interface StreamOwner {
  /** A whole message at `[start, end)`, valid during the call. */
  message(stream: Stream, bytes: Buffer, start: number, end: number): void;
  /** The peer's END: no more messages. */
  ended(stream: Stream): void;
  /** The peer's ERROR. */
  failed(stream: Stream, error: StreamError): void;
  /** The peer's CANCEL: nothing more is wanted, and nothing more comes. */
  cancelled(stream: Stream, code: number): void;
  /** More messages may be sent. */
  credited(stream: Stream): void;
  /** The deadline has passed. */
  expired(stream: Stream): void;
  /** The connection is gone, and the stream with it. */
  cut(stream: Stream): void;
}

export class Stream {
  readonly session: Session;
  readonly id: number;
  readonly kind: number;
  readonly codec: number;
  /** This side opened it. */
  readonly mine: boolean;
  localDone = false;
  remoteDone = false;
  /** Its last message was handed in, and may still wait to be sent. */
  ending = false;
  /** Which of the opener's OPENs it was, from 1: see GOAWAY's last_open. */
  ordinal = 0;
  /** Messages that may still be sent, and that the peer may still send. */
  sendCredit: number;
  receiveCredit: number;
  owner: StreamOwner | undefined = undefined;
  /** In the session's time; 0 is none. */
  deadlineMs = 0;
  /** A message of which only pieces have come. */
  part: MessagePart | undefined = undefined;
  /** What waits to be sent. */
  outbox: Outbox | undefined = undefined;

  constructor(
    session: Session,
    id: number,
    kind: number,
    codec: number,
    mine: boolean,
    sendCredit: number,
    receiveCredit: number,
  ) {
    this.session = session;
    this.id = id;
    this.kind = kind;
    this.codec = codec;
    this.mine = mine;
    this.sendCredit = sendCredit;
    this.receiveCredit = receiveCredit;
  }

  /** Whether this side may send messages that need credit. */
  get sendsMessages(): boolean {
    return this.mine ? flowsUp(this.kind) : flowsDown(this.kind);
  }

  /** Whether the peer may. */
  get receivesMessages(): boolean {
    return this.mine ? flowsDown(this.kind) : flowsUp(this.kind);
  }
}

/** The opener sends a flow of messages. */
export function flowsUp(kind: number): boolean {
  return kind === KIND.CLIENT_STREAM || kind === KIND.DUPLEX;
}

/** The responder does. */
export function flowsDown(kind: number): boolean {
  return kind === KIND.SERVER_STREAM || kind === KIND.DUPLEX || kind === KIND.SUBSCRIBE;
}

/** Up to here a table has no more room than it needs: most sessions are idle, and `push` makes room for 17. */
const SHORT = 4;

/** The streams of one side, by index: stream id / 2, rounded down. */
export class StreamTable {
  #streams: (Stream | undefined)[] = [];
  /** Everything below is taken. */
  #lowest: number;
  readonly #first: number;
  /** How many there are. */
  count = 0;

  /** Ids are odd for the client (from 1), even for the server (from 2). */
  constructor(odd: boolean) {
    this.#first = odd ? 0 : 1;
    this.#lowest = this.#first;
  }

  /** By its id; undefined when it is free. */
  get(id: number): Stream | undefined {
    return this.#streams[id >>> 1];
  }

  /** Whether this id has ever been in use. */
  seen(id: number): boolean {
    return id >>> 1 < this.#streams.length;
  }

  /** The smallest free index. */
  freeIndex(): number {
    while (this.#streams[this.#lowest] !== undefined) this.#lowest++;
    return this.#lowest;
  }

  set(stream: Stream): void {
    const index = stream.id >>> 1;
    this.#growTo(index + 1);
    this.#streams[index] = stream;
    this.count++;
  }

  /** Marks an id as seen without a stream: one that was refused at once. */
  pass(id: number): void {
    this.#growTo((id >>> 1) + 1);
  }

  /** Dense: no holes, whatever id the peer chose. */
  #growTo(length: number): void {
    const streams = this.#streams;
    if (streams.length >= length) return;
    if (length <= SHORT) this.#streams = Array.from({ length }, (_, index) => streams[index]);
    else while (streams.length < length) streams.push(undefined);
  }

  delete(stream: Stream): void {
    const index = stream.id >>> 1;
    if (this.#streams[index] !== stream) return;
    this.#streams[index] = undefined;
    this.count--;
    if (index < this.#lowest) this.#lowest = Math.max(index, this.#first);
  }

  /** All there are now; streams may be deleted meanwhile. */
  list(): Stream[] {
    return this.#streams.filter((stream) => stream !== undefined);
  }
}
