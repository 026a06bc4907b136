// The fast decoder in the shape of the slow one, so that the two can be compared: bytes in, cut as told, frames out.

import { describeFrame } from "../../src/protocol/describe-frame.ts";
import { FrameReader, InputView } from "../../src/protocol/frame-reader.ts";
import { WireError } from "../../src/protocol/wire-error.ts";
import type { Decoded } from "./slow-decoder.ts";

/** `cuts` are offsets, ascending: where one chunk ends and the next begins. */
export function decodeFast(
  input: Uint8Array,
  mostBytes: number,
  cuts: readonly number[] = [],
): Decoded {
  const bytes = Buffer.from(input);
  const reader = new FrameReader(new InputView(), mostBytes);
  const frames: Record<string, unknown>[] = [];
  const sink = {
    frame(...frame: Parameters<typeof describeFrame>): boolean {
      frames.push(describeFrame(...frame));
      return true;
    },
  };
  const edges = [0, ...cuts.filter((cut) => cut > 0 && cut < bytes.length), bytes.length];
  for (let n = 1; n < edges.length; n++) {
    const chunk = { bytes, offset: edges[n - 1] ?? 0, end: edges[n] ?? 0, borrow: true };
    try {
      reader.read(chunk, sink);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return { frames, rest: 0, error: error.goaway };
    }
  }
  return { frames, rest: reader.pending, error: undefined };
}
