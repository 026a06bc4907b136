// raw(): no framing. Each chunk, as it came from the kernel, is one message.
//
// TCP keeps order and bytes but no borders: where one chunk ends is chance. Nothing is ever unfinished, so one decoder
// without state serves all connections.

import { Buffer } from "node:buffer";
import type { Codec, Decoder, Input } from "./codec.ts";
import { type MessageBytes, takeBytes, writeBytes } from "./message-bytes.ts";

const NOTHING = Buffer.alloc(0);

const DECODER: Decoder<Buffer> = {
  pending: 0,
  next(input: Input): Buffer | undefined {
    const length = input.end - input.offset;
    return length === 0 ? undefined : takeBytes(input, length);
  },
  kept: () => NOTHING,
};

/**
 * Messages are Buffers of 1 byte to the size of a receive buffer, cut anywhere. Sends bytes as they are and strings
 * as UTF-8. Never fails to decode.
 */
export function raw(): Codec<Buffer, MessageBytes> {
  return { name: "raw", decoder: () => DECODER, encode: writeBytes };
}
