// Fuzzing the decoder: frames from a model of the protocol, some of them harmed, cut anywhere; and the fast decoder must
// say what the slow one says.
//
// The harm: a bit flipped, a length one off, a piece cut out, a piece of another frame put in, a frame twice, pure noise.

import assert from "node:assert/strict";
import { CODE, FRAME, GOAWAY, HELLO_KEY, META_KEY } from "../../src/protocol/codes.ts";
import { decodeFast } from "./fast-decoder.ts";
import { decodeSlowly } from "./slow-decoder.ts";

export interface FuzzResult {
  readonly frames: number;
  readonly errors: number;
  readonly rounds: number;
  /** Different frame types that were decoded; all ignorable ones count as one. */
  readonly kinds: number;
}

const TYPES = Object.values(FRAME);
const MOST_FRAME = 4096;
/** Frames in one input. */
const BATCH = 40;

/** Until both decoders have found so many frames; the same seed gives the same frames. */
export function fuzz(frames: number, seed: number): FuzzResult {
  const draw = generator(seed);
  const seen = new Set<unknown>();
  let count = 0;
  let errors = 0;
  let rounds = 0;
  while (count < frames) {
    rounds++;
    const list = Array.from({ length: BATCH }, () => frame(draw));
    // Half of the inputs are as the protocol wants them, so that the decoders also get to the end.
    const input = draw(2) === 0 ? Buffer.concat(list) : harm(draw, list);
    const cuts = Array.from({ length: draw(6) }, () => draw(input.length)).sort((a, b) => a - b);
    const slow = decodeSlowly(input, MOST_FRAME);
    const fast = decodeFast(input, MOST_FRAME, cuts);
    const where = () => `seed ${seed}, round ${rounds}: ${input.toString("hex")}, cut at ${cuts}`;
    if (slow.error !== fast.error) assert.equal(fast.error, slow.error, where());
    // As text first: that is ten times as fast, and says as much as long as they agree.
    if (JSON.stringify(fast.frames) !== JSON.stringify(slow.frames)) {
      assert.deepEqual(fast.frames, slow.frames, where());
    }
    if (slow.error === undefined) assert.equal(fast.rest, slow.rest, where());
    else errors++;
    for (const { frame: name } of slow.frames) seen.add(Number(name) >= 128 ? "ignorable" : name);
    count += slow.frames.length;
  }
  const known = [...seen].filter((name) => name === "ignorable" || !/^\d/.test(String(name)));
  return { frames: count, errors, rounds, kinds: known.length };
}

export type Draw = (below: number) => number;

/** Mulberry32. */
export function generator(seed: number): Draw {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

function frame(draw: Draw): Buffer {
  const type = draw(12) === 0 ? 128 + draw(128) : (TYPES[draw(TYPES.length)] ?? 0);
  const flags = draw(4) === 0 ? draw(256) : draw(2);
  const body = payload(draw, type, flags);
  const header = Buffer.alloc(8);
  header.writeUIntLE(body.length, 0, 3);
  header[3] = type;
  header.writeUIntLE(draw(300), 4, 3);
  header[7] = flags;
  return Buffer.concat([header, body]);
}

function payload(draw: Draw, type: number, flags: number): Buffer {
  switch (type) {
    case FRAME.HELLO:
    case FRAME.WELCOME:
      return Buffer.concat([Buffer.from([1, 1, 0, 0]), tlvs(draw, Object.values(HELLO_KEY))]);
    case FRAME.GOAWAY: {
      const fixed = noise(draw, 16);
      fixed.writeUInt16LE(GOAWAY.DRAIN + draw(14));
      return Buffer.concat([fixed, tlvs(draw, [1, 2, 3, 8])]);
    }
    case FRAME.AUTH:
      return noise(draw, 4 + draw(30));
    case FRAME.PING:
      return noise(draw, 8);
    case FRAME.CREDIT:
    case FRAME.ACK:
    case FRAME.CANCEL:
      return noise(draw, 4);
    case FRAME.OPEN: {
      const name = text(draw);
      const meta = tlvs(draw, Object.values(META_KEY));
      const fixed = noise(draw, 16);
      fixed.writeUInt16LE(name.length, 12);
      fixed.writeUInt16LE(meta.length, 14);
      const seq = noise(draw, (flags & 8) === 0 ? 0 : 4);
      return Buffer.concat([seq, fixed, name, meta, noise(draw, draw(40))]);
    }
    case FRAME.MSG: {
      const name = text(draw);
      const fixed = noise(draw, 8);
      fixed.writeUInt16LE(name.length);
      return Buffer.concat([fixed, name, noise(draw, draw(40))]);
    }
    case FRAME.ERROR: {
      const name = text(draw);
      const fixed = noise(draw, 12);
      fixed.writeUInt16LE(Object.values(CODE)[draw(20)] ?? 0);
      fixed.writeUInt16LE(name.length, 8);
      return Buffer.concat([fixed, name, noise(draw, draw(20))]);
    }
    default:
      return noise(draw, draw(50));
  }
}

function tlvs(draw: Draw, keys: readonly number[]): Buffer {
  const first = draw(keys.length);
  const list = Array.from({ length: draw(3) }, (_, index) => {
    const value = noise(draw, draw(12));
    const head = Buffer.alloc(4);
    // Sometimes one that nobody knows.
    const key = draw(8) === 0 ? 0x0a0a + index : (keys[(first + index) % keys.length] ?? 0);
    head.writeUInt16LE(key);
    head.writeUInt16LE(value.length, 2);
    return Buffer.concat([head, value]);
  });
  return Buffer.concat(list);
}

function text(draw: Draw): Buffer {
  return Buffer.from("room.7.grüße.\u{1f41f}".slice(0, draw(16)));
}

export function noise(draw: Draw, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = draw(256);
  return bytes;
}

function harm(draw: Draw, list: Buffer[]): Buffer {
  const victim = draw(list.length);
  const bytes = list[victim] ?? Buffer.alloc(0);
  switch (draw(6)) {
    case 0:
      bytes[draw(bytes.length)] = (bytes[draw(bytes.length)] ?? 0) ^ (1 << draw(8));
      break;
    case 1:
      bytes.writeUIntLE(
        (bytes.readUIntLE(0, 3) + (draw(2) === 0 ? 1 : 0xff_ffff)) & 0xff_ffff,
        0,
        3,
      );
      break;
    case 2: {
      const at = draw(bytes.length);
      list[victim] = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + draw(8))]);
      break;
    }
    case 3: {
      const other = list[draw(list.length)] ?? bytes;
      list[victim] = Buffer.concat([bytes, other.subarray(draw(other.length))]);
      break;
    }
    case 4:
      list.splice(draw(list.length), 0, bytes);
      break;
    default:
      list[victim] = noise(draw, 1 + draw(60));
  }
  return Buffer.concat(list);
}
