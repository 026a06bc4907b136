// Frames that a client may send, by themselves: of every type, on streams that are open, over, free or nobody's.

import { Buffer } from "node:buffer";
import { zstdCompressSync } from "node:zlib";
import { type Draw, noise } from "../../protocol/fuzz.ts";
import { rawFrame } from "../raw-frame.ts";
import type { Judge } from "./judge.ts";
import { KEYED_ROUTE } from "./keyed-calls.ts";
import { KIND } from "./spec-stream.ts";
import { GOOD } from "./world.ts";

export const PREFACE = Buffer.from("SWP1\r\n\x1a\n", "latin1");
const ROUTES = ["echo", "later", "throws", "ask", "many", "sum", "chat", "nowhere"];
const ANSWERS_ONCE = 4;
const KEYS = ["a", "b", "c"];
const KINDS: Readonly<Record<string, number>> = {
  many: KIND.SERVER,
  sum: KIND.CLIENT,
  chat: KIND.DUPLEX,
};
const TOPICS = ["news", "news.*", ">", "secret", "a..b", "n\u{f6}ws"];
const TOKENS = ["now good", "later good", "now bad", "later bad", "throws"];

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function tlv(key: number, value: Uint8Array): Buffer {
  return Buffer.concat([u16(key), u16(value.length), value]);
}

/** `more` stands behind what it says of itself. */
export function hello(luck: Luck, guarded: boolean, more: readonly Buffer[]): Buffer {
  const { draw } = luck;
  const versions = luck.slips(20) ? [2, 9] : [1, 1 + draw(3)];
  const tlvs = [...more];
  if (draw(3) === 0) tlvs.push(tlv(4, u32(65_536)));
  if (draw(3) === 0) tlvs.push(tlv(1, u32(4096)));
  if (draw(3) === 0) tlvs.push(tlv(7, Uint8Array.of(1)));
  if (draw(10) === 0) tlvs.push(tlv(0x0a0a, noise(draw, 3)));
  if (luck.slips(10)) tlvs.push(tlv(1 + draw(20), noise(draw, draw(6))));
  if (guarded && !luck.slips(10)) {
    const challenge = draw(4) === 0;
    const word = !luck.slips(3) ? (TOKENS[draw(2)] ?? "") : (TOKENS[draw(TOKENS.length)] ?? "");
    tlvs.push(tlv(8, Buffer.from(challenge ? "\x02key" : `\x01${word}`, "latin1")));
  }
  return rawFrame(1, 0, 0, Buffer.concat([Buffer.from([...versions, 0, 0]), ...tlvs]));
}

/** Chance, and how often it makes a mistake that ends a session. */
export interface Luck {
  readonly draw: Draw;
  /** Once in so many times, and never in a session that is to last. */
  slips(once: number): boolean;
  /** Ids of streams that are opened in the same bytes. */
  readonly taken: Set<number>;
}

/** Any frame, mostly one that has a place somewhere. */
export function anyFrame(luck: Luck, judge: Judge): Buffer {
  const { draw } = luck;
  const place = draw(100);
  // Nothing can be said about streams before the first one.
  if (!luck.slips(2) && place < 78 && judge.someSeen(draw) === 0) return open(luck, judge);
  if (place < 38) return open(luck, judge);
  if (place < 60) return data(luck, judge);
  if (place < 67) return rawFrame(20, anyStream(luck, judge), 1, u32(draw(40)));
  if (place < 75) return rawFrame(6, anyStream(luck, judge), 0, u32(credit(luck)));
  if (place < 78) return rawFrame(19, anyStream(luck, judge), 1, error(draw));
  if (place < 84) return rawFrame(4, where(luck), draw(2), noise(draw, 8));
  if (place < 88) return rawFrame(128 + draw(128), draw(50), draw(256), noise(draw, draw(20)));
  if (place < 92) return judge.resumes || luck.slips(2) ? ack(luck) : open(luck, judge);
  return luck.slips(2) ? misplaced(luck, judge) : open(luck, judge);
}

