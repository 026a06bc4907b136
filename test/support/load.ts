// Connections that are busy while something dies: each checks every byte that it gets back.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Address } from "../../src/sys/address.ts";
import { Client, pattern } from "./client.ts";
import { until } from "./until.ts";

/** Sends lines and checks every byte that comes back, until it is stopped or cut off. */
export class Load {
  readonly client: Client;
  /** The thread that serves it, once it is known. */
  thread = "";
  rounds = 0;
  #stopped = false;
  readonly #line: string;
  readonly #running: Promise<void>;

  constructor(t: TestContext, address: Address, seed: number) {
    this.client = Client.dial(t, address);
    this.#line = `${pattern(3000, seed).toString("base64")}\n`;
    this.#running = this.#run();
  }

  get over(): boolean {
    return this.client.ended || this.client.closed;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    this.thread = await threadOf(this.client);
    const head = `${this.thread}\n`;
    const expected = () => head.length + (this.rounds + 1) * this.#line.length;
    while (!this.#stopped && !this.over) {
      this.client.write(this.#line);
      await this.client.bytes(expected());
      if (this.client.receivedLength >= expected()) this.rounds++;
    }
    // Right as far as it went, also when it was cut off.
    const got = this.client.text();
    const sent = (head + this.#line.repeat(this.rounds + 1)).slice(0, got.length);
    assert.ok(got === sent, "bytes that were never sent");
  }
}

/** Asks the handlers of lethal.ts. */
export async function threadOf(client: Client): Promise<string> {
  client.write("thread\n");
  await until(
    () => client.text().endsWith("\n") || client.closed,
    () => `the thread's number (${client.state()})`,
  );
  return client.text().trim();
}

/** A thread has died: its connections have ended or will, all others go on. */
export async function assertHarmless(load: readonly Load[], thread: string): Promise<void> {
  const mates = load.filter((each) => each.thread === thread);
  const others = load.filter((each) => each.thread !== thread);
  await until(() => mates.every((each) => each.over), "the ends of the dead thread's connections");
  const from = others.map(({ rounds }) => rounds);
  await until(
    () => others.every(({ rounds }, n) => rounds > (from[n] ?? 0) + 3),
    "going on of the other threads' connections",
  );
}
