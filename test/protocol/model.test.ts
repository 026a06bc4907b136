// Two peers over a pipe that cuts anywhere, driven at random: calls, flows in both directions, cancels, errors, credit, in
// whatever order. Whatever happens: messages arrive in order and once, every stream ends at both sides, ids and windows come
// back, and neither side finds a fault with the other.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CODE, KIND } from "../../src/protocol/codes.ts";
import type { Stream, StreamOwner } from "../../src/protocol/stream.ts";
import type { StreamError } from "../../src/protocol/stream-frames.ts";
import { type End, TwoSessions } from "./two-sessions.ts";

const WINDOW = 65_536;
const MESSAGE = 200_000;
const CREDIT = 4;
const KINDS = [KIND.CALL, KIND.SERVER_STREAM, KIND.CLIENT_STREAM, KIND.DUPLEX];

/** One end of a stream: what it sends is numbered, what it receives must be so too. */
class Talker implements StreamOwner {
  stream: Stream | undefined;
  over = false;
  cancelled_ = false;
  ended_ = false;
  sent = 0;
  received = 0;
  #unread: number[] = [];

  /** Sends the next message of this many bytes, when it may. */
  send(size: number): boolean {
    const { stream } = this;
    if (stream === undefined || stream.ending || stream.localDone) return false;
    if (!stream.sendsMessages || stream.sendCredit === 0) return false;
    const body = numbered(this.sent++, size);
    stream.session.streams.send(stream, body, 0, body.length);
    return true;
  }

  /** Reads one message: its bytes are given back, and its credit granted. */
  read(): void {
    const { stream } = this;
    if (stream === undefined || this.#unread.length === 0) return;
    stream.session.incoming.release(this.#unread.shift() ?? 0, "window");
    stream.session.grant(stream, 1);
  }

  readAll(): void {
    while (this.#unread.length > 0) this.read();
  }

  message(stream: Stream, bytes: Buffer, start: number, end: number): void {
    assert.equal(this.ended_, false, "a message after the end");
    assert.deepEqual(bytes.subarray(start, end), numbered(this.received++, end - start));
    if (!stream.receivesMessages) return;
    const holding = stream.session.incoming.hold(end - start);
    if (holding === "window") this.#unread.push(end - start);
    else if (holding === "beside") stream.session.incoming.release(end - start, "beside");
    if (holding !== "window") stream.session.grant(stream, 1);
  }
  ended(): void {
    assert.equal(this.ended_, false, "two ends");
    this.ended_ = true;
  }
  failed(_stream: Stream, _error: StreamError): void {
    assert.equal(this.ended_, false, "an error after the end");
    this.ended_ = true;
  }
  cancelled(): void {
    this.cancelled_ = true;
  }
  credited(): void {
    // Whoever sends looks.
  }
  expired(): void {
    assert.fail("there are no deadlines");
  }
  cut(): void {
    this.over = true;
  }
}

function numbered(number: number, size: number): Buffer {
  return Buffer.alloc(size, number % 251);
}

type Step =
  | { readonly do: "open"; readonly server: boolean; readonly kind: number; readonly size: number }
  | { readonly do: "send"; readonly who: number; readonly size: number }
  | { readonly do: "read" | "answer" | "cancel" | "fail"; readonly who: number }
  | { readonly do: "deliver"; readonly toServer: boolean; readonly length: number };

const size = fc.oneof(fc.nat(200), fc.nat(40_000), fc.constant(150_000));
const who = fc.nat(200);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("open" as const),
    server: fc.boolean(),
    kind: fc.constantFrom(...KINDS),
    size,
  }),
  fc.record({ do: fc.constant("send" as const), who, size }),
  fc.record({ do: fc.constantFrom("read" as const, "answer", "cancel", "fail"), who }),
  fc.record({
    do: fc.constant("deliver" as const),
    toServer: fc.boolean(),
    length: fc.oneof(fc.nat(20), fc.nat(70_000)),
  }),
);

class World {
  readonly two = new TwoSessions({
    client: { windowBytes: WINDOW, streams: 5, messageBytes: MESSAGE, streamCredit: CREDIT },
    server: { windowBytes: WINDOW, streams: 5, messageBytes: MESSAGE, streamCredit: CREDIT },
  }).start();
  readonly openers: Talker[] = [];
  readonly responders: Talker[] = [];