/** What has no place once a session is ready, or ends it. */
function misplaced(luck: Luck, judge: Judge): Buffer {
  const { draw } = luck;
  switch (draw(6)) {
    case 0:
      return rawFrame(18, anyStream(luck, judge), draw(2) * 8, msg(draw));
    case 1:
      return token(luck);
    case 2: {
      const code = draw(2) === 0 ? 64 : 64 + draw(14);
      return rawFrame(5, where(luck), 0, Buffer.concat([u16(code), Buffer.alloc(14)]));
    }
    case 3:
      return hello(luck, true, []);
    case 4:
      return rawFrame(2, where(luck), 0, u32(1));
    default:
      return rawFrame([0, 8 + draw(8), 21 + draw(107)][draw(3)] ?? 0, draw(3), 0, noise(draw, 9));
  }
}

function ack(luck: Luck): Buffer {
  return rawFrame(7, where(luck), 0, u32(luck.draw(4)));
}

/** A fresh token. */
function token(luck: Luck): Buffer {
  const { draw } = luck;
  const word = draw(2) === 0 ? `now ${GOOD}` : (TOKENS[draw(TOKENS.length)] ?? "");
  const fixed = Buffer.from([1, draw(8) === 0 ? draw(3) : 0, 0, 0]);
  return rawFrame(3, where(luck), 0, Buffer.concat([fixed, Buffer.from(word)]));
}

/** The answer to a challenge. */
export function answer({ draw }: Luck): Buffer {
  const [method, step] = draw(8) === 0 ? [draw(4), draw(4)] : [2, 2];
  const word = draw(8) === 0 ? "bad" : GOOD;
  return rawFrame(3, 0, 0, Buffer.concat([Buffer.from([method, step, 0, 0]), Buffer.from(word)]));
}

/** The connection itself. */
function where(luck: Luck): number {
  return luck.slips(8) ? luck.draw(6) : 0;
}

function credit(luck: Luck): number {
  if (luck.slips(4)) return luck.draw(2) === 0 ? 0x7fff_ffff : 0xffff_ffff;
  return [0, 1, 5, 70_000][luck.draw(4)] ?? 0;
}

function anyStream(luck: Luck, judge: Judge): number {
  const { draw } = luck;
  if (luck.slips(10)) return [0, draw(20), draw(0x1_00_00_00)][draw(3)] ?? 0;
  const open = [...judge.streams.keys()];
  if (draw(5) > 0 && open.length > 0) return open[draw(open.length)] ?? 0;
  return judge.someSeen(draw);
}

function freeId({ taken }: Luck, judge: Judge): number {
  let id = 1;
  while (judge.mayBeOpen(id) || taken.has(id)) id += 2;
  taken.add(id);
  return id;
}

