// The key-value example's commands: against expected replies under a clock of the test's own, and the same commands sent
// to a real redis-server, which must answer byte for byte the same.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import type { Client, Session } from "../../examples/key-value/command.ts";
import { commands, execute } from "../../examples/key-value/commands.ts";
import { Records } from "../../examples/key-value/records.ts";
import type { Reply } from "../../examples/key-value/reply.ts";
import { resp } from "../../examples/key-value/resp-codec.ts";
import { type Clock, Store } from "../../examples/key-value/store.ts";

/** A connection that keeps what is written. */
class FakeClient implements Client {
  readonly id = 7;
  state: Session = { name: "" };
  open = true;
  readonly pendingBytes = 0;
  readonly remoteAddress = undefined;
  readonly localAddress = undefined;
  readonly tcpInfo = undefined;
  readonly peerCredentials = undefined;
  written: Buffer[] = [];
  readonly #codec = resp();

  write(data: Uint8Array | string): boolean {
    this.written.push(Buffer.from(data));
    return true;
  }
  send(reply: Reply): boolean {
    this.#codec.encode(reply, {
      bytes: (data) => void this.write(data),
      text: (data) => void this.write(data),
      uint: () => assert.fail("RESP has no binary integers"),
    });
    return true;
  }
  close(): void {
    this.open = false;
  }
  drained(): Promise<void> {
    return Promise.resolve();
  }
  end(): void {}
  reset(): void {}
  pause(): void {}
  resume(): void {}
  configure(): void {}
  readonly subscriptions = new Set<string>();
  get context() {
    return assert.fail("the example shares nothing with other threads");
  }
  subscribe(): boolean {
    return false;
  }
  unsubscribe(): boolean {
    return false;
  }
  publish(): boolean {
    return false;
  }
}

/** The example without a network. */
class Example {
  readonly store: Store;
  client = new FakeClient();
  readonly #codec = resp();
  #decoder = this.#codec.decoder();

  constructor(clock: Clock, records?: Records) {
    this.store = new Store(clock, 0x1234_5678, records);
  }

  /** What is answered to these bytes, one character a byte. */
  answer(text: string): string {
    const bytes = Buffer.from(text, "latin1");
    const input = { bytes, offset: 0, end: bytes.length, borrow: true };
    while (this.client.open) {
      const request = this.#decoder.next(input);
      if (request === undefined) break;
      execute(request, this.client, this.store);
    }
    const answered = Buffer.concat(this.client.written).toString("latin1");
    this.client.written = [];
    return answered;
  }

  /** The same for words separated by spaces. */
  run(line: string): string {
    return this.answer(multibulk(line.split(" ")));
  }

  reconnect(): void {
    this.client = new FakeClient();
    this.#decoder = this.#codec.decoder();
  }
}

class ManualClock implements Clock {
  time = 1_000_000;
  #due: { readonly at: number; readonly run: () => void }[] = [];

  now(): number {
    return this.time;
  }
  after(delayMs: number, run: () => void): void {
    this.#due.push({ at: this.time + delayMs, run });
  }
  get waiting(): number {
    return this.#due.length;
  }
  advance(ms: number): void {
    const until = this.time + ms;
    while (true) {
      this.#due.sort((a, b) => a.at - b.at);
      const next = this.#due[0];
      if (next === undefined || next.at > until) break;
      this.#due.shift();
      this.time = next.at;
      next.run();
    }
    this.time = until;
  }
}

const MACHINE: Clock = { now: Date.now, after: () => {} };

