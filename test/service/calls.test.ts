// A service over real sockets: each kind of route, the three schema libraries, errors, deadlines, cancelling, hostile bodies.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import {
  cbor,
  jsonCodec,
  messagePack,
  rawCodec,
  utf8Codec,
} from "../../src/protocol/body-codec.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { AUTH_METHOD, KIND, META_KEY } from "../../src/protocol/codes.ts";
import { anything, bytes, nothing, text } from "../../src/protocol/schema.ts";
import { token } from "../../src/service/auth.ts";
import type { CallContext } from "../../src/service/context.ts";
import type { ServiceOptions } from "../../src/service/options.ts";
import { call, clientStream, duplex, notify, serverStream } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { serveFor } from "../support/server.ts";
import { until, within } from "../support/until.ts";
import { SessionClient } from "./session-client.ts";

const Point = z.object({ x: z.number(), y: z.number() });

async function start(
  t: TestContext,
  routes: Parameters<typeof service>[0],
  options: ServiceOptions = {},
) {
  const errors: unknown[] = [];
  const table = service(routes, { onError: (error) => errors.push(error), ...options });
  const server = await serveFor(t, table);
  return { server, errors, client: await SessionClient.connect(t, server) };
}

/** What a call is refused with. */
async function refusal(promise: Promise<unknown>): Promise<CallError> {
  const error = await within(
    promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    ),
    "an answer",
  );
  assert.ok(error instanceof CallError, String(error));
  return error;
}

describe("calls", () => {
  test("one request, one answer", async (t) => {
    const { client } = await start(t, {
      double: call(Point, Point, ({ x, y }) => ({ x: 2 * x, y: 2 * y })),
    });
    assert.deepEqual(await client.call("double", { x: 1, y: 2 }), { x: 2, y: 4 });
  });

  test("a schema of each library, and what does not fit is said", async (t) => {
    const { client } = await start(t, {
      zod: call(z.object({ n: z.number().int() }), z.number(), ({ n }) => n + 1),
      valibot: call(v.object({ n: v.number() }), v.number(), ({ n }) => n + 1),
      arktype: call(type({ n: "number" }), type("number"), ({ n }) => n + 1),
    });
    for (const route of ["zod", "valibot", "arktype"]) {
      assert.equal(await client.call(route, { n: 1 }), 2, route);
      const error = await refusal(client.call(route, { n: "one" }));
      assert.deepEqual([error.code, error.notProcessed], ["INVALID_SCHEMA", true], route);
      assert.match(error.message, /n/, route);
    }
  });

  test("a schema that takes its time", async (t) => {
    const slow = z.string().refine(async (value) => {
      await sleep(1);
      return value !== "bad";
    });
    const { client } = await start(t, { slow: call(slow, slow, (value) => value) });
    assert.equal(await client.call("slow", "good"), "good");
    assert.equal((await refusal(client.call("slow", "bad"))).code, "INVALID_SCHEMA");
  });

  test("each codec", async (t) => {
    const packages = [messagePack(await import("msgpackr")), cbor(await import("cbor-x"))];
    const routes = {
      any: call(anything, anything, (value) => value),
      raw: call(bytes, bytes, (value) => value),
      text: call(text, text, (value) => value.toUpperCase()),
    };
    const { client } = await start(t, routes, { codecs: packages });
    for (const codec of [jsonCodec, ...packages]) {
      const value = { list: [1, "two", null, true], deep: { er: "é" } };
      assert.deepEqual(await client.call("any", value, codec), value, codec.name);
    }
    const bytesBack = await client.call("raw", Buffer.from([0, 255, 7]), rawCodec);
    assert.deepEqual(bytesBack, Buffer.from([0, 255, 7]));
    assert.equal(await client.call("text", "grüße", utf8Codec), "GRÜSSE");
  });

  test("a codec that nobody has is refused", async (t) => {
    const { client } = await start(t, { any: call(anything, anything, (value) => value) });
    const own = { ...jsonCodec, id: 99 };
    assert.equal((await refusal(client.call("any", 1, own))).code, "BAD_CODEC");
  });

  test("many at once, answered out of order", async (t) => {
    const gates = new Map([1, 2, 3].map((n) => [n, Promise.withResolvers<void>()]));
    const { client } = await start(t, {
      wait: call(z.number(), z.number(), async (n) => {
        await gates.get(n)?.promise;
        return n;
      }),
    });
    const order: unknown[] = [];
    const calls = [1, 2, 3].map((n) => client.call("wait", n).then((value) => order.push(value)));
    for (const n of [3, 1, 2]) {
      gates.get(n)?.resolve();
      await until(() => order.at(-1) === n, `the answer of ${n}`);
    }
    await within(Promise.all(calls), "all answers");
    assert.deepEqual(order, [3, 1, 2]);
  });

  test("routes by number, as WELCOME lists them", async (t) => {
    const { client } = await start(t, {
      a: call(text, text, () => "a"),
      b: call(text, text, () => "b"),
    });
    const flow = client.open(
      { kind: KIND.CALL, codec: utf8Codec.id, name: "", ...{ routeId: 2 } },
      "",
    );
    assert.equal(await flow.over, "b");
  });
});

