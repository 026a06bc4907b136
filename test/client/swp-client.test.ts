// The SWP client over real connections: every kind of request, on every driver, and what becomes of it when things go wrong.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { type Client, client } from "../../src/client/client.ts";
import type { ClientOptions } from "../../src/client/client-options.ts";
import type { Gap } from "../../src/client/subscription.ts";
import { deferred } from "../../src/deferred.ts";
import { rawCodec, utf8Codec } from "../../src/protocol/body-codec.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { anything, bytes, nothing } from "../../src/protocol/schema.ts";
import type { Server } from "../../src/server/serve.ts";
import { token } from "../../src/service/auth.ts";
import type { ServiceOptions } from "../../src/service/options.ts";
import { call, clientStream, duplex, notify, serverStream } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { Cutter } from "../support/cutter.ts";
import { DRIVERS } from "../support/drivers.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until, within } from "../support/until.ts";

/** What the service below has done. */
class Ledger {
  readonly noted: unknown[] = [];
  /** Executions of `work`, by its input. */
  readonly worked = new Map<unknown, number>();
  /** Messages that `count` has made. */
  made = 0;
  aborted = 0;
  /** Settles calls of `hang`. */
  release = deferred<void>();
  hanging = 0;
  failures = 0;
}

function makeService(ledger: Ledger, options: ServiceOptions = {}) {
  return service(
    {
      echo: call(anything, anything, (value) => value),
      double: call(z.object({ n: z.number() }), z.object({ n: z.number() }), ({ n }) => ({
        n: 2 * n,
      })),
      raw: call(bytes, bytes, (value) => value),
      size: call(bytes, z.number(), (value) => value.length),
      zeros: call(z.number(), bytes, (length) => Buffer.alloc(length)),
      store: clientStream(bytes, z.string(), async (chunks) => {
        let hex = "";
        for await (const chunk of chunks) hex += chunk.toString("hex");
        return hex;
      }),
      mixed: duplex(anything, anything, async function* (messages) {
        for await (const message of messages) {
          yield typeof message === "string" ? Buffer.from(message) : String(message);
        }
      }),
      work: call(z.number(), z.number(), async (n) => {
        ledger.worked.set(n, (ledger.worked.get(n) ?? 0) + 1);
        await sleep(1);
        return n;
      }),
      hang: call(anything, anything, async (value, context) => {
        ledger.hanging++;
        context.signal.addEventListener("abort", () => void ledger.aborted++);
        await Promise.race([
          ledger.release.promise,
          new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve())),
        ]);
        return value;
      }),
      trace: call(anything, z.string(), (_, context) => context.traceparent ?? "none"),
      remaining: call(nothing, z.number(), (_, context) => context.remainingMs ?? -1),
      "fails.then.works": call(nothing, z.number(), () => {
        ledger.failures++;
        if (ledger.failures < 3) {
          throw new CallError("UNAVAILABLE", "not yet", { notProcessed: true, retryable: true });
        }
        return ledger.failures;
      }),
      refuses: call(nothing, nothing, () => {
        ledger.failures++;
        throw new CallError(2000, "never", { detail: { why: "so" } });
      }),
      count: serverStream(z.number(), z.number(), async function* (to, context) {
        context.signal.addEventListener("abort", () => void ledger.aborted++);
        for (let n = 0; n < to; n++) {
          ledger.made++;
          yield n;
        }
      }),
      breaks: serverStream(nothing, z.number(), async function* () {
        yield 1;
        throw new CallError("DATA_LOSS", "broken");
      }),
      sum: clientStream(z.number(), z.number(), async (numbers) => {
        let sum = 0;
        for await (const n of numbers) sum += n;
        return sum;
      }),
      first: clientStream(z.number(), z.number(), async (numbers) => {
        for await (const n of numbers) return n;
        return -1;
      }),
      chat: duplex(z.string(), z.string(), async function* (lines) {
        for await (const line of lines) yield line.toUpperCase();
      }),
      note: notify(anything, (value) => void ledger.noted.push(value)),
      back: call(anything, anything, async (value, context) => context.peer.call("ask", value)),
    },
    { authorize: () => true, onError: () => undefined, ...options },
  );
}

