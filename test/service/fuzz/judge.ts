// What a server must make of each frame, by docs/protocol.md and by nothing of the server's own code: the frames that it reads
// and those that it writes go through here. Where the specification leaves a choice, or where the judge cannot know what a
// handler has done meanwhile, there are several outcomes; otherwise one.

import assert from "node:assert/strict";
import { Buffer, isUtf8 } from "node:buffer";
import type { WireLimits } from "../../../src/protocol/wire-limits.ts";
import { decodeSlowly } from "../../protocol/slow-decoder.ts";
import { Bucket, flowsDown, KIND, MOST_CREDIT, SpecStream } from "./spec-stream.ts";

type Frame = Readonly<Record<string, unknown>> & { readonly frame: string };

/** It goes on; the connection ends without a word; GOAWAY with this code. */
export type Outcome = "on" | "end" | number;

const FLAG = { END: 1, MORE: 2, ZIP: 4, SEQ: 8 };
const PROTOCOL = 65;
const FRAME_SIZE = 66;
const VERSION = 67;
const UNKNOWN_FRAME = 68;
const AUTH = 69;
const FLOW = 72;
const CALM = 73;
const ANYTHING: readonly Outcome[] = ["on", "end", 65, 66, 67, 68, 69, 72, 73];
const PREFACE = "535750310d0a1a0a";
const BOUNDS: readonly (readonly [key: number, least: number, most: number])[] = [
  [1, 4096, 16_777_215],
  [2, 1024, 16_777_216],
  [3, 1, 65_535],
  [4, 65_536, 1_073_741_824],
  [5, 1000, 3_600_000],
  [12, 1, 65_535],
];
const NUMBERS: readonly number[] = [11, 13, 18];

export class Judge {
  phase: "preface" | "hello" | "judging" | "auth" | "ready" = "preface";
  /** Opened by the client (odd), and by the server (even). */
  readonly streams = new Map<number, SpecStream>();
  readonly #limits: WireLimits;
  readonly #asksForToken: boolean;
  readonly #now: () => number;
  readonly #running: () => number;
  readonly #stalled: () => boolean;
  readonly #seen = [-1, -1];
  /** What was opened in the bytes of the moment: a handler may have ended it already. */
  readonly #fresh = new Set<number>();
  /** Ids that were opened again in the bytes of the moment: which of the two is meant is not known any more. */
  readonly #mixed = new Set<number>();
  /** More than one frame is read at once: what the server does between them does not show. */
  #burst = false;
  /** Frames that were read together, and the streams that they were for. */
  #together = 0;
  readonly #spoken = new Set<number>();
  /** The highest id of a subscription that may be older than the connection: those below may have been in use. */
  #restoredTo = 0;
  readonly #controls: Bucket;
  /** As if no CREDIT and no ACK answered anything. */
  readonly #controlsAtWorst: Bucket;
  readonly #cancels: Bucket;
  readonly #empties: Bucket;
  #kept: Buffer = Buffer.alloc(0);
  #clientWindow: number;
  #serverWindow = 1_048_576;
  #packs = false;
  #resumes = false;
  #draining = false;
  #pings: string[] = [];
  #serverFrame = 65_536;
  goaway: number | undefined;
  welcome: Frame | undefined;
  /** Told of every OPEN of a stream that was free. */
  onOpen: (frame: Frame, id: number) => void = () => {};

  /** `stalled`: the client does not read. `running` handlers may count as streams, though their streams are over. */
  constructor(
    limits: WireLimits,
    asksForToken: boolean,
    now: () => number,
    running: () => number,
    stalled: () => boolean,
  ) {
    this.#running = running;
    this.#stalled = stalled;
    this.#limits = limits;
    this.#asksForToken = asksForToken;
    this.#now = now;
    this.#clientWindow = limits.windowBytes;
    const { controlsPerSecond: controls, cancelsPerSecond, emptiesPerSecond } = limits;
    this.#controls = new Bucket(controls, 4 * controls, now());
    this.#controlsAtWorst = new Bucket(controls, 4 * controls, now());
    this.#cancels = new Bucket(cancelsPerSecond, 2 * cancelsPerSecond, now());
    this.#empties = new Bucket(emptiesPerSecond, 2 * emptiesPerSecond, now());
  }

  // What the server reads.

