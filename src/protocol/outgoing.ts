// What leaves a session: control frames at once, messages as window, frame size and the transport allow.
//
// The fast path: a message that fits is encoded behind what was written before, and stays there. Only when it may not go (the
// window is used up, it is longer than the peer's frames, the transport is full, or others wait already) its payload is
// taken out again and queued at its stream. Streams that wait take turns, 16 KiB each; ERROR and CANCEL are control frames and
// drop what their stream has queued.
// Invariant: the frames of one stream leave in the order they were sent.

import { Buffer } from "node:buffer";
import { FLAG, FRAME } from "./codes.ts";
import { HEADER_BYTES } from "./frame-reader.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { Stream } from "./stream.ts";
import { FIXED } from "./wire-limits.ts";

/** Messages that wait on one stream, in order. */
export type Outbox = Waiting[];

interface Waiting {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
  /** So many bytes of it must stand in the first frame. */
  readonly head: number;
  /** Bytes that have left. */
  sent: number;
}

/** With so much waiting in the transport, messages wait here. */
const TRANSPORT_FULL = 128 * 1024;

/** What Outgoing needs of its session. */
export interface OutgoingHost {
  readonly writer: FrameWriter;
  /** Bytes that wait in the transport. */
  readonly pendingBytes: number;
  /** Called before anything is written to `writer`. */
  begin(): void;
  /** Its terminal frame is on its way. */
  sentLast(stream: Stream): void;
  /** There is something that waits for the transport: `pump` when it has drained. */
  awaitDrain(): void;
}

export class Outgoing {
  /** Payload bytes of OPEN, DATA and MSG that may still be sent. */
  window: number;
  /** The longest payload that the peer takes. */
  frameBytes: number;
  /** Bytes that wait here. */
  queuedBytes = 0;
  readonly #host: OutgoingHost;
  /** Streams with an outbox, the next one first. */
  #waiting: Stream[] = [];

  constructor(host: OutgoingHost, window: number, frameBytes: number) {
    this.#host = host;
    this.window = window;
    this.frameBytes = frameBytes;
  }

  /** Whether a message with so long a payload would leave at once. */
  hasRoom(length: number): boolean {
    return (
      this.#waiting.length === 0 &&
      length <= this.window &&
      length <= this.frameBytes &&
      this.#host.pendingBytes + this.#host.writer.end < TRANSPORT_FULL
    );
  }

  /**
   * The frame from `start` to the writer's end is a message of this stream: it stays there, or is queued. `head` is what
   * must not be torn apart.
   */
  commit(stream: Stream, start: number, type: number, flags: number, head: number): void {
    const { writer } = this.#host;
    const length = writer.end - start - HEADER_BYTES;
    if (this.hasRoom(length)) {
      this.window -= length;
      if ((flags & FLAG.END) !== 0) this.#host.sentLast(stream);
      return;
    }
    const payload = Buffer.from(writer.bytes.subarray(start + HEADER_BYTES, writer.end));
    writer.end = start;
    this.queuedBytes += length;
    const waiting: Waiting = { type, flags, payload, head, sent: 0 };
    if (stream.outbox === undefined) {
      stream.outbox = [waiting];
      this.#waiting.push(stream);
    } else {
      stream.outbox.push(waiting);
    }
    this.pump();
  }

  /** Forgets what the stream has queued. True when not even its first frame has left. */
  drop(stream: Stream): boolean {
    const { outbox } = stream;
    if (outbox === undefined) return false;
    stream.outbox = undefined;
    this.#waiting = this.#waiting.filter((one) => one !== stream);
    for (const { payload, sent } of outbox) this.queuedBytes -= payload.length - sent;
    return isUnopened(outbox);
  }

  /** Forgets everything that is queued. */
  clear(): void {
    for (const stream of this.#waiting) stream.outbox = undefined;
    this.#waiting = [];
    this.queuedBytes = 0;
  }

  /** Sends of what waits as much as may go. */
  pump(): void {
    const host = this.#host;
    while (this.#waiting.length > 0) {
      if (host.pendingBytes + host.writer.end >= TRANSPORT_FULL) return host.awaitDrain();
      const stream = this.#waiting[0] as Stream;
      if (!this.#sendTurn(stream)) return;
      this.#waiting.shift();
      if (stream.outbox === undefined) continue;
      if (stream.outbox.length === 0) stream.outbox = undefined;
      else this.#waiting.push(stream);
    }
  }

  /** One stream's turn; false when the window does not allow it. */
  #sendTurn(stream: Stream): boolean {
    const outbox = stream.outbox as Outbox;
    let left = FIXED.turnBytes;
    while (left > 0) {
      const first = outbox[0];
      if (first === undefined) return true;
      const rest = first.payload.length - first.sent;
      const whole = stream.id === 0 ? rest : Math.min(rest, Math.max(left, first.head));
      const length = Math.min(whole, this.frameBytes, Math.max(this.window, 0));
      // A message on stream 0, and what stands in front of a body, go in one piece.
      const head = first.sent === 0 ? first.head : 0;
      const least = stream.id === 0 ? rest : Math.max(head, Math.min(rest, 1));
      if (length < least) return false;
      this.#sendPiece(stream, first, length);
      if (first.sent < first.payload.length) left -= length;
      else {
        outbox.shift();
        left -= Math.max(length, 1);
        if ((first.flags & FLAG.END) !== 0) this.#host.sentLast(stream);
        if (stream.outbox === undefined) return true;
      }
    }
    return true;
  }

  #sendPiece(stream: Stream, waiting: Waiting, length: number): void {
    this.#host.begin();
    const { writer } = this.#host;
    const type = waiting.sent === 0 ? waiting.type : FRAME.DATA;
    const last = waiting.sent + length === waiting.payload.length;
    const first = waiting.sent === 0 ? waiting.flags & ~FLAG.END : 0;
    const flags = first | (last ? waiting.flags & FLAG.END : FLAG.MORE);
    const at = writer.frame(length, type, stream.id, flags);
    writer.copy(at, waiting.payload, waiting.sent, waiting.sent + length);
    waiting.sent += length;
    this.window -= length;
    this.queuedBytes -= length;
  }
}

/** Whether not even the OPEN of a stream with this outbox has left: as far as the peer knows there is no such stream. */
export function isUnopened([first]: Outbox): boolean {
  return first !== undefined && first.type === FRAME.OPEN && first.sent === 0;
}