describe("errors", () => {
  test("no such route, another kind", async (t) => {
    const { client } = await start(t, { feed: serverStream(nothing, text, () => ["a"]) });
    const missing = await refusal(client.call("none", 1));
    assert.deepEqual([missing.code, missing.notProcessed], ["NOT_FOUND", true]);
    assert.equal((await refusal(client.call("feed", null))).code, "UNIMPLEMENTED");
  });

  test("names of an object's prototype are no routes", async (t) => {
    const { client } = await start(t, { a: call(anything, anything, () => 1) });
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      assert.equal((await refusal(client.call(name, 1))).code, "NOT_FOUND", name);
    }
  });

  test("what a handler means for the caller arrives, with detail", async (t) => {
    const { client } = await start(t, {
      own: call(anything, anything, () => {
        throw new CallError(1234, "not like this", { detail: { why: 1 }, retryAfterMs: 50 });
      }),
      async: call(anything, anything, async () => {
        throw new CallError("ALREADY_EXISTS", "there");
      }),
    });
    const own = await refusal(client.call("own", 1));
    assert.deepEqual(
      [own.number, own.message, own.detail, own.retryAfterMs],
      [1234, "not like this", { why: 1 }, 50],
    );
    assert.equal((await refusal(client.call("async", 1))).code, "ALREADY_EXISTS");
  });

  test("what it does not mean for the caller stays here", async (t) => {
    const throwing: typeof anything = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate() {
          throw new Error("a mistake in a schema");
        },
      },
    };
    const { client, errors } = await start(t, {
      bad: call(anything, anything, () => {
        throw new Error("secret /path");
      }),
      wrong: call(anything, z.number(), () => "no number" as unknown as number),
      odd: call(anything, anything, () => 1n),
      thrower: call(throwing, anything, () => 1),
    });
    for (const route of ["bad", "wrong", "odd", "thrower"]) {
      const error = await refusal(client.call(route, 1));
      assert.deepEqual([error.code, error.message], ["INTERNAL", "internal error"], route);
    }
    assert.equal(errors.length, 4);
  });

  test("bodies that are no JSON, reach into prototypes, or are too deep", async (t) => {
    const { client } = await start(t, { any: call(anything, anything, () => "handled") });
    const bodies = [
      '{"a":',
      '{"__proto__":{"x":1}}',
      '{"a":[{"constructor":1}]}',
      '{"\\u005f_proto__":1}',
      '{"prototype":1}',
      `${"[".repeat(200)}${"]".repeat(200)}`,
      Buffer.from([0x22, 0xff, 0x22]),
    ];
    for (const body of bodies) {
      const plain = { ...jsonCodec, encode: () => Buffer.from(body as string) };
      const error = await refusal(client.call("any", 1, plain));
      assert.deepEqual([error.code, error.notProcessed], ["BAD_CODEC", true], String(body));
    }
    assert.equal(await client.call("any", { proto: "constructor" }), "handled");
    assert.equal(Object.hasOwn(Object.prototype, "x"), false);
  });
});

