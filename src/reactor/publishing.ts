// Publishing: from one message to every connection that is subscribed to its topic, in this thread and in the others.
//
// A message goes through the codec once, into one buffer; from there its bytes are copied into the send queue of each
// subscriber here, and into the mailbox of each other thread, which does the same.
//
// A slow subscriber must harm nobody: one that is above its high-water mark is passed over (or closed), and when output
// memory is scarce so is everyone who has something waiting. What is passed over is counted.
// Invariant: a connection is in the tree under exactly the topics of its own set, and under none once it is closed.

import { Buffer } from "node:buffer";
import type { Codec, Output } from "../codec/codec.ts";
import type { Context } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import { checkPattern, checkTopic, TopicTree } from "../topics.ts";
import type { Closing } from "./closing.ts";
import { GONE, OUTPUT_ENDING, type ReactorConnection } from "./connection.ts";
import { DELIVERIES, DELIVERIES_DROPPED, PUBLISHED, SUBSCRIPTIONS } from "./counters.ts";
import type { OutputArena } from "./output-arena.ts";
import type { ReactorOptions } from "./reactor-options.ts";
import type { Writing } from "./writing.ts";

/** A subscriber that does not read fast enough: is not sent this message, or is closed (reason `overflow`). */
export type SlowSubscriberPolicy = "drop" | "close";

/** The way to the other threads of the server. */
export interface Mail {
  readonly context: Context<never>;
  /** The longest topic and message that can be published together, in bytes. */
  readonly longestBytes: number;
  /** Hands bytes to every other thread; false when one of them has no room. */
  publishElsewhere(topic: string, bytes: Uint8Array): boolean;
  /** Before a wait of the driver: false when something has come, and the wait must not be. */
  fallAsleep(): boolean;
  /** After it: takes what has come. */
  receive(): void;
}

/** What a subscriber's bytes go through. */
interface Ways<Message, Sent, State> {
  readonly writing: Writing<Message, Sent, State>;
  readonly closing: Closing<Message, Sent, State>;
}

/** Share of the output memory above which only those are sent published messages who have nothing waiting. */
const SCARCE = 0.8;

export class Publishing<Message, Sent, State> {
  readonly #mail: Mail | undefined;
  readonly #slow: SlowSubscriberPolicy;
  readonly #limits: Limits;
  readonly #counters: Float64Array;
  readonly #codec: Codec<Message, Sent>;
  readonly #arena: OutputArena;
  readonly #ways: Ways<Message, Sent, State>;
  readonly #subscribers = new TopicTree<ReactorConnection<Message, Sent, State>>();
  readonly #encoded = new GatheredOutput();

  constructor(
    options: Pick<
      ReactorOptions<Message, Sent, State>,
      "mail" | "slowSubscriber" | "limits" | "counters"
    >,
    codec: Codec<Message, Sent>,
    arena: OutputArena,
    ways: Ways<Message, Sent, State>,
  ) {
    this.#mail = options.mail;
    this.#slow = options.slowSubscriber ?? "drop";
    this.#limits = options.limits;
    this.#counters = options.counters;
    this.#codec = codec;
    this.#arena = arena;
    this.#ways = ways;
  }