  /** What may become of these bytes, which are read at once. */
  reads(bytes: Buffer): ReadonlySet<Outcome> {
    this.#fresh.clear();
    this.#spoken.clear();
    this.#together = 0;
    this.#kept = Buffer.concat([this.#kept, bytes]);
    const allowed = new Set<Outcome>(["on"]);
    if (this.phase === "preface" && !this.#preface()) return new Set(["end"]);
    if (this.phase === "preface") return allowed;
    this.#burst = false;
    while (this.#kept.length >= 8) {
      const most = this.phase === "ready" ? this.#limits.frameBytes : 4096;
      const length = this.#kept.readUIntLE(0, 3);
      if (length > most) return without(allowed, [FRAME_SIZE]);
      if (this.#kept.length < 8 + length) break;
      const whole = this.#kept.subarray(0, 8 + length);
      this.#kept = this.#kept.subarray(8 + length);
      const next = this.#frame(whole, most);
      if (!next.includes("on")) return without(allowed, next);
      for (const outcome of next) allowed.add(outcome);
      this.#burst = true;
      this.#together++;
    }
    return allowed;
  }

  /** False: it is another one, or the beginning of one. */
  #preface(): boolean {
    const hex = this.#kept.toString("hex", 0, 8);
    if (!PREFACE.startsWith(hex)) return false;
    if (hex !== PREFACE) return true;
    this.#kept = this.#kept.subarray(8);
    this.phase = "hello";
    return true;
  }

  #frame(bytes: Buffer, most: number): readonly Outcome[] {
    const { frames, error } = decodeSlowly(bytes, most);
    const type = bytes.readUInt8(3);
    const stream = bytes.readUIntLE(4, 3);
    const frame = frames[0] as Frame | undefined;
    if (type >= 128) return this.#controlled(true, ["on"]);
    if (this.phase !== "ready") {
      const outcomes = this.#early(type, stream, frame);
      // Behind HELLO in the same bytes: whether it is let in shows only afterwards.
      if (this.phase !== "judging" || type === 1 || type === 3) return outcomes;
      this.#late(bytes, type, stream, frame, error);
      return ANYTHING;
    }
    return this.#late(bytes, type, stream, frame, error);
  }

