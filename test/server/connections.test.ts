// What a handler can rely on while a connection is open: every byte in order, one message at a time, backpressure in both
// directions, and memory that stays bounded whatever the peer or the handler does. On every driver.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { lines } from "../../src/codec/lines.ts";
import type { Connection } from "../../src/handlers.ts";
import type { Address } from "../../src/sys/address.ts";
import { Client, pattern } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { Endings } from "../support/ending.ts";
import { serveFor } from "../support/server.ts";
import { settled, until } from "../support/until.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

for (const { name: driver, skip } of DRIVERS) {
  describe(`connections, ${driver}`, { skip }, () => {
    test("a mebibyte comes back byte for byte, on several connections at once", async (t) => {
      const server = await serveFor(t, { driver, message: (c, bytes) => void c.write(bytes) });
      const clients = await Promise.all([1, 2, 3].map(() => Client.connect(t, server.address)));
      for (const [n, client] of clients.entries()) client.write(pattern(MIB, n + 1));
      for (const [n, client] of clients.entries()) {
        assert.ok(pattern(MIB, n + 1).equals(await client.bytes(MIB)), `connection ${n}`);
      }
      const { bytesReceived, accepted, connections } = server.statistics();
      assert.deepEqual([bytesReceived, accepted, connections], [3 * MIB, 3, 3]);
      await until(() => server.statistics().bytesSent === 3 * MIB, "all bytes counted as sent");
    });

    test("messages are handled in order and one at a time, however long each takes", async (t) => {
      const running = new Map<number, number>();
      const server = await serveFor(t, {
        driver,
        codec: lines(),
        async message(connection, line) {
          const before = running.get(connection.id) ?? 0;
          running.set(connection.id, before + 1);
          assert.equal(before, 0, "two messages of one connection at a time");
          const kind = Math.floor(Math.random() * 4);
          if (kind === 1) await Promise.resolve();
          if (kind === 2) await new Promise((resolve) => setImmediate(resolve));
          if (kind === 3) await sleep(Math.random() * 3);
          running.set(connection.id, 0);
          connection.send(line);
        },
      });
      const expected = Array.from({ length: 300 }, (_, n) => `message ${n}\n`).join("");
      const clients = await Promise.all([1, 2, 3].map(() => Client.connect(t, server.address)));
      for (const client of clients) {
        client.write(expected.slice(0, 1000));
        await sleep(2);
        client.write(expected.slice(1000));
      }
      for (const client of clients) {
        assert.equal((await client.bytes(expected.length)).toString(), expected);
      }
    });

    test("what is neither bytes nor a string is not written, and said so", async (t) => {
      const told: string[] = [];
      const wrong: unknown[] = [
        new DataView(new ArrayBuffer(4)),
        new ArrayBuffer(20_000),
        new Uint16Array(10_000),
        [65, 66],
        5,
        undefined,
      ];
      const server = await serveFor(t, {
        driver,
        message(connection) {
          for (const data of wrong) {
            try {
              connection.write(data as string);
            } catch (error) {
              told.push(String(error));
            }
          }
          connection.write("end");
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("x");
      assert.equal((await client.bytes(3)).toString(), "end");
      assert.equal(told.length, wrong.length);
      for (const one of told) assert.match(one, /^TypeError: expected a Uint8Array or a string/);
    });

    test("one byte at a time makes the same messages", async (t) => {
      const received: string[] = [];
      const server = await serveFor(t, {
        driver,
        codec: lines(),
        message: (_, line) => void received.push(line),
      });
      const client = await Client.connect(t, server.address);
      const expected = Array.from({ length: 40 }, (_, n) => `${n}: ü€\u{1f6b0}`);
      for (const byte of Buffer.from(`${expected.join("\n")}\n`)) {
        client.socket.write(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => received.length >= expected.length, "all lines");
      assert.deepEqual(received, expected);
    });

    test("a pending promise stops reading: the peer can send no more, and nothing is lost", async (t) => {
      const total = 48 * MIB;
      const gate = Promise.withResolvers<void>();
      let handled = 0;
      const server = await serveFor(t, {
        driver,
        async message(_, bytes) {
          handled += bytes.length;
          await gate.promise;
        },
      });
      const client = await Client.connect(t, server.address);
      const piece = pattern(MIB);
      for (let sent = 0; sent < total; sent += MIB) client.write(piece);
      await until(() => handled > 0, "the first message");
      const taken = await settled(() => client.takenLength);
      assert.ok(taken < total - MIB, `all but ${total - taken} bytes were taken`);
      const kept = server.statistics().inputBytes;
      assert.ok(kept > 0 && kept <= 2 * MIB, `${kept} bytes are kept for a busy handler`);
      gate.resolve();
      await until(
        () => handled === total,
        () => `all bytes; ${handled} came`,
      );
      assert.equal(server.statistics().inputBytes, 0);
    });

    test("what is written in one turn leaves together", async (t) => {
      const server = await serveFor(t, {
        driver,
        message(connection) {
          for (let n = 0; n < 100; n++) connection.write(`${String(n).padStart(9)}\n`);
        },
      });
      const client = await Client.connect(t, server.address);
      for (let round = 1; round <= 20; round++) {
        client.write("go");
        await client.bytes(round * 1000);
      }
      assert.equal(client.chunks.length, 20, "20 answers of 100 writes each");
    });

    test("what is written outside of any handler leaves at once", async (t) => {
      const opened = Promise.withResolvers<Connection>();
      const server = await serveFor(t, {
        driver,
        opened: (connection) => opened.resolve(connection as Connection),
        message: () => undefined,
      });
      const client = await Client.connect(t, server.address);
      const connection = await opened.promise;
      await sleep(20);
      for (let n = 1; n <= 5; n++) {
        const sent = performance.now();
        connection.write("tick");
        await client.bytes(n * 4);
        assert.ok(performance.now() - sent < 2000);
      }
      await new Promise((resolve) => setImmediate(resolve));
      connection.write("last");
      connection.close();
      assert.equal((await client.end()).toString(), `${"tick".repeat(5)}last`);
    });

    test("write answers false above the high-water mark, and drained() waits for the low one", async (t) => {
      const limits = { highWaterBytes: 16 * KIB, lowWaterBytes: 4 * KIB };
      // Small enough to be gathered: nothing leaves before the turn's end.
      const piece = pattern(4 * KIB);
      const seen: { answers: boolean[]; pending: number[]; after: number } = {
        answers: [],
        pending: [],
        after: -1,
      };
      const server = await serveFor(t, {
        driver,
        limits,
        async message(connection) {
          for (let n = 0; n < 8; n++) {
            seen.answers.push(connection.write(piece));
            seen.pending.push(connection.pendingBytes);
          }
          await connection.drained();
          seen.after = connection.pendingBytes;
          connection.write("drained");
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("go");
      const expected = 8 * piece.length + "drained".length;
      const all = await client.bytes(expected);
      assert.equal(all.length, expected);
      assert.equal(all.subarray(-7).toString(), "drained");
      assert.deepEqual(seen.answers, [true, true, true, true, false, false, false, false]);
      assert.deepEqual(
        seen.pending,
        seen.answers.map((_, n) => (n + 1) * piece.length),
      );
      assert.ok(seen.after >= 0 && seen.after <= limits.lowWaterBytes, `${seen.after} wait`);
    });

    test("drained() waits as long as the peer does not read", async (t) => {
      let drained = false;
      const server = await serveFor(t, {
        driver,
        async message(connection) {
          const piece = pattern(256 * KIB);
          // As much as the kernel takes, and then some.
          for (let quiet = 0; quiet < 3; ) {
            if (connection.pendingBytes < MIB) connection.write(piece);
            const before = connection.pendingBytes;
            await sleep(20);
            quiet =
              connection.pendingBytes >= MIB && connection.pendingBytes === before ? quiet + 1 : 0;
          }
          await connection.drained();
          drained = true;
        },
      });
      const client = await Client.silent(t, server.address);
      client.write("go");
      await until(() => server.statistics().bytesSent > 0, "sending");
      const sent = await settled(() => server.statistics().bytesSent, 200);
      assert.equal(drained, false, `drained although ${sent} bytes are all that the kernel took`);
      client.socket.resume();
      await until(() => drained, "drained()");
    });

    test("a slow reader costs only itself: its messages wait, the others' are answered", async (t) => {
      const total = 48 * MIB;
      let most = 0;
      const server = await serveFor(t, {
        driver,
        message(connection, bytes) {
          // Ignores what `write` says.
          connection.write(bytes);
          most = Math.max(most, connection.pendingBytes);
        },
      });
      const slow = await Client.silent(t, server.address);
      for (let sent = 0; sent < total; sent += MIB) slow.write(pattern(MIB, sent + 1));
      const quick = await Client.connect(t, server.address);
      for (let n = 1; n <= 50; n++) {
        quick.write(pattern(100, n));
        await quick.bytes(n * 100);
      }
      const taken = await settled(() => slow.takenLength, 200);
      assert.ok(taken < total - MIB, `all but ${total - taken} bytes were taken`);
      // What was on its way when reading paused comes as one more message.
      assert.ok(most <= 4 * MIB, `${most} bytes waited`);
      const { inputBytes, outputBytes } = server.statistics();
      assert.ok(inputBytes + outputBytes <= 6 * MIB, `${inputBytes} + ${outputBytes} bytes kept`);
      quick.write("still there");
      const answers = await quick.bytes(5011);
      assert.equal(answers.subarray(5000).toString(), "still there");
      slow.socket.resume();
      await slow.bytes(total);
      assert.ok(pattern(MIB, total - MIB + 1).equals(slow.received().subarray(total - MIB)));
    });

    test("at the hard bound the connection is reset, and only that one", async (t) => {
      const endings = new Endings();
      const answers: boolean[] = [];
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        limits: { connectionOutputBytes: MIB, highWaterBytes: 4 * KIB },
        message(connection, bytes) {
          if (bytes.toString() !== "flood") return void connection.write(bytes);
          for (let n = 0; n < 300; n++) answers.push(connection.write(pattern(4 * KIB)));
        },
      });
      const other = await Client.connect(t, server.address);
      const flooded = await Client.silent(t, server.address);
      flooded.write("flood");
      const ending = await endings.only();
      assert.equal(ending.reason, "overflow");
      assert.deepEqual(answers, [true, ...new Array(299).fill(false)]);
      flooded.socket.resume();
      await flooded.end();
      await until(() => flooded.closed, "the reset");
      assert.equal(flooded.error, "ECONNRESET");
      other.write("unharmed");
      assert.equal((await other.bytes(8)).toString(), "unharmed");
      await until(() => server.statistics().outputBytes === 0, "the memory given back");
    });

    test("with overflow: discard a write above the hard bound is refused whole", async (t) => {
      const endings = new Endings();
      const kept: number[] = [];
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        overflow: "discard",
        limits: {
          connectionOutputBytes: 40 * KIB,
          highWaterBytes: 8 * KIB,
          lowWaterBytes: 4 * KIB,
        },
        message(connection) {
          for (let n = 0; n < 20; n++) {
            const before = connection.pendingBytes;
            connection.write(Buffer.alloc(4 * KIB, n));
            if (connection.pendingBytes > before) kept.push(n);
          }
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("go");
      await until(() => kept.length > 0, "the handler");
      assert.deepEqual(kept, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      const all = await client.bytes(kept.length * 4 * KIB);
      const expected = Buffer.concat(kept.map((n) => Buffer.alloc(4 * KIB, n)));
      assert.ok(all.equals(expected));
      assert.deepEqual(endings.all, []);
      client.write("again");
      await client.bytes(2 * expected.length);
      assert.ok(client.received().equals(Buffer.concat([expected, expected])));
    });

    test("pause stops the messages and not the answers; resume goes on where it was", async (t) => {
      const received: string[] = [];
      let paused: Connection<string> | undefined;
      const server = await serveFor(t, {
        driver,
        codec: lines(),
        message(connection, line) {
          received.push(line);
          if (line !== "2") return;
          connection.pause();
          connection.send("paused");
          paused = connection;
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("1\n2\n3\n4\n");
      assert.equal((await client.bytes(7)).toString(), "paused\n");
      client.write("5\n");
      await sleep(50);
      assert.deepEqual(received, ["1", "2"]);
      paused?.resume();
      await until(() => received.length === 5, "the rest");
      assert.deepEqual(received, ["1", "2", "3", "4", "5"]);
      client.write("6\n");
      await until(() => received.length === 6, "what came later");
    });

    test("pause before the first message: nothing is read", async (t) => {
      let connection: Connection | undefined;
      let received = 0;
      const server = await serveFor(t, {
        driver,
        opened(opened) {
          opened.pause();
          connection = opened as Connection;
        },
        message(_, bytes) {
          received += bytes.length;
        },
      });
      const client = await Client.connect(t, server.address);
      client.write("hello");
      await until(() => connection !== undefined, "opened");
      await sleep(50);
      assert.equal(received, 0);
      connection?.resume();
      await until(() => received === 5, "the message");
    });

    test("each connection has a state and an id of its own", async (t) => {
      const ids: number[] = [];
      const server = await serveFor(t, {
        driver,
        codec: lines(),
        state: () => ({ count: 0 }),
        opened: (connection) => void ids.push(connection.id),
        message(connection) {
          connection.state.count++;
          connection.send(String(connection.state.count));
        },
      });
      const first = await Client.connect(t, server.address);
      const second = await Client.connect(t, server.address);
      first.write("a\na\na\n");
      second.write("a\n");
      assert.equal((await first.bytes(6)).toString(), "1\n2\n3\n");
      assert.equal((await second.bytes(2)).toString(), "1\n");
      first.destroy();
      await until(() => server.statistics().connections === 1, "the first one's end");
      const third = await Client.connect(t, server.address);
      third.write("a\n");
      assert.equal((await third.bytes(2)).toString(), "1\n");
      assert.equal(new Set(ids).size, 3, `ids ${ids}`);
    });

    for (const place of places()) {
      test(`both addresses are told: ${place.title}`, async (t) => {
        const told: { remote: Address | undefined; local: Address | undefined }[] = [];
        let kept: Connection | undefined;
        const server = await serveFor(t, {
          driver,
          ...place.options,
          opened(connection) {
            told.push({ remote: connection.remoteAddress, local: connection.localAddress });
            kept = connection as Connection;
          },
          message: (connection, bytes) => void connection.write(bytes),
        });
        const client = await Client.connect(t, server.address);
        client.write("x");
        await client.bytes(1);
        const [addresses] = told;
        assert.ok(addresses);
        place.check(addresses.remote, addresses.local, client, server.address);
        client.destroy();
        await until(() => server.statistics().connections === 0, "the end");
        assert.equal(kept?.remoteAddress, undefined, "an address after the end");
      });
    }
  });
}

interface Place {
  readonly title: string;
  readonly options: { readonly host?: string; readonly path?: string };
  check(
    remote: Address | undefined,
    local: Address | undefined,
    client: Client,
    server: Address,
  ): void;
}

function places(): Place[] {
  const internet =
    (family: "ipv4" | "ipv6", host: string): Place["check"] =>
    (remote, local, client, server) => {
      assert.ok(server.family !== "unix" && server.port > 0);
      assert.deepEqual(local, { family, host, port: server.port });
      assert.deepEqual(remote, { family, host, port: client.socket.localPort });
    };
  const unix: Place["check"] = (remote, local, _, server) => {
    assert.deepEqual(local, server);
    assert.deepEqual(remote, { family: "unix", path: "" });
  };
  const directory = mkdtempSync(join(tmpdir(), "sluice-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  return [
    { title: "IPv4", options: { host: "127.0.0.1" }, check: internet("ipv4", "127.0.0.1") },
    { title: "IPv6", options: { host: "::1" }, check: internet("ipv6", "::1") },
    { title: "Unix", options: { path: join(directory, "a.sock") }, check: unix },
    { title: "abstract", options: { path: `\0sluice-${process.pid}` }, check: unix },
  ];
}
