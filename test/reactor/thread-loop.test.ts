// The promise "Node stays Node": in the thread of a running event-loop server everything else of Node goes on working,
// while the reactor sleeps in the kernel as well as while it has more to do than it can. And an idle server costs nothing.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Address } from "../../src/sys/address.ts";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { RAW_DRIVERS } from "../support/drivers.ts";
import { cpuTicks } from "../support/process-figures.ts";
import { settled, until, within } from "../support/until.ts";

const SERVER = fileURLToPath(new URL("every-api-server.ts", import.meta.url));
const HAMMER = fileURLToPath(new URL("hammer.ts", import.meta.url));
const ECHO_SERVER = fileURLToPath(new URL("../support/echo-server.ts", import.meta.url));

/** A tenth of this is far more than it takes; a thread that is starved never gets there. */
const GENEROUS_MS = 3000;

class Subject {
  readonly child: Child;
  readonly port: string;
  readonly address: Address;
  readonly #t: TestContext;

  private constructor(t: TestContext, child: Child, port: string) {
    this.#t = t;
    this.child = child;
    this.port = port;
    this.address = { family: "ipv4", host: "127.0.0.1", port: Number(port) };
  }

  static async start(t: TestContext, ...args: string[]): Promise<Subject> {
    const child = Child.node(t, [SERVER, ...args]);
    const [, port = ""] = await child.says(/port (\d+)/);
    return new Subject(t, child, port);
  }

  /** Runs a task in a handler, and gives its outcome. */
  async outcome(task: string): Promise<string> {
    const client = await Client.connect(this.#t, this.address);
    client.write(`do ${task}\n`);
    return await this.answerTo(client, /^done [^:]*: (.*)\n/);
  }

  async answerTo(client: Client, expected: RegExp): Promise<string> {
    let answer: RegExpExecArray | null = null;
    await until(
      () => {
        answer = expected.exec(client.text());
        return answer !== null || client.closed || client.ended;
      },
      () => `${expected} (${client.text()}; ${this.child.story()})`,
    );
    assert.ok(answer, `${expected} never came: ${this.child.story()}`);
    return answer[1] ?? "";
  }

  async echoes(): Promise<void> {
    const client = await Client.connect(this.#t, this.address);
    client.write("still there?\n");
    await this.answerTo(client, /^(still there\?)\n/);
  }

  async messages(): Promise<number> {
    const asked = this.child.ask<{ readonly messages: number }>("statistics");
    return (await within(asked, "the statistics of the server")).messages;
  }
}

/** What a task must answer. */
const EXPECTED: Readonly<Record<string, (outcome: string) => boolean>> = {
  "nextTick and promises": (order) =>
    order === "call, tick, microtask, promise in tick" ||
    order === "call, microtask, tick, promise in tick",
  setTimeout: (ms) => Number(ms) >= 95 && Number(ms) < GENEROUS_MS,
  setInterval: (ms) => Number(ms) >= 95 && Number(ms) < GENEROUS_MS,
  setImmediate: (ms) => Number(ms) < GENEROUS_MS,
  fetch: (answer) => answer === "200 true",
  messages: (value) => value === "50 1",
  "own ports": (ms) => Number(ms) < GENEROUS_MS,
  files: (text) => text === "written in a handler",
};

for (const { name, skip } of RAW_DRIVERS) {
  describe(name, { skip, concurrency: true }, () => {
    for (const load of ["idle", "under full load"]) {
      test(`${load}: the rest of Node works in the server's thread`, async (t) => {
        const subject = await Subject.start(t, name);
        if (load !== "idle") {
          const hammer = Child.node(t, [
            HAMMER,
            String((subject.address as { port: number }).port),
          ]);
          await hammer.says(/hammering/);
        }
        const before = await subject.messages();
        for (const [task, isRight] of Object.entries(EXPECTED)) {
          await t.test(task, async () => {
            const outcome = await subject.outcome(task);
            assert.ok(isRight(outcome), outcome);
          });
        }
        await t.test("each handler keeps its own store", async () => {
          const outcomes = ["a", "b", "c", "d"].map((own) => subject.outcome(`store: ${own}`));
          const expected = ["a", "b", "c", "d"].map((own) => Array(6).fill(own).join(" "));
          assert.deepEqual(await Promise.all(outcomes), expected);
          assert.equal(await subject.outcome("no store"), "undefined");
        });
        await t.test("a thread that always has an immediate goes on serving", async () => {
          const spinning = subject.outcome("spin");
          await subject.echoes();
          assert.ok(Number(await spinning) >= 10, await spinning);
        });
        const after = await subject.messages();
        if (load !== "idle") assert.ok(after - before > 10_000, `hardly a load: ${after - before}`);
      });

      test(`${load}: process.exit() in a handler ends the process there and then`, async (t) => {
        const subject = await Subject.start(t, name);
        if (load !== "idle") await hammer(t, subject);
        const client = await Client.connect(t, subject.address);
        client.write("do exit\n");
        assert.deepEqual(await subject.child.exit(), { code: 7, signal: null });
        assert.match(subject.child.stdout, /ending with 7/);
        assert.equal(subject.child.stderr, "");
        await client.end();
        assert.equal(client.text(), "", "the handler went on behind process.exit()");
      });

      test(`${load}: a server that catches what nobody else does goes on serving`, async (t) => {
        const subject = await Subject.start(t, name, "catch");
        if (load !== "idle") await hammer(t, subject);
        const places = ["timer", "immediate", "tick", "microtask", "promise", "later"];
        for (const [n, place] of places.entries()) {
          await subject.outcome(`throw: ${place}`);
          await subject.child.says(new RegExp(`caught thrown in ${place}\n`));
          await subject.echoes();
          assert.equal(await subject.outcome("caught"), String(n + 1));
        }
        assert.equal(subject.child.stderr, "");
        assert.equal(subject.child.ended, undefined);
      });
    }

    for (const place of ["timer", "tick", "promise"]) {
      test(`what is thrown in a ${place} and caught by nobody ends the process as in plain Node`, async (t) => {
        const subject = await Subject.start(t, name);
        const client = await Client.connect(t, subject.address);
        client.write(`do throw: ${place}\n`);
        assert.deepEqual(await subject.child.exit(), { code: 1, signal: null });
        assert.match(subject.child.stderr, new RegExp(`^Error: thrown in ${place}\\n    at `, "m"));
        assert.match(subject.child.stderr, /\nNode\.js v\d+/);
      });
    }

    test("a server with 200 idle connections uses no CPU", async (t) => {
      const child = Child.node(t, [ECHO_SERVER, JSON.stringify({ driver: name })]);
      const [, port] = await child.says(/port (\d+)/);
      const address: Address = { family: "ipv4", host: "127.0.0.1", port: Number(port) };
      const clients = await Promise.all(
        Array.from({ length: 200 }, () => Client.connect(t, address)),
      );
      for (const client of clients) client.write("hello");
      await Promise.all(clients.map((client) => client.bytes(5)));
      await settled(() => cpuTicks(child.pid));
      const before = cpuTicks(child.pid);
      await sleep(3000);
      const used = cpuTicks(child.pid) - before;
      assert.ok(used <= 2, `${used} ticks`);
      clients[0]?.write("again");
      await clients[0]?.bytes(10);
    });
  });
}

async function hammer(t: TestContext, subject: Subject): Promise<void> {
  const child = Child.node(t, [HAMMER, subject.port]);
  await child.says(/hammering/);
}
