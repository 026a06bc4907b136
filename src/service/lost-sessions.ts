// Sessions whose connection is gone and whose client may come back: what they are owed goes on being kept, for a while.
//
// A client that comes back to another thread takes its session there (session-handover.ts).
// Bounded: so many, each with a ring that is bounded itself, each for so long. When there are too many, the oldest of the address
// that has the most goes: who makes a thousand to push out others pushes out his own.

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Due } from "../protocol/agenda.ts";
import { FEATURE, HELLO_KEY } from "../protocol/codes.ts";
import { Replay } from "../protocol/replay.ts";
import { type Tlv, tlv, tlvU32, u32Tlv } from "../protocol/tlv.ts";
import type { Wire } from "../protocol/wire.ts";
import type { WireLimits } from "../protocol/wire-limits.ts";
import { hostOf } from "./failed-attempts.ts";
import type { Hub } from "./hub.ts";
import type { ServerSession } from "./server-session.ts";
import {
  restoreReplay,
  type SessionQuestion,
  type SessionState,
  stateOf,
  unseen,
  usefulMs,
} from "./session-handover.ts";
import type { Subscription } from "./subscription.ts";
import type { Published } from "./topics.ts";

const ID_BYTES = 16;
const SECRET_BYTES = 32;
const MOST_LOST = 1000;

/** One whose connection is gone. */
class LostSession implements Due {
  agendaSlot = -1;
  agendaMs = 0;
  readonly replay: Replay;
  readonly subscriptions: readonly Subscription[];
  /** Where its client was: hostOf. */
  readonly host: string;
  readonly #expired: () => void;

  constructor(
    replay: Replay,
    subscriptions: readonly Subscription[],
    host: string,
    expired: () => void,
  ) {
    this.replay = replay;
    this.subscriptions = subscriptions;
    this.host = host;
    this.#expired = expired;
  }

  due(): number {
    this.#expired();
    return Number.POSITIVE_INFINITY;
  }
}

/** What a client asks for in HELLO, and gets. */
export interface Resumption {
  readonly replay: Replay;
  /** Where the client is; all of a Unix socket are one. */
  readonly host: string;
  /** The last number that the client has; undefined for a new session. */
  readonly clientHas: number | undefined;
  /** For WELCOME. */
  readonly tlvs: readonly Tlv[];
}

/** A session that still has a connection, as far as is known here. */
export interface LiveSession {
  /** Its client has come back on another connection: ends this one, and is lost. */
  replaced(): void;
}

export class LostSessions {
  /** Those that can be resumed and are not lost, by their replay. */
  readonly #live = new Map<string, { readonly replay: Replay; readonly session: LiveSession }>();
  readonly #hub: Hub;
  readonly #wire: Wire;
  readonly #limits: WireLimits;
  /** By id, in the order in which they were lost. */
  readonly #lost = new Map<string, LostSession>();

  constructor(hub: Hub) {
    this.#hub = hub;
    this.#wire = hub.wire;
    this.#limits = hub.limits;
  }

  get size(): number {
    return this.#lost.size;
  }

  /** Whether the client asks for a session that survives. */
  wanted(tlvs: readonly Tlv[]): boolean {
    return ((tlvU32(tlvs, HELLO_KEY.FEATURES) ?? 0) & FEATURE.RESUME) !== 0;
  }

