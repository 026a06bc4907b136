// The tester's end of a session that can be resumed: one connection of it, with what it takes to come back.
//
// It acknowledges nothing and answers no PING unless it is told to: either would say that WELCOME was read.

import { Buffer } from "node:buffer";
import { CODE, CODEC, FEATURE, FLAG, HELLO_KEY, KIND } from "../protocol/codes.ts";
import { encodeAck, encodePing } from "../protocol/connection-frames.ts";
import type { FrameDescription } from "../protocol/describe-frame.ts";
import { FrameWriter } from "../protocol/frame-writer.ts";
import { encodeOpen, type Open } from "../protocol/stream-frames.ts";
import { type Tlv, u32Tlv } from "../protocol/tlv.ts";
import { ConformPeer, describe, type Target, tlvOf, Unmet } from "./conform-peer.ts";
import { Skipped } from "./conform-report.ts";

/** What a session is shown with, and how far it had come. */
export interface Secret {
  readonly id: Buffer;
  readonly secret: Buffer;
  /** The highest numbers that have come, and that were sent; 0 when not given. */
  readonly received?: number;
  readonly sent?: number;
}

const CREDIT = 8;
/** On stream 1 the tester subscribes, on stream 3 it publishes. */
const SUBSCRIPTION = 1;
const PUBLICATION = 3;

export class SessionPeer implements Secret {
  readonly id: Buffer;
  readonly secret: Buffer;
  readonly #peer: ConformPeer;
  readonly #welcome: FrameDescription;
  readonly #writer = new FrameWriter();

  private constructor(peer: ConformPeer, welcome: FrameDescription) {
    this.#peer = peer;
    this.#welcome = welcome;
    this.id = this.#value(HELLO_KEY.SESSION_ID) ?? Buffer.alloc(0);
    this.secret = this.#value(HELLO_KEY.SESSION_SECRET) ?? Buffer.alloc(0);
  }

  /**
   * A connection with a new session, or with one that is to go on.
   * @throws Skipped when the server has none that survive
   */
  static async begin(target: Target, session?: Secret): Promise<SessionPeer> {
    const tlvs: Tlv[] = [u32Tlv(HELLO_KEY.FEATURES, FEATURE.RESUME)];
    if (session !== undefined) {
      tlvs.push(
        { key: HELLO_KEY.SESSION_ID, value: session.id },
        { key: HELLO_KEY.SESSION_SECRET, value: session.secret },
        u32Tlv(HELLO_KEY.LAST_SEQ, session.received ?? 0),
        u32Tlv(HELLO_KEY.REPLAY_TO, session.sent ?? 0),
      );
    }
    const { peer, welcome } = await ConformPeer.greeted(target, tlvs);
    const one = new SessionPeer(peer, welcome);
    if (((one.number(HELLO_KEY.FEATURES) ?? 0) & FEATURE.RESUME) !== 0) return one;
    one.close();
    throw new Skipped("the server has no sessions that can be resumed");
  }

  close(): void {
    this.#peer.close();
  }

  /** A number that WELCOME has. */
  number(key: number): number | undefined {
    const value = this.#value(key);
    return value?.length === 4 ? value.readUInt32LE(0) : undefined;
  }

  untilAnswered(): Promise<FrameDescription[]> {
    return this.#peer.untilAnswered();
  }

  /** The next frame of this kind. @throws Unmet when none comes */
  async frameThat(
    fits: (frame: FrameDescription) => boolean,
    what: string,
  ): Promise<FrameDescription> {
    for (;;) {
      const frame = await this.#peer.frame();
      if (frame === undefined) throw new Unmet(`the end of the connection, and not ${what}`);
      if (fits(frame)) return frame;
      if (frame.frame === "GOAWAY") throw new Unmet(`expected ${what}, got ${describe(frame)}`);
    }
  }

  answer(ping: FrameDescription): void {
    const data = Buffer.from(String(ping.data), "hex");
    encodePing(this.#writer, data.readUInt32LE(0), data.readUInt32LE(4), true);
    this.#send();
  }

  acknowledge(seq: number): void {
    encodeAck(this.#writer, seq);
    this.#send();
  }

  // Topics.

  /** @throws Skipped when the server does not allow it */
  async subscribe(topic: string): Promise<void> {
    const open = { kind: KIND.SUBSCRIBE, codec: CODEC.JSON, name: topic, credit: CREDIT };
    this.#open(SUBSCRIPTION, FLAG.END, open, "");
    for (const frame of await this.untilAnswered()) needAllowed(frame);
  }

  /** The subscription's next message. @throws Unmet when none comes */
  message(): Promise<FrameDescription> {
    return this.frameThat(
      ({ frame, stream }) => frame === "MSG" && stream === SUBSCRIPTION,
      "a message",
    );
  }

  /** Is handed to the subscribers when it resolves. @throws Skipped when the server does not allow it */
  async publish(topic: string, value: string): Promise<void> {
    const open = { kind: KIND.PUBLISH, codec: CODEC.JSON, name: topic };
    this.#open(PUBLICATION, FLAG.END, open, JSON.stringify(value));
    const answer = await this.frameThat(({ stream }) => stream === PUBLICATION, "an answer");
    needAllowed(answer);
  }

  /** Publishes on stream 0, with a number. */
  announce(seq: number, topic: string, value: string): void {
    const open = { kind: KIND.PUBLISH, codec: CODEC.JSON, name: topic };
    this.#open(0, FLAG.END | FLAG.SEQ, open, JSON.stringify(value), seq);
  }

  #open(stream: number, flags: number, open: Open, text: string, seq = 0): void {
    const body = Buffer.from(text);
    encodeOpen(this.#writer, stream, flags, open, body, 0, body.length, seq);
    this.#send();
  }

  #send(): void {
    const { bytes, end } = this.#writer;
    this.#writer.end = 0;
    this.#peer.send(Buffer.from(bytes.subarray(0, end)));
  }

  #value(key: number): Buffer | undefined {
    return tlvOf(this.#welcome, key);
  }
}

function needAllowed(frame: FrameDescription): void {
  if (frame.frame !== "ERROR") return;
  if (frame.code === CODE.PERMISSION_DENIED) {
    throw new Skipped("the server does not allow it to this client");
  }
  throw new Unmet(`got ${describe(frame)}`);
}
