// What goes over the wire in a simulation: a codec, and a second, obvious implementation of it for the ledgers.

import { Buffer } from "node:buffer";
import type { Codec } from "../../src/codec/codec.ts";
import { lengthPrefix } from "../../src/codec/length-prefix.ts";
import { lines } from "../../src/codec/lines.ts";
import { raw } from "../../src/codec/raw.ts";
import type { Random } from "../../src/driver/random.ts";

/** The longest message that anyone sends who keeps to the rules. */
export const LONGEST_MESSAGE = 16_384;
const A = 97;
const LETTERS = 26;

export interface Wire {
  readonly name: string;
  readonly codec: Codec<unknown, unknown>;
  /** Messages keep their borders. */
  readonly framed: boolean;
  /** A message as it travels. */
  frame(content: Buffer): Buffer;
  /** What the handler is given, and what it gives to `send`. */
  toMessage(content: Buffer): Buffer | string;
  toContent(message: unknown): Buffer;
  /** Bytes that the codec refuses; undefined when it takes everything. */
  readonly garbage: Buffer | undefined;
}

const RAW: Wire = {
  name: "raw",
  codec: raw() as Codec<unknown, unknown>,
  framed: false,
  frame: (content) => content,
  toMessage: (content) => content,
  toContent: bytesOf,
  garbage: undefined,
};

const LINES: Wire = {
  name: "lines",
  codec: lines({ maximumBytes: LONGEST_MESSAGE }) as Codec<unknown, unknown>,
  framed: true,
  frame: (content) => Buffer.concat([content, Buffer.from("\n")]),
  toMessage: (content) => content.toString("latin1"),
  toContent: (message) => Buffer.from(String(message), "latin1"),
  garbage: Buffer.alloc(LONGEST_MESSAGE + 2, A),
};

const U16: Wire = {
  name: "length prefix u16",
  codec: lengthPrefix({ header: "u16", maximumBytes: LONGEST_MESSAGE }) as Codec<unknown, unknown>,
  framed: true,
  frame(content) {
    const header = Buffer.alloc(2);
    header.writeUInt16BE(content.length);
    return Buffer.concat([header, content]);
  },
  toMessage: (content) => content,
  toContent: bytesOf,
  garbage: Buffer.alloc(16, 0xff),
};

const VARINT: Wire = {
  name: "length prefix varint",
  codec: lengthPrefix({ header: "varint", maximumBytes: LONGEST_MESSAGE }) as Codec<
    unknown,
    unknown
  >,
  framed: true,
  frame(content) {
    const header: number[] = [];
    let rest = content.length;
    for (; rest > 127; rest >>= 7) header.push((rest & 127) | 128);
    return Buffer.concat([Buffer.from([...header, rest]), content]);
  },
  toMessage: (content) => content,
  toContent: bytesOf,
  garbage: Buffer.alloc(16, 0xff),
};

export const WIRES = [RAW, LINES, U16, VARINT] as const;

/** Letters without a pattern, so that a piece lost or moved never looks right. */
export function letters(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let word = 0;
  for (let at = 0; at < length; at++) {
    if (at % 4 === 0) word = random.uint32();
    bytes[at] = A + ((word & 0xff) % LETTERS);
    word >>>= 8;
  }
  return bytes;
}

/** A copy: a borrowed message is only valid during the call. */
function bytesOf(message: unknown): Buffer {
  if (!(message instanceof Uint8Array)) throw new TypeError("a message is no bytes");
  return Buffer.from(message);
}
