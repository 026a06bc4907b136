// Calls and notifications from the server: a table of functions by route. The rest of what a server could open is refused.

import type { Buffer } from "node:buffer";
import type { BodyCodec } from "../protocol/body-codec.ts";
import { BodyError } from "../protocol/body-codec.ts";
import { CallError } from "../protocol/call-error.ts";
import { CODE, ERROR_FLAG, KIND } from "../protocol/codes.ts";
import type { Session } from "../protocol/session.ts";
import type { Stream, StreamOwner } from "../protocol/stream.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";

/** What the server may call, by route; of a notification nothing is sent back. A CallError that is thrown is told. */
export type ServerHandlers = Readonly<Record<string, (input: never) => unknown>>;

export class ServerRequests {
  /** A Map: no name of a peer's ever becomes a property. */
  readonly #handlers: ReadonlyMap<string, (input: never) => unknown>;
  readonly #codecs: ReadonlyMap<number, BodyCodec>;
  readonly #report: (error: unknown) => void;

  constructor(
    handlers: ServerHandlers,
    codecs: ReadonlyMap<number, BodyCodec>,
    report: (error: unknown) => void,
  ) {
    this.#handlers = new Map(Object.entries(handlers));
    this.#codecs = codecs;
    this.#report = report;
  }

  opened(
    session: Session,
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const refuse = (code: number, text: string) => {
      if (stream !== undefined) session.streams.fail(stream, code, text, ERROR_FLAG.NOT_PROCESSED);
    };
    if (open.kind !== KIND.CALL && open.kind !== KIND.NOTIFY) {
      return refuse(CODE.UNIMPLEMENTED, "this client takes calls and notifications only");
    }
    const handler = this.#handlers.get(open.name());
    if (handler === undefined) return refuse(CODE.NOT_FOUND, "no such route");
    const codec = this.#codecs.get(open.codec);
    if (codec === undefined) return refuse(CODE.BAD_CODEC, `there is no codec ${open.codec}`);
    let input: unknown;
    try {
      input = codec.decode(bytes, start, end);
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
      return refuse(CODE.BAD_CODEC, error.message);
    }
    if (stream !== undefined) stream.owner = UNTROUBLED;
    void this.#run(session, stream, handler, input, codec);
  }

  async #run(
    session: Session,
    stream: Stream | undefined,
    handler: (input: never) => unknown,
    input: unknown,
    codec: BodyCodec,
  ): Promise<void> {
    // Those of calls are counted by their streams.
    if (stream === undefined) session.handlers.began("notification");
    try {
      const answer = codec.encode(await handler(input as never));
      if (stream !== undefined) session.streams.answer(stream, answer, 0, answer.length);
    } catch (error) {
      if (!(error instanceof CallError)) this.#report(error);
      if (stream === undefined) return;
      if (error instanceof CallError) {
        session.streams.fail(stream, error.number, error.message, error.eflags);
      } else {
        session.streams.fail(stream, CODE.INTERNAL, "the client's handler failed");
      }
    } finally {
      if (stream === undefined) session.handlers.settled("notification");
    }
  }
}

const ignore = () => {
  // The handler goes on, and its answer ends the stream: at a cancelled one too.
};
const UNTROUBLED: StreamOwner = {
  message: ignore,
  ended: ignore,
  failed: ignore,
  cancelled: ignore,
  credited: ignore,
  expired: ignore,
  cut: ignore,
};