type Rooms = ReturnType<typeof makeService>;

interface Stage {
  readonly ledger: Ledger;
  readonly server: Server;
  readonly cutter: Cutter;
  readonly api: Client<Rooms>;
}

/** A service, a proxy that can cut, and a client behind it. */
async function stage(
  t: TestContext,
  options: ClientOptions = {},
  serviceOptions: ServiceOptions = {},
): Promise<Stage> {
  const ledger = new Ledger();
  const server = await serveFor(t, makeService(ledger, serviceOptions));
  const cutter = await Cutter.start(t, portOf(server));
  const api = client<Rooms>({
    port: cutter.port,
    backOff: { firstMs: 1, mostMs: 20 },
    onError: () => undefined,
    ...options,
  });
  t.after(() => api.close());
  return { ledger, server, cutter, api };
}

/** The CallError that a promise fails with. */
async function failure(promise: Promise<unknown>): Promise<CallError> {
  const error = await within(
    promise.then(
      (value) => value,
      (thrown: unknown) => thrown,
    ),
    "an end",
  );
  assert.ok(error instanceof CallError, `no CallError: ${String(error)}`);
  return error;
}

async function collected<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = [];
  for await (const value of values) all.push(value);
  return all;
}

for (const { name: driver, skip } of DRIVERS) {
  test(`${driver}: every kind of request`, { skip }, async (t) => {
    const ledger = new Ledger();
    const server = await serveFor(t, makeService(ledger));
    const api = client<Rooms>({
      port: portOf(server),
      driver,
      handlers: { ask: (value: unknown) => ({ asked: value }) },
    });
    t.after(() => api.close());
    assert.deepEqual(await api.call("double", { n: 21 }), { n: 42 });
    assert.deepEqual(await api.call("raw", Buffer.from("bytes")), Buffer.from("bytes"));
    assert.deepEqual(
      await collected(api.stream("count", 100)),
      Array.from({ length: 100 }, (_, n) => n),
    );
    const upload = api.upload("sum");
    for (let n = 1; n <= 100; n++) await upload.send(n);
    assert.equal(await upload.end(), 5050);
    const chat = api.duplex("chat");
    await chat.send("one");
    await chat.send("two");
    await chat.end();
    assert.deepEqual(await collected(chat), ["ONE", "TWO"]);
    await api.notify("note", "noted");
    await until(() => ledger.noted.length === 1, "the notification");
    assert.deepEqual(await api.call("back", 7), { asked: 7 });
    const rooms = api.subscribe<{ n: number }>("room.*");
    await api.publish("room.1", { n: 1 });
    await api.publish("room.2", { n: 2 }, { acknowledged: false });
    assert.deepEqual((await rooms.next()).value, { topic: "room.1", body: { n: 1 } });
    assert.deepEqual((await rooms.next()).value, { topic: "room.2", body: { n: 2 } });
    rooms.close();
    assert.deepEqual(await rooms.next(), { value: undefined, done: true });
  });
}

