// The session's rules, one by one, over a pipe without I/O: handshake, streams, credit, pieces, ends.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { CODE, FRAME, GOAWAY, KIND, PREFACE } from "../../src/protocol/codes.ts";
import { decodeFast } from "./fast-decoder.ts";
import { Notes, TwoSessions } from "./two-sessions.ts";

const EMPTY = Buffer.alloc(0);

function call(two: TwoSessions, name = "echo", body: Buffer = Buffer.from("hi")) {
  const notes = new Notes();
  const stream = two.client.session.streams.open({ kind: KIND.CALL, codec: 0, name }, body, notes);
  assert.ok(stream !== undefined);
  return { stream, notes };
}

/** Answers every call with its body. */
function echoes(two: TwoSessions): void {
  two.server.onOpened = (stream, _open, body) => {
    if (stream !== undefined) stream.session.streams.answer(stream, body, 0, body.length);
  };
}

/** Frames that an end has sent and nobody has taken. */
function sent(end: TwoSessions["client"]): readonly Record<string, unknown>[] {
  const bytes = Buffer.concat(end.outbox);
  const start = bytes.subarray(0, 8).equals(Buffer.from(PREFACE)) ? 8 : 0;
  return decodeFast(bytes.subarray(start), 16_777_215).frames;
}

describe("handshake", () => {
  test("both are ready, and know the other's limits", () => {
    const two = new TwoSessions({
      client: { streams: 7 },
      server: { windowBytes: 65_536 },
    }).start();
    assert.deepEqual([two.client.told, two.server.told], [["ready"], ["ready"]]);
    assert.equal(two.server.session.peer.streams, 7);
    assert.equal(two.client.session.outgoing.window, 65_536);
  });

  test("what was sent in advance waits for the verdict", () => {
    const two = new TwoSessions();
    echoes(two);
    two.server.onHello = () => undefined;
    two.client.session.handshake.start([], true);
    const { notes } = call(two);
    two.settle();
    assert.deepEqual(two.server.told, []);
    assert.ok(two.server.paused);
    two.server.session.handshake.accept([]);
    two.settle();
    assert.deepEqual(two.server.told, ["ready", "open 1 echo hi"]);
    assert.equal(String(notes.messages), "hi");
  });

  test("no more than 16 streams in advance", () => {
    const two = new TwoSessions();
    two.client.session.handshake.start([], true);
    for (let n = 0; n < 16; n++) call(two);
    const open = { kind: KIND.CALL, codec: 0, name: "echo" };
    assert.equal(two.client.session.streams.open(open, EMPTY, undefined), undefined);
  });

  test("other first bytes get a line that people can read", () => {
    const two = new TwoSessions();
    const input = Buffer.from("GET / HTTP/1.1\r\n");
    two.server.session.receive({ bytes: input, offset: 0, end: input.length, borrow: true });
    assert.equal(
      String(two.server.outbox),
      "-ERR SWP/1 (binary) here; try: npx sluice tap HOST:PORT\r\n",
    );
    assert.ok(two.server.closed);
  });

  test("a client that says nothing is told to go in time", () => {
    const two = new TwoSessions();
    two.pass(4999);
    assert.equal(two.server.closed, false);
    two.pass(1);
    assert.ok(two.server.closed);
  });

  test("one that dribbles gains no time by it", () => {
    const two = new TwoSessions();
    for (let at = 0; at < 6; at++) {
      const byte = Buffer.from([PREFACE[at] ?? 0]);
      two.server.session.receive({ bytes: byte, offset: 0, end: 1, borrow: true });
      two.pass(1000);
    }
    assert.ok(two.server.closed);
  });

  test("no frame but HELLO has a place before it, and no stream is opened", () => {
    for (const type of Object.values(FRAME)) {
      if (type === FRAME.HELLO || type === FRAME.GOAWAY) continue;
      const two = new TwoSessions();
      const frame = Buffer.from([...PREFACE, 0, 0, 0, type, 0, 0, 0, 0]);
      two.server.session.receive({ bytes: frame, offset: 0, end: frame.length, borrow: true });
      assert.equal(two.server.ending?.code, GOAWAY.PROTOCOL, `type ${type}`);
      assert.deepEqual(two.server.told, ["ended 65"], `type ${type}`);
    }
  });

  test("a frame beyond 4 KiB ends it before READY", () => {
    const two = new TwoSessions();
    const frame = Buffer.from([...PREFACE, 1, 16, 0, FRAME.HELLO, 0, 0, 0, 0]);
    two.server.session.receive({ bytes: frame, offset: 0, end: frame.length, borrow: true });
    assert.equal(two.server.ending?.code, GOAWAY.FRAME_SIZE);
  });
});