  /** Gives a client the session that it names, from wherever it is, or a new one; at once or after a while. */
  resume(peer: ServerSession, tlvs: readonly Tlv[], done: (resumption: Resumption) => void): void {
    const id = Buffer.from(tlv(tlvs, HELLO_KEY.SESSION_ID) ?? []);
    const secret = Buffer.from(tlv(tlvs, HELLO_KEY.SESSION_SECRET) ?? []);
    const host = hostOf(peer.connection.remoteAddress);
    const fresh = () => done(this.#fresh(host));
    if (id.length !== ID_BYTES || secret.length !== SECRET_BYTES) return fresh();
    const here = this.#find(id, secret);
    if (here !== undefined) {
      this.#give(here.subscriptions, peer);
      return done(this.#resumed(here.replay, host, secret, tlvs));
    }
    const { handover, topics } = this.#hub;
    const put = (state: SessionState, meanwhile: readonly Published[]) => {
      const replay = new Replay(this.#limits);
      replay.id = id;
      replay.secret = secret;
      restoreReplay(replay, state.replay);
      const missing = unseen(state, meanwhile);
      const subscriptions = state.subscriptions.flatMap(
        (one) => topics.moved(peer, one, replay, state.seen, missing) ?? [],
      );
      return { replay, subscriptions };
    };
    handover.ask(id, secret, topics.seen, {
      answered: (state, meanwhile) => {
        if (state === undefined) return fresh();
        const { replay, subscriptions } = put(state, meanwhile);
        // Cut once more while it moved: it is here now, and waits.
        if (peer.session.closed) return this.add(replay, subscriptions, host);
        this.#give(subscriptions, peer);
        done(this.#resumed(replay, host, secret, tlvs));
      },
      // Its client has another one by now, unless it was cut before it was told.
      cameLate: (state, meanwhile) => {
        const { replay, subscriptions } = put(state, meanwhile);
        this.add(replay, subscriptions, host);
      },
    });
  }

  #give(subscriptions: readonly Subscription[], peer: ServerSession): void {
    for (const subscription of subscriptions) {
      subscription.find(peer);
      this.#hub.topics.found(subscription);
    }
  }

  #fresh(host: string): Resumption {
    const replay = new Replay(this.#limits);
    replay.id = randomBytes(ID_BYTES);
    replay.secret = randomBytes(SECRET_BYTES);
    return { replay, host, clientHas: undefined, tlvs: tlvsOf(replay) };
  }

  #resumed(replay: Replay, host: string, shown: Buffer, tlvs: readonly Tlv[]): Resumption {
    replay.replayedTo = tlvU32(tlvs, HELLO_KEY.REPLAY_TO) ?? 0;
    replay.renew(shown, randomBytes(SECRET_BYTES));
    const clientHas = tlvU32(tlvs, HELLO_KEY.LAST_SEQ) ?? 0;
    return { replay, host, clientHas, tlvs: tlvsOf(replay) };
  }

  /** Another thread asks for a session: it goes there, if it is here. */
  asked(question: SessionQuestion): void {
    // A session that is given to who has gone is lost.
    const withinMs = usefulMs(question);
    if (withinMs <= 0) return this.#hub.handover.answer(question, undefined);
    this.#hub.topics.whenSeen(question.seen, withinMs, () => this.#answer(question));
  }

  #answer(question: SessionQuestion): void {
    const found = this.#find(Buffer.from(question.id), Buffer.from(question.secret));
    const { handover, topics } = this.#hub;
    if (found === undefined) return handover.answer(question, undefined);
    const state = stateOf(found.replay, found.subscriptions, topics.seen);
    for (const subscription of found.subscriptions) subscription.remove();
    handover.answer(question, state);
  }

  /** It has a connection. */
  live(replay: Replay, session: LiveSession): void {
    this.#live.set(nameOf(replay), { replay, session });
  }

  #find(sessionId: Buffer, secret: Buffer): LostSession | undefined {
    const id = sessionId.toString("hex");
    const live = this.#live.get(id);
    // The client knows of the cut before we do: what it left is lost now.
    if (live?.replay.isOurs(secret) === true) live.session.replaced();
    const found = this.#lost.get(id);
    if (found?.replay.isOurs(secret) !== true) return undefined;
    this.#lost.delete(id);
    this.#wire.agenda.remove(found);
    return found.replay.resumable ? found : this.#dropped(found);
  }

  /** It has ended, for whatever reason. */
  ended(replay: Replay): void {
    this.#live.delete(nameOf(replay));
  }

  /** Its connection, from this host, is gone: what it is owed is kept. */
  add(replay: Replay, subscriptions: readonly Subscription[], host: string): void {
    const id = nameOf(replay);
    const lost = new LostSession(replay, subscriptions, host, () => this.#forget(id));
    this.#lost.set(id, lost);
    this.#wire.agenda.atLatest(lost, this.#wire.now() + this.#limits.sessionMs);
    if (this.#lost.size > MOST_LOST) this.#forgetOne();
  }

  #forgetOne(): void {
    const counts = new Map<string, number>();
    for (const { host } of this.#lost.values()) counts.set(host, (counts.get(host) ?? 0) + 1);
    const most = Math.max(...counts.values());
    for (const [id, { host }] of this.#lost) if (counts.get(host) === most) return this.#forget(id);
  }

  #forget(id: string): void {
    const lost = this.#lost.get(id);
    if (lost === undefined) return;
    this.#lost.delete(id);
    this.#wire.agenda.remove(lost);
    this.#dropped(lost);
  }

  #dropped(lost: LostSession): undefined {
    for (const subscription of lost.subscriptions) subscription.remove();
    return undefined;
  }
}

/** For WELCOME. */
function tlvsOf(replay: Replay): readonly Tlv[] {
  return [
    u32Tlv(HELLO_KEY.FEATURES, FEATURE.RESUME),
    { key: HELLO_KEY.SESSION_ID, value: replay.id },
    { key: HELLO_KEY.SESSION_SECRET, value: replay.secret },
    u32Tlv(HELLO_KEY.LAST_SEQ, replay.received),
    u32Tlv(HELLO_KEY.REPLAY_TO, replay.sent),
  ];
}

function nameOf(replay: Replay): string {
  return replay.id.toString("hex");
}