describe("bytes under JSON", () => {
  test("go as they are, whatever stands beside them", async (t) => {
    const { api } = await stage(t);
    const binary = Buffer.from([0, 255, 0, 7]);
    assert.equal(await api.call("size", binary), 4);
    assert.deepEqual(await api.call("zeros", 3), Buffer.alloc(3));
    assert.deepEqual(await api.call("raw", Buffer.alloc(0)), Buffer.alloc(0));
    const upload = api.upload("store");
    for (const chunk of [binary, Buffer.alloc(0), Buffer.from("{}")]) await upload.send(chunk);
    assert.equal(await upload.end(), "00ff00077b7d");
    const mixed = api.duplex("mixed");
    for (const message of [Buffer.from("[1]"), "[1]"]) await mixed.send(message);
    await mixed.end();
    assert.deepEqual(await collected(mixed), ["[1]", Buffer.from("[1]")]);
  });

  test("reach subscribers of every codec without the byte in front", async (t) => {
    const { api } = await stage(t);
    const rooms = [undefined, rawCodec, utf8Codec].map((codec) =>
      api.subscribe("room", codec === undefined ? {} : { codec }),
    );
    await api.publish("room", Buffer.from("bytes"));
    const bodies = await Promise.all(rooms.map(async (room) => (await room.next()).value?.body));
    assert.deepEqual(bodies, [Buffer.from("bytes"), Buffer.from("bytes"), "bytes"]);
  });

  test("who asks in raw for what is not bytes is told so", async (t) => {
    const { api } = await stage(t);
    const error = await failure(api.call("size", Buffer.alloc(1), { codec: rawCodec }));
    assert.equal(error.code, "BAD_CODEC");
    assert.match(error.message, /^size gives what the codec raw cannot carry/);
    await assert.rejects(api.call("echo", 7, { codec: rawCodec }), /the codec raw carries bytes/);
  });
});

describe("types", () => {
  test("come from the service's type, and only what fits compiles", async (t) => {
    const { api } = await stage(t);
    const doubled: { n: number } = await api.call("double", { n: 1 });
    assert.equal(doubled.n, 2);
    const wrong = async () => {
      // @ts-expect-error: there is no such route
      await api.call("treble", { n: 1 });
      // @ts-expect-error: the input has another type
      await api.call("double", { n: "1" });
      // @ts-expect-error: that is a stream, not a call
      await api.call("count", 1);
      // @ts-expect-error: the answer has another type
      const text: string = await api.call("double", { n: 1 });
      return text;
    };
    assert.equal(typeof wrong, "function");
    const untyped: Client = client({ port: 1 });
    t.after(() => untyped.close());
    const anyway: Promise<unknown> = untyped.call("whatever", { you: "like" });
    await untyped.close();
    assert.equal((await failure(anyway)).code, "CANCELLED");
  });
});

describe("errors", () => {
  test("what the server throws for a caller is thrown here", async (t) => {
    const { api, ledger } = await stage(t);
    const error = await failure(api.call("refuses", undefined));
    assert.deepEqual(
      [error.code, error.number, error.message, error.detail],
      ["2000", 2000, "never", { why: "so" }],
    );
    assert.equal(ledger.failures, 1, "an error that says nothing of safety is not tried again");
    const misfit = await failure(api.call("double", { n: "one" } as never));
    assert.equal(misfit.code, "INVALID_SCHEMA");
  });

  test("what was not processed is tried again, so often and no more", async (t) => {
    const { api, ledger } = await stage(t);
    assert.equal(await api.call("fails.then.works", undefined), 3);
    ledger.failures = -100;
    assert.equal((await failure(api.call("fails.then.works", undefined))).code, "UNAVAILABLE");
    assert.equal(ledger.failures, -100 + 1 + 3);
  });

  test("a stream that breaks gives what came before, then the error, then the end", async (t) => {
    const { api } = await stage(t);
    const stream = api.stream("breaks", undefined);
    assert.deepEqual(await stream.next(), { value: 1, done: false });
    assert.equal((await failure(stream.next())).code, "DATA_LOSS");
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
  });

  test("what this side cannot send is said at once", async (t) => {
    const { api } = await stage(t);
    await assert.rejects(
      api.call("echo", () => 1),
      /JSON has no function/,
    );
    await assert.rejects(api.call("x".repeat(256) as "echo", 1), RangeError);
    assert.throws(() => api.subscribe("a..b"), /is no pattern/);
    await assert.rejects(api.publish("a.*", 1), /is no topic/);
  });
});

