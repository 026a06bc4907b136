// What a connection is served with: the user's handlers, their codec, and who is told of what they throw.
//
// One for all connections that a reactor accepts; one for each `connect`, since every outgoing connection may speak another
// protocol. Made once, so that a connection costs one reference to it and a message no decision.

import type { Codec } from "../codec/codec.ts";
import { raw } from "../codec/raw.ts";
import type { Handlers } from "../handlers.ts";
import { type Compute, type PlainHandlers, withComputing } from "./computing.ts";

export interface HandlerTable<Message, Sent, State> {
  readonly handlers: PlainHandlers<Message, Sent, State>;
  readonly codec: Codec<Message, Sent>;
  readonly borrow: boolean;
  /** Told of everything a handler throws. */
  readonly report: (error: unknown) => void;
}

export function handlerTable<Message, Sent, State>(
  handlers: Handlers<Message, Sent, State>,
  report: (error: unknown) => void,
  compute?: Compute,
): HandlerTable<Message, Sent, State> {
  return {
    handlers: withComputing(handlers, compute),
    // Without a codec a message is a Buffer: that is what the types' defaults say.
    codec: handlers.codec ?? (raw() as unknown as Codec<Message, Sent>),
    borrow: handlers.borrow === true,
    report,
  };
}
