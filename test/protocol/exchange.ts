// Exchanges from docs/vectors, played with one session without I/O: the peer's bytes go in, the application does what it is
// told to, time moves; what the session sends, tells and ends with is compared.
//
// Written for a server that is tested. With the roles swapped every stream has the id of the other parity: the rules for
// streams are the same in both directions, and so must be what comes out.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { CODE, KIND } from "../../src/protocol/codes.ts";
import { zstd } from "../../src/protocol/compression.ts";
import { Replay } from "../../src/protocol/replay.ts";
import type { Stream, StreamOwner } from "../../src/protocol/stream.ts";
import type { MsgFrame, OpenFrame, StreamError } from "../../src/protocol/stream-frames.ts";
import { Wire } from "../../src/protocol/wire.ts";
import { completeWireLimits, type WireLimits } from "../../src/protocol/wire-limits.ts";
import { encodeDescribed } from "./described-frames.ts";
import { decodeFast } from "./fast-decoder.ts";
import { End } from "./two-sessions.ts";

type Role = "server" | "client";
type Pattern = Readonly<Record<string, unknown>>;
/** In hexadecimal, or so many zero bytes. */
type Body = string | number;

interface Application {
  readonly stream?: number;
  readonly open?: { readonly kind: number; readonly name: string; readonly credit?: number };
  readonly answer?: Body;
  readonly send?: Body;
  readonly end?: true;
  readonly fail?: number;
  readonly cancel?: number;
  readonly grant?: number;
  readonly hold?: number;
  readonly publish?: { readonly topic: string; readonly seq: number };
  readonly notify?: string;
  readonly resend?: number;
  readonly drain?: true;
}

interface Step {
  readonly send?: string;
  readonly zeros?: number;
  readonly times?: number;
  readonly app?: Application;
  readonly unread?: number;
  readonly pass_ms?: number;
  readonly told?: readonly string[];
  readonly expect?: readonly Pattern[];
  readonly ended?: number | null;
}

export interface Exchange {
  readonly section: number;
  readonly rule: string;
  readonly roles: readonly Role[];
  readonly handshake?: false;
  readonly limits?: Readonly<Record<string, number>>;
  readonly tlvs?: readonly object[];
  readonly replay?: {
    readonly sent?: number;
    readonly received?: number;
    readonly replay_to?: number;
  };
  readonly steps: readonly Step[];
}

const PREFACE = Buffer.from("SWP1\r\n\x1a\n", "latin1");
const MOST = 16_777_215;

/** Names of the specification for those of the code. */
const LIMITS: Readonly<Record<string, keyof WireLimits>> = {
  max_message: "messageBytes",
  max_streams: "streams",
  window: "windowBytes",
  stream_credit: "streamCredit",
  replay_messages: "replayMessages",
  write_queue: "queueBytes",
};

/** @throws AssertionError at the first step that comes out otherwise */
export function play(exchange: Exchange, role: Role): void {
  const tested = new Tested(role, exchange);
  for (const [n, step] of exchange.steps.entries()) tested.step(step, `step ${n + 1}`);
}

class Tested extends End {
  readonly #role: Role;
  readonly #clock: { ms: number };
  readonly #wire: Wire;
  readonly #events: string[] = [];
  readonly #owner = new Noted(this.#events, (id) => this.#id(id));
  #left: Buffer = Buffer.alloc(0);

  constructor(role: Role, { handshake, limits = {}, tlvs = [], replay }: Exchange) {
    const clock = { ms: 1000 };
    const wire = new Wire({ now: () => clock.ms, soon: () => undefined });
    const own: Record<string, number> = {};
    for (const [name, value] of Object.entries(limits)) own[LIMITS[name] ?? name] = value;
    super(role, wire, own, zstd());
    this.#role = role;
    this.#clock = clock;
    this.#wire = wire;
    if (replay !== undefined) {
      const kept = new Replay(completeWireLimits(own));
      kept.sent = replay.sent ?? 0;
      kept.received = replay.received ?? 0;
      kept.replayedTo = replay.replay_to ?? 0;
      this.session.replay = kept;
    }
    if (handshake !== false) this.#greet(tlvs);
  }