describe("deadlines and cancelling", () => {
  test("a call that takes too long fails, and the server is told", async (t) => {
    const { api, ledger } = await stage(t);
    assert.equal(
      (await failure(api.call("hang", 1, { deadlineMs: 50 }))).code,
      "DEADLINE_EXCEEDED",
    );
    await until(() => ledger.aborted === 1, "the handler's signal");
    const remaining = await api.call("remaining", undefined, { deadlineMs: 5000 });
    assert.ok(remaining > 0 && remaining <= 5000, String(remaining));
  });

  test("a deadline that is no time is refused, whatever is asked", async (t) => {
    const { api, ledger } = await stage(t);
    for (const deadlineMs of [
      NaN,
      -1,
      0,
      0.5,
      86_400_001,
      Infinity,
      "10" as never,
      null as never,
    ]) {
      const refused = {
        name: "RangeError",
        message: `deadlineMs must be a whole number of ms from 1 to 86400000 (a day), not ${deadlineMs}`,
      };
      await assert.rejects(api.call("work", 1, { deadlineMs }), refused);
      await assert.rejects(api.publish("news", 1, { deadlineMs }), refused);
      await assert.rejects(api.notify("note", 1, { deadlineMs }), refused);
      const unacknowledged = { deadlineMs, acknowledged: false };
      await assert.rejects(api.publish("news", 1, unacknowledged), refused);
      assert.throws(() => api.upload("store", { deadlineMs }), refused);
    }
    assert.equal(await api.call("work", 2, { deadlineMs: 86_400_000 }), 2);
    assert.deepEqual([...ledger.worked], [[2, 1]], "nothing else was sent");
  });

  test("waiting for a connection counts", async (t) => {
    const api = client<Rooms>({ path: "/no/such/socket", backOff: { firstMs: 1, mostMs: 5 } });
    t.after(() => api.close());
    const error = await failure(api.call("echo", 1, { deadlineMs: 30 }));
    assert.equal(error.code, "DEADLINE_EXCEEDED");
    assert.equal(api.waiting, 0);
  });

  test("a signal ends a call in flight, one that waits, and one that was too late", async (t) => {
    const { api, ledger } = await stage(t);
    const control = new AbortController();
    const inFlight = api.call("hang", 1, { signal: control.signal });
    await until(() => ledger.hanging === 1, "the call at the server");
    control.abort();
    assert.equal((await failure(inFlight)).code, "CANCELLED");
    await until(() => ledger.aborted === 1, "the handler's signal");
    const late = api.call("echo", 1, { signal: control.signal });
    assert.equal((await failure(late)).code, "CANCELLED");
    assert.equal(await api.call("echo", 2), 2);
  });

  test("leaving a loop ends the stream at the server", async (t) => {
    const { api, ledger } = await stage(t);
    for await (const n of api.stream("count", 1_000_000)) {
      if (n === 5) break;
    }
    await until(() => ledger.aborted === 1, "the handler's signal");
    assert.equal(await api.call("echo", "still there"), "still there");
  });
});

describe("backpressure", () => {
  test("the server makes no more messages than were asked for", async (t) => {
    const { api, ledger } = await stage(t);
    const stream = api.stream("count", 1000, { credit: 8 });
    await stream.next();
    await sleep(50);
    // One was read: the credit, one that may be on its way, and what half a credit grants again.
    assert.ok(ledger.made <= 10, `${ledger.made} were made`);
    assert.equal((await collected(stream)).length, 999);
  });

  test("an upload waits for a server that reads slowly, and large messages go in pieces", async (t) => {
    const { api } = await stage(t);
    const large = "x".repeat(900_000);
    const all = await Promise.all(
      Array.from({ length: 12 }, (_, n) => api.call("echo", large + n)),
    );
    assert.deepEqual(
      all.map((text) => String(text).length),
      Array.from({ length: 12 }, (_, n) => large.length + String(n).length),
    );
    const chat = api.duplex("chat");
    const sending = (async () => {
      for (let n = 0; n < 200; n++) await chat.send(`${n}`.repeat(1000));
      await chat.end();
    })();
    assert.equal((await collected(chat)).length, 200);
    await sending;
  });

  test("a server that answers before the end has had enough", async (t) => {
    const { api } = await stage(t);
    const upload = api.upload("first");
    await upload.send(11);
    assert.equal(await within(upload.answer, "the answer"), 11);
    const sends = async () => {
      for (;;) await upload.send(0);
    };
    assert.equal((await failure(sends())).code, "CANCELLED");
    assert.equal(await api.call("echo", 1), 1);
  });
});

