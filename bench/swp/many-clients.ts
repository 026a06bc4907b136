// What the bare clients of the benchmark have in common: bytes that are made once, and connections that are opened a few at a time.

import { PREFACE } from "../../src/protocol/codes.ts";
import { encodeHello } from "../../src/protocol/connection-frames.ts";
import { FrameWriter } from "../../src/protocol/frame-writer.ts";
import type { Tlv } from "../../src/protocol/tlv.ts";

const AT_ONCE = 100;

/** The frames that `write` puts together. */
export function framesOf(write: (writer: FrameWriter) => void): Buffer {
  const writer = new FrameWriter();
  write(writer);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}

/** Preface and HELLO. */
export function greeting(tlvs: readonly Tlv[]): Buffer {
  const hello = framesOf((writer) => encodeHello(writer, { versionMin: 1, versionMax: 1, tlvs }));
  return Buffer.concat([Uint8Array.from(PREFACE), hello]);
}

export async function dialAll(count: number, dial: () => Promise<void>): Promise<void> {
  for (let n = 0; n < count; n += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - n) }, dial));
  }
}