  #greet(tlvs: readonly object[]): void {
    const empty = { stream: 0, flags: 0, tlvs };
    if (this.#role === "server") {
      const hello = { frame: "HELLO", version_min: 1, version_max: 1, ...empty };
      this.#receive(Buffer.concat([PREFACE, encodeDescribed(hello)]));
    } else {
      this.session.handshake.start([], false);
      this.#receive(encodeDescribed({ frame: "WELCOME", version: 1, ...empty }));
    }
    assert.ok(this.session.ready);
    this.outbox.splice(0);
  }

  step(step: Step, where: string): void {
    if (step.unread !== undefined) this.pendingBytes = step.unread;
    if (step.send !== undefined) {
      const bytes = Buffer.concat([Buffer.from(step.send, "hex"), Buffer.alloc(step.zeros ?? 0)]);
      for (let n = 0; n < (step.times ?? 1); n++) this.#receive(this.#swapped(bytes));
    }
    if (step.app !== undefined) this.#act(step.app);
    if (step.pass_ms !== undefined) {
      this.#clock.ms += step.pass_ms;
      this.#wire.agenda.run(this.#clock.ms);
    }
    this.#wire.flush();
    if (step.told !== undefined) assert.deepEqual(this.#events.splice(0), step.told, where);
    if (step.expect !== undefined) this.#expect(repeated(step.expect, step.times), where);
    if (step.ended !== undefined) {
      if (step.ended !== null) this.#expect([{ frame: "GOAWAY", code: step.ended }], where);
      assert.ok(this.closed, `${where}: not at its end`);
    }
  }

  #receive(bytes: Buffer): void {
    const all = Buffer.concat([this.#left, bytes]);
    const input = { bytes: all, offset: 0, end: all.length, borrow: true };
    this.session.receive(input);
    this.#left = all.subarray(input.offset);
  }

  #expect(patterns: readonly Pattern[], where: string): void {
    const { frames, rest } = decodeFast(Buffer.concat(this.outbox.splice(0)), MOST);
    assert.equal(rest, 0, where);
    const counted = patterns.some(isGrant) ? frames : frames.filter((frame) => !isGrant(frame));
    const shown = counted.map((frame, n) => this.#shown(frame, patterns[n] ?? {}));
    assert.deepEqual(shown, patterns, `${where}: ${JSON.stringify(counted).slice(0, 500)}`);
  }

  /** A frame's members that a pattern asks for. */
  #shown(frame: Readonly<Record<string, unknown>>, pattern: Pattern): Pattern {
    const { body } = frame;
    const length = typeof body === "string" ? body.length / 2 : 0;
    const all = { ...frame, stream: this.#id(Number(frame.stream)), body_length: length };
    return Object.fromEntries(
      ["frame", ...Object.keys(pattern)].map((name) => [name, Reflect.get(all, name)]),
    );
  }

  // Roles.

  /** The id as the vector has it, and back. */
  #id(id: number): number {
    if (this.#role === "server" || id === 0) return id;
    return id % 2 === 1 ? id + 1 : id - 1;
  }

  #swapped(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes);
    if (this.#role === "server") return copy;
    for (let at = 0; at + 8 <= copy.length; at += 8 + copy.readUIntLE(at, 3)) {
      copy.writeUIntLE(this.#id(copy.readUIntLE(at + 4, 3)), at + 4, 3);
    }
    return copy;
  }

  // The application.

  #act(app: Application): void {
    const { streams, incoming } = this.session;
    if (app.open !== undefined) {
      const { kind, name, credit } = app.open;
      const open = { kind, codec: 0, name, ...(credit !== undefined && { credit }) };
      const stream = streams.open(open, bytesOf(app.answer ?? ""), this.#owner);
      this.#events.push(stream === undefined ? "no stream" : `opens ${this.#id(stream.id)}`);
    }
    if (app.notify !== undefined) {
      const body = Buffer.from(app.notify);
      streams.announce({ kind: KIND.NOTIFY, codec: 0, name: "n" }, body);
    }
    if (app.resend !== undefined) streams.resend(app.resend);
    if (app.hold !== undefined) incoming.hold(app.hold);
    if (app.drain === true) this.session.drain(5000, 250);
    if (app.stream !== undefined) this.#onStream(app, this.#stream(app.stream));
  }

  #stream(id: number): Stream {
    const own = this.#id(id);
    const { incoming, streams } = this.session;
    const stream = (this.session.isMine(own) ? streams : incoming).table.get(own);
    assert.ok(stream !== undefined, `there is no stream ${id}`);
    return stream;
  }

  #onStream(app: Application, stream: Stream): void {
    const { streams } = this.session;
    const body = bytesOf(app.answer ?? app.send ?? "");
    if (app.answer !== undefined) streams.answer(stream, body, 0, body.length);
    if (app.send !== undefined) streams.send(stream, body, 0, body.length);
    if (app.end === true) streams.sendEnd(stream);
    if (app.fail !== undefined) streams.fail(stream, app.fail, "");
    if (app.cancel !== undefined) streams.cancel(stream, app.cancel);
    if (app.grant !== undefined) this.session.grant(stream, app.grant);
    if (app.publish !== undefined) {
      const { topic, seq } = app.publish;
      streams.publish(stream, 0, seq, Buffer.from(topic), topic.length);
    }
  }

  override opened(
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const body = bytes.toString("hex", start, end);
    const name = open.name();
    if (stream === undefined) return void this.#events.push(`notified ${body}`);
    stream.owner = this.#owner;
    if (name === "no.such.route") {
      return this.session.streams.fail(stream, CODE.NOT_FOUND, "", 1);
    }
    if (name === "echo") return this.session.streams.answer(stream, bytes, start, end);
    this.#events.push(`opened ${this.#id(stream.id)} ${body}`.trim());
  }
  override published(stream: Stream, msg: MsgFrame): void {
    this.#events.push(`msg ${this.#id(stream.id)} ${msg.topic()}`);
  }
  override goaway(): void {
    this.#events.push("goaway");
  }
}