describe("time", () => {
  test("a deadline passes: the caller is told, the handler too", async (t) => {
    let aborted = false;
    let left: number | undefined;
    const { client } = await start(t, {
      slow: call(anything, anything, async (_input, { signal, remainingMs }) => {
        left = remainingMs;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        aborted = true;
        return 1;
      }),
    });
    // The server's own deadline, so that the client's is not what is seen.
    const flow = client.open(
      { kind: KIND.CALL, codec: jsonCodec.id, name: "slow", deadlineMs: 30 },
      1,
    );
    assert.equal((await refusal(flow.over)).code, "DEADLINE_EXCEEDED");
    await until(() => aborted, "the signal");
    assert.ok(left !== undefined && left <= 30 && left > 0, String(left));
  });

  test("a call that is cancelled aborts its handler, and frees its slot when that has settled", async (t) => {
    let context: CallContext | undefined;
    const settle = Promise.withResolvers<void>();
    const { client, server } = await start(
      t,
      {
        slow: call(anything, anything, async (_input, given) => {
          context = given;
          await settle.promise;
          return 1;
        }),
        quick: call(anything, anything, () => "quick"),
      },
      { limits: { streams: 1 } },
    );
    const flow = client.open({ kind: KIND.CALL, codec: jsonCodec.id, name: "slow" }, 1);
    await until(() => context !== undefined, "the handler");
    flow.cancel();
    await until(() => context?.signal.aborted === true, "the signal");
    assert.equal(client.session.streams.canOpen, false);
    settle.resolve();
    await until(() => client.session.streams.canOpen, "a free slot");
    assert.equal(await client.call("quick", 1), "quick");
    assert.equal(server.statistics().connections, 1);
  });

  test("a handler that does not stop is a zombie: its stream ends, its slot stays taken", async (t) => {
    const settle = Promise.withResolvers<void>();
    const { client } = await start(
      t,
      {
        deaf: call(anything, anything, async () => {
          await settle.promise;
          return 1;
        }),
      },
      { limits: { streams: 1, cancelGraceMs: 20 } },
    );
    const flow = client.open({ kind: KIND.CALL, codec: jsonCodec.id, name: "deaf" }, 1);
    flow.cancel();
    await until(() => client.session.streams.canOpen, "the terminal");
    const refused = await refusal(client.call("deaf", 1));
    assert.deepEqual([refused.code, refused.notProcessed], ["REFUSED", true]);
    settle.resolve();
    await sleep(1);
    assert.equal(await client.call("deaf", 1), 1);
  });
});

