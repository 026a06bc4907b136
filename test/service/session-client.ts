// A client for tests: the protocol's session over a plain node:net socket, and nothing clever. What it is told is kept.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { type BodyCodec, jsonCodec, rawCodec, utf8Codec } from "../../src/protocol/body-codec.ts";
import { FEATURE, HELLO_KEY, KIND, META_KEY } from "../../src/protocol/codes.ts";
import { zstd } from "../../src/protocol/compression.ts";
import type { Auth, Goaway } from "../../src/protocol/connection-frames.ts";
import { Inbox } from "../../src/protocol/inbox.ts";
import { callPeer, errorFromPeer, notifyPeer } from "../../src/protocol/peer-call.ts";
import type { Replay } from "../../src/protocol/replay.ts";
import { Session } from "../../src/protocol/session.ts";
import type { SessionEnd, SessionEvents, Transport } from "../../src/protocol/session-events.ts";
import type { Stream, StreamOwner } from "../../src/protocol/stream.ts";
import type { MsgFrame, OpenFrame, StreamError } from "../../src/protocol/stream-frames.ts";
import { type Tlv, tlv, tlvText, tlvU32, u32Tlv } from "../../src/protocol/tlv.ts";
import { Wire } from "../../src/protocol/wire.ts";
import { completeWireLimits, type WireLimits } from "../../src/protocol/wire-limits.ts";
import type { Server } from "../../src/server/serve.ts";
import { portOf } from "../support/server.ts";
import { until } from "../support/until.ts";

export interface ClientOptions {
  readonly limits?: Partial<WireLimits>;
  readonly auth?: { readonly method: number; readonly data: Uint8Array | string };
  readonly answer?: (challenge: Auth) => Uint8Array | Promise<Uint8Array>;
  readonly tlvs?: readonly Tlv[];
  readonly codecs?: readonly BodyCodec[];
  readonly compression?: boolean;
  /** A session that is to go on: what is kept of it, and its subscriptions. */
  readonly resume?: { readonly replay: Replay; readonly from?: SessionClient };
}

/** What came on a subscription. */
export interface Heard {
  readonly topic: string;
  readonly dropped: number;
  readonly seq: number;
  readonly value: unknown;
}

export class SessionClient implements SessionEvents, Transport {
  readonly session: Session;
  readonly socket: Socket;
  readonly heard = new Map<Stream, Heard[]>();
  welcome: readonly Tlv[] | undefined;
  end: SessionEnd | undefined;
  reason: string | undefined;
  said: Goaway | undefined;
  /** What the server calls here. */
  onCall: (name: string, body: Buffer) => Buffer = (_name, body) => body;
  readonly #options: ClientOptions;
  readonly #codecs: readonly BodyCodec[];
  #left: Buffer = Buffer.alloc(0);
  #paused = false;

  constructor(socket: Socket, options: ClientOptions = {}) {
    this.#options = options;
    this.socket = socket;
    this.#codecs = [jsonCodec, rawCodec, utf8Codec, ...(options.codecs ?? [])];
    const wire = new Wire({
      now: () => Math.floor(performance.now()),
      soon: (run) => queueMicrotask(run),
    });
    this.session = new Session({
      role: "client",
      wire,
      limits: completeWireLimits(options.limits),
      transport: this,
      events: this,
      codecs: this.#codecs.map(({ id }) => id),
      compression: options.compression === true ? zstd() : undefined,
    });
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("close", () => this.session.disconnected("closed"));
    socket.on("error", (error) => this.session.disconnected(error.message));
    socket.on("drain", () => this.session.drained());
  }

  static async connect(
    t: TestContext,
    server: Server,
    options: ClientOptions = {},
  ): Promise<SessionClient> {
    const client = SessionClient.dial(t, server, options);
    await until(() => client.session.ready || client.end !== undefined, "the handshake");
    return client;
  }

  /** Does not wait for WELCOME. */
  static dial(t: TestContext, server: Server, options: ClientOptions = {}): SessionClient {
    const { address } = server;
    const where = address.family === "unix" ? { path: address.path } : { port: portOf(server) };
    const client = SessionClient.over(connect(where), options);
    t.after(() => client.socket.destroy());
    return client;
  }

