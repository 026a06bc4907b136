// One session: the state machine of SWP/1 over one connection, the same for both ends, without I/O. Bytes and times go in,
// bytes and calls come out; a server, a client and a simulation all stand on it.
//
// Its parts: handshake.ts (how it begins), incoming-streams.ts and outgoing-streams.ts (streams, credit, window),
// outgoing.ts (what may leave when), allowance.ts and keepalive.ts. Here: frames to parts, and the end. The two roles differ
// in their handshake and in the parity of the ids they open, and in nothing else: a server may call a client.
// Invariant: once closed nothing is written, and every stream's owner has been told.

import { Buffer } from "node:buffer";
import type { Input } from "../codec/codec.ts";
import { Acknowledging } from "./acknowledging.ts";
import { Allowance } from "./allowance.ts";
import { FIRST_IGNORABLE, FLAG, FRAME, GOAWAY, GOAWAY_KEY, KIND, PING_ACK } from "./codes.ts";
import type { Compression } from "./compression.ts";
import {
  checkPing,
  checkStreamZero,
  decodeAck,
  decodeCredit,
  decodeGoaway,
  encodeCredit,
  encodeGoaway,
  encodePing,
  type Goaway,
} from "./connection-frames.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { Handshake, PHASE } from "./handshake.ts";
import { IncomingStreams } from "./incoming-streams.ts";
import { Outgoing, type OutgoingHost } from "./outgoing.ts";
import { OutgoingStreams } from "./outgoing-streams.ts";
import { type Peer, UNTOLD } from "./peer.ts";
import type { Replay } from "./replay.ts";
import { RunningHandlers } from "./running-handlers.ts";
import type { SessionEnd, SessionEvents, Transport } from "./session-events.ts";
import { SessionTime } from "./session-time.ts";
import { flowsUp, type Stream } from "./stream.ts";
import { encodeError } from "./stream-frames.ts";
import { type Tlv, textTlv } from "./tlv.ts";
import type { Wire, Writing } from "./wire.ts";
import { protocolError, WireError } from "./wire-error.ts";
import { FIXED, type WireLimits } from "./wire-limits.ts";

export interface SessionOptions {
  readonly role: "client" | "server";
  readonly wire: Wire;
  readonly limits: WireLimits;
  readonly transport: Transport;
  readonly events: SessionEvents;
  /** Codecs that are understood here, in the order of preference. */
  readonly codecs: readonly number[];
  /** In force when the peer has it too. */
  readonly compression?: Compression | undefined;
}

const NOTHING = Buffer.alloc(0);

export class Session implements FrameSink, OutgoingHost, Writing {
  readonly wire: Wire;
  readonly limits: WireLimits;
  readonly events: SessionEvents;
  readonly role: "client" | "server";
  readonly handshake: Handshake;
  readonly reader: FrameReader;
  readonly outgoing: Outgoing;
  readonly incoming: IncomingStreams;
  readonly streams: OutgoingStreams;
  readonly allowance: Allowance;
  readonly time: SessionTime;
  readonly acknowledging: Acknowledging;
  /** What this side has of it; see `packing`. */
  readonly compression: Compression | undefined;
  /** What the peer has told of itself; the defaults before that. */
  peer: Peer = UNTOLD;
  /** In force once it is there: set before the session is ready. */
  replay: Replay | undefined = undefined;
  /** GOAWAY was sent: no new streams of the peer's are taken on. */
  draining = false;
  /** What the peer's GOAWAY said. */
  peerGoaway: Goaway | undefined = undefined;
  readonly handlers = new RunningHandlers(this);
  readonly transport: Transport;
  #closed = false;

  constructor(options: SessionOptions) {
    this.wire = options.wire;
    this.limits = options.limits;
    this.events = options.events;
    this.role = options.role;
    this.compression = options.compression;
    this.transport = options.transport;
    const server = options.role === "server";
    this.reader = new FrameReader(options.wire.inputView, FIXED.handshakeFrameBytes);
    this.outgoing = new Outgoing(this, FIXED.pipelinedBytes, FIXED.handshakeFrameBytes);
    this.incoming = new IncomingStreams(this, options.limits, server);
    this.streams = new OutgoingStreams(this, !server);
    this.handshake = new Handshake(this, options.codecs);
    this.allowance = new Allowance(options.limits);
    this.time = new SessionTime(this);
    this.acknowledging = new Acknowledging(this);
  }

