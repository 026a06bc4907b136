// One text for all models: what a handler may rely on is the same under each of them, on every driver that fits it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client } from "../support/client.ts";
import { chunk } from "../support/handlers/versatile.ts";
import { ModelServer, TESTED_MODELS } from "../support/models.ts";
import { assertEmpty } from "../support/server.ts";
import { until } from "../support/until.ts";

/** Enough for several threads to have some, and no more than every model has threads. */
const CLIENTS = 4;
const THREADS: Readonly<Record<string, number>> = {
  "event-loop": 1,
  "multi-reactor": 2,
  hybrid: 2,
};
/** More than the kernel's buffers between two loopback sockets take. */
const CHUNKS = 200;

for (const tested of TESTED_MODELS) {
  describe(`model ${tested.title}`, { skip: tested.skip }, () => {
    const cleanUp: (() => unknown)[] = [];
    let own: ModelServer;
    before(async () => {
      own = await ModelServer.start(
        { after: (stop: () => unknown) => cleanUp.push(stop) },
        tested,
        {
          threads: THREADS[tested.model] ?? 2 * CLIENTS,
          limits: { firstByteMs: 1000, writeMs: 5000 },
        },
      );
    });
    after(async () => {
      for (const stop of cleanUp) await stop();
    });
    const dial = (t: Parameters<typeof Client.connect>[0]) => Client.connect(t, own.server.address);

    test("answers pipelined messages of several clients, each in order", async (t) => {
      const clients = await Promise.all(Array.from({ length: CLIENTS }, () => dial(t)));
      const text = clients.map((_, c) =>
        Array.from({ length: 500 }, (_, n) => `${c}/${n} ${"y".repeat(n)}\n`).join(""),
      );
      for (const [c, client] of clients.entries()) client.write(text[c] ?? "");
      for (const [c, client] of clients.entries()) {
        await client.bytes(text[c]?.length ?? 0);
        assert.ok(client.text() === text[c], `client ${c} got something else`);
      }
    });

    test("handles one message at a time, also when the handler is async", async (t) => {
      const client = await dial(t);
      const text = "wait 30 a\nwait 1 b\nc\nwait 5 d\ne\n";
      client.write(text);
      await client.bytes(text.length);
      assert.equal(client.text(), text);
    });

    test("answers what is heavy in its turn", async (t) => {
      const client = await dial(t);
      client.write("a\nheavy 20\nb\nheavy 1\nheavy throw\nnever\n");
      const reason = own.reasonOf(client);
      const elsewhere = tested.model === "hybrid" ? " elsewhere" : "";
      const expected = `a\nheavy 20${elsewhere}\nb\nheavy 1${elsewhere}\n`;
      assert.equal((await client.end()).toString(), expected);
      client.socket.end();
      assert.equal(await reason, "handler");
    });

    test("waits for a slow reader, and loses nothing", async (t) => {
      const client = await Client.silent(t, own.server.address);
      client.write(`stream ${CHUNKS}\n`);
      // Nothing more leaves: everything between the two is full.
      let sent = -1;
      await until(() => {
        const now = own.server.statistics().bytesSent;
        const full = now === sent && now > 0;
        sent = now;
        return full;
      }, "full buffers");
      const expected = Array.from({ length: CHUNKS }, (_, index) => chunk(index)).join("");
      assert.ok(sent < expected.length, "there was nothing to wait for");
      assert.ok(own.server.statistics().outputBytes <= 4 * 1024 * 1024, "and it is bounded");
      client.socket.resume();
      await client.bytes(expected.length);
      assert.ok(client.text() === expected);
    });

    test("answers a peer that has ended its side, then ends", async (t) => {
      const client = await dial(t);
      const reason = own.reasonOf(client);
      client.socket.end("wait 20 a\nb\n");
      assert.equal((await client.end()).toString(), "wait 20 a\nb\n");
      assert.equal(await reason, "peer-ended");
    });

    test("ends its own side and goes on reading", async (t) => {
      const client = await dial(t);
      client.write("end\nmore\n");
      assert.equal((await client.end()).toString(), "end\n");
      const reason = own.reasonOf(client);
      client.socket.end();
      assert.equal(await reason, "closed");
    });

    test("the last answer arrives whole while the peer still sends", async (t) => {
      const client = await dial(t);
      client.write("bye\n");
      const timer = setInterval(() => client.write("z".repeat(1000)), 1);
      t.after(() => clearInterval(timer));
      const got = await client.end();
      assert.equal(got.length, 4 + 100_000, client.state());
    });

    test("a handler that throws or rejects costs its connection, and nobody else", async (t) => {
      const other = await dial(t);
      other.write("x\n");
      await other.bytes(2);
      for (const command of ["throw", "reject"]) {
        const client = await dial(t);
        client.write(`${command}\n`);
        await client.end();
        const reason = own.reasonOf(client);
        client.socket.end();
        assert.equal(await reason, "handler");
      }
      assert.match(String(own.errors.at(-1)), /as asked/);
      other.write("y\n");
      assert.equal((await other.bytes(4)).toString(), "x\ny\n");
    });

    test("resets from either side are told", async (t) => {
      const [resetting, asking] = await Promise.all([dial(t), dial(t)]);
      for (const client of [resetting, asking]) client.write("x\n");
      for (const client of [resetting, asking]) await client.bytes(2);
      // A port that is let go is not a socket's any more.
      const before = own.told.length;
      resetting.reset();
      await until(() => own.told.length > before, "the peer's reset");
      assert.equal(own.told.at(-1)?.reason, "error");
      asking.write("reset\n");
      await until(() => asking.closed, "being reset");
      assert.equal(asking.error, "ECONNRESET");
      await until(() => own.told.at(-1)?.reason === "reset", "reset");
    });

    test("more output than a connection may hold ends it", async (t) => {
      const client = await Client.silent(t, own.server.address);
      client.write("flood\n");
      assert.equal(await own.reasonOf(client), "overflow");
    });

    test("who never speaks is closed", async (t) => {
      const client = await dial(t);
      await client.end();
      const ended = own.reasonOf(client);
      client.socket.end();
      assert.equal(await ended, "first-byte");
    });

    test("a second server in the same process goes its own way", async (t) => {
      const threads = THREADS[tested.model] ?? 2;
      const second = await ModelServer.start(t, tested, { threads });
      const [a, b] = [await dial(t), await Client.connect(t, second.server.address)];
      for (let round = 1; round <= 20; round++) {
        for (const client of [a, b]) client.write("round\n");
        for (const client of [a, b]) await client.bytes(round * 6);
      }
      assert.equal(a.text(), b.text());
      await second.stop();
      a.write("on\n");
      await until(() => a.text().endsWith("on\n"), "the first going on");
    });

    test("a draining server finishes what it has received, and counts everything", async (t) => {
      const clients = await Promise.all(Array.from({ length: CLIENTS }, () => dial(t)));
      for (const client of clients) client.write("wait 1 begun\n");
      for (const client of clients) await client.bytes(13);
      const last = "wait 60 last\nwait 1 very last\n";
      const before = own.server.statistics().bytesReceived;
      for (const client of clients) client.write(last);
      await until(
        () => own.server.statistics().bytesReceived === before + CLIENTS * last.length,
        "receiving all of it",
      );
      const closing = own.server.close({ drainMs: 5000 });
      for (const client of clients) {
        client.socket.on("end", () => client.socket.end());
        assert.equal((await client.end()).toString(), `wait 1 begun\n${last}`);
        if (client.ended) client.socket.end();
      }
      assert.equal(await closing, true);
      assertEmpty(own.server);
      const { accepted, closed, threads } = own.server.statistics();
      assert.equal(accepted, closed);
      assert.equal(
        threads.reduce((sum, thread) => sum + thread.accepted, 0),
        accepted,
      );
      assert.equal(threads.length, own.server.threads);
    });
  });
}