  #early(type: number, stream: number, frame: Frame | undefined): readonly Outcome[] {
    if (type === 5 && stream === 0) return this.#controlled(false, goodbye(frame));
    if (this.phase === "hello" && type === 1 && stream === 0 && frame !== undefined) {
      return this.#hello(frame);
    }
    if (this.phase === "auth" && type === 3 && stream === 0 && frame !== undefined) {
      this.phase = "judging";
      return ["on", AUTH];
    }
    if (this.phase === "judging") return ANYTHING;
    const known = (type >= 1 && type <= 7) || (type >= 16 && type <= 20);
    return known ? [PROTOCOL] : [PROTOCOL, UNKNOWN_FRAME];
  }

  #hello(frame: Frame): readonly Outcome[] {
    const { version_min: least, version_max: most } = frame;
    if (Number(least) > 1 || Number(most) < 1) return [VERSION];
    const values = new Map(
      (frame.tlvs as { key: number; value: string }[]).map(({ key, value }) => [
        key,
        Buffer.from(value, "hex"),
      ]),
    );
    for (const [key, low, high] of BOUNDS) {
      const value = values.get(key);
      if (value === undefined) continue;
      if (value.length !== 4) return [PROTOCOL];
      const number = value.readUInt32LE(0);
      if (number < low || number > high) return [PROTOCOL];
    }
    for (const key of NUMBERS) {
      const value = values.get(key);
      if (value !== undefined && value.length !== 4) return [PROTOCOL];
    }
    const agent = values.get(16);
    if (agent !== undefined && !isUtf8(agent)) return [PROTOCOL];
    this.phase = "judging";
    this.#serverWindow = values.get(4)?.readUInt32LE(0) ?? 1_048_576;
    this.#serverFrame = values.get(1)?.readUInt32LE(0) ?? 65_536;
    this.#packs = values.get(7)?.includes(1) ?? false;
    this.#resumes = ((values.get(13)?.readUInt32LE(0) ?? 0) & 1) !== 0;
    return this.#asksForToken ? ["on", AUTH] : ["on"];
  }

  #late(
    bytes: Buffer,
    type: number,
    stream: number,
    frame: Frame | undefined,
    error: number | undefined,
  ): readonly Outcome[] {
    const length = bytes.length - 8;
    if (type >= 16 && type <= 18) {
      this.#clientWindow -= length;
      if (this.#clientWindow < 0 && this.#burst) return ["on", FLOW, PROTOCOL];
      if (this.#clientWindow < 0) return error === undefined ? [FLOW] : [FLOW, PROTOCOL];
    }
    switch (type) {
      case 16:
        return frame === undefined ? this.#unreadable(bytes, stream) : this.#open(frame, stream);
      case 17:
        return this.#data(frame, stream, length);
      case 18:
        return this.#msg(frame, stream);
      case 19:
        return frame === undefined ? [PROTOCOL] : this.#error(stream);
      case 20:
        return this.#cancel(frame, stream);
      case 6:
        return this.#controlled(false, this.#credit(frame, stream, length));
      case 7: {
        const fine = this.#resumes && stream === 0 && frame !== undefined;
        return this.#controlled(false, fine ? ["on"] : [PROTOCOL]);
      }
      default:
        return this.#control(type, stream, frame, bytes);
    }
  }

  #control(
    type: number,
    stream: number,
    frame: Frame | undefined,
    bytes: Buffer,
  ): readonly Outcome[] {
    const known = type >= 1 && type <= 5;
    if (!known) return [UNKNOWN_FRAME, CALM];
    if (stream !== 0 || frame === undefined || type <= 2) return [PROTOCOL, CALM];
    if (type === 4) {
      if ((bytes.readUInt8(7) & FLAG.END) === 0) this.#pings.push(String(frame.data));
      return this.#controlled(true, ["on"]);
    }
    if (type === 5) return this.#controlled(true, goodbye(frame));
    return this.#controlled(true, ["on", AUTH]);
  }

  /** A control frame; `counts`: it answers nothing. */
  #controlled(counts: boolean, outcomes: readonly Outcome[]): readonly Outcome[] {
    const now = this.#now();
    const must = counts && !this.#controls.take(now);
    const may = !this.#controlsAtWorst.take(now);
    if (must) return [CALM];
    return may ? [...outcomes, CALM] : outcomes;
  }

  /** A name or metadata that cannot be read: looked at when somebody needs it. */
  #unreadable(bytes: Buffer, stream: number): readonly Outcome[] {
    if (bytes.length < 24 || stream === 0) return stream === 0 ? ["on", PROTOCOL] : [PROTOCOL];
    if (this.#mixed.has(stream)) return ["on", PROTOCOL, FLOW];
    if (stream % 2 === 0 || (this.streams.has(stream) && !this.#unsure(stream))) return [PROTOCOL];
    if (this.streams.has(stream)) this.#mixed.add(stream);
    if (stream >>> 1 <= this.#mostIndex) this.#add(new SpecStream(stream, -1, 0, 0, true));
    // Its credit may be wrong as well.
    return ["on", PROTOCOL, FLOW];
  }

  get #mostIndex(): number {
    return this.#limits.streams + this.#limits.subscriptions + 1;
  }

  #open(frame: Frame, id: number): readonly Outcome[] {
    const [kind, flags] = [Number(frame.kind), Number(frame.flags)];
    const [end, more] = [(flags & FLAG.END) !== 0, (flags & FLAG.MORE) !== 0];
    const [zip, seq] = [(flags & FLAG.ZIP) !== 0, (flags & FLAG.SEQ) !== 0];
    if (more && (end || id === 0)) return [PROTOCOL];
    if (id === 0) {
      if (kind !== KIND.NOTIFY && kind !== KIND.PUBLISH) return [PROTOCOL];
      if (seq && !this.#resumes) return [PROTOCOL];
      // A duplicate is dropped unseen.
      if (zip && !this.#packs) return seq ? ["on", PROTOCOL] : [PROTOCOL];
      return end ? ["on"] : ["on", PROTOCOL];
    }
    if (seq || id % 2 === 0) return [PROTOCOL];
    if (this.#mixed.has(id)) return ["on", PROTOCOL, FLOW];
    if (this.streams.has(id)) {
      if (!this.#unsure(id)) return [PROTOCOL];
      this.#mixed.add(id);
      return ["on", PROTOCOL, FLOW];
    }
    if (id >>> 1 > this.#mostIndex) return [PROTOCOL];
    const credit = Number(frame.credit);
    const down = flowsDown(kind) ? credit : 0;
    const up = kind === KIND.CLIENT || kind === KIND.DUPLEX ? this.#limits.streamCredit : 0;
    const stream = new SpecStream(id, kind, down, up);
    stream.clientDone = end;
    if (more) stream.part = String(frame.body).length / 2;
    const wrong =
      kind === KIND.NOTIFY || (!end && !more && !stream.opensUp) || (zip && !this.#packs);
    const full = this.#full || kind > KIND.PUBLISH;
    this.#add(stream);
    this.onOpen(frame, id);
    if (down > MOST_CREDIT) return full ? ["on", FLOW] : [FLOW];
    // A queue group is looked at once there is nothing else against the subscription.
    if (!wrong) return kind === KIND.SUBSCRIBE && !hasTextGroup(frame) ? ["on", PROTOCOL] : ["on"];
    // It is looked at when it is whole, and not at all when it is refused.
    return full || more ? ["on", PROTOCOL] : [PROTOCOL];
  }

  /** Whether a stream may be refused. */
  get #full(): boolean {
    const own = [...this.streams.values()].filter(({ id }) => id % 2 === 1);
    const subscriptions = own.filter(({ kind }) => kind === KIND.SUBSCRIBE).length;
    const others = own.length - subscriptions + this.#running();
    const { streams, subscriptions: most } = this.#limits;
    if (this.#mixed.size > 0 || this.#restoredTo > 0) return true;
    return this.#draining || this.#burst || others >= streams || subscriptions >= most;
  }

  /** The server may have opened streams that do not show yet: between two frames, or for a client that does not read. */
  get #mayOpen(): boolean {
    return this.#burst || this.#stalled();
  }

  /** Whether it is over, or was never in use, or who has it, is not known. */
  #isOld(id: number): boolean {
    return (
      this.#mixed.has(id) ||
      (id % 2 === 1 && id <= this.#restoredTo) ||
      (id > 0 && id % 2 === 0 && this.#mayOpen)
    );
  }

  /** Something was done with it in these bytes, and it may be over. */
  #unsure(id: number): boolean {
    return this.#burst || this.#fresh.has(id) || this.streams.get(id)?.doubtful === true;
  }

  #add(stream: SpecStream): void {
    this.streams.set(stream.id, stream);
    this.#fresh.add(stream.id);
    const side = stream.id % 2;
    this.#seen[side] = Math.max(this.#seen[side] ?? 0, stream.id);
  }

  /** "never": its id has never been in use. */
  #find(id: number): SpecStream | "over" | "never" {
    this.#spoken.add(id);
    if (id % 2 === 0 && id > 0 && this.#mayOpen && !this.streams.has(id)) return "over";
    if (this.#mixed.has(id)) return "over";
    if (!this.streams.has(id) && this.#isOld(id)) return "over";
    const stream = this.streams.get(id);
    if (stream !== undefined) return stream;
    return id !== 0 && id <= (this.#seen[id % 2] ?? -1) ? "over" : "never";
  }

  #data(frame: Frame | undefined, id: number, length: number): readonly Outcome[] {
    const stream = this.#find(id);
    if (stream === "never" || frame === undefined) return [PROTOCOL];
    const flags = Number(frame.flags);
    const [end, more] = [(flags & FLAG.END) !== 0, (flags & FLAG.MORE) !== 0];
    if (length === 0 && !end && !this.#empties.take(this.#now())) return [CALM];
    if (stream === "over") return this.#isOld(id) ? ["on", PROTOCOL] : ["on"];
    if (stream.clientDone) return ["on"];
    const unsure = this.#unsure(id);
    if (more && end) return unsure ? ["on", PROTOCOL] : [PROTOCOL];
    if (more) {
      stream.part = (stream.part ?? 0) + length;
      return unsure ? ["on", PROTOCOL] : ["on"];
    }
    const pieces = stream.part !== undefined;
    const body = (stream.part ?? 0) + length;
    stream.part = undefined;
    if (end) this.#clientEnds(stream);
    const nothing = end && body === 0;
    if (stream.opensUp && !nothing) stream.clientCredit--;
    // What stands on its first frame counts for the whole, and is known to the other side only.
    if (unsure || pieces || (flags & FLAG.ZIP) !== 0) return ["on", PROTOCOL];
    if (id % 2 === 0) {
      return !end && body > 0 ? [PROTOCOL] : ["on"];
    }
    return end || stream.opensUp ? ["on"] : ["on", PROTOCOL];
  }

  #msg(frame: Frame | undefined, id: number): readonly Outcome[] {
    const stream = this.#find(id);
    if (stream === "never") return [PROTOCOL];
    if (frame === undefined) return ["on", PROTOCOL];
    if (stream === "over") return this.#isOld(id) ? ["on", PROTOCOL] : ["on"];
    if (stream.clientDone) return ["on"];
    return this.#unsure(id) ? ["on", PROTOCOL] : [PROTOCOL];
  }

  #error(id: number): readonly Outcome[] {
    const stream = this.#find(id);
    if (stream === "never") return [PROTOCOL];
    if (stream === "over") return this.#isOld(id) ? ["on", PROTOCOL] : ["on"];
    this.#clientEnds(stream);
    return ["on"];
  }

  #cancel(frame: Frame | undefined, id: number): readonly Outcome[] {
    if (!this.#cancels.take(this.#now())) return [CALM];
    return frame === undefined ? [PROTOCOL] : this.#error(id);
  }

  #clientEnds(stream: SpecStream): void {
    stream.clientDone = true;
    stream.part = undefined;
    if (stream.id % 2 === 0) this.#over(stream);
  }

  /** A stream of the server's is free when both have ended, which the server does at once. */
  #over(stream: SpecStream): void {
    if (stream.serverDone) this.streams.delete(stream.id);
  }

  #credit(frame: Frame | undefined, id: number, length: number): readonly Outcome[] {
    if (frame === undefined) return [PROTOCOL];
    const add = Number(frame.add);
    if (id === 0) {
      this.#serverWindow += add;
      // What it has sent meanwhile is not known yet.
      if (this.#serverWindow <= MOST_CREDIT) return ["on"];
      return this.#burst ? ["on", FLOW] : [FLOW];
    }
    const stream = this.#find(id);
    if (stream === "never" || length !== 4) return [PROTOCOL];
    if (stream === "over") return this.#isOld(id) ? ["on", FLOW, PROTOCOL] : ["on"];
    stream.serverCredit += add;
    if (stream.doubtful) return ["on", FLOW];
    if (stream.serverCredit <= MOST_CREDIT) return ["on"];
    return this.#unsure(id) || stream.serverDone ? ["on", FLOW] : [FLOW];
  }

  // What the server writes.

  /** @throws AssertionError for what it must not */
  writes(frame: Frame, length: number): void {
    const id = Number(frame.stream);
    const flags = Number(frame.flags);
    assert.equal(this.goaway, undefined, "nothing follows GOAWAY");
    if (this.phase !== "ready") {
      if (frame.frame === "WELCOME") {
        assert.equal(this.phase, "judging", "WELCOME answers HELLO or AUTH");
        this.phase = "ready";
        this.welcome = frame;
        return;
      }
      if (frame.frame === "AUTH") {
        this.phase = "auth";
        return;
      }
      assert.equal(frame.frame, "GOAWAY", "before WELCOME");
    }
    assert.ok(length <= this.#serverFrame, "no frame beyond the client's max_frame");
    switch (frame.frame) {
      case "GOAWAY":
        if (Number(frame.code) === 64) this.#draining = true;
        else this.goaway = Number(frame.code);
        return;
      case "PING":
        if ((flags & FLAG.END) !== 0) assert.equal(frame.data, this.#pings.shift(), "its answer");
        return;
      case "ACK":
        return assert.ok(this.#resumes, "ACK without a session");
      case "CREDIT":
        return this.#granted(id, Number(frame.add));
      case "OPEN":
        return this.#opened(frame, id, length);
      case "DATA":
      case "MSG":
        this.#serverWindow -= length;
        assert.ok(this.#serverWindow >= 0, "no byte beyond the window");
        return this.#sent(frame, id, flags, length);
      case "ERROR":
      case "CANCEL":
        return this.#ended(id);
      default:
        assert.fail(`a server sends no ${frame.frame}`);
    }
  }

  /** The client has ended its side: the server takes no more streams, and says nothing. */
  clientEnds(): void {
    this.#draining = true;
  }

  /** A frame has begun and is not whole: what comes next may be its rest. */
  get isWaiting(): boolean {
    return this.#kept.length > 0;
  }

  /** Both sides have zstd. */
  get packs(): boolean {
    return this.#packs;
  }

  /** The session can be resumed. */
  get resumes(): boolean {
    return this.#resumes;
  }

  /** Whether OPEN may have no place on it. */
  mayBeOpen(id: number): boolean {
    return this.streams.has(id) || this.#isOld(id);
  }

  /** An id that has been in use, or 0. */
  someSeen(draw: (below: number) => number): number {
    const side = draw(8) === 0 && (this.#seen[0] ?? 0) > 0 ? 0 : 1;
    const most = this.#seen[side] ?? -1;
    return most < 1 ? 0 : side === 1 ? 2 * draw((most >>> 1) + 1) + 1 : 2 + 2 * draw(most >>> 1);
  }

  /** Whether several streams with this id may have been meant. */
  isMixed(id: number): boolean {
    return this.#mixed.has(id);
  }

  /** Ids of subscriptions that may outlive the connection. */
  get subscriptions(): number[] {
    const open = [...this.streams.values()].filter(
      ({ kind, doubtful }) => kind === KIND.SUBSCRIBE || doubtful,
    );
    return [...this.#mixed, ...open.map(({ id }) => id)];
  }

  /** Subscriptions that may go on with this connection: which of them the server still had is not known. */
  restored(ids: Iterable<number>): void {
    for (const id of ids) {
      this.#mixed.add(id);
      this.#restoredTo = Math.max(this.#restoredTo, id);
    }
  }

  #granted(id: number, add: number): void {
    if (id === 0) {
      this.#clientWindow += add;
      const { windowBytes } = this.#limits;
      return assert.ok(this.#clientWindow <= windowBytes, "no more than the window is granted");
    }
    if (this.#mixed.has(id)) return;
    const stream = this.streams.get(id);
    assert.ok(stream !== undefined, "CREDIT for a stream that is over");
    stream.clientCredit += add;
    if (stream.doubtful) return;
    assert.ok(stream.opensUp, "CREDIT for who sends no messages");
    assert.ok(stream.clientCredit <= this.#limits.streamCredit, "no more than stream_credit");
  }

  #opened(frame: Frame, id: number, length: number): void {
    this.#serverWindow -= length;
    if (id === 0) return assert.equal(frame.kind, KIND.NOTIFY);
    assert.equal(id % 2, 0, "a server opens even ids");
    // It was ended and opened again between two frames of the same bytes, and maybe ended once more.
    if (this.#together > 1 && this.#spoken.has(id)) this.#mixed.add(id);
    if (this.#mixed.has(id)) return;
    assert.equal(this.streams.get(id), undefined, "that are free");
    const stream = new SpecStream(id, Number(frame.kind), 0, 0);
    stream.serverDone = (Number(frame.flags) & FLAG.END) !== 0;
    stream.serverPart = (Number(frame.flags) & FLAG.MORE) !== 0;
    this.#add(stream);
    this.#fresh.delete(id);
  }

  #sent(frame: Frame, id: number, flags: number, length: number): void {
    if (this.#mixed.has(id)) return;
    const stream = this.streams.get(id);
    assert.ok(stream !== undefined && !stream.serverDone, `${frame.frame} on what is over`);
    const [end, more] = [(flags & FLAG.END) !== 0, (flags & FLAG.MORE) !== 0];
    const first = !stream.serverPart;
    stream.serverPart = more;
    if (stream.doubtful) return end ? this.#ended(id) : undefined;
    if (frame.frame === "MSG") assert.equal(stream.kind, KIND.SUBSCRIBE, "MSG on a subscription");
    else if (stream.kind === KIND.SUBSCRIBE) assert.ok(!first || length === 0, "only MSG on it");
    const message = first && !(end && length === 0);
    if (message && stream.flowsDown) {
      stream.serverCredit--;
      assert.ok(stream.serverCredit >= 0, "no message without credit");
    }
    if (!stream.flowsDown && !more) assert.ok(end, "an answer has END");
    if (end) this.#ended(id);
  }

  #ended(id: number): void {
    if (this.#mixed.has(id)) return;
    const stream = this.streams.get(id);
    assert.ok(stream !== undefined, `the end of stream ${id}, which is over`);
    const mine = id % 2 === 0;
    assert.ok(mine || !stream.serverDone, "a second end");
    stream.serverDone = true;
    // At the responder a stream is gone with its own terminal.
    if (!mine || stream.clientDone) this.streams.delete(id);
  }
}

/** After any GOAWAY but 64 its sender closes. */
function goodbye(frame: Frame | undefined): readonly Outcome[] {
  if (frame === undefined) return [PROTOCOL];
  return frame.code === 64 ? ["on"] : ["end"];
}

function hasTextGroup({ meta }: Frame): boolean {
  const group = (meta as { key: number; value: string }[]).find(({ key }) => key === 5);
  return group === undefined || isUtf8(Buffer.from(group.value, "hex"));
}

function without(allowed: Set<Outcome>, instead: readonly Outcome[]): ReadonlySet<Outcome> {
  allowed.delete("on");
  for (const outcome of instead) allowed.add(outcome);
  return allowed;
}
