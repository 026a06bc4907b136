// What becomes of the connections of a thread that dies where others may adopt them: those at rest go on, byte for byte, and
// those in the middle of something end at once.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type Server, serve } from "../../src/server/serve.ts";
import { ThreadEndedError, type ThreadEndReason } from "../../src/server/thread-ended.ts";
import { adoptionRounds } from "../support/adoption-rounds.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { descriptorsOf } from "../support/process-figures.ts";
import { until } from "../support/until.ts";

const ORPHANED = new URL("../support/handlers/orphaned.ts", import.meta.url);
const CLOSED_WITHIN_MS = 200;

const WAYS_TO_DIE: readonly (readonly [string, ...ThreadEndReason[]])[] = [
  ["throw", "error"],
  ["exit", "exit"],
  // A heap that is almost full holds its thread up, too.
  ["heap", "heap", "blocked"],
  ["loop later", "blocked"],
];

/** A client, and the answers that it is owed. */
class Asker {
  readonly client: Client;
  thread = "";
  #seen = 0;

  constructor(client: Client) {
    this.client = client;
  }

  /** The line that answers this one. */
  async ask(line: string): Promise<string> {
    this.client.write(`${line}\n`);
    await until(
      () => this.client.text().indexOf("\n", this.#seen) >= 0 || this.over,
      () => `an answer to ${line} (${this.client.state()})`,
    );
    const text = this.client.text();
    const answer = text.slice(this.#seen, text.indexOf("\n", this.#seen));
    this.#seen = text.indexOf("\n", this.#seen) + 1;
    return answer;
  }

  get over(): boolean {
    return this.client.ended || this.client.closed;
  }

  /** Whether everything that came was asked for. */
  get exact(): boolean {
    return this.client.receivedLength === this.#seen;
  }
}

async function askers(t: TestContext, server: Server, count: number): Promise<Asker[]> {
  const all = Array.from({ length: count }, () => new Asker(Client.dial(t, server.address)));
  for (const asker of all) asker.thread = await asker.ask("thread");
  return all;
}

for (const { name: driver, skip } of RAW_DRIVERS) {
  describe(`connections whose thread dies, ${driver}`, { skip }, () => {
    test("those at rest go on in another thread, after every kind of death; the others end at once", async (t) => {
      const ends: ThreadEndedError[] = [];
      let endedMs = 0;
      const server = await serve(ORPHANED, {
        driver,
        threads: 2,
        adoptOrphans: true,
        // The kernel takes little of what nobody reads.
        sendBufferBytes: 16_384,
        limits: { blockedMs: 2000, heapBytes: 24 * 1024 * 1024 },
        onError(error) {
          if (!(error instanceof ThreadEndedError)) return;
          ends.push(error);
          endedMs = performance.now();
        },
      });
      t.after(() => server.close({ drainMs: 50 }));
      const before = descriptorsOf("self");
      const resting = await askers(t, server, 24);
      const ids = await Promise.all(
        resting.map(async (each) => (await each.ask("known")).split(" ")[0]),
      );
      let adopted = 0;
      for (const [round, [death, ...reasons]] of WAYS_TO_DIE.entries()) {
        const busy = await askers(t, server, 8);
        // Whichever has half of them or more.
        const dying = busy.map(({ thread }) => thread).sort()[3] ?? "";
        const middle = busy.filter(({ thread }) => thread === dying).slice(0, 4);
        const [killer, unfinished, promised, unsent] = middle;
        assert.ok(killer && unfinished && promised && unsent, "four on the thread that dies");
        unfinished.client.write("half a li");
        promised.client.write("never\n");
        unsent.client.socket.pause();
        unsent.client.write("much\n");
        for (const each of resting) each.thread = await each.ask("thread");
        const orphans = resting.filter(({ thread }) => thread === dying).length;
        const others = busy.filter(
          (each) => each.thread === dying && !middle.includes(each),
        ).length;
        // What has returned counts as handled: so that the killer is in the middle of something, too.
        killer.client.write(`${death}\nnever\n`);
        await until(() => ends.length > round, death);
        assert.ok(reasons.includes(ends[round]?.reason ?? "start"), ends[round]?.message);
        unsent.client.socket.resume();
        await until(
          () => middle.every((each) => each.over),
          () =>
            `the ends of the busy ones: ${middle.map((each) => each.client.state())}, ${ends.at(-1)?.message}`,
          4000,
        );
        const tookMs = performance.now() - endedMs;
        assert.ok(tookMs < CLOSED_WITHIN_MS, `${death}: ended ${tookMs} ms after their thread`);
        adopted += orphans + others;
        assert.equal(ends.at(-1)?.adopted, orphans + others, `${death}: adopted`);
        assert.equal(ends.at(-1)?.connections, middle.length, `${death}: ended`);
        for (const [n, each] of resting.entries()) {
          const [id, since] = (await each.ask("known")).split(" ");
          assert.equal(id, ids[n], "an id that changed");
          const mustBe = each.thread === dying ? "adopted" : since;
          assert.equal(since, mustBe);
          assert.equal(await each.ask(`line ${n}`), `line ${n}`);
          assert.notEqual(await each.ask("thread"), dying);
        }
        for (const each of busy) each.client.destroy();
        await until(() => server.statistics().connections === resting.length, "only those at rest");
      }
      assert.ok(
        resting.every((each) => each.exact),
        "bytes that nobody asked for",
      );
      const { connections, accepted, closed } = server.statistics();
      assert.deepEqual([server.statistics().adopted, closed], [adopted, accepted - connections]);
      for (const each of resting) each.client.destroy();
      await until(() => server.statistics().connections === 0, "no connections");
      await until(
        () => descriptorsOf("self") === before,
        () => `${descriptorsOf("self")} descriptors, ${before} before`,
      );
      assert.equal(await server.close(), true);
    });

    test("under load nothing of an adopted connection is lost, doubled or wrong", async (t) => {
      let ended = 0;
      const server = await serve(ORPHANED, {
        driver,
        threads: 2,
        adoptOrphans: true,
        onError(error) {
          if (error instanceof ThreadEndedError) ended++;
        },
      });
      t.after(() => server.close({ drainMs: 50 }));
      const { address } = server;
      const port = address.family === "unix" ? 0 : address.port;
      const faults = await adoptionRounds({ port, clients: 24, deaths: 3, ended: () => ended });
      assert.deepEqual(faults, []);
      assert.ok(server.statistics().adopted > 0, "nobody was adopted");
    });

    test("with one thread they wait for the next one", async (t) => {
      const server = await serve(ORPHANED, {
        driver,
        threads: 1,
        adoptOrphans: true,
        onError: () => undefined,
      });
      t.after(() => server.close({ drainMs: 50 }));
      const [killer, ...others] = await askers(t, server, 5);
      for (const [n, other] of others.entries()) assert.equal(await other.ask(`${n}`), `${n}`);
      killer?.client.write("exit\n");
      await until(() => killer?.over === true, "the end of the one that killed");
      for (const other of others) assert.match(await other.ask("known"), /adopted 1$/);
      assert.equal(server.statistics().adopted, 4);
    });
  });
}

test("what cannot adopt says so", async () => {
  const service = new URL("../support/handlers/topics-service.ts", import.meta.url);
  const told = { code: "ERR_SLUICE_OPTION", message: /adopted\(connection\)/ };
  await assert.rejects(serve(service, { threads: 2, adoptOrphans: true }), told);
  for (const model of ["event-loop", "thread-pool", "thread-per-connection"] as const) {
    const refused = { code: "ERR_SLUICE_OPTION", message: /cannot adopt connections/ };
    await assert.rejects(serve(ORPHANED, { model, adoptOrphans: true }), refused);
  }
  const portable = { code: "ERR_SLUICE_OPTION", message: /portable driver cannot adopt/ };
  await assert.rejects(serve(ORPHANED, { driver: "portable", adoptOrphans: true }), portable);
});