  /** The compression that both sides have. */
  get packing(): Compression | undefined {
    const { compression } = this;
    if (compression === undefined || !this.peer.compressions.includes(compression.id))
      return undefined;
    return compression;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get ready(): boolean {
    return this.handshake.phase === PHASE.READY;
  }

  get writer(): FrameWriter {
    return this.wire.writer;
  }

  get pendingBytes(): number {
    return this.transport.pendingBytes;
  }

  isMine(id: number): boolean {
    return ((id & 1) === 1) === (this.role === "client");
  }

  // Bytes in.

  /** Takes what has come. While the transport is paused some of the input may be left: it is to be given again. */
  receive(input: Input): void {
    if (this.#closed) {
      input.offset = input.end;
      return;
    }
    this.time.heard();
    try {
      if (this.handshake.preface(input)) this.reader.read(input, this);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.end(error.goaway, this.handshake.explain(error));
    } finally {
      if (this.#closed) input.offset = input.end;
      this.wire.flush();
    }
  }

  frame(
    type: number,
    flags: number,
    id: number,
    bytes: Buffer,
    view: DataView,
    offset: number,
    length: number,
  ): boolean {
    if (this.handshake.phase < PHASE.READY) {
      if (type >= FIRST_IGNORABLE) this.allowance.control(this.time.heardMs);
      else this.handshake.frame(type, id, bytes, offset, length);
      return !this.#closed && this.handshake.phase !== PHASE.JUDGING;
    }
    switch (type) {
      case FRAME.OPEN:
        this.incoming.open(flags, id, bytes, view, offset, length);
        break;
      case FRAME.DATA:
        this.incoming.data(flags, id, bytes, offset, length);
        break;
      case FRAME.MSG:
        this.incoming.msg(flags, id, bytes, view, offset, length);
        break;
      case FRAME.ERROR:
        this.incoming.error(id, bytes, offset, length);
        break;
      case FRAME.CANCEL:
        this.allowance.cancel(this.time.heardMs);
        this.incoming.cancel(id, view, offset, length);
        break;
      case FRAME.CREDIT:
        this.allowance.answer(this.time.heardMs);
        this.#credit(id, decodeCredit(view, offset, length));
        break;
      case FRAME.ACK:
        this.allowance.answer(this.time.heardMs);
        checkStreamZero(type, id);
        this.acknowledging.received(decodeAck(view, offset, length));
        break;
      default:
        this.#control(type, flags, id, bytes, view, offset, length);
    }
    return !this.#closed && !this.time.resting && !this.handlers.crowded;
  }

  #control(
    type: number,
    flags: number,
    id: number,
    bytes: Buffer,
    view: DataView,
    offset: number,
    length: number,
  ): void {
    this.allowance.control(this.time.heardMs);
    if (type >= FIRST_IGNORABLE) return;
    // All types of streams are handled by now; what nobody knows may have any stream.
    if (type < FRAME.HELLO || type > FRAME.GOAWAY) {
      throw new WireError(GOAWAY.UNKNOWN_FRAME, `a frame of type ${type} is not known here`);
    }
    checkStreamZero(type, id);
    switch (type) {
      case FRAME.PING:
        checkPing(length);
        if ((flags & PING_ACK) !== 0) return this.replay?.welcomeArrived();
        return this.#pong(view, offset);
      case FRAME.GOAWAY:
        return this.goneAway(decodeGoaway(bytes, offset, length));
      case FRAME.AUTH:
        return this.handshake.frame(type, id, bytes, offset, length);
      default:
        throw protocolError("HELLO or WELCOME after the handshake");
    }
  }

  #pong(view: DataView, offset: number): void {
    const [low, high] = [view.getUint32(offset, true), view.getUint32(offset + 4, true)];
    this.begin();
    encodePing(this.writer, low, high, true);
  }