  get context(): Context<Sent> {
    if (this.#mail !== undefined) return this.#mail.context as Context<Sent>;
    throw new Error("only connections of a server have a context: this one was made by connect()");
  }

  subscribe(connection: ReactorConnection<Message, Sent, State>, topic: string): boolean {
    checkPattern(topic);
    const { topics } = connection;
    if (topics?.has(topic)) return true;
    if ((connection.flags & (OUTPUT_ENDING | GONE)) !== 0) return false;
    const { connectionSubscriptions, subscriptions } = this.#limits;
    if ((topics?.size ?? 0) >= connectionSubscriptions) return false;
    if (this.#subscribers.size >= subscriptions) return false;
    if (topics === undefined) connection.topics = new Set([topic]);
    else topics.add(topic);
    this.#subscribers.add(topic, connection);
    this.#counters[SUBSCRIPTIONS] = this.#subscribers.size;
    return true;
  }

  unsubscribe(connection: ReactorConnection<Message, Sent, State>, topic: string): boolean {
    if (!connection.topics?.delete(topic)) return false;
    this.#subscribers.delete(topic, connection);
    this.#counters[SUBSCRIPTIONS] = this.#subscribers.size;
    return true;
  }

  /** The connection has closed, or leaves this reactor. */
  forget(connection: ReactorConnection<Message, Sent, State>): void {
    const { topics } = connection;
    if (topics === undefined) return;
    connection.topics = undefined;
    for (const topic of topics) this.#subscribers.delete(topic, connection);
    this.#counters[SUBSCRIPTIONS] = this.#subscribers.size;
  }

  /** Through the codec (of the connection that publishes, or the server's), to all threads. See Context.publish. */
  publish(
    except: ReactorConnection<Message, Sent, State> | undefined,
    topic: string,
    message: Sent,
  ): boolean {
    const codec = except?.table.codec ?? this.#codec;
    this.#encoded.begin();
    codec.encode(message, this.#encoded);
    return this.publishBytes(except, topic, this.#encoded.gathered());
  }

  /** As `publish`, for bytes as they are. */
  publishBytes(
    except: ReactorConnection<Message, Sent, State> | undefined,
    topic: string,
    bytes: Uint8Array,
  ): boolean {
    checkPublished(topic, bytes, this.#mail?.longestBytes ?? this.#limits.mailboxBytes);
    this.#counters[PUBLISHED] = (this.#counters[PUBLISHED] as number) + 1;
    const reached = this.#mail?.publishElsewhere(topic, bytes) ?? true;
    this.deliver(topic, bytes, except);
    return reached;
  }

  /** To the subscribers of this thread. */
  deliver(
    topic: string,
    bytes: Uint8Array,
    except: ReactorConnection<Message, Sent, State> | undefined,
  ): void {
    const subscribers = this.#subscribers.matching(topic);
    if (subscribers === undefined) return;
    const { highWaterBytes, connectionOutputBytes } = this.#limits;
    const { writing, closing } = this.#ways;
    const arena = this.#arena;
    const most = Math.min(highWaterBytes, connectionOutputBytes - bytes.length);
    const scarce = arena.capacity * SCARCE;
    let delivered = 0;
    let dropped = 0;
    for (const connection of subscribers) {
      if (connection === except || (connection.flags & (OUTPUT_ENDING | GONE)) !== 0) continue;
      if (connection.pendingBytes <= (arena.inUse > scarce ? 0 : most)) {
        writing.write(connection, bytes);
        delivered++;
      } else {
        if (this.#slow === "close") closing.terminate(connection, "overflow", undefined, true);
        dropped++;
      }
    }
    const counters = this.#counters;
    counters[DELIVERIES] = (counters[DELIVERIES] as number) + delivered;
    counters[DELIVERIES_DROPPED] = (counters[DELIVERIES_DROPPED] as number) + dropped;
  }
}

/** @throws RangeError for a topic that is none, or more than a mailbox can carry */
export function checkPublished(topic: string, bytes: Uint8Array, longestBytes: number): void {
  checkTopic(topic);
  if (Buffer.byteLength(topic) + bytes.length <= longestBytes) return;
  throw new RangeError(
    `a topic and a message of ${bytes.length} bytes do not fit a mailbox (${longestBytes} bytes): ` +
      "raise limits.mailboxBytes, or publish less at once",
  );
}

const FIRST_BYTES = 4096;
/** More memory than this is not kept for the next message. */
const KEPT_BYTES = 1024 * 1024;

/** An encoder's output in one piece, in memory that the next one overwrites. */
class GatheredOutput implements Output {
  length = 0;
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);

  begin(): void {
    this.length = 0;
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  gathered(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  bytes(data: Uint8Array): void {
    const at = this.#room(data.length);
    this.#bytes.set(data, at);
  }

  text(data: string): void {
    const at = this.#room(Buffer.byteLength(data));
    this.#bytes.write(data, at);
  }

  uint(value: number, byteLength: 1 | 2 | 3 | 4, littleEndian: boolean): void {
    const at = this.#room(byteLength);
    if (littleEndian) this.#bytes.writeUIntLE(value, at, byteLength);
    else this.#bytes.writeUIntBE(value, at, byteLength);
  }

  /** Where `length` more bytes go, in `#bytes` as it is after this call. */
  #room(length: number): number {
    const at = this.length;
    this.length += length;
    if (this.length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.length, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }
}
