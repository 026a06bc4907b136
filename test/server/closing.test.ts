// How a connection ends: whatever the cause, the last answer arrives, `closed` comes exactly once, and it says why.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DecodeError } from "../../src/codec/codec.ts";
import { lines } from "../../src/codec/lines.ts";
import type { CloseReason, Connection, Handlers } from "../../src/handlers.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { SystemError } from "../../src/sys/errno.ts";
import { Child } from "../support/child.ts";
import { Client, pattern } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { Endings } from "../support/ending.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

const MIB = 1024 * 1024;
const PEER = fileURLToPath(new URL("../support/peer-process.ts", import.meta.url));

const ECHO = fileURLToPath(new URL("../support/echo-server.ts", import.meta.url));

/** One way for a connection to end, and what `closed` must say then. */
interface Cause {
  readonly title: string;
  readonly reason: CloseReason;
  readonly table: Partial<Handlers<Buffer>> & ServeOptions;
  /** What the peer does after its first message was handled. */
  peer?(client: Client): void;
  checkError?(error: Error | undefined): void;
  /** What the peer sees, where that is certain. */
  readonly sees?: "end" | "ECONNRESET";
}

const CAUSES: readonly Cause[] = [
  {
    title: "the peer ends",
    reason: "peer-ended",
    table: {},
    peer: (client) => client.socket.end(),
    sees: "end",
  },
  {
    title: "the peer resets",
    reason: "error",
    table: {},
    peer: (client) => client.reset(),
    checkError(error) {
      assert.ok(error instanceof SystemError);
      assert.equal(error.code, "ECONNRESET");
    },
  },
  {
    title: "close()",
    reason: "closed",
    table: { message: (connection) => connection.close() },
    sees: "end",
  },
  {
    title: "reset()",
    reason: "reset",
    table: { message: (connection) => connection.reset() },
    sees: "ECONNRESET",
  },
  {
    title: "close() and then reset() before the peer has ended",
    reason: "closed",
    table: {
      message(connection) {
        connection.close();
        connection.reset();
      },
    },
  },
  {
    title: "close() twice, and end()",
    reason: "closed",
    table: {
      message(connection) {
        connection.close();
        connection.end();
        connection.close();
      },
    },
    sees: "end",
  },
  {
    title: "the handler throws",
    reason: "handler",
    table: {
      message() {
        throw new Error("thrown");
      },
    },
    checkError: (error) => assert.equal(error?.message, "thrown"),
    sees: "end",
  },
  {
    title: "the handler throws what is no error",
    reason: "handler",
    table: {
      message() {
        throw "text";
      },
    },
    checkError: (error) => assert.equal(error?.message, "text"),
    sees: "end",
  },
  {
    title: "the handler rejects",
    reason: "handler",
    table: {
      async message() {
        await sleep(1);
        throw new Error("rejected");
      },
    },
    checkError: (error) => assert.equal(error?.message, "rejected"),
    sees: "end",
  },
  {
    title: "opened throws",
    reason: "handler",
    table: {
      opened() {
        throw new Error("not today");
      },
    },
    checkError: (error) => assert.equal(error?.message, "not today"),
    sees: "end",
  },
  {
    title: "ended throws",
    reason: "handler",
    table: {
      ended() {
        throw new Error("at the end");
      },
    },
    peer: (client) => client.socket.end(),
    checkError: (error) => assert.equal(error?.message, "at the end"),
    sees: "end",
  },
  {
    title: "a handler throws, and so does closed, and so does onError",
    reason: "handler",
    table: {
      message() {
        throw new Error("first");
      },
      onError() {
        throw new Error("second");
      },
    },
    checkError: (error) => assert.equal(error?.message, "first"),
    sees: "end",
  },
  {
    title: "the first byte does not come",
    reason: "first-byte",
    table: { limits: { firstByteMs: 200 }, message: () => undefined },
    sees: "end",
  },
  {
    title: "silence",
    reason: "idle",
    table: { limits: { idleMs: 200 }, message: () => undefined },
    sees: "end",
  },
  {
    title: "too much waits to be sent",
    reason: "overflow",
    table: {
      limits: { connectionOutputBytes: MIB },
      message: (connection) => void connection.write(pattern(2 * MIB)),
    },
    sees: "ECONNRESET",
  },
];

