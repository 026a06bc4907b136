// A session that goes from thread to thread, with both threads and what they say to each other in hand: which secret opens it, and
// how long one waits for the other.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, type TestContext, test } from "node:test";
import type { Context } from "../../src/handlers.ts";
import { moved } from "../../src/service/relocation.ts";
import { service } from "../../src/service/service.ts";
import { PATIENCE_MS } from "../../src/service/session-handover.ts";
import { decodeFast } from "../protocol/fast-decoder.ts";
import { PREFACE, tlv, u32 } from "./fuzz/frames.ts";
import { MemoryConnection } from "./fuzz/memory-connection.ts";
import { rawFrame } from "./raw-frame.ts";

type Frame = Readonly<Record<string, unknown>>;

/** Two threads of one server; what one tells the other lies here until it is delivered. */
class Threads {
  readonly #service = service({}, { authorize: () => true });
  readonly #mail: { readonly to: number; readonly data: unknown }[] = [];
  readonly #contexts: Context[];
  #connections = 0;

  constructor() {
    this.#contexts = [0, 1].map((thread) => {
      const broadcast = (data: unknown) =>
        this.#mail.push({ to: 1 - thread, data: structuredClone(data) }) > 0;
      return { thread, threads: 2, broadcast } as Context;
    });
  }

  connect(thread: number): Client {
    const context = this.#contexts[thread] as Context;
    const connection = new MemoryConnection(++this.#connections, context, this.#service);
    return new Client(connection, () => this.deliver());
  }

  /** From outside, to one thread. */
  tell(thread: number, data: unknown): void {
    this.#service.broadcast?.(this.#contexts[thread] as Context, data);
  }

  /** What is called so, or everything; what that brings on is delivered too. */
  deliver(only?: string): void {
    for (let at = 0; at < this.#mail.length; ) {
      const { to, data } = this.#mail[at] as { to: number; data: { swp: string } };
      if (only !== undefined && data.swp !== only) at++;
      else {
        this.#mail.splice(at, 1);
        this.#service.broadcast?.(this.#contexts[to] as Context, data);
      }
    }
  }
}

interface Session {
  readonly id: Buffer;
  readonly secret: Buffer;
}

class Client implements Session {
  id: Buffer = Buffer.alloc(0);
  secret: Buffer = Buffer.alloc(0);
  readonly #connection: MemoryConnection;
  readonly #deliver: () => void;

  constructor(connection: MemoryConnection, deliver: () => void) {
    this.#connection = connection;
    this.#deliver = deliver;
  }

  /** Says HELLO; nothing is delivered between the threads. */
  greet(session?: Session): this {
    const tlvs = [tlv(13, u32(1))];
    if (session !== undefined) tlvs.push(tlv(9, session.id), tlv(10, session.secret));
    const payload = Buffer.concat([Buffer.from([1, 1, 0, 0]), ...tlvs]);
    this.#say(PREFACE, rawFrame(1, 0, 0, payload));
    return this;
  }

  /** Everything that was said between the threads is heard; then what has come here is looked at. */
  hear(): Frame[] {
    this.#deliver();
    const frames = this.#frames();
    const welcome = frames.find((one) => one.frame === "WELCOME");
    const tlvs = (welcome?.tlvs ?? []) as { key: number; value: string }[];
    const value = (key: number) => tlvs.find((one) => one.key === key)?.value ?? "";
    if (welcome !== undefined) {
      this.id = Buffer.from(value(9), "hex");
      this.secret = Buffer.from(value(10), "hex");
    }
    return frames;
  }

  /** The bodies that came on the subscription. */
  heard(): string[] {
    return this.hear()
      .filter((one) => one.frame === "MSG")
      .map(({ body }) => Buffer.from(String(body), "hex").toString());
  }

  subscribe(): void {
    this.#say(rawFrame(16, 1, 1, openOf(5, 8, "news", "")));
  }

  publish(text: string): void {
    this.#say(rawFrame(16, 0, 1, openOf(6, 0, "news", text)));
  }

  acknowledge(): void {
    this.#say(rawFrame(7, 0, 0, u32(0)));
  }

  cut(): void {
    this.#connection.gone();
  }

  #say(...bytes: Buffer[]): void {
    this.#connection.receive(Buffer.concat(bytes));
    while (this.#connection.readable) this.#connection.read();
  }

  #frames(): Frame[] {
    this.#connection.state?.hub.wire.flush();
    const written = Buffer.concat(this.#connection.written.splice(0));
    return [...decodeFast(written, 65_536).frames];
  }
}