describe("streams", () => {
  test("server stream: as fast as it is read, and no faster", async (t) => {
    let given = 0;
    const { client } = await start(t, {
      count: serverStream(z.number(), z.number(), async function* (most) {
        for (let n = 0; n < most; n++) {
          given = n;
          yield n;
        }
      }),
    });
    const flow = client.open(
      { kind: KIND.SERVER_STREAM, codec: jsonCodec.id, name: "count", credit: 8 },
      1000,
    );
    await until(() => given >= 8, "the first batch");
    await sleep(5);
    assert.ok(given <= 9, `${given} messages were made for a reader of none`);
    const all: unknown[] = [];
    for await (const value of flow.messages) all.push(value);
    assert.deepEqual(
      all,
      Array.from({ length: 1000 }, (_, index) => index),
    );
  });

  test("a reader that stops ends the generator", async (t) => {
    let finished = false;
    const { client } = await start(t, {
      endless: serverStream(nothing, z.number(), async function* () {
        try {
          for (let n = 0; ; n++) yield n;
        } finally {
          finished = true;
        }
      }),
    });
    const flow = client.open({
      kind: KIND.SERVER_STREAM,
      codec: jsonCodec.id,
      name: "endless",
      credit: 4,
    });
    for await (const value of flow.messages) if (value === 10) break;
    await until(() => finished, "the generator's end");
    await until(() => client.session.streams.table.count === 0, "both terminals");
  });

  test("an error in the middle comes after what was before it", async (t) => {
    const { client } = await start(t, {
      half: serverStream(nothing, z.number(), async function* () {
        yield 1;
        throw new CallError("DATA_LOSS", "that was all");
      }),
    });
    const flow = client.open({
      kind: KIND.SERVER_STREAM,
      codec: jsonCodec.id,
      name: "half",
      credit: 4,
    });
    const all: unknown[] = [];
    const error = await refusal(
      (async () => {
        for await (const value of flow.messages) all.push(value);
      })(),
    );
    assert.deepEqual([all, error.code], [[1], "DATA_LOSS"]);
  });

  test("client stream: many messages, one answer", async (t) => {
    const { client } = await start(t, {
      sum: clientStream(z.number(), z.number(), async (messages) => {
        let sum = 0;
        for await (const value of messages) sum += value;
        return sum;
      }),
    });
    const flow = client.open({ kind: KIND.CLIENT_STREAM, codec: jsonCodec.id, name: "sum" });
    for (let n = 1; n <= 100; n++) await flow.send(n);
    flow.sendEnd();
    assert.equal(await within(flow.over, "the answer"), 5050);
  });

  test("client stream: an answer before the end is an answer", async (t) => {
    const { client } = await start(t, {
      first: clientStream(z.number(), z.number(), async (messages) => {
        for await (const value of messages) return value;
        return -1;
      }),
    });
    const flow = client.open({ kind: KIND.CLIENT_STREAM, codec: jsonCodec.id, name: "first" });
    await flow.send(7);
    assert.equal(await within(flow.over, "the answer"), 7);
    await until(() => client.session.streams.table.count === 0, "both terminals");
    assert.equal(client.end, undefined);
  });

  test("a bad message fails its stream only", async (t) => {
    const { client } = await start(t, {
      sum: clientStream(z.number(), z.number(), async (messages) => {
        for await (const _value of messages);
        return 0;
      }),
    });
    const flow = client.open({ kind: KIND.CLIENT_STREAM, codec: jsonCodec.id, name: "sum" });
    await flow.send("no number");
    assert.equal((await refusal(flow.over)).code, "INVALID_SCHEMA");
    assert.equal(client.end, undefined);
  });

  test("duplex: both ways at once", async (t) => {
    const { client } = await start(t, {
      upper: duplex(z.string(), z.string(), async function* (messages) {
        for await (const value of messages) yield value.toUpperCase();
        yield "end";
      }),
    });
    const flow = client.open({ kind: KIND.DUPLEX, codec: jsonCodec.id, name: "upper", credit: 2 });
    const all: unknown[] = [];
    const reading = (async () => {
      for await (const value of flow.messages) all.push(value);
    })();
    for (let n = 0; n < 50; n++) await flow.send(`a${n}`);
    flow.sendEnd();
    await within(reading, "the end");
    assert.deepEqual(all, [...Array.from({ length: 50 }, (_, index) => `A${index}`), "end"]);
  });

  test("large messages both ways", async (t) => {
    const { client } = await start(t, {
      back: duplex(bytes, bytes, async function* (messages) {
        for await (const value of messages) yield value;
      }),
    });
    const flow = client.open({ kind: KIND.DUPLEX, codec: rawCodec.id, name: "back", credit: 4 });
    const sizes = [0, 1, 70_000, 300_000, 16_384, 900_000];
    const seen: number[] = [];
    const reading = (async () => {
      for await (const value of flow.messages) seen.push((value as Buffer).length);
    })();
    for (const size of sizes) await flow.send(Buffer.alloc(size));
    flow.sendEnd();
    await within(reading, "the end");
    assert.deepEqual(seen, sizes);
  });

  test("notifications arrive, and are not answered", async (t) => {
    const got: unknown[] = [];
    const { client } = await start(t, {
      log: notify(z.string(), (line) => {
        got.push(line);
      }),
      sync: call(anything, anything, () => 1),
    });
    client.notify("log", "a");
    client.notify("log", 5);
    client.notify("none", "x");
    client.notify("log", "b");
    await client.call("sync", 1);
    assert.deepEqual(got, ["a", "b"]);
  });

  test("the server calls its client", async (t) => {
    const { client } = await start(t, {
      ask: call(anything, anything, async (_input, { peer }) => peer.call("you", { are: "there" })),
    });
    client.onCall = (name, body) =>
      Buffer.from(JSON.stringify({ name, got: JSON.parse(String(body)) }));
    assert.deepEqual(await client.call("ask", 1), { name: "you", got: { are: "there" } });
  });

  test("it does not ask with a deadline that is no time", async (t) => {
    const { client, errors } = await start(t, {
      ask: call(anything, anything, (_, { peer }) => peer.call("you", 0, { deadlineMs: -1 })),
    });
    client.onCall = () => assert.fail("asked");
    assert.equal((await refusal(client.call("ask", 1))).code, "INTERNAL");
    assert.match(
      String(errors[0]),
      /RangeError: deadlineMs must be a whole number of ms from 1 to/,
    );
  });

  test("a trace context is text, and what came as one and is none is not given", async (t) => {
    const { client } = await start(t, {
      trace: call(anything, anything, (_, { traceparent = "none" }) => traceparent),
    });
    const sent = (hex: string) => {
      const meta = [{ key: META_KEY.TRACEPARENT, value: Buffer.from(hex, "hex") }];
      const open = { kind: KIND.CALL, codec: jsonCodec.id, name: "trace", meta };
      return client.open(open, 0).over;
    };
    const [trace, parent] = ["ab".repeat(16), "cd".repeat(8)];
    assert.equal(await sent(`00${trace}${parent}01`), `00-${trace}-${parent}-01`);
    const zeros = [`00${"0".repeat(32)}${parent}01`, `00${trace}${"0".repeat(16)}01`];
    for (const bad of [...zeros, `ff${trace}${parent}01`, `00${trace}${parent}`, ""]) {
      assert.equal(await sent(bad), "none", bad);
    }
  });
});

