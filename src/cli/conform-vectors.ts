// The published vectors as checks of a server: what it must make of each is what docs/protocol.md says of such a frame from a
// client that is in.

import { Buffer } from "node:buffer";
import { CODE, FLAG, FRAME, GOAWAY, HELLO_KEY, KIND } from "../protocol/codes.ts";
import type { FrameDescription } from "../protocol/describe-frame.ts";
import { FrameWriter } from "../protocol/frame-writer.ts";
import { encodeOpen } from "../protocol/stream-frames.ts";
import { introduced } from "./conform-hello.ts";
import { ConformPeer, describe, PING, type Target, tlvOf, Unmet } from "./conform-peer.ts";
import { type Check, Skipped } from "./conform-report.ts";

export interface FrameVectors {
  readonly group: string;
  readonly max_frame: number;
  readonly vectors: readonly {
    readonly name: string;
    readonly hex: string;
    readonly frames?: readonly FrameDescription[];
    readonly cuts?: readonly number[];
    /** A GOAWAY code. */
    readonly error?: number;
  }[];
}

export interface TopicVectors {
  readonly names: readonly {
    readonly name: string;
    readonly topic: string;
    readonly pattern: boolean;
    readonly publish: boolean;
  }[];
  readonly matches: readonly {
    readonly pattern: string;
    readonly topic: string;
    readonly matches: boolean;
  }[];
}

/** The largest frame of a server that names none. */
const USUAL_MAXIMUM = 65_536;
const PREFACE = Buffer.from("535750310d0a1a0a", "hex");

/** Groups whose vectors are frames. */
export function frameChecks(
  { group, max_frame: maxFrame, vectors }: FrameVectors,
  target: Target,
): Check[] {
  return vectors.map((vector) => ({
    group,
    rule: vector.name,
    async run() {
      const given = Buffer.from(vector.hex, "hex");
      const before = beginsTheHandshake(vector.frames?.[0], given);
      // What is malformed stays as it is.
      const bytes = before && vector.error === undefined ? introduced(given, target.token) : given;
      const { peer, welcome } = before
        ? { peer: await ConformPeer.connect(target), welcome: undefined }
        : await ConformPeer.greeted(target);
      try {
        if (welcome !== undefined) assertSameMaximum(welcome, maxFrame);
        if (before) peer.send(PREFACE);
        for (const piece of pieces(bytes, vector.cuts ?? [])) {
          peer.send(piece);
          await new Promise(setImmediate);
        }
        if (vector.error !== undefined) await expectEnd(peer, [vector.error]);
        else if (before) await expectWelcome(peer);
        else await expectReactions(peer, vector.frames ?? []);
      } finally {
        peer.close();
      }
    },
  }));
}

/** A HELLO stands at the beginning of a connection. */
function beginsTheHandshake(first: FrameDescription | undefined, bytes: Buffer): boolean {
  return first === undefined ? bytes[3] === FRAME.HELLO : first.frame === "HELLO";
}

/** The vectors are made for one max_frame, and a server may have another. */
function assertSameMaximum(welcome: FrameDescription, maxFrame: number): void {
  const theirs = tlvOf(welcome, HELLO_KEY.MAX_FRAME)?.readUInt32LE(0) ?? USUAL_MAXIMUM;
  if (theirs !== maxFrame) throw new Skipped(`the server takes frames of ${theirs} bytes`);
}

function* pieces(bytes: Buffer, cuts: readonly number[]): Generator<Buffer> {
  let from = 0;
  for (const cut of cuts) {
    if (cut > from && cut < bytes.length) {
      yield bytes.subarray(from, cut);
      from = cut;
    }
  }
  yield bytes.subarray(from);
}

async function expectWelcome(peer: ConformPeer): Promise<void> {
  const frame = await peer.frame();
  // Who asks for a token may refuse the one in a vector.
  const fine = frame?.frame === "WELCOME" || frame?.frame === "AUTH" || frame?.code === GOAWAY.AUTH;
  if (!fine) throw new Unmet(`expected WELCOME, got ${describe(frame)}`);
}

/** GOAWAY with one of these codes, after whatever else, and the end. */
async function expectEnd(peer: ConformPeer, codes: readonly number[]): Promise<void> {
  for (;;) {
    const frame = await peer.frame();
    if (frame === undefined) throw new Unmet(`the end, without GOAWAY ${codes.join(" or ")}`);
    if (frame.frame !== "GOAWAY") continue;
    if (codes.includes(Number(frame.code))) return;
    throw new Unmet(`expected GOAWAY ${codes.join(" or ")}, got ${describe(frame)}`);
  }
}

/** Each frame by itself is legal, or ends the connection: what the first that does so says is what must come. */
async function expectReactions(
  peer: ConformPeer,
  frames: readonly FrameDescription[],
): Promise<void> {
  const opened = new Set<number>();
  for (const frame of frames) {
    const codes = opened.has(frame.stream) ? afterOpen(frame) : endsWith(frame);
    if (frame.frame === "OPEN") opened.add(frame.stream);
    if (codes === "leaves") return;
    if (codes !== undefined) return expectEnd(peer, codes);
  }
  await peer.untilAnswered();
}

/** On a stream that the client has opened, and that may be over by now. */
function afterOpen({ frame }: FrameDescription): "leaves" | undefined {
  return frame === "OPEN" || frame === "MSG" ? "leaves" : undefined;
}

