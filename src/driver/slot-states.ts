// What a slot of a raw driver is doing, as bits of its flags.
//
// Invariant: a free slot has none; CLOSING, DETACHING and SETTLED are only ever added.

export const LISTENING = 1 << 0;
export const CONNECTED = 1 << 1;
export const CONNECTING = 1 << 2;
/** The reactor wants bytes, or connections. */
export const WANTED = 1 << 3;
/** A receive, an accept, a send, a cancel is under way. */
export const RECEIVING = 1 << 4;
export const ACCEPTING = 1 << 5;
export const SENDING = 1 << 6;
export const CANCELLING = 1 << 7;
/** The end of the stream, or an error, has been delivered. */
export const ENDED = 1 << 8;
export const CLOSING = 1 << 9;
/** Closing, but the descriptor lives on. */
export const DETACHING = 1 << 10;
/** The last rung of closing has been taken. */
export const SETTLED = 1 << 11;
/** Other reactors accept from this listener too. */
export const SHARED = 1 << 12;
/** The listener's descriptor belongs to someone else. */
export const FOREIGN = 1 << 13;
/** First bit that a subclass may use for itself. */
export const MECHANISM = 1 << 14;

/** Whether what was read for a slot in this state is delivered: also while it is being detached. */
export function isReceived(flags: number): boolean {
  return flags !== 0 && (flags & (CLOSING | DETACHING)) !== CLOSING;
}
