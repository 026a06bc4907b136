// What the peer sends on streams, for one session: who may open what, whose message it is, what is still owed.
//
// Three accounts: streams (a table with a bound), messages (credit, per stream), bytes (the window, per connection). Every
// payload of OPEN, DATA and MSG is charged to the window when it comes, and credited back when nobody holds it any more: at
// once, unless a reader keeps it (`hold`). What is discarded is credited like everything else.

import { CODE, ERROR_FLAG, FLAG, FRAME, GOAWAY, KIND, nameOf } from "./codes.ts";
import { isUnopened } from "./outgoing.ts";
import { HeldBytes, MessagePart } from "./reassembly.ts";
import type { Session } from "./session.ts";
import { flowsDown, flowsUp, Stream, StreamTable } from "./stream.ts";
import { decodeCancel, decodeError } from "./stream-frames.ts";
import { protocolError, WireError } from "./wire-error.ts";
import { FIXED, type WireLimits } from "./wire-limits.ts";

/** In messages, for one stream. */
const MOST_CREDIT = 0x7fff_ffff;

/** What a reader keeps counts against the window, or else against what may be held beside it. */
export type Holding = "window" | "beside";

export class IncomingStreams {
  /** Opened by the peer. */
  readonly table: StreamTable;
  /** OPEN frames on streams other than 0. */
  opens = 0;
  readonly #session: Session;
  readonly #limits: WireLimits;
  readonly #held: HeldBytes;
  /** What the peer may still send, in bytes. */
  #window: number;
  /** What it may be granted. */
  #owed = 0;
  /** What readers keep of the window. */
  #keptOfWindow = 0;
  #subscriptions = 0;

  constructor(session: Session, limits: WireLimits, odd: boolean) {
    this.#session = session;
    this.#limits = limits;
    this.table = new StreamTable(odd);
    this.#window = limits.windowBytes;
    this.#held = new HeldBytes(FIXED.reassembledMessages * limits.messageBytes);
  }

