// The bounds of SWP/1, each with its default and the hard end of what can be asked for. On by default; there is no
// "unlimited".

import { assertLimits, OptionError } from "../limits.ts";

export interface WireLimits {
  /** The longest payload of a frame that is received, in bytes. */
  readonly frameBytes: number;
  /** The longest message that is received, in bytes: reassembled, and decompressed. */
  readonly messageBytes: number;
  /** Streams that the peer may have open at a time. */
  readonly streams: number;
  /** Subscriptions among them. */
  readonly subscriptions: number;
  /** Bytes of OPEN, DATA and MSG payloads that the peer may send before it is granted more. */
  readonly windowBytes: number;
  /** Messages that the peer may send on a new stream before it is granted more. */
  readonly streamCredit: number;
  /** Bytes that may wait to be sent on one connection; beyond it the connection ends. */
  readonly queueBytes: number;
  /** Messages that may wait on one subscription before its slow policy decides. */
  readonly subscriptionQueue: number;
  /** Silence after which a PING is sent; after twice as much the connection is dead. In ms. */
  readonly keepaliveMs: number;
  /** From the first moment to READY, in ms. */
  readonly handshakeMs: number;
  /** How long a cancelled handler may take to settle before its stream is ended over its head, in ms. */
  readonly cancelGraceMs: number;
  /** How long a session outlives its connection, in ms. */
  readonly sessionMs: number;
  /** What may be sent again after a cut, in bytes and messages, for each direction. */
  readonly replayBytes: number;
  readonly replayMessages: number;
  /** PING, AUTH, ACK, CREDIT and ignorable frames a second; four times as many in a burst. */
  readonly controlsPerSecond: number;
  /** CANCEL frames a second; twice as many in a burst. */
  readonly cancelsPerSecond: number;
  /** Empty DATA frames that end nothing, a second; twice as many in a burst. */
  readonly emptiesPerSecond: number;
}

interface Bound {
  readonly unit: "bytes" | "streams" | "messages" | "ms" | "frames";
  readonly default: number;
  readonly minimum: number;
  readonly maximum: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const WIRE_LIMITS: { readonly [Name in keyof WireLimits]: Bound } = {
  frameBytes: { unit: "bytes", default: 64 * KIB, minimum: 4 * KIB, maximum: 16 * MIB - 1 },
  messageBytes: { unit: "bytes", default: MIB, minimum: KIB, maximum: 16 * MIB },
  streams: { unit: "streams", default: 256, minimum: 1, maximum: 65_535 },
  subscriptions: { unit: "streams", default: 1024, minimum: 0, maximum: 65_535 },
  windowBytes: { unit: "bytes", default: MIB, minimum: 64 * KIB, maximum: 1024 * MIB },
  streamCredit: { unit: "messages", default: 16, minimum: 1, maximum: 65_535 },
  queueBytes: { unit: "bytes", default: 4 * MIB, minimum: 64 * KIB, maximum: 256 * MIB },
  subscriptionQueue: { unit: "messages", default: 64, minimum: 1, maximum: 65_535 },
  keepaliveMs: { unit: "ms", default: 15_000, minimum: 1000, maximum: 3_600_000 },
  handshakeMs: { unit: "ms", default: 5000, minimum: 10, maximum: 60_000 },
  cancelGraceMs: { unit: "ms", default: 5000, minimum: 1, maximum: 600_000 },
  sessionMs: { unit: "ms", default: 120_000, minimum: 1, maximum: 3_600_000 },
  replayBytes: { unit: "bytes", default: 256 * KIB, minimum: KIB, maximum: 16 * MIB },
  replayMessages: { unit: "messages", default: 1024, minimum: 1, maximum: 65_535 },
  controlsPerSecond: { unit: "frames", default: 50, minimum: 1, maximum: 1_000_000 },
  cancelsPerSecond: { unit: "frames", default: 100, minimum: 1, maximum: 1_000_000 },
  emptiesPerSecond: { unit: "frames", default: 100, minimum: 1, maximum: 1_000_000 },
};

/** What the protocol fixes, and nobody chooses. */
export const FIXED = {
  /** The longest payload before READY. */
  handshakeFrameBytes: 4 * KIB,
  /** What a client may send before it has read WELCOME. */
  pipelinedOpens: 16,
  pipelinedBytes: 64 * KIB,
  metaBytes: 8 * KIB,
  nameBytes: 255,
  topicTokens: 16,
  errorTextBytes: KIB,
  /** Bodies below this are not worth compressing. */
  compressFromBytes: 4 * KIB,
  /** After so much that was decompressed a connection rests for a ms: the others have their turn. */
  restAfterBytes: MIB,
  /** What one stream may send before it is another one's turn. */
  turnBytes: 16 * KIB,
  /** An acknowledgement is due after so many messages, or so many ms. */
  ackMessages: 32,
  ackMs: 50,
  /** Reassembly and unread messages, in largest messages a connection. */
  reassembledMessages: 4,
} as const;

/**
 * The given limits over the defaults.
 * @throws OptionError for an unknown name or a value out of bounds
 */
export function completeWireLimits(given: Partial<WireLimits> = {}): WireLimits {
  assertLimits(given);
  const entries = Object.entries(WIRE_LIMITS).map(([name, bound]) => [name, bound.default]);
  const complete: Record<string, number> = Object.fromEntries(entries);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const bound = Object.hasOwn(WIRE_LIMITS, name) && WIRE_LIMITS[name as keyof WireLimits];
    if (!bound) {
      throw new OptionError(
        `limits.${name} does not exist; there are ${Object.keys(WIRE_LIMITS).join(", ")}`,
      );
    }
    const { minimum, maximum, unit } = bound;
    if (!Number.isInteger(value) || value < minimum || value > maximum) {
      throw new OptionError(
        `limits.${name} must be an integer from ${minimum} to ${maximum} (${unit}), not ${String(value)}`,
      );
    }
    complete[name] = value;
  }
  return complete as unknown as WireLimits;
}