function openOf(kind: number, credit: number, topic: string, body: string): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.set([kind, 4]);
  fixed.writeUInt32LE(credit, 8);
  fixed.writeUInt16LE(topic.length, 12);
  return Buffer.concat([fixed, Buffer.from(topic + body)]);
}

/** A session on thread 0 that is subscribed and was cut, and somebody who publishes on each thread. */
function start() {
  const threads = new Threads();
  const others = [threads.connect(0).greet(), threads.connect(1).greet()] as const;
  const client = threads.connect(0).greet();
  client.hear();
  client.subscribe();
  client.hear();
  client.cut();
  return { threads, others, client };
}

/** Time that stands still until it is moved. */
function clock(t: TestContext): { ms: number } {
  const time = { ms: 1000 };
  const { now } = performance;
  const { bigint } = process.hrtime;
  performance.now = () => time.ms;
  process.hrtime.bigint = () => BigInt(time.ms) * 1_000_000n;
  t.after(() => {
    performance.now = now;
    process.hrtime.bigint = bigint;
  });
  // Whoever asks gives up when the test says so.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  return time;
}

describe("the secret of a session that moves", () => {
  test("is taken again by the thread that it left, when its WELCOME was not read", () => {
    const { threads, others, client } = start();
    others[0].publish("a");
    const there = threads.connect(1).greet(client);
    threads.deliver();
    // It is cut before the client reads WELCOME: the only secret that it has is the one it has shown.
    there.cut();
    others[1].publish("b");
    const back = threads.connect(0).greet(client);
    assert.deepEqual(back.heard(), ["a", "b"]);
    assert.deepEqual(back.id, client.id);
    assert.notDeepEqual(back.secret, client.secret);
  });

  test("and also while the connection there has not noticed the cut", () => {
    const { threads, client } = start();
    const there = threads.connect(1).greet(client);
    threads.deliver();
    const back = threads.connect(0).greet(client);
    back.hear();
    assert.deepEqual(back.id, client.id);
    const last = there.hear().at(-1);
    assert.deepEqual([last?.frame, last?.code], ["GOAWAY", 75]);
  });

  test("its successor opens it elsewhere, and then what was shown does not any more", () => {
    const { threads, others, client } = start();
    const there = threads.connect(1).greet(client);
    there.hear();
    there.cut();
    const back = threads.connect(0).greet(there);
    back.hear();
    assert.deepEqual(back.id, client.id);
    const thief = threads.connect(1).greet(client);
    thief.hear();
    assert.notDeepEqual(thief.id, client.id);
    others[0].publish("still here");
    assert.deepEqual(back.heard(), ["still here"]);
  });

  test("is worthless in every thread once WELCOME was acknowledged", () => {
    const { threads, others, client } = start();
    const there = threads.connect(1).greet(client);
    there.hear();
    there.acknowledge();
    for (const thread of [0, 1]) {
      const thief = threads.connect(thread).greet(client);
      thief.hear();
      assert.notDeepEqual(thief.id, client.id, `thread ${thread}`);
    }
    others[1].publish("still here");
    assert.deepEqual(there.heard(), ["still here"]);
  });
});

describe("a thread that is asked for a session", () => {
  /** Thread 1 asks, and has seen a publication of its own that thread 0 has not. */
  function behind(t: TestContext) {
    const time = clock(t);
    const all = start();
    all.others[1].publish("a");
    const there = all.threads.connect(1).greet(all.client);
    all.threads.deliver("session?");
    return { ...all, time, there };
  }

  test("answers once it has seen what the other one has", (t) => {
    const { threads, there, client } = behind(t);
    threads.deliver("session!");
    assert.equal(there.id.length, 0, "there is no answer yet");
    assert.deepEqual(there.heard(), ["a"]);
    assert.deepEqual(there.id, client.id);
  });

  test("keeps it when that comes after the other one has given up", (t) => {
    const { threads, there, client, time } = behind(t);
    t.mock.timers.tick(PATIENCE_MS);
    time.ms += PATIENCE_MS;
    there.hear();
    assert.notDeepEqual(there.id, client.id, "it got another one");
    const back = threads.connect(0).greet(client);
    assert.deepEqual(back.heard(), ["a"], "what it is owed is still there");
    assert.deepEqual(back.id, client.id);
  });

  test("does not wait so long that its answer would come too late", (t) => {
    const { threads, there, client, time } = behind(t);
    time.ms += PATIENCE_MS / 2;
    // What it has waited for comes; the other one waits a little longer, for nothing.
    threads.deliver();
    t.mock.timers.tick(PATIENCE_MS);
    there.hear();
    assert.notDeepEqual(there.id, client.id);
    const back = threads.connect(0).greet(client);
    assert.deepEqual(back.heard(), ["a"]);
    assert.deepEqual(back.id, client.id);
  });

  test("answers until then", (t) => {
    const { there, client, time } = behind(t);
    time.ms += PATIENCE_MS / 2 - 1;
    assert.deepEqual(there.heard(), ["a"]);
    assert.deepEqual(there.id, client.id);
  });
});

