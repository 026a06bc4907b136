// Who is let in: at a limit the others wait in the kernel's queue, unharmed, and are served as soon as there is room.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "../../src/handlers.ts";
import { OptionError } from "../../src/limits.ts";
import { serve } from "../../src/server/serve.ts";
import { Client, pattern } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { Endings } from "../support/ending.ts";
import { serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

for (const { name: driver, skip } of DRIVERS) {
  describe(`admission, ${driver}`, { skip }, () => {
    test("at the limit of connections further clients wait, and are served when one leaves", async (t) => {
      const endings = new Endings();
      const limit = 10;
      let open = 0;
      let most = 0;
      const server = await serveFor(t, {
        driver,
        limits: { connections: limit },
        opened(connection) {
          open++;
          most = Math.max(most, open);
          connection.write("in");
        },
        message: (connection, bytes) => void connection.write(bytes),
        closed(connection, reason, error) {
          open--;
          endings.handlers.closed(connection, reason, error);
        },
      });
      const clients = Array.from({ length: 40 }, () => Client.dial(t, server.address));
      await until(() => clients.every(({ connected }) => connected), "all are connected");
      await until(() => open === limit, "as many as there may be");
      const served = () => clients.filter(({ receivedLength }) => receivedLength >= 2);
      await until(() => served().length === limit, "those have their greeting");
      await sleep(50);
      assert.equal(open, limit);
      assert.equal(served().length, limit);
      const left = new Set<Client>();
      while (left.size < clients.length) {
        await until(
          () => served().length === Math.min(left.size + limit, clients.length),
          "the next",
        );
        const [client] = served().filter((each) => !left.has(each));
        assert.ok(client);
        client.write("bye");
        assert.equal((await client.bytes(5)).toString(), "inbye");
        client.destroy();
        left.add(client);
      }
      assert.equal(most, limit, "connections at a time");
      assert.deepEqual(
        clients.map(({ error }) => error).filter((error) => error !== undefined),
        [],
      );
      await until(() => endings.all.length === clients.length, "all ends");
    });

    test("a client that waited and has left meanwhile disturbs nobody", async (t) => {
      const server = await serveFor(t, {
        driver,
        limits: { connections: 1 },
        message: (connection, bytes) => void connection.write(bytes),
      });
      const first = await Client.connect(t, server.address);
      first.write("first");
      await first.bytes(5);
      const impatient = await Client.connect(t, server.address);
      const resetting = await Client.connect(t, server.address);
      const patient = await Client.connect(t, server.address);
      impatient.socket.end("impatient");
      impatient.destroy();
      resetting.reset();
      patient.write("patient");
      await sleep(50);
      assert.equal(patient.receivedLength, 0);
      first.destroy();
      assert.equal((await patient.bytes(7)).toString(), "patient");
    });

    test("when output takes most of its memory nobody is accepted, until it is given back", async (t) => {
      let hogged: Connection | undefined;
      const server = await serveFor(t, {
        driver,
        limits: { outputBytes: 16 * MIB, connectionOutputBytes: 16 * MIB, writeMs: 60_000 },
        message(connection, bytes) {
          if (bytes.toString() === "hog") hogged = connection as Connection;
          else connection.write(bytes);
        },
      });
      const other = await Client.connect(t, server.address);
      other.write("one");
      await other.bytes(3);
      const hog = await Client.silent(t, server.address);
      hog.write("hog");
      await until(() => hogged !== undefined, "the hog");
      const piece = pattern(64 * KIB);
      // The kernel takes a part of it: until it takes no more.
      for (let full = 0; full < 3; ) {
        while ((hogged?.pendingBytes ?? 0) < 14 * MIB) hogged?.write(piece);
        await sleep(30);
        full = (hogged?.pendingBytes ?? 0) < 14 * MIB ? 0 : full + 1;
      }
      other.write("two");
      assert.equal((await other.bytes(6)).toString(), "onetwo");
      const { accepted, outputBytes } = server.statistics();
      assert.ok(outputBytes >= 14 * MIB && outputBytes <= 16 * MIB, `${outputBytes} bytes in use`);
      const waiting = await Client.connect(t, server.address);
      waiting.write("hello");
      other.write("three");
      assert.equal((await other.bytes(11)).toString(), "onetwothree");
      await sleep(50);
      assert.equal(waiting.receivedLength, 0);
      assert.equal(server.statistics().accepted, accepted);
      hog.destroy();
      assert.equal((await waiting.bytes(5)).toString(), "hello");
    });

    test("who writes when the output memory is used up is closed with memory; the others go on", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        limits: { outputBytes: MIB, connectionOutputBytes: MIB },
        message(connection, bytes) {
          if (bytes.toString() !== "flood") return void connection.write(bytes);
          // Small pieces wait for the end of the turn; large ones would leave at once, as far as the socket takes them.
          for (let n = 0; n < 400 && connection.open; n++) connection.write(pattern(4 * KIB));
        },
      });
      const other = await Client.connect(t, server.address);
      other.write("one");
      await other.bytes(3);
      const hog = await Client.silent(t, server.address);
      hog.write("flood");
      const { reason } = await endings.only();
      assert.ok(reason === "memory" || reason === "overflow", reason);
      other.write("two");
      assert.equal((await other.bytes(6)).toString(), "onetwo");
      await until(() => server.statistics().outputBytes === 0, "the memory given back");
    });

    test("who sends when the input memory is used up is closed with memory; the others go on", async (t) => {
      const endings = new Endings();
      const server = await serveFor(t, {
        driver,
        ...endings.handlers,
        limits: { inputBytes: MIB, connectionInputBytes: 4 * MIB },
        async message(connection, bytes) {
          if (bytes.toString() === "quick") return void connection.write(bytes);
          await new Promise<void>(() => undefined);
        },
      });
      const other = await Client.connect(t, server.address);
      const hog = await Client.connect(t, server.address);
      for (let n = 0; n < 32; n++) hog.write(pattern(256 * KIB));
      assert.equal((await endings.only()).reason, "memory");
      await until(() => hog.closed, "the reset");
      assert.equal(server.statistics().inputBytes, 0);
      other.write("quick");
      assert.equal((await other.bytes(5)).toString(), "quick");
    });
  });
}

test("more connections than the descriptor limit allows are refused, with what would be right", async () => {
  const refused = serve({ limits: { connections: 1_000_000 }, message: () => undefined });
  await assert.rejects(refused, (error: Error) => {
    assert.ok(error instanceof OptionError);
    assert.match(error.message, /ulimit -n/);
    return true;
  });
});