  /** Says HELLO over any socket. */
  static over(socket: Socket, options: ClientOptions): SessionClient {
    const client = new SessionClient(socket, options);
    const { auth, tlvs = [] } = options;
    const all = [...tlvs];
    if (options.resume !== undefined) all.push(...client.#resume(options.resume));
    if (auth !== undefined) {
      const value = Buffer.concat([Uint8Array.of(auth.method), Buffer.from(auth.data)]);
      all.push({ key: HELLO_KEY.AUTH, value });
    }
    client.session.handshake.start(all, true);
    return client;
  }

  #resume({ replay, from }: { replay: Replay; from?: SessionClient }): Tlv[] {
    this.session.replay = replay;
    const features = u32Tlv(HELLO_KEY.FEATURES, FEATURE.RESUME);
    if (from === undefined) return [features];
    for (const [stream, heard] of from.heard) {
      const owner = new TestFlow(jsonCodec, 1000);
      this.heard.set(this.session.streams.restore(stream.id, stream.codec, 1000, owner), heard);
    }
    return [
      features,
      { key: HELLO_KEY.SESSION_ID, value: replay.id },
      { key: HELLO_KEY.SESSION_SECRET, value: replay.secret },
      u32Tlv(HELLO_KEY.LAST_SEQ, replay.received),
      u32Tlv(HELLO_KEY.REPLAY_TO, replay.sent),
    ];
  }

  /** Whether the server went on with the session that it was asked for. */
  resumed = false;

  #welcomed(tlvs: readonly Tlv[], replay: Replay): void {
    const id = Buffer.from(tlv(tlvs, HELLO_KEY.SESSION_ID) ?? []);
    this.resumed = id.equals(replay.id);
    replay.id = id;
    replay.secret = Buffer.from(tlv(tlvs, HELLO_KEY.SESSION_SECRET) ?? []);
    replay.replayedTo = tlvU32(tlvs, HELLO_KEY.REPLAY_TO) ?? 0;
    if (this.resumed) this.session.streams.resend(tlvU32(tlvs, HELLO_KEY.LAST_SEQ) ?? 0);
  }

  #take(bytes: Buffer): void {
    const all = this.#left.length === 0 ? bytes : Buffer.concat([this.#left, bytes]);
    const input = { bytes: all, offset: 0, end: all.length, borrow: true };
    if (!this.#paused) this.session.receive(input);
    this.#left = all.subarray(input.offset);
  }

  // The transport.

  get pendingBytes(): number {
    return this.socket.writableLength;
  }
  write(bytes: Buffer, start: number, end: number): void {
    this.socket.write(Buffer.from(bytes.subarray(start, end)));
  }
  awaitDrain(): void {
    // The socket's "drain" says it.
  }
  pause(): void {
    this.#paused = true;
  }
  resume(): void {
    this.#paused = false;
    this.#take(Buffer.alloc(0));
  }
  close(abort: boolean): void {
    if (abort) this.socket.destroy();
    else this.socket.end();
  }

  // What the session tells.

  hello(): void {
    throw new Error("a client gets no HELLO");
  }
  auth(auth: Auth): void {
    const { method, step } = auth;
    void Promise.resolve(this.#options.answer?.(auth) ?? Buffer.alloc(0)).then((data) => {
      this.session.handshake.answer({ method, step: step + 1, data: Buffer.from(data) });
    });
  }
  ready(tlvs: readonly Tlv[]): void {
    this.welcome = tlvs;
    const { resume } = this.#options;
    if (resume !== undefined) this.#welcomed(tlvs, resume.replay);
  }
  opened(
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const answer = this.onCall(open.name(), Buffer.from(bytes.subarray(start, end)));
    if (stream !== undefined) stream.session.streams.answer(stream, answer, 0, answer.length);
  }
  published(stream: Stream, msg: MsgFrame, bytes: Buffer, start: number, end: number): void {
    const codec = this.#codecs.find(({ id }) => id === stream.codec) ?? rawCodec;
    this.heard.get(stream)?.push({
      topic: msg.topic(),
      dropped: msg.dropped,
      seq: msg.seq,
      value: codec.decode(bytes, start, end),
    });
  }
  roomAgain(): void {
    // Nobody waits.
  }
  goaway(goaway: Goaway): void {
    this.said = goaway;
    this.reason = tlvText(goaway.tlvs, 1);
  }
  ended(end: SessionEnd): void {
    this.end = end;
  }

  // What tests do.

  call(
    route: string,
    value: unknown,
    codec: BodyCodec = jsonCodec,
    deadlineMs = 0,
  ): Promise<unknown> {
    return callPeer(this.session, route, value, codec, deadlineMs);
  }

  notify(route: string, value: unknown): void {
    notifyPeer(this.session, route, value, jsonCodec);
  }

  publish(topic: string, value: unknown): Promise<unknown> {
    const flow = this.open({ kind: KIND.PUBLISH, codec: jsonCodec.id, name: topic }, value);
    return flow.over;
  }

  subscribe(
    pattern: string,
    options: { credit?: number; group?: string; policy?: number; codec?: BodyCodec } = {},
  ): { readonly stream: Stream; readonly heard: Heard[]; readonly over: Promise<unknown> } {
    const { credit = 1000, group, policy, codec = jsonCodec } = options;
    const meta: Tlv[] = [];
    if (group !== undefined) meta.push({ key: META_KEY.QUEUE_GROUP, value: Buffer.from(group) });
    if (policy !== undefined)
      meta.push({ key: META_KEY.SLOW_POLICY, value: Uint8Array.of(policy) });
    const flow = this.open({ kind: KIND.SUBSCRIBE, codec: codec.id, name: pattern, credit, meta });
    const heard: Heard[] = [];
    this.heard.set(flow.stream, heard);
    return { stream: flow.stream, heard, over: flow.over };
  }

  /** A flow, with its messages as JSON. */
  open(
    open: {
      kind: number;
      codec: number;
      name: string;
      credit?: number;
      deadlineMs?: number;
      meta?: readonly Tlv[];
    },
    value?: unknown,
  ): TestFlow {
    const codec = this.#codecs.find(({ id }) => id === open.codec) ?? rawCodec;
    const flow = new TestFlow(codec, open.credit ?? 16);
    const stream = this.session.streams.open(open, codec.encode(value), flow);
    if (stream === undefined) throw new Error("no stream can be opened");
    flow.begin(stream);
    return flow;
  }
}