function multibulk(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

/** Where the reply that begins at `at` ends; undefined when it isn't whole. */
function replyEnd(text: string, at: number): number | undefined {
  const lineEnd = text.indexOf("\r\n", at);
  if (lineEnd < 0) return undefined;
  const value = Number(text.slice(at + 1, lineEnd));
  let end: number | undefined = lineEnd + 2;
  if (text[at] === "$" && value >= 0) end += value + 2;
  if (text[at] === "*") {
    for (let index = 0; index < value && end !== undefined; index++) end = replyEnd(text, end);
  }
  return end !== undefined && end <= text.length ? end : undefined;
}

suite("the commands of the key-value example", () => {
  const script = (clock: ManualClock, lines: readonly (readonly [string, string] | number)[]) => {
    const example = new Example(clock);
    for (const line of lines) {
      if (typeof line === "number") clock.advance(line);
      else assert.equal(example.run(line[0]), line[1], line[0]);
    }
    return example;
  };

  test("connections: PING, ECHO, SELECT, CLIENT, HELLO", () => {
    script(new ManualClock(), [
      ["PING", "+PONG\r\n"],
      ["ping hello", "$5\r\nhello\r\n"],
      ["pInG a b", "-ERR wrong number of arguments for 'ping' command\r\n"],
      ["ECHO x", "$1\r\nx\r\n"],
      ["SELECT 0", "+OK\r\n"],
      ["SELECT 1", "-ERR DB index is out of range\r\n"],
      ["CLIENT GETNAME", "$-1\r\n"],
      ["CLIENT SETNAME joe", "+OK\r\n"],
      ["client getname", "$3\r\njoe\r\n"],
      ["CLIENT SETINFO LIB-NAME ioredis", "+OK\r\n"],
      ["CLIENT SETINFO color red", "-ERR Unrecognized option 'color'\r\n"],
      ["CLIENT ID", ":7\r\n"],
      ["HELLO 3", "-NOPROTO unsupported protocol version\r\n"],
      ["HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"],
      ["HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"],
      [
        "HELLO 2 SETNAME ann",
        "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:2\r\n" +
          "$2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n" +
          "$7\r\nmodules\r\n*0\r\n",
      ],
      ["CLIENT GETNAME", "$3\r\nann\r\n"],
    ]);
  });

  test("the server: COMMAND, CONFIG GET, INFO, DBSIZE, FLUSHALL", () => {
    const example = script(new ManualClock(), [
      ["COMMAND COUNT", `:${commands.size}\r\n`],
      ["COMMAND DOCS", "*0\r\n"],
      [
        "COMMAND INFO get nosuch",
        "*2\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n$8\r\nreadonly\r\n:1\r\n:1\r\n:1\r\n$-1\r\n",
      ],
      ["CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"],
      [
        "CONFIG GET save appendonly",
        "*4\r\n$4\r\nsave\r\n$0\r\n\r\n$10\r\nappendonly\r\n$2\r\nno\r\n",
      ],
      ["CONFIG GET nosuch", "*0\r\n"],
      ["MSET a 1 b 2", "+OK\r\n"],
      ["SET c 3 EX 10", "+OK\r\n"],
      ["DBSIZE", ":3\r\n"],
    ]);
    assert.match(example.run("COMMAND"), new RegExp(`^\\*${commands.size}\\r\\n\\*6\\r\\n`));
    assert.match(example.run("INFO"), /\r\nredis_version:7[\s\S]*\r\ndb0:keys=3,expires=1,/);
    assert.equal(
      example.run("INFO keyspace"),
      "$48\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\n\r\n".replace("$48", "$44"),
    );
    assert.equal(example.run("FLUSHALL"), "+OK\r\n");
    assert.equal(example.run("DBSIZE"), ":0\r\n");
    assert.equal(example.store.expiringKeys, 0);
  });

  test("expiry to the millisecond", () => {
    script(new ManualClock(), [
      ["SET k v PX 10", "+OK\r\n"],
      ["PTTL k", ":10\r\n"],
      10,
      ["GET k", "$1\r\nv\r\n"],
      ["PTTL k", ":0\r\n"],
      1,
      ["GET k", "$-1\r\n"],
      ["TTL k", ":-2\r\n"],
      ["SET k v EX 2", "+OK\r\n"],
      500,
      ["TTL k", ":2\r\n"],
      1,
      ["TTL k", ":1\r\n"],
      ["SET k w KEEPTTL", "+OK\r\n"],
      ["PTTL k", ":1499\r\n"],
      ["INCR n", ":1\r\n"],
      ["EXPIRE n 1", ":1\r\n"],
      ["INCR n", ":2\r\n"],
      ["PTTL n", ":1000\r\n"],
      ["PERSIST n", ":1\r\n"],
      ["PERSIST n", ":0\r\n"],
      ["TTL n", ":-1\r\n"],
      ["SET k w", "+OK\r\n"],
      ["TTL k", ":-1\r\n"],
      5000,
      ["EXISTS k k n nosuch", ":3\r\n"],
      ["EXPIRE k -1", ":1\r\n"],
      ["EXISTS k", ":0\r\n"],
      ["SET k v PXAT 2000000", "+OK\r\n"],
      ["PEXPIREAT k 1500000 GT", ":0\r\n"],
      ["PEXPIREAT k 1500000 LT", ":1\r\n"],
      ["SET k v NX", "$-1\r\n"],
      500_000,
      ["SET k v XX", "$-1\r\n"],
      ["SET k v NX GET", "$-1\r\n"],
      ["SET k w NX GET", "$1\r\nv\r\n"],
    ]);
  });

  test("nobody asks for it, and an expired key goes all the same", () => {
    const clock = new ManualClock();
    const example = new Example(clock);
    assert.equal(clock.waiting, 0);
    for (let index = 0; index < 5000; index++) example.run(`SET k${index} v PX 1000`);
    example.run("SET stays v");
    example.run("SET later v EX 100");
    clock.advance(900);
    assert.equal(example.store.size, 5002);
    clock.advance(1000);
    assert.equal(example.store.size, 2);
    clock.advance(100_000);
    assert.equal(example.store.size, 1);
    assert.equal(clock.waiting, 0, "no sweep is scheduled when no key expires");
  });

  test("a sweep looks at no more keys than it may, and comes round", () => {
    const clock = new ManualClock();
    const example = new Example(clock);
    for (let index = 0; index < 100; index++) {
      example.run(`SET k${index} v PX ${index % 2 === 0 ? 1 : 1_000_000}`);
    }
    clock.time += 2;
    const { store } = example;
    assert.equal(store.sweep(1_000_000, 100), 50, "the whole index at once");
    assert.equal(store.size, 50);
    clock.time += 1_000_000;
    assert.equal(store.sweep(1_000_000, 10), 10);
    assert.ok(store.sweep(1, 10) <= 10);
    while (store.size > 0) store.sweep(100, 5);
    assert.equal(store.expiringKeys, 0);
  });

  test("a full memory refuses what is new, and keeps what is there", () => {
    const example = new Example(new ManualClock(), new Records(2));
    const value = "v".repeat(1000);
    const oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let count = 0;
    while (example.run(`SET k${count} ${value}`) === "+OK\r\n") count++;
    assert.ok(count > 1500 && count < 2100, `${count} keys`);
    assert.equal(example.run(`SET k0 ${value}${value}`), oom);
    assert.equal(example.run(`SET large ${value.repeat(200)}`), oom);
    assert.equal(example.run("GET k0"), `$1000\r\n${value}\r\n`);
    assert.equal(example.run("DBSIZE"), `:${count}\r\n`);
    assert.equal(example.run("DEL k1"), ":1\r\n");
    assert.equal(example.run(`SET new ${value}`), "+OK\r\n");
    example.run("FLUSHALL");
    assert.equal(example.run(`SET large ${value.repeat(200)}`), "+OK\r\n");
    assert.throws(() => new Records(0), RangeError);
  });

  test("a value that is read is a copy, whatever happens to the bytes that brought it", () => {
    const example = new Example(new ManualClock());
    const bytes = Buffer.from(multibulk(["SET", "k", "v".repeat(200)]));
    const request = resp().decoder().next({ bytes, offset: 0, end: bytes.length, borrow: true });
    assert.ok(request !== undefined);
    execute(request, example.client, example.store);
    bytes.fill(0);
    assert.equal(example.run("GET k"), `+OK\r\n$200\r\n${"v".repeat(200)}\r\n`);
  });

  test("QUIT and malformed input are answered, then the connection is closed", () => {
    const example = new Example(new ManualClock());
    assert.equal(example.answer("PING\r\nQUIT\r\nPING\r\n"), "+PONG\r\n+OK\r\n");
    assert.equal(example.client.open, false);
    example.reconnect();
    assert.equal(
      example.answer("*1\r\nPING\r\n"),
      "-ERR Protocol error: expected '$', got 'P'\r\n",
    );
    assert.equal(example.client.open, false);
    example.reconnect();
    assert.equal(example.answer("POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n"), "");
    assert.equal(example.client.open, false);
  });

  test("finds every command, in any case", () => {
    const example = new Example(new ManualClock());
    for (const name of commands.keys()) {
      if (name === "POST" || name === "HOST:") continue;
      for (const written of [name, name.toLowerCase()]) {
        example.reconnect();
        const reply = example.run(`${written} a b c d e f g h`);
        assert.doesNotMatch(reply, /unknown command/, written);
      }
    }
  });
});

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
const skip =
  hasRedis || process.env.CI === "true" ? false : "redis-server is not installed on this machine";

suite("the key-value example beside redis-server", { skip }, () => {
  let directory: string;
  let redis: ReturnType<typeof spawn>;
  let socketPath: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "sluice-redis-"));
    socketPath = join(directory, "socket");
    redis = spawn(
      "redis-server",
      ["--port", "0", "--unixsocket", socketPath, "--save", "", "--appendonly", "no"],
      { stdio: "ignore", cwd: directory },
    );
    redis.on("error", () => {});
    for (let attempt = 0; ; attempt++) {
      const socket = createConnection(socketPath);
      const [event] = await Promise.race([
        once(socket, "connect").then(() => ["connect"]),
        once(socket, "close").then(() => ["close"]),
        once(socket, "error").then(() => ["error"]),
      ]).catch(() => ["error"]);
      socket.destroy();
      if (event === "connect") break;
      assert.ok(attempt < 200, "redis-server does not come up");
      await sleep(25);
    }
  });

  after(async () => {
    redis.kill();
    if (redis.exitCode === null && redis.pid !== undefined) await once(redis, "exit");
    await rm(directory, { recursive: true, force: true });
  });

  /** What redis-server answers to these bytes: so many replies, or all until it closes. */
  async function ask(socket: Socket, text: string, replies: number): Promise<string[]> {
    const answered: string[] = [];
    let received = "";
    socket.write(Buffer.from(text, "latin1"));
    while (answered.length < replies) {
      const end = received === "" ? undefined : replyEnd(received, 0);
      if (end !== undefined) {
        answered.push(received.slice(0, end));
        received = received.slice(end);
        continue;
      }
      const piece: unknown = socket.read();
      if (piece instanceof Buffer) received += piece.toString("latin1");
      else if (socket.readableEnded || socket.destroyed) break;
      else await Promise.race([once(socket, "readable"), once(socket, "close")]);
    }
    return answered;
  }

  function split(text: string): string[] {
    const replies: string[] = [];
    let at = 0;
    while (at < text.length) {
      const end = replyEnd(text, at);
      assert.ok(end !== undefined, `no reply: ${JSON.stringify(text.slice(at))}`);
      replies.push(text.slice(at, end));
      at = end;
    }
    return replies;
  }

  async function compare(requests: readonly string[]): Promise<void> {
    const socket = createConnection(socketPath);
    const example = new Example(MACHINE);
    try {
      const flush = multibulk(["FLUSHALL"]);
      const text = [flush, ...requests].join("");
      const theirs = await ask(socket, text, requests.length + 1);
      const ours = split(example.answer(text));
      for (const [index, request] of requests.entries()) {
        const [mine, redis] = [ours[index + 1], theirs[index + 1]];
        if (mine === redis || isSameTime(request, mine, redis)) continue;
        assert.equal(mine, redis, JSON.stringify(requests.slice(0, index + 1).slice(-20)));
      }
      assert.equal(ours.length, theirs.length);
    } finally {
      socket.destroy();
    }
  }

  /** The two were not asked at the same time: what is left may differ by the time between. */
  function isSameTime(request: string, ours = "", theirs = ""): boolean {
    const slackMs = 2000;
    const unitMs = /^\*2\r\n\$3\r\nttl/i.test(request) ? 1000 : 1;
    if (!/^\*2\r\n\$[34]\r\np?ttl/i.test(request)) return false;
    const [mine, redis] = [Number(ours.slice(1)), Number(theirs.slice(1))];
    return mine > 0 && redis > 0 && Math.abs(mine - redis) * unitMs <= slackMs;
  }

  test("answers a script of commands and mistakes the same", async () => {
    const lines = String.raw`
      PING|PING x|PING x y|ECHO|ECHO a|ECHO a b|GET|GET a b|SET a|SET|SET a 1|GET a|get a|Get nosuch
      SET a 1 EX|SET a 1 EX 0|SET a 1 EX -1|SET a 1 EX x|SET a 1 EX 1.5|SET a 1 PX 9223372036854775807
      SET a 1 EX 9223372036854775807|SET a 1 EX 9223372036854775|SET a 1 EX 9223372036854776
      SET a 1 EXAT 0|SET a 1 PXAT 9223372036854775807|SET a 1 EX 10 PX 10|SET a 1 EX 10 KEEPTTL
      SET a 1 KEEPTTL EX 10|SET a 1 NX XX|SET a 1 XX NX|SET a 1 FOO|SET a 1 EX 10 FOO|SET a 1 nx|SET b 2 xx
      SET b 2 NX|SET b 3 NX GET|SET b 4 GET|SET nosuch 4 GET XX|SET b 5 XX GET EX 100|TTL b|SET b 6 KEEPTTL
      TTL b|SET b 7|TTL b|SET b 1 EX 10 EX 10|SET b 1 PX 100000 GET NX|SET b 1 KEEPTTL KEEPTTL|SET b 1 GET GET
      SET b 1 EXAT 99999999999|TTL nosuch|PTTL nosuch|TTL|TTL a b|PERSIST b|PERSIST b|PERSIST nosuch|PERSIST
      DEL|DEL nosuch|MSET x 1 y 2 z 3|DEL x nosuch y x|EXISTS z z nosuch|EXISTS|MSET x|MSET x 1 y|MSET x 1 x 2
      MGET|MGET x y nosuch x|INCR n|INCR n|DECR n|INCRBY n 10|DECRBY n 3|GET n|INCR|INCR n 1|INCRBY n|INCRBY n x
      INCRBY n 1.5|INCRBY n 01|INCRBY n +1|INCRBY n -0|INCRBY n 9223372036854775807
      DECRBY n -9223372036854775808|DECRBY n 9223372036854775807|SET n 9223372036854775807|INCR n|DECR n
      INCRBY n 1|SET n -9223372036854775808|DECR n|INCRBY n 1|DECRBY n 1|GET n|SET n 01|INCR n|SET n abc
      INCR n|SET n 9223372036854775808|INCR n|SET n 99999999999999999|INCR n|INCRBY n -99999999999999999
      SET m 999999999999999|INCRBY m 999999999999999|INCRBY m 999999999999999|DECRBY m 3
      EXPIRE|EXPIRE z|EXPIRE z x|EXPIRE z 100|TTL z|EXPIRE z 100 NX|EXPIRE z 200 XX|EXPIRE z 100 GT|EXPIRE z 300 GT
      EXPIRE z 100 LT|EXPIRE z 200 LT|EXPIRE z 100 NX XX|EXPIRE z 100 NX GT|EXPIRE z 100 GT LT|EXPIRE z 100 FOO
      EXPIRE z 150 XX GT|EXPIRE z x FOO|EXPIRE nosuch 100|EXPIRE x 100 GT|EXPIRE x 100 LT|TTL x
      EXPIRE x 9223372036854775807|EXPIRE x -9223372036854775808|EXPIRE x 9223372036854775|PEXPIRE x 100000
      PEXPIRE x 9223372036854775807|PEXPIRE x -9223372036854775808|PEXPIREAT x 9223372036854775807|TTL z
      EXPIREAT x 1|EXISTS x|SET x 1|EXPIRE x 0|EXISTS x|SET x 1|PEXPIRE x -5|EXISTS x|EXPIREAT z 99999999999
      DBSIZE|DBSIZE x|FLUSHALL FOO|FLUSHALL SYNC FOO|FLUSHALL SYNC|FLUSHALL async|DBSIZE
      SELECT|SELECT 0|SELECT 99999|SELECT -1|SELECT x|SELECT 0 0|CLIENT|CLIENT FOO|CLIENT FOO bar|CLIENT SETNAME
      CLIENT SETNAME a b|CLIENT GETNAME|CLIENT SETNAME joe|CLIENT getname|CLIENT SETNAME a\nb|CLIENT GETNAME x
      CLIENT ID x|CONFIG|CONFIG GET|CONFIG FOO|CONFIG GET save|CONFIG GET appendonly|CONFIG GET maxmemory
      CONFIG GET nosuch|COMMAND FOO|COMMAND COUNT x|COMMAND INFO nosuch|HELLO x|HELLO 2 FOO|HELLO 2 SETNAME
      FOO|foo a b|FOO\r\nbar a|fo\0o a\0b|"x" a|SETX|GETT k|PIN|PINGG`;
    const requests = lines
      .trim()
      .split(/[|\n]/)
      .map((line) => line.trim().replaceAll("\\r", "\r").replaceAll("\\n", "\n"))
      .map((line) => multibulk(line.replaceAll("\\0", "\0").split(" ")));
    const long = "y".repeat(300);
    requests.push(
      multibulk(["x".repeat(300), long, long]),
      multibulk(["FOO", "a".repeat(100), "b".repeat(100), "c".repeat(100)]),
      multibulk(["CLIENT", long]),
      multibulk(["EXPIRE", "k", "1", long]),
      multibulk(["SET", "binary", "\0\xff\r\n"]),
      multibulk(["GET", "binary"]),
      multibulk(["SET", "", ""]),
      multibulk(["GET", ""]),
      multibulk([""]),
      multibulk(["SET", "large", "v".repeat(100_000)]),
      multibulk(["GET", "large"]),
      multibulk(["SET", "large", ""]),
      multibulk(["GET", "large"]),
    );
    await compare(requests);
  });

  test("answers random commands the same", async () => {
    const key = fc.constantFrom("a", "b", "c", "n", "\xff");
    const number = fc.oneof(
      fc.integer({ min: -20, max: 20 }).map(String),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }).map(String),
      fc.constantFrom("9223372036854775807", "-9223372036854775808", "x", "", "1 "),
    );
    // Far from now: nothing may expire for one and not yet for the other.
    const duration = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1000, max: 1_000_000 }).map(String) },
      { weight: 1, arbitrary: fc.constantFrom("0", "-1", "x") },
    );
    const value = fc.oneof(number, fc.string({ unit: "binary-ascii" }));
    const option = fc.oneof(
      fc.constantFrom(["NX"], ["XX"], ["GET"], ["KEEPTTL"], ["get"], ["FOO"]),
      duration.map((time) => ["EX", time]),
      duration.map((time) => ["px", `${time}000`]),
    );
    const options = fc.array(option, { maxLength: 2 }).map((chosen) => chosen.flat());
    const conditions = fc.array(fc.constantFrom("NX", "XX", "GT", "LT", "gt"), { maxLength: 2 });
    // What is greater must not depend on when each was asked: GT and LT go with times that are absolute.
    const time = fc.integer({ min: 4_000_000_000, max: 4_000_000_009 }).map(String);
    const command = fc.oneof(
      fc.tuple(fc.constantFrom("GET", "TTL", "PTTL", "PERSIST", "INCR", "DECR", "EXISTS"), key),
      fc.tuple(fc.constantFrom("INCRBY", "DECRBY"), key, number),
      fc.tuple(fc.constant("SET"), key, value),
      fc.tuple(fc.constant("SET"), key, value, options).map((words) => words.flat()),
      fc
        .tuple(fc.constantFrom("EXPIREAT", "expireat"), key, time, conditions)
        .map((words) => words.flat()),
      fc.tuple(fc.constantFrom("EXPIRE", "Expire"), key, duration, fc.constantFrom("NX", "XX")),
      fc.tuple(
        fc.constant("PEXPIRE"),
        key,
        duration.map((time) => `${time}000`),
      ),
      fc
        .tuple(fc.constantFrom("DEL", "MGET", "MSET", "EXISTS"), fc.array(key, { maxLength: 4 }))
        .map((words) => words.flat()),
      fc.constantFrom(["DBSIZE"], ["PING"], ["FLUSHALL"]),
    );
    const requests = fc.array(command.map(multibulk), {
      minLength: 1,
      maxLength: 200,
      size: "max",
    });
    await fc.assert(fc.asyncProperty(requests, compare), { numRuns: 400 });
  });

  test("reads inline commands the same", async () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "b", " ", '"', "'", "\\", "x", "4", "n", "\t", "\v", "\f", "\r"),
      maxLength: 10,
    });
    await fc.assert(
      fc.asyncProperty(text, async (arguments_) => {
        const stream = `ECHO ${arguments_}\nPING\nQUIT\n`;
        const socket = createConnection(socketPath);
        const theirs = await ask(socket, stream, 4);
        socket.destroy();
        assert.deepEqual(
          split(new Example(MACHINE).answer(stream)),
          theirs,
          JSON.stringify(stream),
        );
      }),
      { numRuns: 500 },
    );
  });

  test("says the same of malformed input, and closes", async () => {
    const streams = [
      "*x\r\n",
      "*99999999999\r\n",
      "*1\r\nPING\r\n",
      "*1\r\n:4\r\nPING\r\n",
      "*1\r\n$x\r\n",
      "*1\r\n$-1\r\n",
      "*1\r\n$99999999999\r\n",
      'GET "a\r\n',
      `${"x".repeat(70_000)}`,
    ];
    for (const stream of streams) {
      const socket = createConnection(socketPath);
      const theirs = await ask(socket, multibulk(["PING"]) + stream, 3);
      socket.destroy();
      const example = new Example(MACHINE);
      const ours = split(example.answer(multibulk(["PING"]) + stream));
      assert.deepEqual(ours, theirs, JSON.stringify(stream.slice(0, 100)));
      assert.equal(example.client.open, false);
    }
  });
});
