// Compressed bodies: `u32 raw_size`, then a zstd frame of exactly so many bytes (RFC 8878). raw_size is checked before
// anything is decompressed, and bounds what is: a small body cannot become a large one that was not announced.
//
// Each body by itself, without a context between them: what an attacker can put into one message says nothing about another.

import { Buffer } from "node:buffer";
import * as zlib from "node:zlib";
import { COMPRESSION } from "./codes.ts";
import { FIXED } from "./wire-limits.ts";

const SIZE_BYTES = 4;

export interface Compression {
  /** One of COMPRESSION. */
  readonly id: number;
  /** The body as it travels; undefined when that is no gain. */
  pack(body: Uint8Array): Buffer | undefined;
  /** The body; "too-large" for more than `most` bytes, undefined for what is malformed. */
  unpack(bytes: Buffer, start: number, end: number, most: number): Buffer | "too-large" | undefined;
}

/** zstd; undefined where Node does not have it (before 22.15). */
export function zstd(): Compression | undefined {
  return typeof zlib.zstdCompressSync === "function" ? ZSTD : undefined;
}

const ZSTD: Compression = {
  id: COMPRESSION.ZSTD,
  pack(body) {
    if (body.length < FIXED.compressFromBytes) return undefined;
    const packed = zlib.zstdCompressSync(body);
    if (packed.length + SIZE_BYTES >= body.length) return undefined;
    const size = Buffer.alloc(SIZE_BYTES);
    size.writeUInt32LE(body.length);
    return Buffer.concat([size, packed]);
  },
  unpack(bytes, start, end, most) {
    if (end - start < SIZE_BYTES) return undefined;
    const size = bytes.readUInt32LE(start);
    if (size > most) return "too-large";
    try {
      const body = zlib.zstdDecompressSync(bytes.subarray(start + SIZE_BYTES, end), {
        // Also an empty body must be allowed one byte.
        maxOutputLength: Math.max(size, 1),
      });
      return body.length === size ? body : undefined;
    } catch {
      // Not zstd, cut off, or more than it says.
      return undefined;
    }
  },
};