/** A cause that needs no message of the peer. */
const UNASKED = ["opened throws", "the first byte does not come"];

for (const { name: driver, skip } of DRIVERS) {
  describe(`closing, ${driver}`, { skip }, () => {
    for (const cause of CAUSES) {
      test(`closed once, with ${cause.reason}: ${cause.title}`, async (t) => {
        const endings = new Endings();
        let handled = 0;
        const { message, ...table } = cause.table;
        const server = await serveFor(t, {
          driver,
          ...endings.handlers,
          ...table,
          message(connection, bytes) {
            handled++;
            return message?.(connection, bytes);
          },
        });
        const client = await Client.connect(t, server.address);
        if (!UNASKED.includes(cause.title)) {
          client.write("one");
          await until(() => handled > 0, "the message");
        }
        cause.peer?.(client);
        if (cause.sees !== undefined) {
          await client.end();
          await until(() => client.closed || cause.sees === "end", "the reset");
          assert.equal(client.error, cause.sees === "end" ? undefined : cause.sees);
        }
        client.socket.end();
        const ending = await endings.only();
        assert.equal(ending.reason, cause.reason, String(ending.error));
        if (cause.checkError === undefined) assert.equal(ending.error, undefined);
        else cause.checkError(ending.error);
        await server.close();
        await endings.only();
      });
    }

    test("closed once, with protocol: the codec refuses", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        codec: lines({ maximumBytes: 10 }),
        message: (connection, line) => void connection.send(line),
      });
      const client = await Client.connect(t, server.address);
      client.write("short\nmuch too long for a line\nnever handled\n");
      assert.equal((await client.end()).toString(), "short\n");
      client.socket.end();
      const { reason, error } = await endings.only();
      assert.equal(reason, "protocol");
      assert.ok(error instanceof DecodeError);
      assert.equal(error.code, "EMSGSIZE");
    });

    test("closed once, with protocol: the stream ends inside a message", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        codec: lines(),
        message: () => undefined,
      });
      const client = await Client.connect(t, server.address);
      client.socket.end("whole\nhal");
      const { reason, error } = await endings.only();
      assert.equal(reason, "protocol");
      assert.ok(error instanceof DecodeError);
      assert.equal(error.code, "EBADMSG");
      assert.equal(server.statistics().messages, 1);
    });

    test("a state that cannot be made costs its connection only", async (t) => {
      const endings = new Endings();
      const reported: unknown[] = [];
      let made = 0;
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        onError: (error) => void reported.push(error),
        state() {
          made++;
          if (made === 2) throw new Error("no state");
          return made;
        },
        message: (connection, bytes) => void connection.write(bytes),
      });
      const clients: Client[] = [];
      for (let n = 0; n < 3; n++) {
        clients.push(Client.dial(t, server.address));
        await until(() => made > n, "its turn");
      }
      for (const [n, client] of clients.entries()) {
        client.write("hello");
        await client.bytes(5);
        assert.equal(client.receivedLength, n === 1 ? 0 : 5);
      }
      assert.match(String(reported), /no state/);
      assert.equal(server.statistics().connections, 2);
    });

    test("closed once, with shutdown: the server closes; draining has the last word", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        message: (connection, bytes) => void connection.write(bytes),
        draining: (connection) => void connection.write("bye"),
      });
      const clients = await Promise.all([1, 2, 3].map(() => Client.connect(t, server.address)));
      for (const client of clients) client.write("hi ");
      for (const client of clients) await client.bytes(3);
      const closing = server.close();
      for (const client of clients) {
        assert.equal((await client.end()).toString(), "hi bye");
        assert.equal(client.error, undefined);
        client.socket.end();
      }
      assert.equal(await closing, true);
      assert.deepEqual(
        endings.all.map(({ reason }) => reason),
        ["shutdown", "shutdown", "shutdown"],
      );
      assert.equal(endings.opened, 3);
      assert.equal(await server.close(), true, "a second close joins the first");
      await server.ended;
    });

    test("close() of a server cuts off who does not finish in time, and says so", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        message: () => new Promise<void>(() => undefined),
      });
      const client = await Client.connect(t, server.address);
      client.write("never answered");
      await until(() => server.statistics().messages === 1, "the message");
      assert.equal(await server.close({ drainMs: 100 }), false);
      assert.equal((await endings.only()).reason, "shutdown");
      await client.end();
    });

    test("a server without connections closes at once, cleanly, however short the time", async (t) => {
      const server = await serveFor(t, { driver, message: () => undefined });
      assert.equal(await server.close({ drainMs: 0 }), true);
    });

    test("closed once: the peer's process is killed", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        message: (connection, bytes) => void connection.write(bytes),
      });
      const child = Child.node(t, [PEER, String(portOf(server))]);
      await child.says(/ready/);
      await until(() => server.statistics().bytesSent === 15, "the answers");
      child.kill("SIGKILL");
      await until(() => endings.all.length === 2, "both ends");
      assert.equal((await child.exit()).signal, "SIGKILL");
      // One had read its answer: its kernel ends the stream. The other had not: its kernel resets.
      assert.deepEqual(endings.all.map(({ reason }) => reason).sort(), ["error", "peer-ended"]);
      await server.close();
      assert.equal(endings.all.length, 2);
    });

    test("half-close: after the peer's end the answer still goes out", async (t) => {
      const endings = new Endings();
      const heard: string[] = [];
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        message: (_, bytes) => void heard.push(bytes.toString()),
        async ended(connection) {
          await sleep(20);
          connection.write(pattern(MIB));
          assert.equal(connection.open, true);
          connection.end();
          assert.equal(connection.open, false);
          assert.equal(connection.write("too late"), false);
        },
      });
      const client = await Client.connect(t, server.address);
      client.socket.end("question");
      const answer = await client.end();
      assert.ok(pattern(MIB).equals(answer), `${answer.length} bytes`);
      assert.equal(heard.join(""), "question");
      assert.equal((await endings.only()).reason, "closed");
    });

    test("half-close: after our end the peer's messages are still handled", async (t) => {
      const endings = new Endings();
      let heard = "";
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        opened(connection) {
          endings.opened++;
          connection.write("hello");
          connection.end();
        },
        message: (_, bytes) => {
          heard += bytes.toString();
        },
      });
      const client = await Client.connect(t, server.address);
      assert.equal((await client.end()).toString(), "hello");
      client.write("still ");
      await until(() => heard === "still ", "the first word");
      client.socket.end("here");
      const { reason } = await endings.only();
      assert.equal(heard, "still here");
      assert.equal(reason, "closed");
    });

    test("a peer that has ended and stays is closed by the idle deadline", async (t) => {
      const endings = new Endings();
      let connection: Connection | undefined;
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        limits: { idleMs: 200 },
        message: () => undefined,
        ended(ended) {
          connection = ended as Connection;
        },
      });
      const client = await Client.connect(t, server.address);
      client.socket.end("x");
      await until(() => connection !== undefined, "ended");
      assert.equal((await endings.only()).reason, "idle");
    });

    test("close() destroys no answer in flight while the peer goes on sending: 100 of 100", async (t) => {
      const endings = new Endings();
      const answer = pattern(1_000_000);
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        message(connection) {
          connection.write(answer);
          connection.close();
        },
      });
      const flood = pattern(32_768);
      let whole = 0;
      for (let round = 0; round < 10; round++) {
        const clients = await Promise.all(
          Array.from({ length: 10 }, () => Client.silent(t, server.address)),
        );
        for (const client of clients) {
          client.socket.on("end", () => client.socket.end());
          let left = 250;
          const more = () => {
            while (--left > 0 && client.error === undefined && client.socket.write(flood));
          };
          client.socket.on("drain", more);
          more();
        }
        // The kernel has taken the answers before anybody reads: nothing but the server's reading on protects them.
        const sent = (round + 1) * 10 * answer.length;
        await until(() => server.statistics().bytesSent === sent, "the answers sent");
        await sleep(5);
        for (const client of clients) client.socket.resume();
        for (const client of clients) if (answer.equals(await client.end())) whole++;
      }
      assert.equal(whole, 100);
      await until(() => endings.all.length === 100, "all ends");
      assert.deepEqual(new Set(endings.all.map(({ reason }) => reason)), new Set(["closed"]));
    });

    test("close() reads on no longer than its deadline, and the answer has arrived by then", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        limits: { lingerMs: 300 },
        message(connection) {
          connection.write("answer");
          connection.close();
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("question");
      assert.equal((await client.end()).toString(), "answer");
      const ended = performance.now();
      client.write("the peer does not end");
      assert.equal((await endings.only()).reason, "closed");
      const waited = performance.now() - ended;
      assert.ok(waited >= 100, `closed ${waited} ms after the end of the stream`);
    });

    test("the idle deadline counts from the last byte", async (t) => {
      // In a process of its own: beside its client it would hardly ever wait.
      const idleMs = 500;
      const child = Child.node(t, [ECHO, JSON.stringify({ driver, limits: { idleMs } })]);
      const [, port] = await child.says(/port (\d+)/);
      const address = { family: "ipv4", host: "127.0.0.1", port: Number(port) } as const;
      const client = await Client.connect(t, address);
      client.write("first");
      await client.bytes(5);
      await sleep(idleMs * 0.6);
      const last = performance.now();
      client.write("again");
      assert.equal((await client.end()).toString(), "firstagain");
      const silent = performance.now() - last;
      assert.ok(silent >= idleMs - 5, `closed as idle after ${silent} ms of silence`);
    });

    test("a handler that is busy is not idle", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        limits: { idleMs: 150, firstByteMs: 150 },
        async message(connection) {
          await sleep(600);
          connection.write("done");
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("work");
      assert.equal((await client.bytes(4)).toString(), "done");
    });

    test("a peer that does not read is reset by the write deadline; one that reads slowly is not", async (t) => {
      const endings = new Endings();
      const total = 24 * MIB;
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        limits: { writeMs: 1000, connectionOutputBytes: total, highWaterBytes: total },
        message: (connection) => void connection.write(Buffer.alloc(total)),
      });
      const stuck = await Client.silent(t, server.address);
      const slow = await Client.silent(t, server.address);
      stuck.write("go");
      slow.write("go");
      const reading = setInterval(() => {
        slow.socket.resume();
        setImmediate(() => slow.socket.pause());
      }, 5);
      t.after(() => clearInterval(reading));
      const { reason } = await endings.only();
      assert.equal(reason, "write");
      stuck.socket.resume();
      await until(() => stuck.closed, "the reset");
      assert.equal(stuck.error, "ECONNRESET");
      clearInterval(reading);
      slow.socket.resume();
      assert.equal((await slow.bytes(total)).length, total);
      assert.equal(endings.all.length, 1);
    });

    test("calls on a connection that has ended do nothing", async (t) => {
      const endings = new Endings();
      let connection: Connection | undefined;
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        message(given) {
          connection = given as Connection;
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("x");
      await until(() => connection !== undefined, "the message");
      client.destroy();
      await endings.only();
      assert.ok(connection);
      assert.equal(connection.open, false);
      assert.equal(connection.write("x"), false);
      assert.equal(connection.send("x"), false);
      assert.equal(connection.pendingBytes, 0);
      assert.equal(connection.tcpInfo, undefined);
      await connection.drained();
      connection.end();
      connection.close();
      connection.reset();
      connection.pause();
      connection.resume();
      await sleep(20);
      await endings.only();
    });
  });
}
