// The key-value example as it is served, used by the clients that people have: redis-cli, redis-benchmark and ioredis.

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";

const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../examples/key-value.ts", import.meta.url));
const START_MS = 20_000;
const CLIENT_MS = 60_000;

let server: ChildProcess;
let port = 0;

before(async () => {
  server = spawn(
    process.execPath,
    [CLI, "serve", EXAMPLE, "--port", "0", "--model", "event-loop"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  port = await listeningPort(server);
});

after(async () => {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, "exit");
  server.kill("SIGKILL");
  await exited;
});

async function listeningPort(process: ChildProcess): Promise<number> {
  assert.ok(process.stdout !== null);
  const lines = createInterface({ input: process.stdout });
  const told = new Promise<number>((resolve, reject) => {
    let output = "";
    lines.on("line", (line) => {
      output += `${line}\n`;
      const found = /listening on \S*:(\d+)/.exec(line);
      if (found !== null) resolve(Number(found[1]));
    });
    lines.on("close", () => reject(new Error(`the server ended without listening:\n${output}`)));
  });
  const late = sleep(START_MS, undefined, { ref: false }).then(() => {
    throw new Error(`the server does not listen within ${START_MS} ms`);
  });
  return Promise.race([told, late]);
}

/** Why a test of this program is skipped; never where CI says that all must be there. */
function missing(program: string): string | false {
  if (process.env.CI === "true" || spawnSync(program, ["--version"]).status === 0) return false;
  return `${program} is not installed on this machine`;
}

interface Finished {
  readonly status: number | null;
  readonly output: string;
}

async function run(
  program: string,
  options: readonly string[],
  input = "",
  environment: Record<string, string> = {},
): Promise<Finished> {
  const child = spawn(program, ["-h", "127.0.0.1", "-p", String(port), ...options], {
    timeout: CLIENT_MS,
    env: { ...process.env, ...environment },
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  // A client that has nothing to read may be gone before its input is closed.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [status]: (number | null)[] = await once(child, "close");
  return { status: status ?? null, output };
}

suite("redis-cli", { skip: missing("redis-cli") }, () => {
  const cli = async (...words: string[]): Promise<string> => {
    const { status, output } = await run("redis-cli", words);
    assert.equal(status, 0, output);
    return output.trimEnd();
  };

  test("sets, gets, counts, and is told of a mistake", async () => {
    assert.equal(await cli("FLUSHALL"), "OK");
    assert.equal(await cli("SET", "greeting", "hello world", "EX", "60"), "OK");
    assert.equal(await cli("GET", "greeting"), "hello world");
    assert.match(await cli("TTL", "greeting"), /^(59|60)$/);
    assert.equal(await cli("INCRBY", "counter", "41"), "41");
    assert.equal(await cli("INCR", "counter"), "42");
    assert.equal(await cli("MGET", "counter", "nosuch"), "42");
    assert.equal(await cli("DEL", "counter", "greeting"), "2");
    assert.match(await cli("LPUSH", "list", "x"), /^ERR unknown command 'LPUSH'/);
    assert.match(await cli("INFO"), /redis_version:/);
  });

  test("as on a terminal, where it asks for COMMAND DOCS first", async () => {
    const { status, output } = await run("redis-cli", [], "SET k 1\nINCR k\nGET nosuch\nQUIT\n", {
      FAKETTY: "1",
    });
    assert.equal(status, 0, output);
    assert.match(output, /OK[\s\S]*\(integer\) 2[\s\S]*\(nil\)/);
  });

  test("inserts many keys through --pipe", async () => {
    const count = 20_000;
    const commands = Array.from({ length: count }, (_, index) => {
      const key = `pipe:${index}`;
      return `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$5\r\nvalue\r\n`;
    });
    await cli("FLUSHALL");
    const { status, output } = await run("redis-cli", ["--pipe"], commands.join(""));
    assert.equal(status, 0, output);
    assert.match(output, new RegExp(`errors: 0, replies: ${count}`));
    assert.equal(await cli("DBSIZE"), String(count));
  });
});

suite("redis-benchmark", { skip: missing("redis-benchmark") }, () => {
  for (const pipeline of [1, 16]) {
    test(`finishes without an error, ${pipeline} in flight`, async () => {
      const options = ["-t", "ping,set,get", "-n", "2000", "-c", "10", "-P", String(pipeline)];
      const { status, output } = await run("redis-benchmark", [...options, "--csv"]);
      assert.equal(status, 0, output);
      assert.doesNotMatch(output, /error|warning/i);
      for (const name of ["PING_INLINE", "PING_MBULK", "SET", "GET"]) {
        assert.match(output, new RegExp(`^"${name}","[1-9]`, "m"));
      }
    });
  }
});

suite("ioredis", () => {
  let redis: Redis;

  before(async () => {
    redis = new Redis({ port, host: "127.0.0.1", lazyConnect: true, connectionName: "tests" });
    await redis.connect();
    await redis.flushall();
  });

  after(async () => {
    assert.equal(await redis.quit(), "OK");
  });

  test("sets with conditions and expiry", async () => {
    assert.equal(await redis.set("k", "v", "EX", 100), "OK");
    assert.equal(await redis.ttl("k"), 100);
    assert.equal(await redis.set("k", "w", "NX"), null);
    assert.equal(await redis.set("k", "w", "PX", 5000, "XX"), "OK");
    const left = await redis.pttl("k");
    assert.ok(left > 0 && left <= 5000);
    assert.equal(await redis.set("k", "x", "KEEPTTL"), "OK");
    assert.equal(await redis.persist("k"), 1);
    assert.equal(await redis.ttl("k"), -1);
    assert.equal(await redis.set("k", "y", "GET"), "x");
    assert.equal(await redis.client("GETNAME"), "tests");
  });

  test("a key is gone when its time is over", async () => {
    await redis.set("short", "v", "PX", 30);
    await redis.set("asked", "v", "PX", 30);
    assert.equal(await redis.get("asked"), "v");
    const keys = await redis.dbsize();
    await sleep(60);
    assert.equal(await redis.get("asked"), null);
    assert.equal(await redis.ttl("asked"), -2);
    // Nobody asks for the other one: the sweep takes it.
    for (let waited = 0; waited < 5000 && (await redis.dbsize()) !== keys - 2; waited += 20) {
      await sleep(20);
    }
    assert.equal(await redis.dbsize(), keys - 2);
  });

  test("pipelines are answered in order, with the errors at their places", async () => {
    const pipeline = redis.pipeline();
    for (let index = 0; index < 1000; index++) {
      pipeline.set(`p${index}`, index).get(`p${index}`).incr(`p${index}`);
    }
    pipeline.set("text", "abc").incr("text").exists("p0", "p1", "nosuch");
    const results = await pipeline.exec();
    assert.ok(results !== null);
    for (let index = 0; index < 1000; index++) {
      const three = results.slice(3 * index, 3 * index + 3);
      assert.deepEqual(three, [
        [null, "OK"],
        [null, String(index)],
        [null, index + 1],
      ]);
    }
    assert.match(String(results[3001]?.[0]), /ERR value is not an integer or out of range/);
    assert.deepEqual(results[3002], [null, 2]);
  });

  test("many keys at once", async () => {
    const pairs = Array.from({ length: 5000 }, (_, index) => [`m${index}`, `value ${index}`]);
    assert.equal(
      await redis.mset(new Map(pairs.map(([key = "", value = ""]) => [key, value]))),
      "OK",
    );
    const values = await redis.mget([...pairs.map(([key = ""]) => key), "nosuch"]);
    assert.deepEqual(values, [...pairs.map(([, value]) => value), null]);
    assert.equal(await redis.del(...pairs.map(([key = ""]) => key)), 5000);
  });

  test("any bytes are a value, and long ones too", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    await redis.set(bytes, bytes);
    assert.deepEqual(await redis.getBuffer(bytes), bytes);
    assert.equal(await redis.get("\u00ff"), null);
    const long = Buffer.alloc(3_000_000, bytes);
    await redis.set("long", long);
    const got = await redis.getBuffer("long");
    assert.ok(got?.equals(long));
    await redis.set("text", "grüße 🙂");
    assert.equal(await redis.get("text"), "grüße 🙂");
  });

  test("many clients count together", async () => {
    await redis.del("together");
    const clients = Array.from({ length: 20 }, () => new Redis({ port, host: "127.0.0.1" }));
    await Promise.all(
      clients.map(async (client) => {
        for (let count = 0; count < 50; count++) await client.incr("together");
        await client.quit();
      }),
    );
    assert.equal(await redis.get("together"), "1000");
  });

  test("an unknown command is told so", async () => {
    await assert.rejects(redis.lpush("list", "x"), /ERR unknown command 'lpush'/);
  });
});

suite("a socket", () => {
  async function told(socket: Socket, text: string): Promise<string> {
    let received = "";
    socket.setEncoding("latin1").on("data", (piece: string) => {
      received += piece;
    });
    socket.write(text);
    await once(socket, "end", { signal: AbortSignal.timeout(CLIENT_MS) });
    socket.destroy();
    return received;
  }

  test("inline commands, and an end after QUIT", async () => {
    const text = "PING\r\nset 'a key' \"a\\x20value\"\nget 'a key'\nQUIT\nPING\n";
    const answered = await told(createConnection(port, "127.0.0.1"), text);
    assert.equal(answered, "+PONG\r\n+OK\r\n$7\r\na value\r\n+OK\r\n");
  });

  test("malformed input is named before the connection ends", async () => {
    const answered = await told(createConnection(port, "127.0.0.1"), "PING\n*1\r\n$x\r\n");
    assert.equal(answered, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
  });

  test("a command that is announced too long is refused before it's sent", async () => {
    const text = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n";
    const answered = await told(createConnection(port, "127.0.0.1"), text);
    assert.equal(answered, "-ERR Protocol error: invalid bulk length\r\n");
  });

  test("a command that comes byte by byte", async () => {
    const socket = createConnection(port, "127.0.0.1");
    socket.setNoDelay(true);
    const text = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nQUIT\r\n";
    const answered = told(socket, "");
    for (const byte of text) {
      socket.write(byte);
      await sleep(1);
    }
    assert.equal(await answered, "$5\r\nhello\r\n+OK\r\n");
  });
});
