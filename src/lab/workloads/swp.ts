// SWP/1: calls of the route "echo" with raw bodies; the same body must come back on the same stream. Or publications on the
// topic "load", each of which is acknowledged once it is handed to the subscribers. Sizes are those of the bodies.
//
// The tape has one request for each of as many streams, so that the stream of an answer says which body it must be. The first
// piece of a connection has the preface and HELLO in front, and announces a window that no run uses up.

import {
  CODE,
  CODEC,
  FLAG,
  FRAME,
  GOAWAY,
  HELLO_KEY,
  KIND,
  nameOf,
  PREFACE,
} from "../../protocol/codes.ts";
import { encodeHello } from "../../protocol/connection-frames.ts";
import { FrameReader, type FrameSink, InputView } from "../../protocol/frame-reader.ts";
import { FrameWriter } from "../../protocol/frame-writer.ts";
import { decodeError, encodeOpen } from "../../protocol/stream-frames.ts";
import { u32Tlv } from "../../protocol/tlv.ts";
import { WireError } from "../../protocol/wire-error.ts";
import { WIRE_LIMITS } from "../../protocol/wire-limits.ts";
import { Chunk } from "./counted-answers.ts";
import { randomBytes, Tape } from "./tape.ts";
import { AnswerError, type Workload, type WorkloadContext } from "./workload.ts";

/** What is opened for each message, and whether its answer is its body again. */
interface Asked {
  readonly kind: number;
  readonly name: string;
  readonly echoed: boolean;
}

const CALL: Asked = { kind: KIND.CALL, name: "echo", echoed: true };
const PUBLICATION: Asked = { kind: KIND.PUBLISH, name: "load", echoed: false };
/** As many as a server takes at a time by default, and one less than that can be in flight. */
const STREAMS = WIRE_LIMITS.streams.default;
const MIB = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

interface SwpSession {
  request: number;
  answer: number;
  greeted: boolean;
  readonly reader: FrameReader;
  /** 1 for each stream that is not answered yet. */
  readonly open: Uint8Array;
}

export function swp(context: WorkloadContext): Workload {
  return new SwpWorkload(CALL, context);
}

export function swpPublish(context: WorkloadContext): Workload {
  return new SwpWorkload(PUBLICATION, context);
}

class SwpWorkload implements Workload<SwpSession>, FrameSink {
  readonly batch = { offset: 0, length: 0 };
  readonly outputBytes: number;
  /** By the index of their stream. */
  readonly #answers: readonly Buffer[];
  readonly #tape: Tape;
  readonly #greeting = greeting();
  readonly #verify: boolean;
  readonly #report: WorkloadContext["report"];
  readonly #chunk = new Chunk();
  readonly #view = new InputView();
  /** Which calls the last answers belong to: a server may answer a later one first. */
  readonly behind: number[] = [];
  #complete = 0;
  /** Of the connection that is being read. */
  #session: SwpSession | undefined;

  constructor(asked: Asked, { sizes, random, verify, report }: WorkloadContext) {
    const bodies = Array.from({ length: STREAMS }, () => randomBytes(random, sizes.draw(random)));
    this.#answers = bodies.map((body) => (asked.echoed ? body : NOTHING));
    this.#tape = new Tape(bodies.map((body, index) => openFrame(asked, 2 * index + 1, body)));
    this.#verify = verify;
    this.#report = report;
    const bytes = this.#greeting.length + this.#tape.bytes.length;
    this.outputBytes = Math.ceil(bytes / MIB) * MIB;
  }

  attach(output: Buffer): void {
    this.#greeting.copy(output);
    this.#tape.bytes.copy(output, this.#greeting.length);
  }

  session(): SwpSession {
    const reader = new FrameReader(this.#view, WIRE_LIMITS.frameBytes.default);
    return { request: 0, answer: 0, greeted: false, reader, open: new Uint8Array(STREAMS) };
  }

  compose(session: SwpSession, most: number): number {
    // Before WELCOME a client may open 16 streams.
    const free = freeStreams(session, session.greeted ? most : Math.min(most, 16));
    if (free === 0) return 0;
    const first = session.request;
    const taken = this.#tape.compose(session, free);
    session.open.fill(1, first, first + taken);
    const { offset, length } = this.#tape.batch;
    const greeting = this.#greeting.length;
    this.batch.offset = session.greeted ? greeting + offset : 0;
    this.batch.length = session.greeted ? length : greeting + length;
    session.greeted = true;
    return taken;
  }

  received(session: SwpSession, input: Buffer, offset: number, length: number): number {
    this.#complete = 0;
    this.#session = session;
    try {
      session.reader.read(this.#chunk.set(input, offset, length), this);
    } catch (error) {
      // It speaks something else.
      if (!(error instanceof WireError)) throw error;
      throw new AnswerError("WRONG_CONTENT", error.message);
    }
    return this.#complete;
  }

  frame(
    type: number,
    flags: number,
    stream: number,
    bytes: Buffer,
    _view: DataView,
    offset: number,
    length: number,
  ): boolean {
    if (type === FRAME.DATA && (flags & FLAG.END) !== 0)
      this.#answer(stream, bytes, offset, length);
    else if (type === FRAME.ERROR) {
      this.#completed(stream);
      const { code, message } = decodeError(bytes, offset, length);
      this.#report("ERROR_ANSWER", `${nameOf(CODE, code)} ${message}`);
    } else if (type === FRAME.GOAWAY) {
      const code = nameOf(GOAWAY, bytes.readUInt16LE(offset));
      throw new AnswerError("ERROR_ANSWER", `the server ended it: ${code}`);
    }
    return true;
  }

  /** Streams are opened in their order, round and round: the last one opened is the one before the next. */
  #completed(stream: number): void {
    const index = stream >>> 1;
    const session = this.#session;
    if (session?.open[index] !== 1) {
      throw new AnswerError("UNEXPECTED_BYTES", `an answer on stream ${stream}, which is not open`);
    }
    session.open[index] = 0;
    this.behind[this.#complete++] = (session.request - 1 - index + 2 * STREAMS) % STREAMS;
  }

  #answer(stream: number, bytes: Buffer, offset: number, length: number): void {
    this.#completed(stream);
    if (!this.#verify) return;
    const body = this.#answers[stream >>> 1];
    if (body?.compare(bytes, offset, offset + length) === 0) return;
    throw new AnswerError("WRONG_CONTENT", `stream ${stream} has another body than was sent`);
  }
}

/** How many of the next streams are free, at most `most`: one whose call is slow may still be open. */
function freeStreams({ open, request }: SwpSession, most: number): number {
  const end = Math.min(request + most, STREAMS);
  const taken = open.subarray(request, end).indexOf(1);
  return taken < 0 ? end - request : taken;
}

function greeting(): Buffer {
  const writer = new FrameWriter();
  const tlvs = [u32Tlv(HELLO_KEY.WINDOW, WIRE_LIMITS.windowBytes.maximum)];
  encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs });
  return Buffer.concat([Uint8Array.from(PREFACE), writer.bytes.subarray(0, writer.end)]);
}

function openFrame({ kind, name }: Asked, stream: number, body: Buffer): Buffer {
  const writer = new FrameWriter();
  const open = { kind, codec: CODEC.RAW, name };
  encodeOpen(writer, stream, FLAG.END, open, body, 0, body.length);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}