describe("streams", () => {
  test("a call is two frames, and its id is free again", () => {
    const two = new TwoSessions().start();
    echoes(two);
    const { stream, notes } = call(two);
    two.settle();
    assert.deepEqual([notes.told, String(notes.messages)], [["ended"], "hi"]);
    assert.equal(stream.id, 1);
    assert.equal(two.client.session.streams.table.count, 0);
    assert.equal(two.server.session.incoming.table.count, 0);
    assert.equal(call(two).stream.id, 1);
  });

  test("an error ends the stream on both sides", () => {
    const two = new TwoSessions().start();
    two.server.onOpened = (stream) => {
      if (stream !== undefined)
        stream.session.streams.fail(stream, CODE.NOT_FOUND, "no such route", 1);
    };
    const { notes } = call(two);
    two.settle();
    assert.equal(notes.error?.message, "no such route");
    assert.equal(two.client.session.streams.table.count, 0);
  });

  test("a cancelled call keeps its slot until the responder's terminal", () => {
    const two = new TwoSessions({ server: { streams: 1 } }).start();
    const handler = new Notes();
    two.server.onOpened = (stream) => {
      if (stream !== undefined) stream.owner = handler;
    };
    const { stream } = call(two);
    two.settle();
    two.client.session.streams.cancel(stream, CODE.CANCELLED);
    two.settle();
    assert.deepEqual(handler.told, ["cancelled 1"]);
    assert.equal(two.server.session.incoming.table.count, 1, "the handler has not settled");
    assert.equal(two.client.session.streams.canOpen, false);
    const responder = two.server.session.incoming.table.get(1);
    assert.ok(responder !== undefined);
    responder.session.streams.fail(responder, CODE.CANCELLED, "");
    two.settle();
    assert.equal(two.client.session.streams.canOpen, true);
  });

  test("the answer and the cancel cross: both ends come to an end", () => {
    const two = new TwoSessions().start();
    echoes(two);
    const { stream, notes } = call(two);
    two.deliver(two.client, two.server);
    two.client.session.streams.cancel(stream, CODE.CANCELLED);
    two.settle();
    assert.deepEqual(notes.told, []);
    assert.equal(two.client.session.streams.table.count, 0);
    assert.equal(call(two).stream.id, 1);
    two.settle();
    assert.equal(two.client.ending, undefined);
    assert.equal(two.server.ending, undefined);
  });

  test("too many streams are refused, not processed, and to be tried again", () => {
    const two = new TwoSessions({ server: { streams: 1 } }).start();
    two.client.session.peer = { ...two.client.session.peer, streams: 10 };
    two.server.onOpened = (stream) => {
      if (stream !== undefined) stream.owner = new Notes();
    };
    call(two);
    const { notes } = call(two);
    two.settle();
    assert.deepEqual([notes.error?.code, notes.error?.eflags], [CODE.REFUSED, 3]);
  });

  test("the server calls the client with even ids", () => {
    const two = new TwoSessions().start();
    two.client.onOpened = (stream, _open, body) => {
      if (stream !== undefined) stream.session.streams.answer(stream, body, 0, body.length);
    };
    const notes = new Notes();
    const open = { kind: KIND.CALL, codec: 0, name: "you" };
    const stream = two.server.session.streams.open(open, Buffer.from("there?"), notes);
    two.settle();
    assert.equal(stream?.id, 2);
    assert.equal(String(notes.messages), "there?");
  });

  test("what comes for an id whose next OPEN has not left is for the one before", () => {
    const two = new TwoSessions().start();
    two.client.onOpened = (stream, _open, body) =>
      stream?.session.streams.answer(stream, body, 0, body.length);
    const open = { kind: KIND.CALL, codec: 0, name: "you" };
    two.server.session.streams.open(open, EMPTY, new Notes());
    two.settle();
    two.server.pendingBytes = 1_000_000;
    const notes = new Notes();
    const waiting = two.server.session.streams.open(open, Buffer.from("2nd"), notes);
    assert.deepEqual([waiting?.id, sent(two.server)], [2, []], "the id is used again, and waits");
    // CANCEL, and an answer.
    const late = Buffer.from("040000140200000101000000" + "0300001102000001666f6f", "hex");
    two.server.session.receive({ bytes: late, offset: 0, end: late.length, borrow: true });
    two.server.pendingBytes = 0;
    two.server.session.drained();
    two.settle();
    assert.deepEqual([String(notes.messages), notes.told], ["2nd", ["ended"]]);
    assert.deepEqual([two.server.session.streams.table.count, two.client.ending], [0, undefined]);
  });

  test("a deadline is told", () => {
    const two = new TwoSessions().start();
    const { stream, notes } = call(two);
    two.client.session.time.setDeadline(stream, two.nowMs + 100);
    two.pass(99);
    assert.deepEqual(notes.told, []);
    two.pass(1);
    assert.deepEqual(notes.told, ["expired"]);
  });

  test("the end of the connection cuts what is in flight", () => {
    const two = new TwoSessions().start();
    const { notes } = call(two);
    two.client.session.disconnected("gone");
    assert.deepEqual(notes.told, ["cut"]);
  });
});

