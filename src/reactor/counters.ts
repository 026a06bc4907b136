// The counters of one reactor: one writer, any readers. Each reactor has its own cache lines of shared memory, so that
// counting costs an increment and reading them from another thread costs the reactor nothing.

/** Order is the layout. All only grow, but for `connections`, `outputBytes`, `inputBytes` and `subscriptions`. */
export const COUNTERS = [
  "connections",
  "accepted",
  "refused",
  "acceptErrors",
  "closed",
  "messages",
  "bytesReceived",
  "bytesSent",
  "turns",
  "bufferStarvation",
  "handlerErrors",
  "outputBytes",
  "inputBytes",
  "subscriptions",
  "published",
  "deliveries",
  "deliveriesDropped",
  "mailboxFull",
  "mailboxLost",
  "arrived",
  "departed",
  "adopted",
] as const;

export type CounterName = (typeof COUNTERS)[number];
export type Counters = { readonly [Name in CounterName]: number };

export const CONNECTIONS = 0;
export const ACCEPTED = 1;
export const REFUSED = 2;
export const ACCEPT_ERRORS = 3;
export const CLOSED = 4;
export const MESSAGES = 5;
export const BYTES_RECEIVED = 6;
export const BYTES_SENT = 7;
export const TURNS = 8;
export const BUFFER_STARVATION = 9;
export const HANDLER_ERRORS = 10;
export const OUTPUT_BYTES = 11;
export const INPUT_BYTES = 12;
export const SUBSCRIPTIONS = 13;
/** Messages published in this thread. */
export const PUBLISHED = 14;
/** Published messages queued for a subscriber, one for each. */
export const DELIVERIES = 15;
/** Published messages that a subscriber was too slow for. */
export const DELIVERIES_DROPPED = 16;
/** Messages of this thread that another one had no room for, one for each such thread. */
export const MAILBOX_FULL = 17;
/** Messages of other threads that a thread on this seat had not read when it died. */
export const MAILBOX_LOST = 18;
/** Connections that have come from other threads, and gone to them. */
export const ARRIVED = 19;
export const DEPARTED = 20;
/** Of those that have come, the ones whose thread had died. */
export const ADOPTED = 21;

/** Doubles of one reactor: four cache lines of 64 bytes, shared with nobody. */
export const COUNTER_STRIDE = 32;

/** Room for the counters of `reactors` reactors, to be shared between threads. */
export function makeCounters(reactors: number): Float64Array<SharedArrayBuffer> {
  return new Float64Array(new SharedArrayBuffer(reactors * COUNTER_STRIDE * 8));
}

/** The part of one reactor. */
export function countersOf(all: Float64Array, reactor: number): Float64Array {
  return all.subarray(reactor * COUNTER_STRIDE, (reactor + 1) * COUNTER_STRIDE);
}

/** A copy with names. */
export function readCounters(counters: Float64Array): Counters {
  const named: Partial<Record<CounterName, number>> = {};
  COUNTERS.forEach((name, index) => {
    named[name] = counters[index] ?? 0;
  });
  return named as Counters;
}