describe("cut connections", () => {
  test("calls in flight fail, those made meanwhile wait, and all goes on", async (t) => {
    const { api, ledger, cutter } = await stage(t);
    const inFlight = api.call("hang", 1);
    await until(() => ledger.hanging === 1, "the call at the server");
    cutter.refusing = true;
    cutter.cut();
    const error = await failure(inFlight);
    assert.deepEqual([error.code, error.notProcessed], ["UNAVAILABLE", false]);
    const meanwhile = api.call("echo", "meanwhile");
    await sleep(20);
    assert.equal(api.ready, false);
    cutter.refusing = false;
    assert.equal(await within(meanwhile, "the call that waited"), "meanwhile");
  });

  test("a call with an idempotency key is sent again and executed once, one without fails", async (t) => {
    const { api, ledger, cutter } = await stage(t);
    const withKey = api.call("hang", "with", { idempotencyKey: true });
    const without = api.call("hang", "without");
    await until(() => ledger.hanging === 2, "both calls at the server");
    cutter.cut();
    assert.equal((await failure(without)).code, "UNAVAILABLE");
    assert.equal(await within(withKey, "its answer"), "with");
    assert.equal(ledger.hanging, 2);
  });

  test("an idempotency key of a wrong length, and a trace context that is none, are refused", async (t) => {
    const { api, ledger } = await stage(t);
    for (const idempotencyKey of ["", "k".repeat(65), "\u{f6}".repeat(33)]) {
      await assert.rejects(api.call("work", 1, { idempotencyKey }), {
        name: "RangeError",
        message: /^idempotencyKey must be 1 to 64 bytes, not (0|65|66)$/,
      });
    }
    assert.equal(await api.call("work", 1, { idempotencyKey: "\u{f6}".repeat(32) }), 1);
    const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const bad = [
      ...["", good.slice(0, -1), `${good}0`, good.toUpperCase(), good.replaceAll("-", "")],
      ...[good.replace(/^00/, "ff"), good.replace(/-4.*6-/, `-${"0".repeat(32)}-`)],
      ...[good.replace(/-00.*7-/, `-${"0".repeat(16)}-`), Buffer.alloc(26) as never, null as never],
    ];
    for (const traceparent of bad) {
      const refused = { name: "RangeError", message: /^traceparent must be text .* like "00-4bf/ };
      await assert.rejects(api.call("work", 2, { traceparent }), refused);
      await assert.rejects(api.publish("news", 1, { traceparent }), refused);
      assert.throws(() => api.upload("store", { traceparent }), refused);
    }
    assert.deepEqual([...ledger.worked], [[1, 1]], "nothing else was sent");
  });

  test("a trace context comes to the handler", async (t) => {
    const { api } = await stage(t);
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert.equal(await api.call("trace", null, { traceparent }), traceparent);
    assert.equal(await api.call("trace", null), "none");
  });

  test("subscriptions are made again, and the gap is told", async (t) => {
    const gaps: Gap[] = [];
    const { api, cutter } = await stage(t, { resume: false });
    const rooms = api.subscribe<number>("room.>", { onGap: (gap) => gaps.push(gap) });
    await api.publish("room.a", 1);
    await api.publish("room.a", 2);
    assert.equal((await rooms.next()).value?.body, 1);
    cutter.cut();
    await until(() => gaps.length === 1, "the gap");
    await api.publish("room.b", 3);
    assert.deepEqual((await rooms.next()).value, { topic: "room.a", body: 2 }, "unread ones stay");
    assert.deepEqual((await rooms.next()).value, { topic: "room.b", body: 3 });
    assert.deepEqual(gaps, [{ reason: "cut", messages: undefined }]);
  });

  test("a session that goes on misses nothing, and gets nothing twice", async (t) => {
    const gaps: Gap[] = [];
    const { api, cutter, ledger, server } = await stage(t);
    const other = client<Rooms>({ port: portOf(server) });
    t.after(() => other.close());
    const news = api.subscribe<number>("news", { onGap: (gap) => gaps.push(gap) });
    const closed = api.subscribe<number>("other");
    await api.publish("news", 0);
    let [published, noted] = [1, 0];
    for (let round = 0; round < 60; round++) {
      const publishing = [other.publish("news", published++), other.publish("news", published++)];
      await api.notify("note", noted++);
      if (round % 2 === 1) await Promise.all(publishing);
      cutter.cut();
      // While nobody knows yet, or while it is gone.
      const telling = api.notify("note", noted++);
      await Promise.all([...publishing, other.publish("news", published++)]);
      await telling;
      if (round === 30) closed.close();
      await until(() => api.ready && cutter.open === 1, "the connection");
    }
    const heard: (number | undefined)[] = [];
    while (heard.length < published) heard.push((await news.next()).value?.body);
    assert.deepEqual(
      heard,
      Array.from({ length: published }, (_, n) => n),
    );
    await until(() => ledger.noted.length >= noted, "every notification");
    assert.deepEqual(
      ledger.noted,
      Array.from({ length: noted }, (_, n) => n),
    );
    assert.deepEqual(gaps, []);
    assert.equal(cutter.cuts, 60);
    await until(() => server.statistics().connections === 2, "no connection left over");
  });

  test("a subscriber that does not keep up is told how much it missed", async (t) => {
    const gaps: Gap[] = [];
    const { api } = await stage(t, {}, { limits: { subscriptionQueue: 4 } });
    const rooms = api.subscribe<number>("n", { credit: 2, onGap: (gap) => gaps.push(gap) });
    for (let n = 0; n < 20; n++) await api.publish("n", n);
    const read: (number | undefined)[] = [];
    while (read.at(-1) !== 19) read.push((await rooms.next()).value?.body);
    assert.equal(read.length + (gaps[0]?.messages ?? 0), 20);
    assert.equal(gaps[0]?.reason, "slow");
    assert.deepEqual(
      read,
      read.toSorted((a, b) => Number(a) - Number(b)),
    );
  });

  test("wherever the bytes are cut, every call has one outcome, and none is executed twice", async (t) => {
    const { api, ledger, cutter } = await stage(t, { connections: 2 });
    let seed = 1;
    cutter.nextCut = () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return 200 + (seed % 1500);
    };
    cutter.cut();
    let answered = 0;
    let failed = 0;
    const caller = async (from: number) => {
      for (let n = from; n < from + 60; n++) {
        try {
          assert.equal(await api.call("work", n), n);
          assert.equal(ledger.worked.get(n), 1);
          answered++;
        } catch (error) {
          assert.ok(error instanceof CallError && error.code === "UNAVAILABLE", String(error));
          failed++;
        }
      }
    };
    await within(Promise.all([0, 100, 200, 300, 400, 500].map(caller)), "the outcome of all calls");
    assert.equal(answered + failed, 360);
    assert.ok(cutter.cuts > 8, `only ${cutter.cuts} cuts`);
    assert.ok(answered > 100 && failed > 0, `${answered} answered, ${failed} failed`);
    for (const [n, times] of ledger.worked)
      assert.equal(times, 1, `${n} was executed ${times} times`);
  });

  test("a server that restarts loses no call that it had not begun", async (t) => {
    const ledger = new Ledger();
    let server = await serveFor(t, makeService(ledger));
    const port = portOf(server);
    const api = client<Rooms>({ port, backOff: { firstMs: 1, mostMs: 20 } });
    t.after(() => api.close());
    const steady = Array.from({ length: 8 }, async () => {
      for (let n = 0; n < 150; n++) await api.call("echo", n);
    });
    await server.close({ drainMs: 2000 });
    server = await serveFor(t, { ...makeService(ledger), port });
    await within(Promise.all(steady), "every call, over the restart");
  });
});

