// What this side sends on streams, for one session: opening them, messages, and the ends.
//
// The terminal frames and who is told: END goes behind what is queued, ERROR and CANCEL jump over it. At the responder a
// stream is forgotten when its terminal has left, at the opener when the responder's has come too.

import { Buffer } from "node:buffer";
import { CODE, FLAG, FRAME, GOAWAY, KIND } from "./codes.ts";
import { HEADER_BYTES } from "./frame-reader.ts";
import { PHASE } from "./handshake.ts";
import type { Session } from "./session.ts";
import { flowsDown, flowsUp, Stream, type StreamOwner, StreamTable } from "./stream.ts";
import {
  encodeCancel,
  encodeData,
  encodeError,
  encodeMsg,
  encodeOpen,
  MSG_FIXED,
  type Open,
} from "./stream-frames.ts";
import { FIXED } from "./wire-limits.ts";

const NOTHING = Buffer.alloc(0);

export class OutgoingStreams {
  /** Opened by this side. */
  readonly table: StreamTable;
  readonly #session: Session;
  readonly #odd: number;
  #opened = 0;
  #subscriptions = 0;
  /** Stands for stream 0, where something is queued for it. */
  #zero: Stream | undefined;

  constructor(session: Session, odd: boolean) {
    this.#session = session;
    this.#odd = odd ? 1 : 0;
    this.table = new StreamTable(odd);
  }

  /** Whether a stream (other than a subscription) can be opened now. */
  get canOpen(): boolean {
    const session = this.#session;
    if (session.peerGoaway !== undefined || session.closed) return false;
    if (this.table.count - this.#subscriptions >= session.peer.streams) return false;
    if (session.ready) return true;
    const { phase, pipelines } = session.handshake;
    return phase === PHASE.WELCOME && pipelines && this.#opened < FIXED.pipelinedOpens;
  }

  /**
   * Opens a stream; undefined when the peer takes no more of them now. For kinds whose opener sends one message, the
   * body is that one and END is set; for the others there is no body.
   * @throws RangeError for a name or metadata that is too long
   */
  open(open: Open, body: Uint8Array, owner: StreamOwner | undefined): Stream | undefined {
    if (!this.canOpen) return undefined;
    const session = this.#session;
    const id = 2 * this.table.freeIndex() + this.#odd;
    const sends = flowsUp(open.kind) ? session.peer.streamCredit : 0;
    const receives = flowsDown(open.kind) ? (open.credit ?? 0) : 0;
    const stream = new Stream(session, id, open.kind, open.codec, true, sends, receives);
    stream.owner = owner;
    stream.ending = !flowsUp(open.kind);
    const packed = session.packing?.pack(body);
    const sent = packed ?? body;
    const flags = (stream.ending ? FLAG.END : 0) | (packed === undefined ? 0 : FLAG.ZIP);
    const start = this.#encodeOpen(id, flags, open, sent);
    stream.ordinal = ++this.#opened;
    this.table.set(stream);
    if (open.kind === KIND.SUBSCRIBE) this.#subscriptions++;
    const head = session.writer.end - start - HEADER_BYTES - sent.length;
    this.#commit(stream, start, FRAME.OPEN, flags, head);
    return stream;
  }

  /**
   * A notification or a publication that nobody answers, on stream 0.
   * @throws RangeError for what does not fit into one frame
   */
  announce(open: Open, body: Uint8Array): void {
    const session = this.#session;
    if (session.closed) return;
    const { replay } = session;
    const flags = FLAG.END | (replay === undefined ? 0 : FLAG.SEQ);
    const seq = replay?.next() ?? 0;
    const start = this.#encodeOpen(0, flags, open, body, seq);
    this.#keep(0, FRAME.OPEN, flags, seq, start, 0);
    this.#commit(this.#streamZero(), start, FRAME.OPEN, flags, 0);
  }

  #streamZero(): Stream {
    this.#zero ??= new Stream(this.#session, 0, KIND.NOTIFY, 0, true, 0, 0);
    return this.#zero;
  }