  #credit(id: number, add: number): void {
    if (id !== 0) return this.incoming.credit(id, add);
    if (this.outgoing.window + add > 0x7fff_ffff) {
      throw new WireError(GOAWAY.FLOW, "a window beyond 2^31-1");
    }
    this.outgoing.window += add;
    this.#pump();
  }

  /** GOAWAY has come. */
  goneAway(goaway: Goaway): void {
    this.peerGoaway = goaway;
    this.events.goaway(goaway);
    if (goaway.code === GOAWAY.DRAIN) return;
    this.#finish({ code: goaway.code, reason: "the peer ended it", byPeer: true }, false);
  }

  // From the parts to the owner.

  /** `bytes` are those that the frame of the moment (wire.open) was decoded from. */
  opened(stream: Stream | undefined, flags: number, bytes: Buffer): void {
    const { open } = this.wire;
    // Also where nobody looks at it: a critical key that is not known must be refused.
    if (open.metaLength > 0) open.meta();
    if (stream !== undefined) {
      stream.remoteDone = (flags & FLAG.END) !== 0;
      if (open.kind === KIND.NOTIFY) throw protocolError("a notification has stream 0");
      if (!stream.remoteDone && !flowsUp(open.kind)) {
        throw protocolError(`OPEN of kind ${open.kind} without END`);
      }
    }
    if ((flags & FLAG.ZIP) === 0) {
      return this.events.opened(stream, open, bytes, open.body, open.end);
    }
    const body = this.incoming.unpack(stream, bytes, open.body, open.end);
    if (body !== undefined) this.events.opened(stream, open, body, 0, body.length);
  }

  published(stream: Stream, flags: number, bytes: Buffer): void {
    const { msg } = this.wire;
    if ((flags & FLAG.ZIP) === 0) {
      return this.events.published(stream, msg, bytes, msg.body, msg.end);
    }
    const body = this.incoming.unpack(stream, bytes, msg.body, msg.end);
    if (body !== undefined) this.events.published(stream, msg, body, 0, body.length);
  }

  countEmpty(): void {
    this.allowance.empty(this.time.heardMs);
  }

  // Bytes out.

  begin(): void {
    this.wire.begin(this);
  }

  flush(): void {
    const { writer } = this;
    const { end } = writer;
    writer.end = 0;
    if (end > 0 && !this.#closed) this.transport.write(writer.bytes, 0, end);
  }

  awaitDrain(): void {
    this.transport.awaitDrain();
  }

  /** The transport has little left to send. */
  drained(): void {
    if (!this.#closed) this.#pump();
  }

  #pump(): void {
    this.outgoing.pump();
    if (this.outgoing.hasRoom(0)) this.events.roomAgain();
  }

  sendCredit(id: number, add: number): void {
    this.begin();
    encodeCredit(this.writer, id, add);
  }

  /** The peer may send so many messages more on a stream. */
  grant(stream: Stream, add: number): void {
    if (stream.remoteDone || this.#closed || add <= 0) return;
    stream.receiveCredit += add;
    this.sendCredit(stream.id, add);
  }

  /** An ERROR for a stream that has no state here. */
  sendError(id: number, code: number, message: string, eflags: number): void {
    this.begin();
    encodeError(this.writer, id, { code, eflags, retryAfterMs: 0, message, detail: NOTHING });
  }

  /** Our terminal frame is on its way. */
  sentLast(stream: Stream): void {
    if (stream.id === 0) return;
    stream.localDone = true;
    this.forgetIfOver(stream);
  }

  forgetIfOver(stream: Stream): void {
    if (!stream.localDone || (stream.mine && !stream.remoteDone)) return;
    stream.deadlineMs = 0;
    stream.remoteDone = true;
    this.incoming.freed(stream);
    if (stream.mine) this.streams.freed(stream);
  }

  // The end.

  /** No new streams of the peer's from here on; those in flight go on. */
  drain(drainMs: number, reconnectMs: number, tlvs: readonly Tlv[] = []): void {
    if (this.draining || this.#closed) return;
    this.draining = true;
    this.#sendGoaway(GOAWAY.DRAIN, drainMs, reconnectMs, tlvs);
  }

  /** Says why, and ends. */
  end(code: number, reason: string, tlvs: readonly Tlv[] = []): void {
    if (this.#closed) return;
    this.#sendGoaway(code, 0, 0, [textTlv(GOAWAY_KEY.REASON, reason), ...tlvs]);
    this.#finish({ code, reason, byPeer: false }, false);
  }

  /** Ends at once. */
  abort(code: number, reason: string): void {
    if (!this.#closed) this.#finish({ code, reason, byPeer: false }, true);
  }

  /** Sends what is there, and ends. */
  close(): void {
    if (!this.#closed) this.#finish({ code: undefined, reason: "closed", byPeer: false }, false);
  }

  /** The connection is gone; without `abort` only the peer's half of it. */
  disconnected(reason: string, abort = true): void {
    if (this.#closed) return;
    this.#finish({ code: this.peerGoaway?.code, reason, byPeer: true }, abort);
  }

  #sendGoaway(code: number, drainMs: number, reconnectMs: number, tlvs: readonly Tlv[]): void {
    if (this.handshake.phase === PHASE.PREFACE) return;
    this.begin();
    const lastOpen = this.incoming.opens;
    encodeGoaway(this.writer, { code, lastOpen, drainMs, reconnectMs, tlvs });
  }

  #finish(end: SessionEnd, abort: boolean): void {
    this.wire.flush();
    this.#closed = true;
    this.handshake.phase = PHASE.CLOSED;
    this.wire.agenda.remove(this.time);
    this.outgoing.clear();
    this.transport.close(abort);
    for (const stream of [...this.incoming.table.list(), ...this.streams.table.list()]) {
      const { owner } = stream;
      stream.owner = undefined;
      stream.part?.drop();
      stream.part = undefined;
      owner?.cut(stream);
    }
    this.events.ended(end);
  }
}