/** GOAWAY codes with which a server ends when a client that is in sends this; undefined: it goes on. */
function endsWith(frame: FrameDescription): readonly number[] | "leaves" | undefined {
  const { stream } = frame;
  switch (frame.frame) {
    case "HELLO":
    case "WELCOME":
    case "MSG":
      return [GOAWAY.PROTOCOL];
    case "AUTH":
      return [GOAWAY.AUTH, GOAWAY.PROTOCOL];
    case "GOAWAY":
      return "leaves";
    case "CREDIT":
      if (stream !== 0) return [GOAWAY.PROTOCOL];
      return Number(frame.add) > 0x7fff_0000 ? [GOAWAY.FLOW] : undefined;
    case "ACK":
      // Without a session that can be resumed there is nothing to acknowledge.
      return "leaves";
    case "OPEN":
      return openEnds(frame);
    case "DATA":
    case "ERROR":
    case "CANCEL":
      return [GOAWAY.PROTOCOL];
    default:
      return undefined;
  }
}

function openEnds({ stream, flags, kind, meta }: FrameDescription) {
  // The tester has not asked for a session that can be resumed.
  if ((flags & FLAG.SEQ) !== 0) return [GOAWAY.PROTOCOL];
  const onZero = kind === KIND.NOTIFY || kind === KIND.PUBLISH;
  if (stream === 0) return onZero ? undefined : [GOAWAY.PROTOCOL];
  // Far beyond the smallest free id, or the server's to open.
  if (stream > 4000 || stream % 2 === 0) return [GOAWAY.PROTOCOL];
  if (kind === KIND.NOTIFY) return [GOAWAY.PROTOCOL];
  const flow = kind === KIND.CLIENT_STREAM || kind === KIND.DUPLEX;
  if ((flags & (FLAG.END | FLAG.MORE)) === 0 && !flow) return [GOAWAY.PROTOCOL];
  return Array.isArray(meta) ? undefined : [GOAWAY.PROTOCOL];
}

// Topics.

export function topicChecks({ names, matches }: TopicVectors, target: Target): Check[] {
  // One after the other: what one publishes another would hear.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (check: Check): Check => ({
    ...check,
    run() {
      const turn = last.then(check.run);
      // Told to whoever runs it; the next one does not care.
      last = turn.catch(() => undefined);
      return turn;
    },
  });
  return [
    ...names.flatMap(({ name, topic, pattern, publish }) => [
      nameCheck(target, KIND.SUBSCRIBE, topic, pattern, `${name}, to subscribe to`),
      nameCheck(target, KIND.PUBLISH, topic, publish, `${name}, to publish on`),
    ]),
    ...matches.map(({ pattern, topic, matches: should }) => ({
      group: "topics",
      rule: `"${pattern}" ${should ? "stands" : "does not stand"} for "${topic}"`,
      run: () => matchCheck(target, pattern, topic, should),
    })),
  ].map(inTurn);
}

function nameCheck(
  target: Target,
  kind: number,
  topic: string,
  allowed: boolean,
  rule: string,
): Check {
  return {
    group: "topics",
    rule,
    async run() {
      if (Buffer.byteLength(topic) > 255) throw new Skipped("OPEN cannot carry such a name");
      const { peer } = await ConformPeer.greeted(target);
      try {
        peer.send(open(1, kind, topic));
        peer.send(PING);
        const frame = await peer.frame();
        refusePermission(frame);
        const refused = frame?.frame === "ERROR" && frame.code === CODE.INVALID_ARGUMENT;
        if (refused !== !allowed) {
          throw new Unmet(`${allowed ? "allowed" : "not allowed"}, but got ${describe(frame)}`);
        }
      } finally {
        peer.close();
      }
    },
  };
}

async function matchCheck(
  target: Target,
  pattern: string,
  topic: string,
  should: boolean,
): Promise<void> {
  const { peer } = await ConformPeer.greeted(target);
  try {
    peer.send(open(1, KIND.SUBSCRIBE, pattern));
    peer.send(open(3, KIND.PUBLISH, topic));
    let heard = false;
    for (;;) {
      const frame = await peer.frame();
      refusePermission(frame);
      if (frame?.frame === "MSG") heard = true;
      else if (frame?.stream === 3) break;
      else throw new Unmet(`expected MSG or the acknowledgement, got ${describe(frame)}`);
    }
    // A message may come behind the acknowledgement, but not behind the answer to what is sent then.
    const behind = await peer.untilAnswered();
    heard ||= behind.some(({ frame }) => frame === "MSG");
    if (heard !== should) throw new Unmet(heard ? "it came" : "it did not come");
  } finally {
    peer.close();
  }
}

function refusePermission(frame: FrameDescription | undefined): void {
  if (frame?.frame === "ERROR" && frame.code === CODE.PERMISSION_DENIED) {
    throw new Skipped("the server does not allow it to strangers");
  }
}

function open(stream: number, kind: number, name: string): Buffer {
  const writer = new FrameWriter();
  const body = Buffer.from(kind === KIND.PUBLISH ? "1" : "");
  const credit = kind === KIND.SUBSCRIBE ? 8 : 0;
  encodeOpen(writer, stream, FLAG.END, { kind, codec: 1, name, credit }, body, 0, body.length);
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}