  /** A numbered message is kept until it is acknowledged: the frame from `start` to the writer's end. */
  #keep(
    stream: number,
    type: number,
    flags: number,
    seq: number,
    start: number,
    head: number,
  ): void {
    const { replay, writer } = this.#session;
    if (replay === undefined) return;
    const payload = Buffer.from(writer.bytes.subarray(start + HEADER_BYTES, writer.end));
    replay.keep({ seq, stream, type, flags, payload, head });
  }

  /** Sends again what the peer has not got: everything kept after `seq`. */
  resend(seq: number): void {
    const session = this.#session;
    for (const frame of session.replay?.after(seq) ?? []) {
      const { stream: id, type, flags, payload, head } = frame;
      const stream = id === 0 ? this.#streamZero() : session.incoming.table.get(id);
      if (stream === undefined) continue;
      session.begin();
      const start = session.writer.end;
      const at = session.writer.frame(payload.length, type, id, flags);
      session.writer.copy(at, payload, 0, payload.length);
      this.#commit(stream, start, type, flags, head);
    }
  }

  /** A subscription of ours that has survived its connection. */
  restore(id: number, codec: number, credit: number, owner: StreamOwner): Stream {
    const stream = new Stream(this.#session, id, KIND.SUBSCRIBE, codec, true, 0, credit);
    stream.owner = owner;
    stream.localDone = true;
    stream.ending = true;
    this.table.set(stream);
    this.#subscriptions++;
    return stream;
  }

  #encodeOpen(id: number, flags: number, open: Open, body: Uint8Array, seq = 0): number {
    const session = this.#session;
    session.begin();
    const { writer } = session;
    const start = writer.end;
    encodeOpen(writer, id, flags, open, body, 0, body.length, seq);
    const length = writer.end - start - HEADER_BYTES;
    const whole = id === 0 ? length : length - body.length;
    if (whole <= session.outgoing.frameBytes) return start;
    writer.end = start;
    throw new RangeError(
      `${whole} bytes must go in one frame, and the peer takes ${session.outgoing.frameBytes}`,
    );
  }

  /** One message of a flow; there must be credit for it. */
  send(stream: Stream, body: Uint8Array, start: number, end: number): void {
    if (this.#over(stream)) return;
    if (stream.sendCredit <= 0)
      throw new Error("a message without credit: a bug, please report it");
    stream.sendCredit--;
    this.#sendData(stream, 0, body, start, end);
  }

  /** The answer of a call or of a client stream. */
  answer(stream: Stream, body: Uint8Array, start: number, end: number): void {
    if (this.#over(stream)) return;
    stream.ending = true;
    this.#sendData(stream, FLAG.END, body, start, end);
  }

  /** No more messages. */
  sendEnd(stream: Stream): void {
    if (this.#over(stream)) return;
    stream.ending = true;
    this.#sendData(stream, FLAG.END, NOTHING, 0, 0);
  }

  /** One message of a subscription, its topic in front of the body; there must be credit for it. */
  publish(
    stream: Stream,
    dropped: number,
    seq: number,
    topicAndBody: Uint8Array,
    topicLength: number,
    packed = false,
  ): void {
    if (this.#over(stream)) return;
    stream.sendCredit--;
    const session = this.#session;
    session.begin();
    const start = session.writer.end;
    const { length } = topicAndBody;
    const { replay } = session;
    const flags = (packed ? FLAG.ZIP : 0) | (replay === undefined ? 0 : FLAG.SEQ);
    const number = replay?.next() ?? seq;
    encodeMsg(
      session.writer,
      stream.id,
      flags,
      dropped,
      number,
      topicAndBody,
      topicLength,
      0,
      length,
    );
    this.#keep(stream.id, FRAME.MSG, flags, number, start, MSG_FIXED + topicLength);
    this.#commit(stream, start, FRAME.MSG, flags, MSG_FIXED + topicLength);
  }

  #sendData(stream: Stream, flags: number, body: Uint8Array, start: number, end: number): void {
    const session = this.#session;
    session.begin();
    const at = session.writer.end;
    const worth = end - start >= FIXED.compressFromBytes;
    const packed = worth ? session.packing?.pack(body.subarray(start, end)) : undefined;
    if (packed === undefined) encodeData(session.writer, stream.id, flags, body, start, end);
    else encodeData(session.writer, stream.id, flags | FLAG.ZIP, packed, 0, packed.length);
    this.#commit(stream, at, FRAME.DATA, packed === undefined ? flags : flags | FLAG.ZIP, 0);
  }

  #commit(stream: Stream, start: number, type: number, flags: number, head: number): void {
    const session = this.#session;
    session.allowance.earn();
    session.outgoing.commit(stream, start, type, flags, head);
    if (session.outgoing.queuedBytes > session.limits.queueBytes) {
      session.abort(GOAWAY.CALM, "more waits to be sent than may");
    }
  }

  #over(stream: Stream): boolean {
    return stream.localDone || stream.ending || this.#session.closed;
  }

  // The ends.

  /** Ends our side with ERROR, whatever is still queued. */
  fail(
    stream: Stream,
    code: number,
    message: string,
    eflags = 0,
    detail: Uint8Array = NOTHING,
    retryAfterMs = 0,
  ): void {
    if (stream.localDone || this.#session.closed) return;
    const session = this.#session;
    session.outgoing.drop(stream);
    session.begin();
    encodeError(session.writer, stream.id, { code, eflags, retryAfterMs, message, detail });
    session.sentLast(stream);
  }

  /** Wants nothing more of a stream that we opened, and ends our side. Its owner is told nothing more. */
  cancel(stream: Stream, code: number): void {
    stream.owner = undefined;
    const session = this.#session;
    if (session.closed || stream.remoteDone) return;
    stream.part?.drop();
    stream.part = undefined;
    if (session.outgoing.drop(stream)) {
      // It was never opened as far as the peer knows.
      stream.localDone = true;
      stream.remoteDone = true;
      this.#opened--;
      return session.forgetIfOver(stream);
    }
    session.begin();
    encodeCancel(session.writer, stream.id, code);
    session.sentLast(stream);
  }

  /** It cannot go on, for what the peer sent on it: both the peer and the owner are told. */
  giveUp(stream: Stream, code: number, message: string): void {
    const { owner } = stream;
    if (stream.mine) this.cancel(stream, code);
    else {
      stream.owner = undefined;
      stream.part?.drop();
      stream.part = undefined;
      stream.remoteDone = true;
      this.fail(stream, code, message);
    }
    owner?.failed(stream, { code, eflags: 0, retryAfterMs: 0, message, detail: NOTHING });
  }

  /** The responder has ended a stream that we opened: so do we, if we have not. */
  endBack(stream: Stream): void {
    if (stream.localDone) return;
    this.#session.outgoing.drop(stream);
    stream.ending = false;
    this.sendEnd(stream);
  }

  /** The opener wants nothing more: what is queued for it need not be sent. */
  cancelled(stream: Stream): void {
    if (stream.ending) this.fail(stream, CODE.CANCELLED, "cancelled");
  }

  freed(stream: Stream): void {
    if (this.table.get(stream.id) !== stream) return;
    if (stream.kind === KIND.SUBSCRIBE) this.#subscriptions--;
    this.table.delete(stream);
  }
}
