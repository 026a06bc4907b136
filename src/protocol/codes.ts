// SWP/1: every number that stands for something on the wire. docs/protocol.md is the specification; a test holds its
// tables against these.
//
// Plain objects of numbers: the wire carries the numbers, people and JSON the names.

/** The first bytes of a client's stream: "SWP1\r\n\x1A\n". They show text-mode mangling and are no other protocol's. */
export const PREFACE: readonly number[] = [0x53, 0x57, 0x50, 0x31, 0x0d, 0x0a, 0x1a, 0x0a];
/** The one version that this code speaks. */
export const VERSION = 1;

/** What a frame is. 1 to 15 belong to the connection, 16 to 31 to a stream, 128 and up may be ignored. */
export const FRAME = {
  HELLO: 1,
  WELCOME: 2,
  AUTH: 3,
  PING: 4,
  GOAWAY: 5,
  CREDIT: 6,
  ACK: 7,
  OPEN: 16,
  DATA: 17,
  MSG: 18,
  ERROR: 19,
  CANCEL: 20,
} as const;
/** Frames of this type and above are extensions that a receiver who does not know them skips. */
export const FIRST_IGNORABLE = 128;

export const FLAG = {
  /** The sender's last frame of the stream. On PING: this is the answer. */
  END: 1,
  /** The message goes on in a DATA frame. */
  MORE: 2,
  /** The message is compressed. */
  ZIP: 4,
  /** The frame has a sequence number, and is kept until it is acknowledged. */
  SEQ: 8,
} as const;
/** END on a PING frame. */
export const PING_ACK = FLAG.END;

/** What a stream is for. */
export const KIND = {
  CALL: 0,
  SERVER_STREAM: 1,
  CLIENT_STREAM: 2,
  DUPLEX: 3,
  NOTIFY: 4,
  SUBSCRIBE: 5,
  PUBLISH: 6,
} as const;

/** How bodies are encoded. 16 and up are the application's. */
export const CODEC = { RAW: 0, JSON: 1, MSGPACK: 2, CBOR: 3, UTF8: 4 } as const;

/** What went wrong with a stream: 0 to 16 are gRPC's, 1024 and up the application's. */
export const CODE = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
  /** Not taken on: too many streams, or draining. */
  REFUSED: 32,
  /** Longer than the receiver's largest message. */
  TOO_LARGE: 33,
  /** The codec is unknown, or the body is not what it says. */
  BAD_CODEC: 34,
  /** The body is well-formed and not what the route takes. */
  INVALID_SCHEMA: 35,
  /** More messages than there was credit for. */
  FLOW: 36,
  /** The subscriber did not keep up. */
  SLOW_CONSUMER: 37,
  /** Messages of the subscription are lost for good. */
  GAP: 38,
} as const;
/** Codes from here on are the application's. */
export const FIRST_APPLICATION_CODE = 1024;

/** Bits of an ERROR frame's `eflags`. */
export const ERROR_FLAG = {
  /** Nothing was executed: to try again is safe. */
  NOT_PROCESSED: 1,
  /** To try again later may work. */
  RETRYABLE: 2,
  /** Behind the message stands a body in the stream's codec. */
  DETAIL: 4,
} as const;

/** Why a connection ends. */
export const GOAWAY = {
  DRAIN: 64,
  PROTOCOL: 65,
  FRAME_SIZE: 66,
  VERSION: 67,
  UNKNOWN_FRAME: 68,
  AUTH: 69,
  HANDSHAKE_TIMEOUT: 70,
  KEEPALIVE: 71,
  FLOW: 72,
  CALM: 73,
  INTERNAL: 74,
  SESSION_REPLACED: 75,
  IDLE: 76,
  MOVED: 77,
} as const;

/** Keys in HELLO and WELCOME. */
export const HELLO_KEY = {
  MAX_FRAME: 1,
  MAX_MESSAGE: 2,
  MAX_STREAMS: 3,
  WINDOW: 4,
  KEEPALIVE: 5,
  CODECS: 6,
  COMPRESSIONS: 7,
  AUTH: 8,
  SESSION_ID: 9,
  SESSION_SECRET: 10,
  LAST_SEQ: 11,
  STREAM_CREDIT: 12,
  FEATURES: 13,
  ROUTES: 14,
  SCHEMA_HASH: 15,
  AGENT: 16,
  SERVER_TIME: 17,
  REPLAY_TO: 18,
  ROUTE_SHAPES: 19,
} as const;

/** Keys in an OPEN frame's metadata; 0x4000 and up (without the critical bit) are the application's. */
export const META_KEY = {
  TRACEPARENT: 1,
  IDEMPOTENCY_KEY: 2,
  PRIORITY: 3,
  ATTEMPT: 4,
  QUEUE_GROUP: 5,
  SLOW_POLICY: 6,
  FROM_SEQ: 7,
} as const;
/** Of an idempotency key, in bytes. */
export const LONGEST_IDEMPOTENCY_KEY = 64;
export const FIRST_APPLICATION_KEY = 0x4000;
/** Set in the key of a TLV that must be understood. */
export const CRITICAL = 0x8000;

/** Keys in a GOAWAY frame. */
export const GOAWAY_KEY = { REASON: 1, ADDRESS: 2, VERSIONS: 3, AUTH_METHODS: 8 } as const;

/** Bits of the features TLV. */
export const FEATURE = {
  /** The session survives its connection: SEQ, ACK and resuming. */
  RESUME: 1,
} as const;

export const AUTH_METHOD = {
  NONE: 0,
  TOKEN: 1,
  ED25519: 2,
  SCRAM_SHA_256: 3,
  EXTERNAL: 4,
} as const;

export const COMPRESSION = { ZSTD: 1 } as const;

/** What happens to a subscription whose subscriber does not keep up. */
export const SLOW_POLICY = { DROP_OLDEST: 0, DROP_NEW: 1, LATEST: 2, CLOSE: 3 } as const;

/** The name of a number in one of the tables above, or the number itself. */
export function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  for (const name in table) {
    if (table[name] === value) return name;
  }
  return String(value);
}