/** One stream that a test has opened. */
export class TestFlow implements StreamOwner {
  readonly #codec: BodyCodec;
  readonly #credit: number;
  readonly #over = Promise.withResolvers<unknown>();
  #stream: Stream | undefined;
  #inbox: Inbox<unknown> | undefined;

  constructor(codec: BodyCodec, credit: number) {
    this.#codec = codec;
    this.#credit = credit;
    // Whoever wants to know asks.
    this.#over.promise.catch(() => undefined);
  }

  begin(stream: Stream): void {
    this.#stream = stream;
    const abandoned = () => stream.session.streams.cancel(stream, 1);
    this.#inbox = new Inbox(stream, this.#credit, abandoned);
  }

  get stream(): Stream {
    if (this.#stream === undefined) throw new Error("not opened");
    return this.#stream;
  }

  /** Resolves with the answer (or nothing), rejects with the error. */
  get over(): Promise<unknown> {
    return this.#over.promise;
  }

  get messages(): AsyncIterable<unknown> {
    if (this.#inbox === undefined) throw new Error("not opened");
    return this.#inbox;
  }

  async send(value: unknown): Promise<void> {
    const body = this.#codec.encode(value);
    await until(() => this.stream.sendCredit > 0 || this.stream.localDone, "credit");
    this.stream.session.streams.send(this.stream, body, 0, body.length);
  }

  sendEnd(): void {
    this.stream.session.streams.sendEnd(this.stream);
  }

  cancel(): void {
    this.stream.session.streams.cancel(this.stream, 1);
  }

  message(stream: Stream, bytes: Buffer, start: number, end: number): void {
    const value = this.#codec.decode(bytes, start, end);
    if (!stream.receivesMessages) this.#over.resolve(value);
    else this.#inbox?.push(value, end - start);
  }
  ended(): void {
    this.#inbox?.end();
    this.#over.resolve(undefined);
  }
  failed(_stream: Stream, error: StreamError): void {
    const thrown = errorFromPeer(error, this.#codec);
    this.#inbox?.end(thrown);
    this.#over.reject(thrown);
  }
  cancelled(_stream: Stream, code: number): void {
    this.#over.reject(new Error(`cancelled ${code}`));
  }
  credited(): void {
    // Looked at by `send`.
  }
  expired(): void {
    // No deadlines here.
  }
  cut(): void {
    const error = new Error("cut");
    this.#inbox?.end(error);
    this.#over.reject(error);
  }
}