  constructor() {
    for (const end of [this.two.client, this.two.server]) {
      end.onOpened = (stream, _open, body) => {
        if (stream === undefined) return;
        if (body.length > 0) assert.deepEqual(body, numbered(0, body.length));
        const talker = new Talker();
        talker.stream = stream;
        stream.owner = talker;
        this.responders.push(talker);
      };
    }
  }

  get all(): Talker[] {
    return [...this.openers, ...this.responders];
  }

  run(given: Step): void {
    if (given.do === "open") return this.#open(given.server, given.kind, given.size);
    if (given.do === "deliver") {
      const { client, server } = this.two;
      const cut = () => given.length;
      if (given.toServer) this.two.deliver(client, server, cut);
      else this.two.deliver(server, client, cut);
      return;
    }
    const talkers = this.all;
    const talker = talkers[given.who % Math.max(talkers.length, 1)];
    if (talker?.stream === undefined) return;
    if (given.do === "send") talker.send(given.size);
    else if (given.do === "read") talker.read();
    else if (given.do === "cancel") this.#cancel(talker);
    else if (given.do === "answer") this.#answer(talker);
    else this.#fail(talker);
  }

  #open(server: boolean, kind: number, length: number): void {
    const end: End = server ? this.two.server : this.two.client;
    const flows = kind === KIND.CLIENT_STREAM || kind === KIND.DUPLEX;
    const talker = new Talker();
    const body = flows ? Buffer.alloc(0) : numbered(0, length);
    const open = { kind, codec: 0, name: "x", credit: CREDIT };
    talker.stream = end.session.streams.open(open, body, talker);
    if (talker.stream !== undefined) this.openers.push(talker);
  }

  #cancel(talker: Talker): void {
    const { stream } = talker;
    if (stream === undefined || !stream.mine || stream.owner !== talker) return;
    talker.over = true;
    stream.session.streams.cancel(stream, CODE.CANCELLED);
  }

  /** A responder's last word; an opener's end. */
  #answer(talker: Talker): void {
    const { stream } = talker;
    if (stream === undefined || stream.ending || stream.localDone) return;
    const one = !stream.mine && (stream.kind === KIND.CALL || stream.kind === KIND.CLIENT_STREAM);
    const body = one ? numbered(0, 100) : Buffer.alloc(0);
    if (one) stream.session.streams.answer(stream, body, 0, body.length);
    else stream.session.streams.sendEnd(stream);
  }

  #fail(talker: Talker): void {
    const { stream } = talker;
    if (stream !== undefined && !stream.mine) stream.session.streams.fail(stream, CODE.ABORTED, "");
  }

  /** Everybody reads and comes to an end, until nothing moves any more. */
  finish(): void {
    for (let round = 0; round < 100; round++) {
      for (const talker of this.all) {
        talker.readAll();
        this.#answer(talker);
      }
      this.two.settle((length) => Math.ceil(length / 2));
    }
  }

  check(): void {
    const { client, server } = this.two;
    for (const end of [client, server]) {
      assert.equal(end.ending, undefined, `${end.name}: ${JSON.stringify(end.ending)}`);
      assert.equal(end.session.incoming.table.count, 0, "the peer's streams are over");
      assert.equal(end.session.streams.table.count, 0, "our streams are over");
      assert.equal(end.session.outgoing.queuedBytes, 0, "nothing waits");
      const { window } = end.session.outgoing;
      assert.ok(window >= WINDOW / 2 && window <= WINDOW, `the window is ${window}`);
    }
  }
}

describe("two peers", () => {
  test("whatever they do, both come to the same end", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
        const world = new World();
        for (const given of steps) world.run(given);
        world.finish();
        world.check();
      }),
      { numRuns: 300, seed: 4 },
    );
  });

  test("streams that are opened and cancelled again and again use the same few ids", () => {
    const world = new World();
    for (let round = 0; round < 2000; round++) {
      world.run({ do: "open", server: round % 2 === 0, kind: KIND.CALL, size: 10 });
      world.run({ do: "cancel", who: world.openers.length - 1 });
      // So that they are no flood.
      world.two.pass(20);
      if (round % 3 === 0) world.two.settle((length) => Math.ceil(length / 2));
      if (round % 5 === 0) world.finish();
    }
    world.finish();
    world.check();
    assert.ok(world.all.every((talker) => (talker.stream?.id ?? 0) < 16));
  });
});
