// Codecs: from a stream of bytes to messages, and back. The interface that built-in and users' codecs share.
//
// The shape is pull: the reactor asks for the next message, so it can stop between two of one chunk when a handler
// is still busy. A decoder does no I/O and knows no connection.

/** A chunk of received bytes and how far it has been read. Owned by the reactor, which uses one again and again. */
export interface Input {
  /** Only `offset` to `end` may be read. */
  readonly bytes: Buffer;
  /** The next unread byte; a decoder moves it forward. */
  offset: number;
  readonly end: number;
  /**
   * True: a message may be a view on `bytes`, valid during the handler's call only. False: whatever leaves
   * `next` must be a copy, safe to keep.
   */
  readonly borrow: boolean;
  /**
   * True: this memory may be kept, a message can be a safe view on `bytes` without a copy. Whoever makes one sets `kept`, and
   * nobody will write there again. A view keeps all of the memory around it, so it pays for large messages only.
   */
  readonly keepable?: boolean;
  /** Set when a message that is safe to keep, and large, was taken: as a view, or copied because `keepable` is false. */
  kept?: boolean;
}

/** The state of one connection's stream. Must take time linear in the bytes, also when they come one by one. */
export interface Decoder<Message> {
  /**
   * The next message, with `input.offset` moved behind it; or undefined when more bytes are needed: then all of
   * the input has been taken (`offset` is `end`) and what is unfinished is kept in here.
   * @throws DecodeError when the stream is broken; nothing more is decoded after that
   */
  next(input: Input): Message | undefined;
  /** Bytes kept of an unfinished message: counted against the memory limit, and > 0 at the end means truncated. */
  readonly pending: number;
  /**
   * The bytes kept of an unfinished message, as they came: `pending` of them. A new decoder that is given these first must go
   * on as this one would. It lets a connection move to another thread; one whose decoder cannot say this stays where it is.
   */
  kept?(): Uint8Array;
}

/** Where an encoder puts its bytes: a connection's send queue. */
export interface Output {
  bytes(data: Uint8Array): void;
  /** As UTF-8. */
  text(data: string): void;
  /** An unsigned integer of 1 to 4 bytes. */
  uint(value: number, byteLength: 1 | 2 | 3 | 4, littleEndian: boolean): void;
}

export interface Codec<Message, Sent = Message> {
  /** For people: shown in errors and statistics. */
  readonly name: string;
  /** A decoder for one connection; one without state may be shared by all. A reactor also makes one that it never uses. */
  decoder(): Decoder<Message>;
  /**
   * Writes one message, whole.
   * @throws RangeError for a message that the codec cannot carry; nothing has been written then
   */
  encode(message: Sent, output: Output): void;
}

/** The peer sent what the codec does not allow; the connection is closed with the reason `"protocol"`. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  /** `EMSGSIZE`: longer than the maximum. `EBADMSG`: malformed. */
  readonly code: "EMSGSIZE" | "EBADMSG";

  constructor(code: "EMSGSIZE" | "EBADMSG", message: string) {
    super(message);
    this.code = code;
  }
}