describe("who is it", () => {
  test("a token, fresh for each connection; a wrong one fails whoever waits", async (t) => {
    const tokens = ["good 1", "good 2", "bad"];
    let shown = 0;
    const { api, cutter } = await stage(
      t,
      { auth: { token: async () => tokens[shown++] ?? "good again" } },
      { auth: [token((text) => (text.startsWith("good") ? text : undefined))] },
    );
    assert.equal(await api.call("echo", 1), 1);
    cutter.cut();
    await until(() => !api.ready, "the cut");
    assert.equal(await api.call("echo", 2), 2);
    cutter.cut();
    await until(() => !api.ready, "the cut");
    assert.equal((await failure(api.call("echo", 3))).code, "UNAUTHENTICATED");
    assert.equal(await api.call("echo", 4), 4);
    await api.refreshToken();
    assert.equal(await api.call("echo", 5), 5);
  });
});

describe("the client itself", () => {
  test("several connections share the work, and one that is cut disturbs no other", async (t) => {
    const { api, cutter, ledger } = await stage(t, { connections: 3 });
    const hanging = Array.from({ length: 6 }, () => api.call("hang", 1));
    await until(
      () => ledger.hanging === 6 && cutter.open === 3,
      "six calls over three connections",
    );
    ledger.release.resolve();
    await within(Promise.all(hanging), "the answers");
    assert.equal(cutter.connections, 3);
  });

  test("no more than so many requests wait", async (t) => {
    const api = client<Rooms>({ path: "/no/such/socket", waiting: 2 });
    t.after(() => api.close());
    const waiting = [api.call("echo", 1), api.call("echo", 2)];
    const error = await failure(api.call("echo", 3));
    assert.deepEqual([error.code, error.notProcessed], ["RESOURCE_EXHAUSTED", true]);
    await api.close();
    for (const one of waiting) assert.equal((await failure(one)).code, "CANCELLED");
    assert.equal((await failure(api.call("echo", 4))).code, "CANCELLED");
  });

  test("closing lets what is in flight finish, as long as it was told", async (t) => {
    const { api, ledger, cutter } = await stage(t);
    const inFlight = api.call("hang", "finished");
    await until(() => ledger.hanging === 1, "the call at the server");
    const closing = api.close({ drainMs: 5000 });
    ledger.release.resolve();
    assert.equal(await inFlight, "finished");
    await within(closing, "the end");
    await until(() => cutter.open === 0, "the end of the connection");
  });

  test("closing at once fails what is in flight, and the server is told", async (t) => {
    const { api, ledger } = await stage(t);
    const inFlight = api.call("hang", 1);
    await until(() => ledger.hanging === 1, "the call at the server");
    await api.close();
    assert.equal((await failure(inFlight)).code, "CANCELLED");
    await until(() => ledger.aborted === 1, "the handler's signal");
  });

  test("a server that speaks something else is tried again, and its line is told", async (t) => {
    const told: string[] = [];
    const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const api = client<Rooms>({
      port: (server.address() as AddressInfo).port,
      backOff: { firstMs: 1, mostMs: 5 },
      onState: (_, error) => void (error !== undefined && told.push(error.message)),
    });
    t.after(() => api.close());
    await assert.rejects(api.connected(), CallError);
    await until(() => told.length > 3, "several attempts");
    assert.match(told[0] ?? "", /FRAME_SIZE/);
  });

  test("what the server may call, and what it may not", async (t) => {
    const { api } = await stage(t, {
      handlers: {
        ask(value: unknown) {
          if (value === "refuse") throw new CallError("PERMISSION_DENIED", "not that");
          if (value === "break") throw new Error("a secret");
          return `told ${value}`;
        },
      },
    });
    assert.equal(await api.call("back", "me"), "told me");
    assert.equal((await failure(api.call("back", "refuse"))).code, "PERMISSION_DENIED");
    const broken = await failure(api.call("back", "break"));
    assert.equal(broken.code, "INTERNAL");
    assert.doesNotMatch(broken.message, /secret/);
  });
});
