// Fuzzing the server's session: clients that say anything in any order, in memory, against a judge who reads the specification.
//
// Valid frames that are out of place, frames that were harmed, bytes cut anywhere or read together; meanwhile handlers settle, time
// passes, clients stop reading, sessions are cut and come back. After each read the outcome must be one that the specification
// has; what is written must be what a client may get; and in the end everything is over, once.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mock } from "node:test";
import { type Draw, generator, noise } from "../../protocol/fuzz.ts";
import { decodeSlowly } from "../../protocol/slow-decoder.ts";
import { rawFrame } from "../raw-frame.ts";
import { answer, anyFrame, hello, type Luck, PREFACE, tlv, u32 } from "./frames.ts";
import { Judge, type Outcome } from "./judge.ts";
import type { MemoryConnection } from "./memory-connection.ts";
import { World } from "./world.ts";

export interface SessionFuzzResult {
  readonly sessions: number;
  readonly frames: number;
  /** Those that got as far as WELCOME, and those that went on with an older one. */
  readonly welcomed: number;
  readonly resumed: number;
  readonly handled: number;
  /** Answers to calls with an idempotency key that had been given before. */
  readonly repeated: number;
  /** How sessions ended: GOAWAY codes, "end" without one, "on" for those that had not. */
  readonly endings: ReadonlyMap<Outcome, number>;
}

/** One hub is kept for so many sessions. */
const SESSIONS_A_WORLD = 40;
const STEPS = 40;
const MANY = 16_777_215;

/** So many sessions; the same seed gives the same ones. @throws AssertionError that says which */
export async function fuzzSessions(sessions: number, seed: number): Promise<SessionFuzzResult> {
  const clock = { ms: 1000 };
  // Time is this text's, and nothing rings by itself. (A mock would remember each of millions of calls.)
  const { now } = performance;
  performance.now = () => clock.ms;
  mock.timers.enable({ apis: ["setTimeout"] });
  const total = { frames: 0, welcomed: 0, resumed: 0, handled: 0, repeated: 0 };
  const endings = new Map<Outcome, number>();
  try {
    for (let n = 0; n < sessions; ) {
      // A world is drawn by its own seed, so that one that fails can be looked at alone.
      const worldSeed = seed * 100_003 + Math.floor(n / SESSIONS_A_WORLD);
      const draw = generator(worldSeed);
      const world = new World(draw);
      let before: Past | undefined;
      for (let k = 0; k < SESSIONS_A_WORLD && n < sessions; k++, n++) {
        const one = new FuzzedSession(world, draw, clock, before);
        try {
          await one.run();
        } catch (error) {
          const where = `seed ${seed}, world ${worldSeed}, session ${k}`;
          throw new Error(`${where}: ${one.story()}`, { cause: error });
        }
        before = one.past ?? before;
        total.frames += one.frames;
        total.handled += world.handled;
        total.repeated += world.keyed.repeated;
        if (one.judge.welcome !== undefined) total.welcomed++;
        if (one.resumed) total.resumed++;
        endings.set(one.ending, (endings.get(one.ending) ?? 0) + 1);
      }
    }
  } finally {
    mock.timers.reset();
    performance.now = now;
  }
  return { sessions, ...total, endings };
}

/** A session that was cut, and may be shown again. */
interface Past {
  readonly id: Buffer;
  readonly secret: Buffer;
  readonly subscriptions: readonly number[];
}

class FuzzedSession {
  readonly judge: Judge;
  frames = 0;
  ending: Outcome = "on";
  past: Past | undefined;
  resumed = false;
  readonly #world: World;
  readonly #draw: Draw;
  readonly #luck: Luck;
  readonly #clock: { ms: number };
  readonly #before: Past | undefined;
  readonly #connection: MemoryConnection;
  readonly #beganMs: number;
  readonly #log: string[] = [];
  #output: Buffer = Buffer.alloc(0);
  #heardMs: number;
  #id: Buffer = Buffer.alloc(0);
  /** It may end without a word: the server drains, the client has ended its side or reads nothing. */
  #mayEnd = false;

  constructor(world: World, draw: Draw, clock: { ms: number }, before: Past | undefined) {
    this.#world = world;
    this.#draw = draw;
    // A third makes no mistakes that it knows of, a third few, a third many.
    const wildness = [0, 0.1, 1][draw(3)] ?? 0;
    const slips = (once: number) => draw(1000) < (1000 * wildness) / once;
    this.#luck = { draw, slips, taken: new Set() };
    this.#clock = clock;
    this.#before = before;
    this.#beganMs = clock.ms;
    this.#heardMs = clock.ms;
    const { limits, guarded } = world;
    this.judge = new Judge(
      limits,
      guarded,
      () => clock.ms,
      () => world.running + world.asking,
      () => this.#connection.pendingBytes > 0,
    );
    this.#connection = world.connect();
    this.judge.onOpen = (frame, id) => world.keyed.opened(frame, id, world.identity);
  }