  open(
    flags: number,
    id: number,
    bytes: Buffer,
    view: DataView,
    offset: number,
    length: number,
  ): void {
    this.#charge(length);
    const open = this.#session.wire.open;
    open.decode(flags, bytes, view, offset, length);
    const more = (flags & FLAG.MORE) !== 0;
    if (more && ((flags & FLAG.END) !== 0 || id === 0)) {
      throw protocolError("MORE with END, or on stream 0");
    }
    if (id === 0) {
      this.#owe(length);
      if (open.kind !== KIND.NOTIFY && open.kind !== KIND.PUBLISH) {
        throw protocolError(`OPEN of kind ${open.kind} on stream 0`);
      }
      if ((flags & FLAG.SEQ) !== 0 && !this.#session.acknowledging.take(open.seq)) return;
      return this.#session.opened(undefined, flags, bytes);
    }
    if ((flags & FLAG.SEQ) !== 0) throw protocolError("SEQ on a stream that does not survive");
    if (this.#session.isMine(id)) throw protocolError(`stream ${id} is not the peer's to open`);
    if (this.table.get(id) !== undefined) throw protocolError(`stream ${id} is open already`);
    this.opens++;
    this.#owe(length);
    const stream = this.#admit(flags, id);
    if (stream === undefined) return;
    if (!more) return this.#session.opened(stream, flags, bytes);
    this.#begin(stream, FRAME.OPEN, flags, open.body - offset, bytes, offset, length);
  }

  /** A whole OPEN that came in pieces. */
  #openWhole(stream: Stream, flags: number, bytes: Buffer): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#session.wire.open.decode(flags, bytes, view, 0, bytes.length);
    this.#session.opened(stream, flags, bytes);
  }

  /** Undefined when it was refused. */
  #admit(flags: number, id: number): Stream | undefined {
    const { open } = this.#session.wire;
    const subscribes = open.kind === KIND.SUBSCRIBE;
    const most = this.#limits.streams + this.#limits.subscriptions;
    const full = subscribes
      ? this.#subscriptions >= this.#limits.subscriptions
      : this.table.count - this.#subscriptions + this.#session.handlers.outliving >=
        this.#limits.streams;
    if (id >>> 1 > most + 1) throw protocolError(`stream ${id} is not the smallest free one`);
    if (full || this.#session.draining || open.kind > KIND.PUBLISH) {
      this.table.pass(id);
      const unknown = open.kind > KIND.PUBLISH;
      const code = unknown ? CODE.UNIMPLEMENTED : CODE.REFUSED;
      const why = unknown ? "no such kind" : full ? "too many streams" : "draining";
      const eflags = ERROR_FLAG.NOT_PROCESSED | (unknown ? 0 : ERROR_FLAG.RETRYABLE);
      this.#session.sendError(id, code, why, eflags);
      return undefined;
    }
    const sends = flowsDown(open.kind) ? open.credit : 0;
    if (sends > MOST_CREDIT) throw new WireError(GOAWAY.FLOW, "credit beyond 2^31-1");
    const receives = flowsUp(open.kind) ? this.#limits.streamCredit : 0;
    const stream = new Stream(this.#session, id, open.kind, open.codec, false, sends, receives);
    stream.remoteDone = (flags & FLAG.END) !== 0;
    this.table.set(stream);
    if (subscribes) this.#subscriptions++;
    return stream;
  }

  data(flags: number, id: number, bytes: Buffer, offset: number, length: number): void {
    this.#charge(length);
    const stream = this.#find(id, "DATA");
    if (length === 0 && (flags & FLAG.END) === 0) this.#session.countEmpty();
    if (stream === undefined || stream.remoteDone) return this.#owe(length);
    const more = (flags & FLAG.MORE) !== 0;
    if (more && (flags & FLAG.END) !== 0) throw protocolError("MORE with END");
    const { part } = stream;
    if (part === undefined && !more) {
      if ((flags & FLAG.END) !== 0) stream.remoteDone = true;
      return this.#message(stream, flags, bytes, offset, offset + length, length);
    }
    // Pieces are copied, so they are credited at once.
    this.#owe(length);
    if (part === undefined) return this.#begin(stream, FRAME.DATA, flags, 0, bytes, offset, length);
    if (!this.#add(stream, part, bytes, offset, length) || more) return;
    stream.part = undefined;
    const whole = part.take();
    const all = (part.flags & ~FLAG.MORE) | (flags & FLAG.END);
    if ((flags & FLAG.END) !== 0) stream.remoteDone = true;
    if (part.type === FRAME.OPEN) this.#openWhole(stream, all, whole);
    else if (part.type === FRAME.MSG) this.#msgWhole(stream, all, whole);
    else this.#message(stream, all, whole, 0, whole.length, 0);
  }

  msg(
    flags: number,
    id: number,
    bytes: Buffer,
    view: DataView,
    offset: number,
    length: number,
  ): void {
    this.#charge(length);
    this.#owe(length);
    const { msg } = this.#session.wire;
    msg.decode(bytes, view, offset, length);
    const stream = this.#find(id, "MSG");
    if (stream === undefined || stream.remoteDone) return;
    if (!stream.mine || stream.kind !== KIND.SUBSCRIBE || (flags & FLAG.END) !== 0) {
      throw protocolError("MSG on what is no subscription, or with END");
    }
    if (stream.part !== undefined) throw protocolError("a message inside another one");
    if ((flags & FLAG.MORE) !== 0) {
      return this.#begin(stream, FRAME.MSG, flags, msg.body - offset, bytes, offset, length);
    }
    this.#deliverMsg(stream, flags, bytes);
  }

  #msgWhole(stream: Stream, flags: number, bytes: Buffer): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#session.wire.msg.decode(bytes, view, 0, bytes.length);
    this.#deliverMsg(stream, flags, bytes);
  }

  #deliverMsg(stream: Stream, flags: number, bytes: Buffer): void {
    const { seq } = this.#session.wire.msg;
    const numbered = (flags & FLAG.SEQ) !== 0;
    if (numbered && !this.#session.acknowledging.take(seq)) return;
    const free = numbered && this.#session.replay?.isReplay(seq) === true;
    if (!free && !this.#spendCredit(stream)) return;
    this.#session.published(stream, flags, bytes);
  }

  credit(id: number, add: number): void {
    const stream = this.#find(id, "CREDIT");
    if (stream === undefined || stream.localDone) return;
    stream.sendCredit += add;
    if (stream.sendCredit > MOST_CREDIT) throw new WireError(GOAWAY.FLOW, "credit beyond 2^31-1");
    stream.owner?.credited(stream);
  }

  error(id: number, bytes: Buffer, offset: number, length: number): void {
    const error = decodeError(bytes, offset, length);
    const stream = this.#find(id, "ERROR");
    if (stream === undefined || stream.remoteDone) return;
    if (this.#remoteLast(stream)) return;
    // The opener has nobody left to send to.
    if (stream.mine) this.#session.streams.endBack(stream);
    stream.owner?.failed(stream, error);
    this.#session.forgetIfOver(stream);
  }

  cancel(id: number, view: DataView, offset: number, length: number): void {
    const code = decodeCancel(view, offset, length);
    const stream = this.#find(id, "CANCEL");
    if (stream === undefined || this.#remoteLast(stream)) return;
    if (stream.mine) this.#session.streams.endBack(stream);
    else if (stream.owner !== undefined || stream.localDone)
      this.#session.streams.cancelled(stream);
    // Its request is not whole: nobody knows of it yet, and nobody else will end it.
    else this.#session.streams.fail(stream, CODE.CANCELLED, "cancelled");
    stream.owner?.cancelled(stream, code);
    this.#session.forgetIfOver(stream);
  }

  /** True when it was never whole enough to be opened here, and is over with that. */
  #remoteLast(stream: Stream): boolean {
    const unopened = stream.part?.type === FRAME.OPEN;
    stream.remoteDone = true;
    stream.part?.drop();
    stream.part = undefined;
    if (unopened) this.#session.streams.fail(stream, CODE.CANCELLED, "cancelled");
    return unopened;
  }

  /** A subscription that has survived its connection, with the credit that it was opened with. */
  restore(id: number, codec: number, credit: number): Stream {
    const stream = new Stream(this.#session, id, KIND.SUBSCRIBE, codec, false, credit, 0);
    stream.remoteDone = true;
    this.table.set(stream);
    this.#subscriptions++;
    return stream;
  }

  /** The peer's stream is over at this side. */
  freed(stream: Stream): void {
    stream.part?.drop();
    stream.part = undefined;
    if (stream.mine) return;
    if (stream.kind === KIND.SUBSCRIBE && this.table.get(stream.id) === stream)
      this.#subscriptions--;
    this.table.delete(stream);
  }

  /** Keeps `bytes` of a message for a reader. Undefined: there is no room, and the stream must fail. */
  hold(bytes: number): Holding | undefined {
    if (this.#keptOfWindow + bytes <= this.#limits.windowBytes / 2) {
      this.#keptOfWindow += bytes;
      this.#owed -= bytes;
      return "window";
    }
    return this.#held.take(bytes) ? "beside" : undefined;
  }

  /** The reader has taken it. */
  release(bytes: number, holding: Holding): void {
    if (this.#session.closed) return;
    if (holding === "beside") return this.#held.give(bytes);
    this.#keptOfWindow -= bytes;
    this.#owe(bytes);
  }

  /** The stream, whoever opened it; undefined for one that is over. */
  #find(id: number, what: string): Stream | undefined {
    const table = this.#session.isMine(id) ? this.#session.streams.table : this.table;
    const stream = id === 0 ? undefined : table.get(id);
    if (stream !== undefined) {
      // What comes before its OPEN has left is for the one that had the id before.
      return stream.outbox !== undefined && isUnopened(stream.outbox) ? undefined : stream;
    }
    if (id === 0 || !table.seen(id))
      throw protocolError(`${what} for stream ${id}, which never was`);
    return undefined;
  }

  #charge(length: number): void {
    this.#window -= length;
    if (this.#window < 0) throw new WireError(GOAWAY.FLOW, "more bytes than the window had left");
  }

  #owe(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < this.#limits.windowBytes / 2) return;
    this.#session.sendCredit(0, this.#owed);
    this.#window += this.#owed;
    this.#owed = 0;
  }

  #begin(
    stream: Stream,
    type: number,
    flags: number,
    head: number,
    bytes: Buffer,
    offset: number,
    length: number,
  ): void {
    const part = new MessagePart(type, flags, head, this.#limits.messageBytes, this.#held);
    stream.part = part;
    this.#add(stream, part, bytes, offset, length);
  }

  /** False when the message cannot become whole: its stream has failed. */
  #add(stream: Stream, part: MessagePart, bytes: Buffer, offset: number, length: number): boolean {
    const why = part.add(bytes, offset, length);
    if (why === undefined) return true;
    const code = why === "too-large" ? CODE.TOO_LARGE : CODE.RESOURCE_EXHAUSTED;
    this.#session.streams.giveUp(
      stream,
      code,
      why === "too-large" ? "the message is too large" : "too many messages in pieces",
    );
    return false;
  }

  /** `charged` bytes of it are not credited back yet. */
  #message(
    stream: Stream,
    flags: number,
    bytes: Buffer,
    start: number,
    end: number,
    charged: number,
  ): void {
    const last = (flags & FLAG.END) !== 0;
    const flow = stream.receivesMessages;
    const none = flow ? last && start === end : !last;
    if (stream.mine && stream.kind === KIND.SUBSCRIBE && !none) {
      throw protocolError("DATA with a body on a subscription");
    }
    // The answer of a call comes with END; a flow ends with an empty frame that is no message.
    if (none && !flow && end > start)
      throw protocolError(`a message on a ${nameOf(KIND, stream.kind)} without END`);
    this.#owe(charged);
    if (none && !last) return;
    if (end - start > this.#limits.messageBytes) {
      return this.#session.streams.giveUp(stream, CODE.TOO_LARGE, "the message is too large");
    }
    if (!none && (!flow || this.#spendCredit(stream))) {
      this.#deliver(stream, flags, bytes, start, end);
    }
    if (!last) return;
    stream.owner?.ended(stream);
    // The responder has forgotten the stream: nobody is there to send to.
    if (stream.mine) this.#session.streams.endBack(stream);
    this.#session.forgetIfOver(stream);
  }

  #deliver(stream: Stream, flags: number, bytes: Buffer, start: number, end: number): void {
    if ((flags & FLAG.ZIP) === 0) return stream.owner?.message(stream, bytes, start, end);
    const body = this.unpack(stream, bytes, start, end);
    if (body !== undefined) stream.owner?.message(stream, body, 0, body.length);
  }

  /** A compressed body; undefined when it cannot be: then its stream, if it has one, has failed. */
  unpack(
    stream: Stream | undefined,
    bytes: Buffer,
    start: number,
    end: number,
  ): Buffer | undefined {
    const { packing, streams, time } = this.#session;
    if (packing === undefined) throw protocolError("ZIP, which was not agreed on");
    const { messageBytes } = this.#limits;
    const body = packing.unpack(bytes, start, end, messageBytes);
    // What turned out wrong may have cost as much as anything.
    time.unpacked(body instanceof Uint8Array ? body.length : messageBytes);
    if (body instanceof Uint8Array) return body;
    const large = body === "too-large";
    const [code, why] = large
      ? ([CODE.TOO_LARGE, "the message is too large"] as const)
      : ([CODE.BAD_CODEC, "the body cannot be decompressed"] as const);
    if (stream !== undefined) streams.giveUp(stream, code, why);
    return undefined;
  }

  #spendCredit(stream: Stream): boolean {
    if (stream.receiveCredit > 0) {
      stream.receiveCredit--;
      return true;
    }
    this.#session.streams.giveUp(stream, CODE.FLOW, "more messages than there was credit for");
    return false;
  }
}
