// How the tests feed a codec: as a reactor does, only meaner.
//
// One buffer is used again and again. Behind `end` lies the rest of the stream, as if the same bytes had come before,
// and in front of a chunk lie CRs: a decoder that looks too far either way finds endings that have not come. After
// each chunk all of it is overwritten: a message that was no copy changes. Every call checks the decoder's contract.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Codec,
  DecodeError,
  type Decoder,
  type Input,
  type Output,
} from "../../src/codec/codec.ts";

const BEFORE = 7;
const OVERWRITTEN = 0xee;

/** What becomes of a stream; messages of bytes are shown as latin1 strings. */
export interface Outcome {
  readonly messages: unknown[];
  readonly error: string | undefined;
  /** Bytes kept at the end; 0 after an error. */
  readonly pending: number;
}

/** The Input that a reactor makes for each chunk. */
export class Feed implements Input {
  readonly bytes: Buffer;
  offset = 0;
  end = 0;
  readonly borrow: boolean;

  constructor(capacity: number, borrow = false) {
    this.bytes = Buffer.alloc(BEFORE + capacity);
    this.borrow = borrow;
  }

  put(chunk: Uint8Array, behind: Uint8Array): this {
    this.bytes.fill("\r", 0, BEFORE);
    this.bytes.set(chunk, BEFORE);
    this.bytes.set(behind, BEFORE + chunk.length);
    this.offset = BEFORE;
    this.end = BEFORE + chunk.length;
    return this;
  }

  overwrite(): void {
    this.bytes.fill(OVERWRITTEN);
  }
}

export function decode<Message>(
  codec: Codec<Message, never>,
  chunks: readonly Uint8Array[],
  borrow = false,
  moving = false,
): Outcome {
  const stream = Buffer.concat(chunks);
  const feed = new Feed(stream.length, borrow);
  let decoder = codec.decoder();
  const messages: unknown[] = [];
  let fed = 0;
  for (const chunk of chunks) {
    fed += chunk.length;
    feed.put(chunk, stream.subarray(fed));
    try {
      for (;;) {
        const message = decoder.next(feed);
        assert.ok(feed.offset <= feed.end, "a decoder must not read behind the end");
        if (message === undefined) break;
        messages.push(borrow ? shown(message) : message);
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return { messages: messages.map(shown), error: error.code, pending: 0 };
    }
    assert.equal(feed.offset, feed.end, "without a message all input must be taken");
    assert.ok(decoder.pending <= fed, "no more can be pending than has come");
    feed.overwrite();
    if (moving) decoder = moved(codec, decoder);
  }
  return { messages: messages.map(shown), error: undefined, pending: decoder.pending };
}

/** The decoder that goes on in another thread, when this one can say what it keeps. */
function moved<Message>(codec: Codec<Message, never>, decoder: Decoder<Message>): Decoder<Message> {
  const kept = decoder.kept?.();
  if (kept === undefined) return decoder;
  assert.equal(kept.length, decoder.pending);
  const next = codec.decoder();
  const feed = new Feed(kept.length).put(kept, Buffer.alloc(0));
  assert.equal(next.next(feed), undefined, "what is kept is no message");
  feed.overwrite();
  assert.equal(next.pending, decoder.pending);
  return next;
}

function shown(message: unknown): unknown {
  return Buffer.isBuffer(message) ? message.toString("latin1") : message;
}

/** Decodes at every pair of cuts, byte by byte, copied and borrowed; each time it must be as expected. */
export function checkEverySplit<Message>(
  codec: Codec<Message, never>,
  stream: Uint8Array,
  expected: Outcome,
): void {
  for (const borrow of [false, true]) {
    const bytes = cutAt(stream, allOffsets(stream));
    assert.deepEqual(decode(codec, bytes, borrow), expected);
    assert.deepEqual(decode(codec, bytes, borrow, true), expected, "moved after each byte");
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        const outcome = decode(codec, cutAt(stream, [first, second]), borrow);
        assert.deepEqual(outcome, expected, `cut at ${first} and ${second}, borrow: ${borrow}`);
      }
    }
  }
}

/** Decodes random streams at random cuts; each time it must be as the oracle says. */
export function checkAgainst<Message>(
  codec: Codec<Message, never>,
  streams: fc.Arbitrary<Uint8Array>,
  oracle: (stream: Uint8Array) => Outcome,
): void {
  const cuts = fc.array(fc.nat(200), { maxLength: 12 });
  fc.assert(
    fc.property(streams, cuts, fc.boolean(), (stream, offsets, borrow) => {
      const expected = oracle(stream);
      assert.deepEqual(decode(codec, cutAt(stream, offsets), borrow), expected);
      assert.deepEqual(decode(codec, cutAt(stream, offsets), borrow, true), expected, "moved");
      assert.deepEqual(decode(codec, cutAt(stream, allOffsets(stream)), borrow), expected);
    }),
    { numRuns: 1000 },
  );
}

/** What is encoded is decoded, whole and byte by byte. */
export function checkRoundTrip<Sent>(codec: Codec<unknown, Sent>, messages: readonly Sent[]): void {
  const stream = encode(codec, messages);
  const expected: Outcome = {
    messages: messages.map((message) =>
      message instanceof Uint8Array ? Buffer.from(message).toString("latin1") : message,
    ),
    error: undefined,
    pending: 0,
  };
  assert.deepEqual(decode(codec, [stream]), expected);
  assert.deepEqual(decode(codec, cutAt(stream, allOffsets(stream))), expected);
}

export function encode<Sent>(codec: Codec<unknown, Sent>, messages: readonly Sent[]): Buffer {
  const output = new Collected();
  for (const message of messages) codec.encode(message, output);
  return Buffer.concat(output.parts);
}

/** The codec must refuse the message, and must not have written a part of it. */
export function checkRefused<Sent>(
  codec: Codec<unknown, Sent>,
  message: Sent,
  error: assert.AssertPredicate,
): void {
  const output = new Collected();
  assert.throws(() => codec.encode(message, output), error);
  assert.deepEqual(output.parts, [], "nothing may be written of a refused message");
}

class Collected implements Output {
  readonly parts: Buffer[] = [];

  bytes(data: Uint8Array): void {
    this.parts.push(Buffer.from(data));
  }

  text(data: string): void {
    this.parts.push(Buffer.from(data));
  }

  uint(value: number, byteLength: 1 | 2 | 3 | 4, littleEndian: boolean): void {
    const part = Buffer.alloc(byteLength);
    if (littleEndian) part.writeUIntLE(value, 0, byteLength);
    else part.writeUIntBE(value, 0, byteLength);
    this.parts.push(part);
  }
}

export function cutAt(stream: Uint8Array, offsets: readonly number[]): Uint8Array[] {
  const bounds = offsets.map((offset) => Math.min(offset, stream.length)).sort((a, b) => a - b);
  return [...bounds, stream.length].map((bound, index) =>
    stream.subarray(index === 0 ? 0 : bounds[index - 1], bound),
  );
}

export function allOffsets(stream: Uint8Array): number[] {
  return Array.from(stream, (_, index) => index);
}

/** Streams put together from the pieces that matter to a codec. */
export function streamsOf(...pieces: readonly string[]): fc.Arbitrary<Uint8Array> {
  return fc
    .array(fc.constantFrom(...pieces), { maxLength: 40 })
    .map((chosen) => Buffer.from(chosen.join(""), "latin1"));
}

export function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}