  story(): string {
    return this.#log.slice(-40).join("; ");
  }

  async run(): Promise<void> {
    await this.#greet();
    for (let step = 0; step < STEPS && !this.#connection.closed; step++) await this.#step();
    await this.#finish();
  }

  async #greet(): Promise<void> {
    const draw = this.#draw;
    const luck = this.#luck;
    if (luck.slips(20)) return this.#send([noise(draw, 1 + draw(20))]);
    await this.#send([PREFACE]);
    if (luck.slips(10)) await this.#send([anyFrame(luck, this.judge)]);
    const more: Buffer[] = [];
    if (draw(2) === 0) more.push(tlv(13, u32(1)), ...this.#shown());
    await this.#send([hello(luck, this.#world.guarded, more)]);
  }

  /** What a client shows that comes back. */
  #shown(): Buffer[] {
    const draw = this.#draw;
    const { id, secret } = this.#before ?? {};
    if (id === undefined || secret === undefined || draw(3) === 0) return [];
    this.#id = id;
    const wrong = draw(6) === 0 ? noise(draw, 32) : secret;
    return [tlv(9, id), tlv(10, wrong), tlv(11, u32(draw(5))), tlv(18, u32(draw(5)))];
  }

  async #step(): Promise<void> {
    const draw = this.#draw;
    const place = draw(100);
    if (place < 66) return this.#sendFrames(1);
    if (place < 76) return this.#sendFrames(2 + draw(3));
    if (place < 88) return this.#settle();
    if (place < 93) return this.#pass(draw(4) === 0 ? draw(40_000) : draw(300));
    if (place < 96) return this.#publish();
    if (place < 97) return this.#stall();
    if (draw(8) > 0) return this.#sendFrames(1);
    this.#mayEnd = true;
    this.#log.push("drain or half close");
    if (draw(2) === 0) this.#connection.drain();
    else {
      this.judge.clientEnds();
      this.#connection.clientEnds();
    }
    return this.#look(new Set(["on", "end"]));
  }

  async #sendFrames(count: number): Promise<void> {
    const draw = this.#draw;
    const { judge } = this;
    this.#luck.taken.clear();
    const list = Array.from({ length: count }, () => {
      const asked = judge.phase === "auth" && draw(3) > 0;
      const one = asked ? answer(this.#luck) : anyFrame(this.#luck, judge);
      return this.#luck.slips(20) ? harmed(draw, one) : one;
    });
    await this.#send(list);
  }

  /** Read together, or cut somewhere. */
  async #send(list: readonly Buffer[]): Promise<void> {
    const draw = this.#draw;
    this.frames += list.length;
    const bytes = Buffer.concat(list);
    this.#log.push(`${list.length} of ${bytes.toString("hex", 0, 80)}`);
    const cuts = draw(3) > 0 ? 0 : 1 + draw(3);
    const at = Array.from({ length: cuts }, () => draw(bytes.length)).sort((a, b) => a - b);
    let from = 0;
    for (const end of [...at, bytes.length]) {
      if (end === from) continue;
      this.#connection.receive(bytes.subarray(from, end));
      from = end;
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    while (this.#connection.readable) {
      this.#heardMs = this.#clock.ms;
      const phase = this.judge.phase;
      const taken = this.#connection.read();
      const allowed = this.judge.reads(taken);
      await this.#look(allowed, phase);
    }
  }

  /** Promises run; then what has come of it is looked at. */
  async #look(allowed: ReadonlySet<Outcome>, phase = this.judge.phase): Promise<void> {
    const { judge } = this;
    const connection = this.#connection;
    await new Promise(setImmediate);
    this.#world.assertBounded(connection);
    this.#output = Buffer.concat([this.#output, ...connection.written.splice(0)]);
    if (phase === "preface" && judge.phase === "preface" && connection.closed) {
      assert.match(this.#output.toString("latin1"), /^-ERR SWP\/1/, "a line for people");
      this.ending = "end";
      return assert.ok(allowed.has("end"));
    }
    const { frames, error, rest } = decodeSlowly(this.#output, MANY);
    assert.equal(error, undefined, "what it writes can be read");
    assert.equal(rest, 0, "and is whole");
    let offset = 0;
    for (const one of frames) {
      const length = this.#output.readUIntLE(offset, 3);
      offset += 8 + length;
      this.#log.push(`-> ${one.frame} ${one.stream} ${one.flags} ${one.code ?? ""}`);
      judge.writes(one as { frame: string }, length);
      if (!judge.isMixed(Number(one.stream))) this.#world.keyed.written(one);
      if (one.frame === "WELCOME") this.#welcomed();
    }
    this.#output = Buffer.alloc(0);
    if (judge.welcome === undefined)
      assert.equal(this.#world.handled, 0, "no handler before WELCOME");
    const outcome: Outcome = connection.closed ? (judge.goaway ?? "end") : "on";
    assert.ok(connection.closed || judge.goaway === undefined, "it closes behind GOAWAY");
    this.ending = outcome;
    const quiet = this.#mayEnd && outcome === "end";
    assert.ok(quiet || allowed.has(outcome), `${outcome}, and not ${[...allowed].join(" or ")}`);
  }

  #welcomed(): void {
    const tlvs = this.judge.welcome?.tlvs as { key: number; value: string }[];
    const value = (key: number) =>
      Buffer.from(tlvs.find((one) => one.key === key)?.value ?? "", "hex");
    const id = value(9);
    this.resumed = id.length > 0 && id.equals(this.#id);
    if (this.resumed) this.judge.restored(this.#before?.subscriptions ?? []);
    if (id.length === 0) return;
    this.past = { id, secret: value(10), subscriptions: [] };
  }

  async #settle(): Promise<void> {
    this.#log.push("settle");
    this.#world.settle(this.#draw(100));
    await this.#look(new Set(["on", 69]));
    await this.#read();
  }

  async #pass(ms: number): Promise<void> {
    this.#log.push(`${ms} ms`);
    const { handshakeMs, keepaliveMs } = this.#world.limits;
    this.#clock.ms += ms;
    this.#world.ring(this.#connection, this.#clock.ms);
    const now = this.#clock.ms;
    const allowed = new Set<Outcome>(["on"]);
    if (this.judge.phase !== "ready" && now - this.#beganMs >= handshakeMs) {
      allowed.delete("on");
      // Who has not even shown the preface gets no frame.
      allowed.add(this.judge.phase === "preface" ? "end" : 70);
    } else if (this.judge.phase === "ready" && now - this.#heardMs >= 2 * keepaliveMs) {
      // It may be asked first, when time has gone by in one jump.
      allowed.add(71);
    }
    await this.#look(allowed);
    await this.#read();
  }

  async #publish(): Promise<void> {
    this.#log.push("publish");
    this.#world.publish(this.#connection, "news", "z".repeat(this.#draw(2000)));
    await this.#look(new Set(["on"]));
  }

  async #stall(): Promise<void> {
    const reads = this.#connection.pendingBytes > 0;
    this.#log.push(reads ? "reads again" : "reads nothing");
    // What waits for it is bounded, and beyond that it ends.
    this.#mayEnd = true;
    this.#connection.reads(reads);
    await this.#look(new Set(["on"]));
  }

  /** Everything comes to its end, in one of two ways. */
  async #finish(): Promise<void> {
    const { judge } = this;
    const connection = this.#connection;
    if (connection.pendingBytes > 0 && !connection.closed) await this.#stall();
    // A frame that was harmed may swallow what is said next.
    const quietly =
      this.#draw(2) === 0 && !judge.isWaiting && judge.phase === "ready" && !connection.closed;
    if (quietly) await this.#finishStreams();
    // Also when the client has ended its side: whoever said no GOAWAY may be back.
    const cut = judge.goaway === undefined;
    const { past } = this;
    if (past !== undefined) {
      this.past = cut ? { ...past, subscriptions: judge.subscriptions } : undefined;
    }
    connection.gone();
    connection.closed = true;
    do {
      while (this.#world.pending > 0) this.#world.settle(0);
      await new Promise(setImmediate);
    } while (this.#world.pending > 0);
    this.#world.assertOver(connection);
  }

  /**
   * The client cancels all, and all of it ends. A server that has as many notifications as it may reads on only when some are
   * settled: streams may show then that were asked for before.
   */
  async #finishStreams(): Promise<void> {
    const { judge } = this;
    const cancelled = new Set<number>();
    const left = () =>
      [...judge.streams.values()]
        .filter(({ id, clientDone, serverDone }) => id % 2 === 1 || (serverDone && !clientDone))
        .map(({ id }) => id)
        .filter((id) => !cancelled.has(id));
    for (let due = left(); due.length > 0; due = left()) {
      for (const id of due) {
        if (this.#connection.closed) return;
        // Slowly, so that it is no flood.
        await this.#pass(600);
        if (this.#connection.closed) return;
        cancelled.add(id);
        await this.#send([rawFrame(20, id, 1, u32(1))]);
      }
      while (this.#world.pending > 0 && !this.#connection.closed) await this.#settle();
    }
    while (this.#world.pending > 0 && !this.#connection.closed) await this.#settle();
    if (this.#connection.closed) return;
    await this.#pass(this.#world.limits.cancelGraceMs + 1);
    // Subscriptions from before were not cancelled: which there are is not known.
    if (this.#connection.closed || this.resumed) return;
    this.#world.assertNoStreams(this.#connection);
  }
}

function harmed(draw: Draw, given: Buffer): Buffer {
  const bytes = Buffer.from(given);
  switch (draw(4)) {
    case 0: {
      const at = draw(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << draw(8));
      return bytes;
    }
    case 1:
      bytes[draw(8)] = draw(256);
      return bytes;
    case 2: {
      const at = draw(bytes.length);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + draw(4))]);
    }
    default:
      return Buffer.concat([bytes, noise(draw, 1 + draw(9))]);
  }
}
