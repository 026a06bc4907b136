// The chat example on two threads, with clients that talk to each other across them: rooms, presence, and a reader who does not
// read.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Server, serve } from "../../src/server/serve.ts";
import { LineClient } from "../support/line-client.ts";
import { assertEmpty } from "../support/server.ts";
import { until } from "../support/until.ts";

const CHAT = fileURLToPath(new URL("../../examples/chat.ts", import.meta.url));

async function start(t: TestContext): Promise<Server> {
  const server = await serve(CHAT, { threads: 2 });
  t.after(async () => {
    await server.close({ drainMs: 100 });
    assertEmpty(server);
    assert.equal(server.statistics().subscriptions, 0);
  });
  return server;
}

/** Somebody in a room. */
class Guest {
  readonly client: LineClient;
  readonly #name: string;

  private constructor(client: LineClient, name: string) {
    this.client = client;
    this.#name = name;
  }

  static async arrive(t: TestContext, server: Server, name: string): Promise<Guest> {
    const guest = new Guest(await LineClient.connect(t, server.address), name);
    await guest.hears(/^\* you are guest-\d+;/);
    return guest;
  }

  say(line: string): void {
    this.client.client.write(`${line}\n`);
  }

  async join(room: string): Promise<void> {
    this.say(`/nick ${this.#name}`);
    this.say(`/join ${room}`);
    await this.hears(new RegExp(`^\\* ${this.#name} has joined$`));
  }

  hears(what: RegExp, from = 0): Promise<string> {
    return this.client.next((line) => what.test(line), from, `${this.#name} hearing ${what}`);
  }

  /** Asks until the answer is this one: what a thread has told the others takes a moment. */
  async sees(room: string, nicks: readonly string[]): Promise<void> {
    for (;;) {
      const from = this.client.lines.length;
      this.say("/who");
      const line = await this.hears(/^\* in /, from);
      const found = line.replace(`* in ${room}: `, "").split(", ").toSorted();
      if (found.join() === nicks.toSorted().join()) return;
    }
  }
}

/** So many that both threads have some of them. */
async function crowd(t: TestContext, server: Server, room: string): Promise<Guest[]> {
  const guests: Guest[] = [];
  const perThread = () => server.statistics().threads.map(({ connections }) => connections);
  while (guests.length < 4 || perThread().some((count) => count === 0)) {
    const guest = await Guest.arrive(t, server, `g${guests.length}`);
    await guest.join(room);
    guests.push(guest);
  }
  return guests;
}

describe("the chat example", () => {
  test("rooms across threads: who is in one hears it, who is present is known, who leaves is missed", async (t) => {
    const server = await start(t);
    const guests = await crowd(t, server, "tea");
    const [first, second] = guests;
    assert.ok(first && second);
    const outsider = await Guest.arrive(t, server, "outsider");
    outsider.say("hello?");
    await outsider.hears(/^! \/join a room first$/);
    await outsider.join("coffee");

    const names = guests.map((_, n) => `g${n}`);
    await first.sees("tea", names);
    await outsider.sees("coffee", ["outsider"]);
    second.say("good morning");
    for (const guest of guests) await guest.hears(/^g1: good morning$/);

    second.say("/leave");
    await first.hears(/^\* g1 has left$/);
    await first.sees(
      "tea",
      names.filter((name) => name !== "g1"),
    );
    guests.at(-1)?.client.client.reset();
    await first.hears(new RegExp(`^\\* ${names.at(-1)} has left$`));
    first.say("/quit");
    await first.client.client.end();
    await until(() => server.statistics().connections === names.length - 1, "the end of two");
    assert.ok(
      outsider.client.lines.every((line) => !/^g\d|g1 has/.test(line)),
      "heard through the wall",
    );
  });

  test("a slow reader harms nobody: the others hear everything, and it is served again when it reads", async (t) => {
    const server = await start(t);
    const guests = await crowd(t, server, "tea");
    const [speaker, ...others] = guests;
    const slow = others.pop();
    assert.ok(speaker && slow);
    slow.client.client.socket.pause();
    const line = "x".repeat(990);
    for (let round = 0; server.statistics().deliveriesDropped === 0; round++) {
      assert.ok(round < 500, "nothing was dropped");
      const from = others.map(({ client }) => client.lines.length);
      for (let n = 0; n < 50; n++) speaker.say(line);
      speaker.say(`round ${round}`);
      const heard = new RegExp(`^g0: round ${round}$`);
      await Promise.all(others.map((guest, n) => guest.hears(heard, from[n])));
      for (const [n, { client }] of others.entries()) {
        const count = client.lines.slice(from[n]).filter((each) => each === `g0: ${line}`).length;
        assert.equal(count, 50, "lines that the others have heard");
      }
    }
    slow.client.client.socket.resume();
    await until(() => server.statistics().outputBytes === 0, "all that it was behind");
    speaker.say("welcome back");
    await slow.hears(/^g0: welcome back$/);
    assert.equal(server.statistics().mailboxFull, 0);
  });
});
