// One client's connection: the protocol's session on one side, the reactor's connection on the other.

import { Buffer } from "node:buffer";
import type { Input } from "../codec/codec.ts";
import type { Connection } from "../handlers.ts";
import { type BodyCodec, jsonCodec } from "../protocol/body-codec.ts";
import { CODE, ERROR_FLAG, GOAWAY, GOAWAY_KEY, HELLO_KEY, KIND } from "../protocol/codes.ts";
import type { Auth } from "../protocol/connection-frames.ts";
import { checkDeadline } from "../protocol/deadline.ts";
import { callPeer, notifyPeer } from "../protocol/peer-call.ts";
import { Session } from "../protocol/session.ts";
import type { SessionEnd, SessionEvents, Transport } from "../protocol/session-events.ts";
import type { Stream } from "../protocol/stream.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";
import { type Tlv, textTlv, tlv } from "../protocol/tlv.ts";
import type { AuthExchange, AuthMethod, AuthStep, Stranger } from "./auth.ts";
import type { CallingPeer } from "./context.ts";
import type { Hub } from "./hub.ts";
import type { LiveSession, Resumption } from "./lost-sessions.ts";
import type { RouteEntry } from "./route-table.ts";
import { ServerCall } from "./server-call.ts";
import type { Subscription } from "./subscription.ts";

type ServiceConnection = Connection<never, ServerSession | undefined>;

const AGENT = "sluice";
const NO_TLVS: readonly Tlv[] = Object.freeze([]);

export class ServerSession implements SessionEvents, Transport, CallingPeer, LiveSession {
  readonly hub: Hub;
  readonly session: Session;
  readonly connection: ServiceConnection;
  identity: unknown = undefined;
  /** Streams whose next message waits for room. */
  #waiting: Set<() => void> | undefined;
  /** Of a session that can be lost: where its client is. */
  #host = "";
  #exchange: AuthExchange | undefined;
  #method = 0;
  #step = 0;
  #awaitingDrain = false;
  /** What the client asked to resume. */
  #hello: readonly Tlv[] = NO_TLVS;
  /** Subscriptions that outlive the connection. */
  #kept: Subscription[] | undefined;

  constructor(hub: Hub, connection: ServiceConnection) {
    this.hub = hub;
    this.connection = connection;
    this.session = new Session({
      role: "server",
      wire: hub.wire,
      limits: hub.limits,
      transport: this,
      events: this,
      codecs: hub.codecIds,
      compression: hub.compression,
    });
    hub.sessions.add(this);
  }

  receive(input: Input): void {
    this.session.receive(input);
  }

  // The transport: the reactor's connection.

  get pendingBytes(): number {
    return this.connection.pendingBytes;
  }

  write(bytes: Buffer, start: number, end: number): void {
    this.connection.write(bytes.subarray(start, end));
  }

