// What is due when, for one session: the end of the handshake, the next PING, deadlines of streams, the end of a rest. Time
// is handed in.

import type { Due } from "./agenda.ts";
import { GOAWAY } from "./codes.ts";
import { encodePing } from "./connection-frames.ts";
import { Keepalive } from "./keepalive.ts";
import type { Session } from "./session.ts";
import type { Stream } from "./stream.ts";
import { FIXED } from "./wire-limits.ts";

const NEVER = Number.POSITIVE_INFINITY;

export class SessionTime implements Due {
  agendaSlot = -1;
  agendaMs = 0;
  readonly #session: Session;
  readonly #keepalive: Keepalive;
  #ackMs = NEVER;
  /** What was decompressed since the last rest. */
  #unpacked = 0;
  #restMs = NEVER;

  constructor(session: Session) {
    this.#session = session;
    const now = session.wire.now();
    this.#keepalive = new Keepalive(now);
    session.wire.agenda.atLatest(this, now + session.limits.handshakeMs);
  }

  /** When something was heard last. */
  get heardMs(): number {
    return this.#keepalive.heardMs;
  }

  heard(): void {
    this.#keepalive.heard(this.#session.wire.now());
  }

  /** The handshake is over: from here on the peer has to be heard from. */
  settled(): void {
    this.#session.wire.agenda.atLatest(this, this.#keepalive.nextMs(this.#intervalMs));
  }

  /** The stream's owner is told when this time has come. */
  setDeadline(stream: Stream, atMs: number): void {
    stream.deadlineMs = atMs;
    this.#session.wire.agenda.atLatest(this, atMs);
  }

  /** What has come is to be acknowledged before long. */
  ackSoon(): void {
    if (this.#ackMs !== NEVER) return;
    this.#ackMs = this.#session.wire.now() + FIXED.ackMs;
    this.#session.wire.agenda.atLatest(this, this.#ackMs);
  }

  /** No more frames are taken for the moment. */
  get resting(): boolean {
    return this.#restMs !== NEVER;
  }

  /**
   * So much was decompressed, out of very few bytes maybe: a peer gets no more of this thread's time than the others do,
   * so that a chunk full of such messages holds nobody up.
   */
  unpacked(bytes: number): void {
    this.#unpacked += bytes;
    if (this.#unpacked < FIXED.restAfterBytes || this.resting) return;
    this.#unpacked = 0;
    this.#restMs = this.#session.wire.now() + 1;
    this.#session.wire.agenda.atLatest(this, this.#restMs);
    this.#session.transport.pause();
  }

  #goOn(nowMs: number): void {
    if (nowMs < this.#restMs) return;
    this.#restMs = NEVER;
    if (!this.#session.handlers.crowded) this.#session.transport.resume();
  }

  #ack(nowMs: number): void {
    if (nowMs < this.#ackMs) return;
    this.#ackMs = NEVER;
    this.#session.acknowledging.send();
  }

  due(nowMs: number): number {
    const session = this.#session;
    if (!session.ready) {
      session.end(GOAWAY.HANDSHAKE_TIMEOUT, "the handshake took too long");
      return NEVER;
    }
    this.#goOn(nowMs);
    this.#ack(nowMs);
    const state = this.#keepalive.check(nowMs, this.#intervalMs);
    if (state === "ping") this.#ping();
    if (state === "dead") this.#silent(nowMs);
    const next = Math.min(
      this.#expireStreams(nowMs),
      this.#keepalive.nextMs(this.#intervalMs),
      this.#ackMs,
      this.#restMs,
    );
    return session.closed ? NEVER : next;
  }

  /** Nothing was heard for two intervals. That says nothing of the peer while nobody reads; and it must hear of us. */
  #silent(nowMs: number): void {
    const session = this.#session;
    if (!session.handlers.crowded) {
      return session.end(GOAWAY.KEEPALIVE, "silent for two keepalive intervals");
    }
    this.#keepalive.heard(nowMs);
    this.ask();
  }

  /** Asks for a sign of life at once: whoever answers has read what was sent before. */
  ask(): void {
    this.#keepalive.pings++;
    this.#ping();
  }

  #ping(): void {
    const session = this.#session;
    session.begin();
    encodePing(session.writer, this.#keepalive.pings, 0, false);
  }

  get #intervalMs(): number {
    const { role, limits, peer } = this.#session;
    return role === "server" ? limits.keepaliveMs : peer.keepaliveMs;
  }

  /** When the next one is due. */
  #expireStreams(nowMs: number): number {
    const { incoming, streams } = this.#session;
    let next = NEVER;
    for (const stream of [...incoming.table.list(), ...streams.table.list()]) {
      if (stream.deadlineMs === 0) continue;
      if (stream.deadlineMs > nowMs) next = Math.min(next, stream.deadlineMs);
      else {
        stream.deadlineMs = 0;
        stream.owner?.expired(stream);
      }
    }
    return next;
  }
}