describe("pieces", () => {
  test("a message beyond a frame goes in pieces, both ways", () => {
    const two = new TwoSessions().start();
    echoes(two);
    const body = Buffer.alloc(900_000, "0123456789");
    const { notes } = call(two, "echo", body);
    two.settle();
    assert.deepEqual(notes.told, ["ended"]);
    assert.ok(body.equals(Buffer.concat(notes.messages)));
  });

  test("beyond the largest message it fails, and the connection lives", () => {
    const two = new TwoSessions({ server: { messageBytes: 100_000 } }).start();
    echoes(two);
    const { notes } = call(two, "echo", Buffer.alloc(100_001));
    two.settle();
    assert.equal(notes.error?.code, CODE.TOO_LARGE);
    const again = call(two);
    two.settle();
    assert.equal(String(again.notes.messages), "hi");
  });

  test("half messages do not fill the window for others", () => {
    const two = new TwoSessions({ client: { queueBytes: 16_777_216 } }).start();
    echoes(two);
    const large = Buffer.alloc(800_000);
    const all = Array.from({ length: 8 }, () => call(two, "echo", large));
    const { notes } = call(two);
    two.settle((length) => Math.ceil(length / 3));
    assert.equal(String(notes.messages), "hi");
    const ends = all.map((one) => one.notes.error?.code ?? one.notes.messages.length);
    // Over four messages' worth in pieces the newest fail; nobody hangs.
    assert.ok(
      ends.every((end) => end === 1 || end === CODE.RESOURCE_EXHAUSTED),
      String(ends),
    );
    assert.ok(ends.includes(1));
  });
});

