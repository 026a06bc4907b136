// What stands on either side of a session: the transport that its bytes go to, and the owner that it tells.

import type { Goaway } from "./connection-frames.ts";
import type { HandshakeEvents } from "./handshake.ts";
import type { Stream } from "./stream.ts";
import type { MsgFrame, OpenFrame } from "./stream-frames.ts";

/** Where a session's bytes go. */
export interface Transport {
  /** Bytes that were written and have not left. */
  readonly pendingBytes: number;
  /** Takes `bytes[start, end)`; they are somebody else's after the call. */
  write(bytes: Buffer, start: number, end: number): void;
  /** `session.drained()` is to be called once little waits. */
  awaitDrain(): void;
  /** What comes is to wait until `resume`, and so is what is left of the input of the moment. */
  pause(): void;
  resume(): void;
  /** Ends after what was written; with `abort` at once. */
  close(abort: boolean): void;
}

/** How a session ended. */
export interface SessionEnd {
  /** One of GOAWAY, where a side said why. */
  readonly code: number | undefined;
  readonly reason: string;
  readonly byPeer: boolean;
}

/** What a session tells its owner. */
export interface SessionEvents extends HandshakeEvents {
  /**
   * The peer opens a stream: `open` and the body at `[start, end)` of `bytes` are valid during the call. Without a stream it is a
   * notification or an unacknowledged publication. A stream needs an owner or an answer before the call returns.
   */
  opened(
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void;
  /** A message of a subscription, valid during the call. */
  published(stream: Stream, msg: MsgFrame, bytes: Buffer, start: number, end: number): void;
  /** There may be room for messages again after `outgoing.hasRoom` was false. */
  roomAgain(): void;
  /** The peer takes no more streams, or ends. */
  goaway(goaway: Goaway): void;
  /** The end, once. */
  ended(end: SessionEnd): void;
}