describe("a session that is on its way when nobody waits for it any more", () => {
  test("stays where it is when the question was read too late", (t) => {
    const time = clock(t);
    const { threads, others, client } = start();
    const there = threads.connect(1).greet(client);
    time.ms += PATIENCE_MS / 2;
    threads.deliver();
    t.mock.timers.tick(PATIENCE_MS);
    there.hear();
    assert.notDeepEqual(there.id, client.id, "it got another one");
    others[1].publish("a");
    const back = threads.connect(0).greet(client);
    assert.deepEqual(back.heard(), ["a"]);
    assert.deepEqual(back.id, client.id);
  });

  /** Thread 0 has answered thread 1, which looks at it after it has given up. */
  function late(t: TestContext) {
    const time = clock(t);
    const all = start();
    all.others[0].publish("a");
    const there = all.threads.connect(1).greet(all.client);
    all.threads.deliver("session?");
    all.threads.deliver("published");
    all.others[0].publish("b");
    all.others[1].publish("c");
    t.mock.timers.tick(PATIENCE_MS);
    time.ms += PATIENCE_MS;
    return { ...all, there };
  }

  test("is kept where it comes to, with all that was published meanwhile", (t) => {
    const { threads, others, there, client } = late(t);
    there.cut();
    threads.deliver();
    others[0].publish("d");
    // Nobody has told the client of another session.
    const back = threads.connect(1).greet(client);
    // Those of one thread in its order.
    assert.deepEqual(back.heard(), ["a", "c", "b", "d"]);
    assert.deepEqual(back.id, client.id);
    others[1].publish("e");
    assert.deepEqual(back.heard(), ["e"]);
  });

  test("harms nobody who has another one by then", (t) => {
    const { threads, others, there, client } = late(t);
    there.hear();
    assert.notDeepEqual(there.id, client.id);
    there.subscribe();
    others[1].publish("d");
    assert.deepEqual(there.heard(), ["d"], "each message comes once, on its own subscription");
    const back = threads.connect(0).greet(client);
    assert.deepEqual(back.heard(), ["a", "c", "b", "d"]);
    assert.deepEqual(back.id, client.id);
  });

  test("is gone when it comes much later", (t) => {
    const { threads, there, client } = late(t);
    t.mock.timers.tick(PATIENCE_MS);
    there.cut();
    threads.deliver();
    const back = threads.connect(1).greet(client);
    back.hear();
    assert.notDeepEqual(back.id, client.id);
  });
});

describe("a service that moves while a session is handed over", () => {
  const ADDRESS = "10.0.0.2:7000";

  /** Thread 1 hears of it before it has the session. */
  function moving(session: (client: Client) => Session) {
    const { threads, others, client } = start();
    others[0].publish("a");
    const there = threads.connect(1).greet(session(client));
    threads.deliver("session?");
    threads.tell(1, moved(ADDRESS));
    const said = there.hear().filter(({ frame }) => frame !== "PING" && frame !== "ACK");
    const names = said.map(({ frame, code }) => (code === undefined ? frame : `${frame} ${code}`));
    const goaway = said.find(({ frame }) => frame === "GOAWAY");
    const tlvs = (goaway?.tlvs ?? []) as { key: number; value: string }[];
    const address = Buffer.from(tlvs.find(({ key }) => key === 2)?.value ?? "", "hex").toString();
    return { client, there, names, address };
  }

  test("sends the client what it is owed, and then on", () => {
    const { client, there, names, address } = moving((one) => one);
    assert.deepEqual(names, ["WELCOME", "MSG", "GOAWAY 64", "ERROR 14"]);
    assert.deepEqual([address, there.id], [ADDRESS, client.id]);
  });

  test("sends a client on whose session nobody has", () => {
    const { client, there, names, address } = moving(({ id }) => ({
      id,
      secret: Buffer.alloc(32),
    }));
    assert.deepEqual([names, address], [["WELCOME", "GOAWAY 64"], ADDRESS]);
    assert.notDeepEqual(there.id, client.id);
  });
});