function open(luck: Luck, judge: Judge): Buffer {
  const { draw } = luck;
  const place = draw(20);
  const zero = place < 3;
  const named = ROUTES[draw(ROUTES.length)] ?? "";
  const name = zero ? "note" : draw(ANSWERS_ONCE) === 0 ? KEYED_ROUTE : named;
  let kind = zero ? KIND.NOTIFY : (KINDS[name] ?? KIND.CALL);
  if (place === 2 || place === 3) kind = KIND.PUBLISH;
  if (place === 4 || place === 5) kind = KIND.SUBSCRIBE;
  const topical = kind === KIND.PUBLISH || kind === KIND.SUBSCRIBE;
  const text = Buffer.from(topical ? (TOPICS[draw(TOPICS.length)] ?? "") : name);
  if (draw(40) === 0) kind = zero ? KIND.PUBLISH : ([0, 1, 7, 8][draw(4)] ?? 0);
  if (luck.slips(20)) kind = draw(9);
  const up = kind === KIND.CLIENT || kind === KIND.DUPLEX;
  const packed = judge.packs && draw(8) === 0;
  const flags = openFlags(luck, zero, up, packed, judge.resumes);
  const given = up && draw(8) > 0 ? Buffer.alloc(0) : body(draw, packed);
  const meta = name === KEYED_ROUTE ? keyed(luck) : metadata(luck);
  const fixed = Buffer.alloc(16);
  fixed[0] = kind;
  fixed[1] = draw(10) === 0 ? draw(6) : 1;
  fixed.writeUInt16LE(draw(15) === 0 ? draw(12) : 0, 2);
  fixed.writeUInt32LE(draw(10) === 0 ? draw(3000) : 0, 4);
  fixed.writeUInt32LE(draw(20) === 0 ? credit(luck) : draw(8), 8);
  fixed.writeUInt16LE(text.length, 12);
  fixed.writeUInt16LE(meta.length, 14);
  const seq = (flags & 8) === 0 ? Buffer.alloc(0) : u32(draw(30));
  const id = zero ? 0 : luck.slips(12) ? anyStream(luck, judge) : freeId(luck, judge);
  return rawFrame(16, id, flags, Buffer.concat([seq, fixed, text, meta, given]));
}

function openFlags(luck: Luck, zero: boolean, up: boolean, packed: boolean, seq: boolean): number {
  const { draw } = luck;
  if (luck.slips(20)) return draw(256);
  let flags = up && draw(8) > 0 ? 0 : 1;
  if (!zero && !up && draw(10) === 0) flags = 2;
  if (packed) flags |= 4;
  if (zero && seq && draw(2) === 0) flags |= 8;
  return flags;
}

/** With an idempotency key, mostly. */
function keyed(luck: Luck): Buffer {
  const { draw } = luck;
  const place = draw(20);
  if (place === 0) return metadata(luck);
  return tlv(2, place === 1 ? noise(draw, 60 + draw(9)) : Buffer.from(KEYS[draw(3)] ?? ""));
}

function metadata(luck: Luck): Buffer {
  const { draw } = luck;
  if (draw(8) > 0) return Buffer.alloc(0);
  const keys = luck.slips(2) ? [0x8005, 0x9000] : [1, 2, 3, 4, 5, 6, 7, 0x4001, 0x1234];
  return tlv(keys[draw(keys.length)] ?? 0, noise(draw, draw(4)));
}

function data(luck: Luck, judge: Judge): Buffer {
  const { draw } = luck;
  const packed = judge.packs && draw(8) === 0;
  const id = anyStream(luck, judge);
  const flow = judge.streams.get(id)?.opensUp === true;
  // The one message of a call ends it.
  let flags = flow ? ([0, 0, 1, 2][draw(4)] ?? 0) : 1 + draw(2);
  if (packed) flags |= 4;
  if (luck.slips(20)) flags = draw(256);
  const given = draw(5) === 0 ? Buffer.alloc(0) : body(draw, packed);
  return rawFrame(17, id, flags, given);
}

function body(draw: Draw, packed: boolean): Buffer {
  const text = Buffer.from(JSON.stringify(draw(4) === 0 ? "y".repeat(draw(3500)) : draw(1000)));
  if (draw(15) === 0) return noise(draw, draw(40));
  if (!packed) return text;
  const size = draw(5) === 0 ? draw(20_000) : text.length;
  return Buffer.concat([u32(size), zstdCompressSync(text)]);
}

function msg(draw: Draw): Buffer {
  return Buffer.concat([u16(4), u16(0), u32(draw(9)), Buffer.from("news"), noise(draw, draw(9))]);
}

function error(draw: Draw): Buffer {
  return Buffer.concat([
    u16(draw(40)),
    u16(draw(8)),
    u32(0),
    u16(2),
    u16(0),
    Buffer.from("no"),
    noise(draw, draw(9)),
  ]);
}