  awaitDrain(): void {
    if (this.#awaitingDrain) return;
    this.#awaitingDrain = true;
    void this.connection.drained().then(() => {
      this.#awaitingDrain = false;
      this.session.drained();
    });
  }

  pause(): void {
    this.connection.pause();
  }

  resume(): void {
    this.connection.resume();
  }

  close(abort: boolean): void {
    if (abort) this.connection.reset();
    else this.connection.close();
  }

  // The handshake.

  hello(tlvs: readonly Tlv[]): void {
    this.#hello = tlvs;
    const { auth } = this.hub.options;
    if (auth === undefined || auth.length === 0) return this.#accept(undefined);
    const data = Buffer.from(tlv(tlvs, HELLO_KEY.AUTH) ?? []);
    this.#method = data[0] ?? 0;
    const method = auth.find((one) => one.method === this.#method);
    if (method === undefined) return this.#refuse();
    if (this.hub.attempts.mustWait(this.connection.remoteAddress, this.hub.wire.now())) {
      return this.session.end(GOAWAY.AUTH, "too many attempts: wait a while");
    }
    this.#exchange = this.#begin(method);
    this.#proceed(data.subarray(1));
  }

  auth(auth: Auth): void {
    if (this.session.ready) return this.#refresh(auth);
    if (auth.method !== this.#method || auth.step !== this.#step + 1) return this.#refuse();
    this.#step = auth.step;
    this.#proceed(auth.data);
  }

  #proceed(data: Buffer): void {
    this.#judge(data, (step) => {
      if (step === undefined) return this.#refuse();
      if ("identity" in step) {
        this.identity = step.identity;
        this.hub.attempts.succeeded(this.connection.remoteAddress);
        return this.#accept(step.last);
      }
      this.#step++;
      const challenge = Buffer.from(step.challenge);
      this.session.handshake.challenge({ method: this.#method, step: this.#step, data: challenge });
    });
  }

  #begin(method: AuthMethod): AuthExchange {
    const { remoteAddress, peerCredentials } = this.connection;
    const stranger: Stranger = { remoteAddress, credentials: peerCredentials };
    return method.start(stranger, () => this.hub.secret);
  }

  /** A client that is in renews its token. */
  #refresh(auth: Auth): void {
    const method = this.hub.options.auth?.find((one) => one.method === auth.method);
    if (method === undefined || auth.step !== 0) return this.#refuse();
    this.#exchange = this.#begin(method);
    this.#judge(auth.data, (step) => {
      if (step === undefined || !("identity" in step)) return this.#refuse();
      this.identity = step.identity;
      this.hub.topics.recheck(this);
    });
  }

  /** Asks the hook, which may need time; what it throws refuses. */
  #judge(data: Buffer, decide: (step: AuthStep) => void): void {
    const failed = (error: unknown) => {
      this.hub.report(error);
      this.#refuse();
    };
    try {
      const step = this.#exchange?.step(data);
      if (step instanceof Promise) step.then(decide).catch(failed);
      else decide(step);
    } catch (error) {
      failed(error);
    }
  }

  #accept(last: Uint8Array | undefined): void {
    // It may have been given up while it was judged: the session that it asks for waits for it to come again.
    if (this.session.closed) return;
    const { address } = this.hub.relocation;
    if (address !== undefined) return this.#sendOn(address);
    const tlvs: Tlv[] = [...this.hub.routes.tlvs, textTlv(HELLO_KEY.AGENT, AGENT), serverTime()];
    if (last !== undefined) {
      const value = Buffer.concat([Uint8Array.of(this.#method), last]);
      tlvs.push({ key: HELLO_KEY.AUTH, value });
    }
    this.#exchange = undefined;
    const hello = this.#hello;
    this.#hello = NO_TLVS;
    const { handshake } = this.session;
    if (!this.hub.lost.wanted(hello)) return handshake.accept(tlvs);
    this.hub.lost.resume(this, hello, (resumption) => this.#goOn(resumption, tlvs));
  }

  /** With a session that survives its connections, an old one or a new one. */
  #goOn({ replay, host, clientHas, tlvs }: Resumption, others: readonly Tlv[]): void {
    const { session } = this;
    if (session.closed) return;
    session.replay = replay;
    this.#host = host;
    this.hub.lost.live(replay, this);
    session.handshake.accept([...others, ...tlvs]);
    if (clientHas !== undefined && session.ready) {
      // It may be somebody else who comes back.
      this.hub.topics.recheck(this);
      session.streams.resend(clientHas);
      // Its answer ends the worth of the secret that was shown.
      session.time.ask();
    }
    // Said while the session was on its way: what it is owed comes first, since nobody else has that.
    const { address } = this.hub.relocation;
    if (address !== undefined) this.moves(address, DRAIN_MS);
  }

  replaced(): void {
    this.session.end(GOAWAY.SESSION_REPLACED, "the session goes on elsewhere");
  }

  /** The connection is gone: whether this subscription is to wait for the client to come back. */
  keeps(subscription: Subscription): boolean {
    const { replay, draining, peerGoaway } = this.session;
    if (replay?.resumable !== true || draining || peerGoaway !== undefined) return false;
    subscription.lose(replay);
    this.#kept ??= [];
    this.#kept.push(subscription);
    return true;
  }

  #refuse(): void {
    this.hub.attempts.failed(this.connection.remoteAddress, this.hub.wire.now());
    const methods = Uint8Array.from((this.hub.options.auth ?? []).map(({ method }) => method));
    const value = { key: GOAWAY_KEY.AUTH_METHODS, value: methods };
    this.session.end(GOAWAY.AUTH, "not let in", [value]);
  }

  ready(): void {
    // Nothing waits for it.
  }

  // Streams.

  opened(
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    if (open.kind === KIND.SUBSCRIBE || open.kind === KIND.PUBLISH) {
      return this.hub.topics.opened(this, stream, open, bytes, start, end);
    }
    const route = this.hub.routes.asked(open);
    const refusal = this.#refusal(route, open);
    if (refusal === undefined && route !== undefined) {
      const codec = this.hub.codec(open.codec);
      if (codec !== undefined) {
        return new ServerCall(this, stream, route, codec, open).begin(bytes, start, end);
      }
    }
    if (stream === undefined) return;
    const [code, text] = refusal ?? [CODE.BAD_CODEC, `there is no codec ${open.codec}`];
    this.session.streams.fail(stream, code, text, ERROR_FLAG.NOT_PROCESSED);
  }

  #refusal(route: RouteEntry | undefined, open: OpenFrame): readonly [number, string] | undefined {
    if (route === undefined) return [CODE.NOT_FOUND, "no such route"];
    if (route.kind !== open.kind) return [CODE.UNIMPLEMENTED, "the route is of another kind"];
    if (!this.hub.may(this.identity, "call", route.name)) {
      return [CODE.PERMISSION_DENIED, "this route is not for you"];
    }
    return undefined;
  }

  published(): void {
    this.session.end(GOAWAY.PROTOCOL, "MSG for a server that subscribed to nothing");
  }

  /** Calls back once there may be room for messages again. */
  waitForRoom(again: () => void): void {
    this.#waiting ??= new Set();
    this.#waiting.add(again);
  }

  roomAgain(): void {
    this.hub.topics.roomAgain(this);
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    for (const again of [...waiting]) {
      waiting.delete(again);
      again();
    }
  }

  // The end.

  goaway(): void {
    // The client opens nothing more, and closes when it is done.
  }

  /** Lets what is in flight finish, and then closes. */
  drain(): void {
    this.session.drain(DRAIN_MS, RECONNECT_MS);
    this.hub.topics.drain(this);
    this.closeIfDrained();
  }

  /** The service is elsewhere from here on: the client is told once it is let in, at once when it has been. */
  moves(address: string, drainMs: number): void {
    if (!this.session.ready) return;
    this.session.drain(drainMs, RECONNECT_MS, [textTlv(GOAWAY_KEY.ADDRESS, address)]);
    this.hub.topics.drain(this);
    this.closeIfDrained();
  }

  /** The time that `moves` gave is up. */
  hasMoved(address: string | undefined): void {
    if (this.session.draining) this.#sendOn(address);
  }

  #sendOn(address: string | undefined): void {
    const tlvs = address === undefined ? [] : [textTlv(GOAWAY_KEY.ADDRESS, address)];
    this.session.end(GOAWAY.MOVED, "the service has moved", tlvs);
  }

  /** The client has ended its side of the connection: what it has asked for is answered first. */
  inputEnded(): void {
    const why = "the client ended its stream";
    if (this.session.replay !== undefined) return this.session.disconnected(why, false);
    this.session.draining = true;
    this.hub.topics.drain(this);
    for (const stream of this.session.incoming.table.list()) {
      // The rest of what it was sending cannot come any more.
      if (!stream.remoteDone) stream.owner?.cancelled(stream, CODE.CANCELLED);
    }
    this.closeIfDrained();
  }

  /** After a stream has ended: a session that drains closes with its last. */
  closeIfDrained(): void {
    if (!this.session.draining || this.session.closed) return;
    const { incoming, streams, handlers } = this.session;
    if (incoming.table.count + streams.table.count > 0 || handlers.any) return;
    this.session.close();
  }

  ended({ code, byPeer }: SessionEnd): void {
    this.hub.sessions.delete(this);
    this.hub.topics.ended(this);
    const { replay } = this.session;
    if (replay !== undefined) this.hub.lost.ended(replay);
    const cut = (byPeer && code === undefined) || code === GOAWAY.SESSION_REPLACED;
    const lost = cut && replay?.resumable === true;
    const kept = this.#kept ?? [];
    if (lost) this.hub.lost.add(replay, kept, this.#host);
    else for (const subscription of kept) subscription.remove();
    for (const again of this.#waiting ?? []) again();
    this.#waiting = undefined;
  }

  // As something to call.

  get id(): number {
    return this.connection.id;
  }

  get open(): boolean {
    return !this.session.closed;
  }

  get agent(): string {
    return this.session.peer.agent;
  }

  async call(
    route: string,
    value: unknown,
    options: { readonly deadlineMs?: number; readonly codec?: BodyCodec } = {},
  ): Promise<unknown> {
    const { codec = jsonCodec, deadlineMs } = options;
    const withinMs = deadlineMs === undefined ? 0 : checkDeadline(deadlineMs);
    return callPeer(this.session, route, value, codec, withinMs);
  }

  notify(route: string, value: unknown, codec: BodyCodec = jsonCodec): void {
    notifyPeer(this.session, route, value, codec);
  }
}

/** What a client is told at a drain; the server's own deadline decides. */
const DRAIN_MS = 10_000;
const RECONNECT_MS = 250;

function serverTime(): Tlv {
  const now = Date.now();
  const value = Buffer.alloc(8);
  value.writeUInt32LE(Math.floor(now / 1000));
  value.writeUInt32LE(now % 1000, 4);
  return { key: HELLO_KEY.SERVER_TIME, value };
}