describe("idempotency keys", () => {
  /** A call with a key; the same one can be made again. */
  function keyed(
    client: SessionClient,
    key: string,
    name: string,
    value: unknown,
  ): Promise<unknown> {
    const meta = [{ key: META_KEY.IDEMPOTENCY_KEY, value: Buffer.from(key) }];
    return client.open({ kind: KIND.CALL, codec: jsonCodec.id, name, meta }, value).over;
  }

  test("asked again, on another connection: the same answer, executed once", async (t) => {
    let executed = 0;
    const { client, server } = await start(t, {
      count: call(anything, anything, () => ++executed),
      fail: call(anything, anything, () => {
        executed++;
        throw new CallError("FAILED_PRECONDITION", "never");
      }),
    });
    const other = await SessionClient.connect(t, server);
    assert.equal(await keyed(client, "a", "count", 0), 1);
    assert.equal(await keyed(client, "a", "count", 0), 1);
    assert.equal(await keyed(other, "a", "count", 0), 1);
    assert.equal(await keyed(other, "b", "count", 0), 2);
    for (const one of [client, other]) {
      assert.equal((await refusal(keyed(one, "c", "fail", 0))).code, "FAILED_PRECONDITION");
    }
    assert.equal(executed, 3);
  });

  test("an identity whose data does not tell it from others is refused, and nothing executed", async (t) => {
    class User {
      readonly #name: string;
      constructor(name: string) {
        this.#name = name;
      }
      get name(): string {
        return this.#name;
      }
    }
    let executed = 0;
    const reported: unknown[] = [];
    const server = await serveFor(
      t,
      service(
        { count: call(anything, anything, () => ++executed) },
        {
          auth: [token((name) => (name === "ann" ? { name } : { user: new User(name) }))],
          authorize: () => true,
          onError: (error) => reported.push(error),
        },
      ),
    );
    const as = (data: string) =>
      SessionClient.connect(t, server, { auth: { method: AUTH_METHOD.TOKEN, data } });
    const bob = await refusal(keyed(await as("bob"), "a", "count", 0));
    assert.deepEqual([bob.code, executed], ["INTERNAL", 0]);
    assert.match(String(reported[0]), /identity of plain data, or with toJSON\(\) \(in "user"\)/);
    assert.equal(await keyed(await as("ann"), "a", "count", 0), 1);
    assert.equal(await keyed(await as("ann"), "a", "count", 0), 1);
  });

  test("an identity of any length is told from others", async (t) => {
    let executed = 0;
    const long = "x".repeat(4000);
    const server = await serveFor(
      t,
      service(
        { count: call(anything, anything, () => ++executed) },
        { auth: [token((name) => ({ about: long, name }))], authorize: () => true },
      ),
    );
    const as = (data: string) =>
      SessionClient.connect(t, server, { auth: { method: AUTH_METHOD.TOKEN, data } });
    const key = "k".repeat(64);
    assert.equal(await keyed(await as("ann"), key, "count", 0), 1);
    assert.equal(await keyed(await as("ann"), key, "count", 0), 1);
    assert.equal(await keyed(await as("bob"), key, "count", 0), 2);
  });

  test("the longest route, identity and key fit the map, and a longer key is refused", async (t) => {
    const route = "r".repeat(255);
    let executed = 0;
    const server = await serveFor(
      t,
      service(
        { [route]: call(anything, anything, () => ++executed) },
        { auth: [token((name) => name)], authorize: () => true },
      ),
    );
    // As JSON 512 bytes: the longest that stands in the map as it is. Each byte of the key costs two there.
    const auth = { method: AUTH_METHOD.TOKEN, data: "i".repeat(510) };
    const client = await SessionClient.connect(t, server, { auth });
    const meta = (length: number) => [
      { key: META_KEY.IDEMPOTENCY_KEY, value: Buffer.alloc(length, 0xff) },
    ];
    const ask = (length: number) =>
      client.open({ kind: KIND.CALL, codec: jsonCodec.id, name: route, meta: meta(length) }, 0)
        .over;
    assert.deepEqual([await ask(64), await ask(64)], [1, 1]);
    const refused = await refusal(ask(65));
    assert.deepEqual([refused.code, refused.notProcessed], ["INVALID_ARGUMENT", true]);
    assert.deepEqual([await ask(0), await ask(0)], [2, 3], "an empty one is none");
  });

  test("an error is the same again, with its detail", async (t) => {
    let executed = 0;
    const { client } = await start(t, {
      fail: call(anything, anything, () => {
        executed++;
        throw new CallError(2000, "sold out", { detail: { left: 0 }, notProcessed: true });
      }),
    });
    for (let n = 0; n < 2; n++) {
      const { code, message, detail, notProcessed } = await refusal(keyed(client, "a", "fail", 0));
      assert.deepEqual([code, message, notProcessed], ["2000", "sold out", true]);
      assert.deepEqual(detail, { left: 0 });
    }
    assert.equal(executed, 1);
  });

  test("who asks again in another codec is told so, and nothing is executed", async (t) => {
    let executed = 0;
    const { client } = await start(t, {
      shout: call(text, text, (value) => `${++executed} ${value}`),
    });
    const meta = [{ key: META_KEY.IDEMPOTENCY_KEY, value: Buffer.from("a") }];
    const ask = (codec: number, value: unknown) =>
      client.open({ kind: KIND.CALL, codec, name: "shout", meta }, value).over;
    assert.equal(await ask(jsonCodec.id, "hey"), "1 hey");
    const refused = await refusal(ask(utf8Codec.id, "hey"));
    assert.equal(refused.code, "INVALID_ARGUMENT");
    assert.match(refused.message, /another codec/);
    assert.equal(executed, 1);
  });

  test("while it is being executed others are told to come back, and a cut loses nothing", async (t) => {
    const settle = Promise.withResolvers<void>();
    let executed = 0;
    const { client, server } = await start(t, {
      slow: call(anything, anything, async () => {
        executed++;
        await settle.promise;
        return "done";
      }),
    });
    keyed(client, "a", "slow", 0).catch((error: Error) => assert.equal(error.message, "cut"));
    await until(() => executed === 1, "the handler");
    const other = await SessionClient.connect(t, server);
    const busy = await refusal(keyed(other, "a", "slow", 0));
    assert.deepEqual([busy.code, busy.retryable, busy.notProcessed], ["UNAVAILABLE", true, false]);
    client.socket.destroy();
    settle.resolve();
    let answer: unknown;
    await until(() => {
      keyed(other, "a", "slow", 0).then(
        (value) => {
          answer = value;
        },
        () => undefined,
      );
      return answer !== undefined;
    }, "the answer");
    assert.deepEqual([answer, executed], ["done", 1]);
  });

  test("results leave room in the map for what the service keeps there", async (t) => {
    let executed = 0;
    const large = "x".repeat(60_000);
    const routes = {
      large: call(anything, anything, () => `${++executed} ${large}`),
      keep: call(anything, anything, async (value, { shared }) => {
        for (const key of "abcd") await shared.map("mine").set(key, value);
        return "kept";
      }),
    };
    const limits = { mapBytes: 1024 * 1024 };
    const server = await serveFor(t, { ...service(routes), limits });
    const client = await SessionClient.connect(t, server);
    const first = await keyed(client, "first", "large", 0);
    assert.equal(await keyed(client, "first", "large", 0), first);
    // More than the map holds.
    for (let n = 0; n < 40; n += 20) {
      const some = Array.from({ length: 20 }, (_, k) => keyed(client, `${n + k}`, "large", 0));
      await within(Promise.all(some), "the answers");
    }
    assert.equal(executed, 41);
    assert.equal(await client.call("keep", "x".repeat(220_000)), "kept");
    assert.equal(await keyed(client, "39", "large", 0), `41 ${large}`);
    assert.notEqual(await keyed(client, "first", "large", 0), first, "the oldest have gone");
  });

  test("a result is kept for 60 s from the answer on", async (t) => {
    let executed = 0;
    const { client, server } = await start(t, {
      count: call(anything, anything, () => ++executed),
    });
    assert.equal(await keyed(client, "a", "count", 0), 1);
    const { now } = performance;
    let laterMs = 30_000;
    t.mock.method(performance, "now", () => now.call(performance) + laterMs);
    const meanwhile = await SessionClient.connect(t, server);
    assert.equal(await keyed(meanwhile, "a", "count", 0), 1);
    laterMs = 60_000;
    const after = await SessionClient.connect(t, server);
    assert.equal(await keyed(after, "a", "count", 0), 2);
  });

  test("an error that is nobody's business is not kept", async (t) => {
    let executed = 0;
    const { client } = await start(t, {
      flaky: call(anything, anything, () => {
        if (++executed === 1) throw new Error("the database is gone");
        return "done";
      }),
    });
    assert.equal((await refusal(keyed(client, "a", "flaky", 0))).code, "INTERNAL");
    assert.equal(await keyed(client, "a", "flaky", 0), "done");
  });
});
