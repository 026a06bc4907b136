// A session of one line over several connections: what HELLO says of it, and what comes of that.
//
// When a connection is cut, its subscriptions are held instead of told, and numbered messages stay in the replay. The next
// WELCOME decides: the same session goes on (subscriptions have the streams that they had, both sides send again what is
// missing), or it is another one, and the subscriptions are made anew, with a gap.

import { Buffer } from "node:buffer";
import type { HostAndPort } from "../protocol/address.ts";
import { FEATURE, HELLO_KEY } from "../protocol/codes.ts";
import { Replay } from "../protocol/replay.ts";
import { type Tlv, tlv, tlvU32, u32Tlv } from "../protocol/tlv.ts";
import type { WireLimits } from "../protocol/wire-limits.ts";
import type { Link } from "./link.ts";
import { SubscribedStream } from "./subscribed-stream.ts";
import type { Subscription } from "./subscription.ts";

/** A subscription that waits for its connection to come back, and the stream that it had. */
export interface HeldSubscription {
  readonly id: number;
  readonly subscription: Subscription<unknown>;
}

export class Resumption {
  readonly #limits: WireLimits;
  readonly #wanted: boolean;
  /** Of the session that was cut. */
  #replay: Replay | undefined;
  #held: readonly HeldSubscription[] = [];
  /** Where the last connection was made to; undefined is where the client was told to. */
  #where: HostAndPort | undefined;

  constructor(limits: WireLimits, wanted: boolean) {
    this.#limits = limits;
    this.#wanted = wanted;
  }

  /** The next connection is made there: a session of another place is over. */
  dials(where: HostAndPort | undefined): void {
    if (where === this.#where) return;
    this.#where = where;
    const held = this.#held;
    this.#replay = undefined;
    this.#held = [];
    for (const { subscription } of held) subscription.cut();
  }

  /** For HELLO. */
  get tlvs(): readonly Tlv[] {
    if (!this.#wanted) return [];
    const replay = this.#replay;
    const feature = u32Tlv(HELLO_KEY.FEATURES, FEATURE.RESUME);
    if (replay === undefined) return [feature];
    return [
      feature,
      { key: HELLO_KEY.SESSION_ID, value: replay.id },
      { key: HELLO_KEY.SESSION_SECRET, value: replay.secret },
      u32Tlv(HELLO_KEY.LAST_SEQ, replay.received),
      u32Tlv(HELLO_KEY.REPLAY_TO, replay.sent),
    ];
  }

  /** WELCOME has come: the session goes on, or a new one begins. */
  welcomed(link: Link, tlvs: readonly Tlv[]): void {
    const [former, held] = [this.#replay, this.#held];
    this.#replay = undefined;
    this.#held = [];
    const id = Buffer.from(tlv(tlvs, HELLO_KEY.SESSION_ID) ?? []);
    const resumes = ((tlvU32(tlvs, HELLO_KEY.FEATURES) ?? 0) & FEATURE.RESUME) !== 0;
    const goesOn = resumes && former?.id.equals(id) === true;
    const replay = goesOn && former !== undefined ? former : new Replay(this.#limits);
    if (resumes && this.#wanted) {
      replay.id = id;
      replay.secret = Buffer.from(tlv(tlvs, HELLO_KEY.SESSION_SECRET) ?? []);
      link.session.replay = replay;
    }
    if (!goesOn) {
      for (const { subscription } of held) subscription.cut();
      return;
    }
    replay.replayedTo = tlvU32(tlvs, HELLO_KEY.REPLAY_TO) ?? 0;
    for (const { id: stream, subscription } of held) this.#restore(link, stream, subscription);
    link.session.streams.resend(tlvU32(tlvs, HELLO_KEY.LAST_SEQ) ?? 0);
  }

  /** The connection has ended. */
  lost(link: Link): void {
    const { replay } = link.session;
    // A handshake that was cut has changed nothing: the server takes its secret again. And what ends at last after GOAWAY
    // is not what is to be resumed: that may be its successor, which was cut meanwhile.
    if (replay === undefined || !link.resumable) return;
    this.#replay = replay;
    this.#held = link.held;
  }

  #restore(link: Link, id: number, subscription: Subscription<unknown>): void {
    const owner = new SubscribedStream(link, subscription);
    const { codec, openCredit } = subscription;
    subscription.resumed(link.session.streams.restore(id, codec.id, openCredit, owner));
  }
}