/** Notes what streams are told. */
class Noted implements StreamOwner {
  readonly #events: string[];
  readonly #id: (id: number) => number;

  constructor(events: string[], id: (id: number) => number) {
    this.#events = events;
    this.#id = id;
  }

  #note(what: string, stream: Stream, more: string | number = ""): void {
    this.#events.push(`${what} ${this.#id(stream.id)} ${more}`.trim());
  }

  message(stream: Stream, bytes: Buffer, start: number, end: number): void {
    this.#note("message", stream, bytes.toString("hex", start, end));
  }
  ended(stream: Stream): void {
    this.#note("ended", stream);
  }
  failed(stream: Stream, { code }: StreamError): void {
    this.#note("failed", stream, code);
  }
  cancelled(stream: Stream, code: number): void {
    this.#note("cancelled", stream, code);
  }
  credited(): void {
    // What may be sent is said by the steps.
  }
  expired(): void {
    // No deadlines here.
  }
  cut(stream: Stream): void {
    this.#note("cut", stream);
  }
}

function repeated(patterns: readonly Pattern[], times = 1): Pattern[] {
  return Array.from({ length: times }, () => patterns).flat();
}

function isGrant({ frame, stream }: Pattern): boolean {
  return frame === "CREDIT" && stream === 0;
}

function bytesOf(body: Body): Buffer {
  return typeof body === "number" ? Buffer.alloc(body) : Buffer.from(body, "hex");
}