describe("credit", () => {
  function flow(two: TwoSessions, credit: number) {
    const notes = new Notes();
    const open = { kind: KIND.SERVER_STREAM, codec: 0, name: "feed", credit };
    const stream = two.client.session.streams.open(open, EMPTY, notes);
    two.settle();
    const responder = two.server.session.incoming.table.get(stream?.id ?? 0);
    assert.ok(stream !== undefined && responder !== undefined);
    return { stream, responder, notes };
  }

  test("messages go as far as the credit, and on when there is more", () => {
    const two = new TwoSessions().start();
    const { stream, responder, notes } = flow(two, 2);
    assert.equal(responder.sendCredit, 2);
    const { streams } = responder.session;
    streams.send(responder, Buffer.from("a"), 0, 1);
    streams.send(responder, Buffer.from("b"), 0, 1);
    assert.throws(() => streams.send(responder, Buffer.from("c"), 0, 1), /without credit/);
    two.client.session.grant(stream, 3);
    two.settle();
    assert.equal(responder.sendCredit, 3);
    streams.sendEnd(responder);
    two.settle();
    assert.deepEqual([notes.told, String(notes.messages)], [["ended"], "a,b"]);
  });

  test("a message beyond the credit fails its stream only", () => {
    const two = new TwoSessions().start();
    const { responder, notes } = flow(two, 1);
    responder.sendCredit = 10;
    responder.session.streams.send(responder, Buffer.from("a"), 0, 1);
    responder.session.streams.send(responder, Buffer.from("b"), 0, 1);
    two.settle();
    assert.deepEqual(notes.told, [`failed ${CODE.FLOW}`]);
    assert.equal(two.client.ending, undefined);
  });

  test("the window is used up, granted again, and never overrun", () => {
    const two = new TwoSessions({ server: { windowBytes: 65_536 } }).start();
    echoes(two);
    const all = Array.from({ length: 100 }, () => call(two, "echo", Buffer.alloc(5000)));
    assert.ok(two.client.session.outgoing.window < 5100);
    assert.ok(two.client.session.outgoing.queuedBytes > 0);
    two.settle();
    assert.ok(all.every(({ notes }) => notes.messages.length === 1));
    assert.equal(two.client.session.outgoing.queuedBytes, 0);
  });

  test("what is discarded is credited", () => {
    const two = new TwoSessions({ server: { windowBytes: 65_536 } }).start();
    two.server.onOpened = (stream) => {
      if (stream !== undefined) stream.session.streams.fail(stream, CODE.NOT_FOUND, "");
    };
    for (let round = 0; round < 100; round++) call(two, "none", Buffer.alloc(5000));
    two.settle();
    assert.ok(two.client.session.outgoing.window > 32_768);
    assert.equal(two.client.session.streams.table.count, 0);
  });

  test("more bytes than the window is FLOW", () => {
    const two = new TwoSessions({ server: { windowBytes: 65_536 } }).start();
    two.server.onOpened = (stream) => {
      if (stream !== undefined) stream.owner = new Notes();
    };
    assert.equal(two.server.session.incoming.hold(32_768), "window");
    assert.equal(two.server.session.incoming.hold(1), "beside");
    call(two, "echo", Buffer.alloc(30_000));
    two.settle();
    // A client that does not count.
    two.client.session.outgoing.window = 1_000_000;
    call(two, "echo", Buffer.alloc(60_000));
    two.settle();
    assert.equal(two.server.ending?.code, GOAWAY.FLOW);
  });
});

describe("liveness", () => {
  test("silence is answered by a PING, then by the end", () => {
    const two = new TwoSessions({ server: { keepaliveMs: 1000 } }).start();
    two.pass(1000);
    two.wire.flush();
    assert.deepEqual(
      sent(two.server).map((frame) => frame.frame),
      ["PING"],
    );
    two.pass(1000);
    assert.equal(two.server.ending?.code, GOAWAY.KEEPALIVE);
  });

  test("a PING that is answered keeps it alive", () => {
    const two = new TwoSessions({ server: { keepaliveMs: 1000 } }).start();
    for (let round = 0; round < 50; round++) {
      two.pass(500);
      two.settle();
    }
    assert.equal(two.server.ending, undefined);
    assert.equal(two.client.ending, undefined);
  });

  test("drain: later streams are refused, those in flight go on", () => {
    const two = new TwoSessions().start();
    two.server.onOpened = (stream) => {
      if (stream !== undefined) stream.owner = new Notes();
    };
    const first = call(two);
    two.settle();
    two.server.session.drain(5000, 250);
    const late = call(two);
    two.settle();
    assert.equal(late.notes.error?.code, CODE.REFUSED);
    const responder = two.server.session.incoming.table.get(first.stream.id);
    assert.ok(responder !== undefined);
    responder.session.streams.answer(responder, Buffer.from("done"), 0, 4);
    two.settle();
    assert.equal(String(first.notes.messages), "done");
    assert.equal(two.client.session.peerGoaway?.lastOpen, 1);
    assert.equal(two.client.session.streams.canOpen, false);
  });
});
