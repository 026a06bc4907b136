// One stream of a subscription, as long as its connection lives; the subscription goes on on the next one.

import type { Buffer } from "node:buffer";
import { CallError } from "../protocol/call-error.ts";
import { CODE } from "../protocol/codes.ts";
import { errorFromPeer } from "../protocol/peer-call.ts";
import type { Stream, StreamOwner } from "../protocol/stream.ts";
import type { MsgFrame, StreamError } from "../protocol/stream-frames.ts";
import type { Link } from "./link.ts";
import type { Subscription } from "./subscription.ts";

export class SubscribedStream implements StreamOwner {
  readonly #link: Link;
  readonly #subscription: Subscription<unknown>;

  constructor(link: Link, subscription: Subscription<unknown>) {
    this.#link = link;
    this.#subscription = subscription;
  }

  published(msg: MsgFrame, bytes: Buffer, start: number, end: number): void {
    this.#subscription.received(msg, bytes, start, end);
  }

  message(): void {
    // The session refuses DATA with a body here.
  }

  ended(): void {
    this.#subscription.over(undefined);
  }

  failed(_stream: Stream, error: StreamError): void {
    this.#subscription.failed(errorFromPeer(error, this.#subscription.codec));
  }

  cancelled(): void {
    this.#subscription.over(new CallError("CANCELLED", "cancelled by the server"));
  }

  credited(): void {
    // A subscriber sends nothing.
  }

  expired(): void {
    // A subscription has no deadline.
  }

  cut(stream: Stream): void {
    if (this.#link.resumable) this.#link.hold({ id: stream.id, subscription: this.#subscription });
    else this.#subscription.cut();
  }
}

/** Ends the stream at the server: a subscription is ended by who has it. */
export function unsubscribe(stream: Stream): void {
  stream.session.streams.cancel(stream, CODE.CANCELLED);
}
