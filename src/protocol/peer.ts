// What the two sides tell each other of themselves in HELLO and WELCOME, as TLVs; what was not told has the default.

import { Buffer } from "node:buffer";
import { HELLO_KEY } from "./codes.ts";
import type { Compression } from "./compression.ts";
import { type Tlv, tlv, tlvText, tlvU32, u32Tlv } from "./tlv.ts";
import { protocolError } from "./wire-error.ts";
import { WIRE_LIMITS, type WireLimits } from "./wire-limits.ts";

const NO_NUMBERS: readonly number[] = Object.freeze([]);

/** What the other side takes. */
export interface Peer {
  readonly frameBytes: number;
  readonly messageBytes: number;
  readonly streams: number;
  readonly windowBytes: number;
  readonly streamCredit: number;
  readonly codecs: readonly number[];
  readonly compressions: readonly number[];
  /** Bits of FEATURE. */
  readonly features: number;
  /** The server's ping interval; a client's is of no account. */
  readonly keepaliveMs: number;
  readonly agent: string;
}

/** What a side announces of itself: its limits. */
export function limitTlvs(
  limits: WireLimits,
  codecs: readonly number[],
  compression: Compression | undefined,
): Tlv[] {
  const tlvs = [
    u32Tlv(HELLO_KEY.MAX_FRAME, limits.frameBytes),
    u32Tlv(HELLO_KEY.MAX_MESSAGE, limits.messageBytes),
    u32Tlv(HELLO_KEY.MAX_STREAMS, limits.streams),
    u32Tlv(HELLO_KEY.WINDOW, limits.windowBytes),
    u32Tlv(HELLO_KEY.KEEPALIVE, limits.keepaliveMs),
    { key: HELLO_KEY.CODECS, value: Uint8Array.from(codecs) },
    u32Tlv(HELLO_KEY.STREAM_CREDIT, limits.streamCredit),
  ];
  if (compression !== undefined) {
    tlvs.push({ key: HELLO_KEY.COMPRESSIONS, value: Uint8Array.of(compression.id) });
  }
  return tlvs;
}

/** @throws WireError PROTOCOL for a number that is none, or out of its bounds */
export function readPeer(tlvs: readonly Tlv[]): Peer {
  // Read once a session is found: too late to find that they are no numbers.
  for (const key of [HELLO_KEY.LAST_SEQ, HELLO_KEY.REPLAY_TO]) tlvU32(tlvs, key);
  return {
    frameBytes: bounded(tlvs, HELLO_KEY.MAX_FRAME, "frameBytes"),
    messageBytes: bounded(tlvs, HELLO_KEY.MAX_MESSAGE, "messageBytes"),
    streams: bounded(tlvs, HELLO_KEY.MAX_STREAMS, "streams"),
    windowBytes: bounded(tlvs, HELLO_KEY.WINDOW, "windowBytes"),
    streamCredit: bounded(tlvs, HELLO_KEY.STREAM_CREDIT, "streamCredit"),
    codecs: numbers(tlv(tlvs, HELLO_KEY.CODECS)),
    compressions: numbers(tlv(tlvs, HELLO_KEY.COMPRESSIONS)),
    features: tlvU32(tlvs, HELLO_KEY.FEATURES) ?? 0,
    keepaliveMs: bounded(tlvs, HELLO_KEY.KEEPALIVE, "keepaliveMs"),
    agent: tlvText(tlvs, HELLO_KEY.AGENT) ?? "",
  };
}

/** Who has told nothing yet. */
export const UNTOLD: Peer = readPeer([]);

function numbers(bytes: Uint8Array | undefined): readonly number[] {
  return bytes === undefined ? NO_NUMBERS : [...bytes];
}

function bounded(tlvs: readonly Tlv[], key: number, name: keyof WireLimits): number {
  const bound = WIRE_LIMITS[name];
  const value = tlvU32(tlvs, key);
  if (value === undefined) return bound.default;
  if (value >= bound.minimum && value <= bound.maximum) return value;
  throw protocolError(`TLV ${key} is ${value}: it must be ${bound.minimum} to ${bound.maximum}`);
}

/** Names of routes by their ids, as WELCOME lists them: `u16 id, u8 length, name`, one behind the other. */
export function routesTlv(routes: ReadonlyMap<string, number>): Tlv {
  const list = [...routes].map(([name, id]) => {
    const text = Buffer.from(name);
    return Buffer.concat([Uint8Array.of(id & 0xff, id >>> 8, text.length), text]);
  });
  return { key: HELLO_KEY.ROUTES, value: Buffer.concat(list) };
}

/** @throws WireError PROTOCOL for a name past the end */
export function readRoutes(tlvs: readonly Tlv[]): Map<string, number> {
  const routes = new Map<string, number>();
  const value = Buffer.from(tlv(tlvs, HELLO_KEY.ROUTES) ?? []);
  let at = 0;
  while (at < value.length) {
    const length = at + 3 <= value.length ? value.readUInt8(at + 2) : value.length;
    if (at + 3 + length > value.length) throw protocolError("the routes TLV is cut off");
    routes.set(value.toString("utf8", at + 3, at + 3 + length), value.readUInt16LE(at));
    at += 3 + length;
  }
  return routes;
}
